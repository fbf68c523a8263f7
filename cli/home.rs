//! Where Rampart keeps its files: `~/.rampart`, or the directory in `RAMPART_HOME`.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::failure::{Failure, say};

/// This user's home directory, which is also that of the runs its server guards.
pub fn of_user() -> Option<&'static str> {
    static HOME: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::home_dir()?.into_os_string().into_string().ok());
    HOME.as_deref()
}

/// The file of [`Home::policy`], where it is known.
pub fn own_policy() -> Option<&'static Path> {
    static POLICY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| Home::locate().ok().map(|home| home.policy()));
    POLICY.as_deref()
}

/// The directory of Rampart's files, which need not exist.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// Takes the directory from `RAMPART_HOME`, otherwise from the user's home.
    ///
    /// # Errors
    /// Neither is known.
    pub fn locate() -> Result<Self, Failure> {
        let named = std::env::var_os("RAMPART_HOME").filter(|value| !value.is_empty());
        let directory = match named {
            Some(directory) => PathBuf::from(directory),
            None => std::env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .map(|home| home.join(".rampart"))
                .ok_or_else(|| {
                    Failure::new("your home directory is not known: set HOME or RAMPART_HOME")
                })?,
        };
        std::path::absolute(&directory).map(Self).map_err(|error| {
            Failure::new(format!("cannot make {} absolute: {error}", directory.display()))
        })
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Whether a `.rampart` is the user's own and no project's, by whatever path.
    pub fn owns(&self, folder: &Path) -> bool {
        let by_default = of_user().map(|home| Path::new(home).join(".rampart"));
        let is_same = |own: &Path| folder == own || is_same_file(folder, own);
        is_same(&self.0) || by_default.is_some_and(|own| is_same(&own))
    }

    /// The policy in force if no flag names another.
    pub fn policy(&self) -> PathBuf {
        self.0.join("policy.yaml")
    }

    /// A directory of further policies.
    pub fn policies(&self) -> PathBuf {
        self.0.join("policies")
    }

    /// The `once` rules that are spent, one name a line.
    pub fn spent(&self) -> PathBuf {
        self.0.join("spent")
    }

    /// The bearer token of the user's own server.
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// The audit, one JSON object a line.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    /// The socket where `rampart serve` listens for this user's runs.
    pub fn serve_socket(&self) -> PathBuf {
        self.0.join("serve.sock")
    }

    /// The state file of the Go command's `rampart serve`, with its URL.
    pub fn serve_state(&self) -> PathBuf {
        self.0.join("serve.state")
    }

    /// The Go command's configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.yaml")
    }

    /// The directory for guarded runs' own directories.
    pub fn runs(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The directory of the installed library.
    pub fn libraries(&self) -> PathBuf {
        self.0.join("lib")
    }
}

/// Whether two paths lead to the same file, or will. A home may have several: `/home` is a link on
/// some systems.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    let is_one = |(one, other)| identity(one).is_some_and(|one| identity(other) == Some(one));
    // What does not exist yet is told by its place.
    let places = one.parent().zip(other.parent());
    is_one((one, other)) || one.file_name() == other.file_name() && places.is_some_and(is_one)
}

/// Creates a directory and missing parents with mode 0700.
///
/// # Errors
/// As the system says.
pub fn make_private_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Warns if others can read a secret file.
pub fn warn_if_others_can_read(what: &str, path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        say(format!("others can read the {what} {0}: run `chmod 600 {0}`", path.display()));
    }
}

/// Restricts a directory to its owner.
///
/// # Errors
/// As the system says.
pub fn keep_private(directory: &Path) -> io::Result<()> {
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

//! The directory of one guarded run, where the socket of its server is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;
use rampart_core::url::LONGEST_SOCKET_PATH;

use crate::failure::Failure;
use crate::library;

const SOCKET: &str = "s.sock";
const TEMPLATE: &str = "rampart-XXXXXX";

/// A directory for the socket of one run, which nobody else can enter. It is
/// removed with this value.
pub struct PrivateDirectory {
    path: PathBuf,
}

impl PrivateDirectory {
    /// Makes one in the best place that can be had.
    ///
    /// # Errors
    /// There is none.
    pub fn make() -> Result<Self, Failure> {
        let mut fault = String::from("no directory for it");
        for parent in parents() {
            let template = parent.join(TEMPLATE);
            if let Err(reason) = fits_a_url(&template.join(SOCKET)) {
                fault = format!("{}: {reason}", parent.display());
                continue;
            }
            match mkdtemp(&template) {
                Ok(path) => return Ok(Self { path }),
                Err(error) => fault = format!("{}: {error}", parent.display()),
            }
        }
        Err(Failure::new(format!(
            "cannot make a directory for the server's socket ({fault}): \
             set TMPDIR to a directory that you can write to"
        )))
    }

    /// Where the socket is to be.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// A path to the library that the loader can be given: its own, or that of a
    /// link in here.
    ///
    /// # Errors
    /// The link cannot be made.
    pub fn listable(&self, library: &Path) -> Result<PathBuf, Failure> {
        if library::can_be_listed(library) {
            return Ok(library.to_path_buf());
        }
        let link = self.path.join(library::file_name());
        symlink(library, &link).map(|()| link).map_err(|error| {
            Failure::new(format!("cannot make a link to {}: {error}", library.display()))
        })
    }

    /// Removes it with what is in it.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }

    /// The server removes it at its end.
    pub fn leave_to_server(self) {
        std::mem::forget(self);
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Where a private directory can be made, the best place first.
fn parents() -> impl Iterator<Item = PathBuf> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"].into_iter().filter_map(std::env::var_os);
    let absolute = named.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute.chain([PathBuf::from("/tmp")])
}

fn fits_a_url(socket: &Path) -> Result<(), &'static str> {
    let Some(text) = socket.to_str() else {
        return Err("its name is not UTF-8");
    };
    if text.len() > LONGEST_SOCKET_PATH {
        return Err("its name is too long for a socket");
    }
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=,~".contains(&byte);
    if text.bytes().all(is_safe) { Ok(()) } else { Err("its name cannot stand in a URL") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LONGEST_SOCKET_PATH, fits_a_url};

    #[test]
    fn only_a_path_that_is_short_and_plain_becomes_a_socket() {
        let long = format!("/{}", "x".repeat(LONGEST_SOCKET_PATH));
        for (path, fits) in [
            ("/run/user/1000/rampart-XXXXXX/s.sock", true),
            ("/tmp/two words/s.sock", false),
            ("/tmp/a?b/s.sock", false),
            ("/tmp/a%20b/s.sock", false),
            (long.as_str(), false),
        ] {
            assert_eq!(fits_a_url(Path::new(path)).is_ok(), fits, "{path}");
        }
    }
}

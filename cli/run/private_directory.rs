//! The directory of one guarded run, which holds its server's socket.
//!
//! It is in `/tmp` only as a last resort: clean-ups empty that, and sandboxes mount over it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;
use rampart_core::run_files::{SOCKET, SPARE_LIBRARY};
use rampart_core::url::LONGEST_SOCKET_PATH;

use crate::failure::Failure;
use crate::home::{Home, make_private_directory};
use crate::library;

const TEMPLATE: &str = "rampart-XXXXXX";

/// Others may enter but not list it, for a guarded process may change its user; the token keeps
/// strangers out. The directory above it usually lets nobody else in.
const DIRECTORY_MODE: u32 = 0o711;
const SOCKET_MODE: u32 = 0o666;

/// A directory for the socket of one run. Removed on drop.
pub struct PrivateDirectory {
    path: PathBuf,
}

impl PrivateDirectory {
    /// Makes one in the best place available.
    ///
    /// # Errors
    /// No place takes it.
    pub fn make(home: &Home) -> Result<Self, Failure> {
        let mut fault = String::from("no directory for it");
        for parent in parents(home) {
            let template = parent.join(TEMPLATE);
            if let Err(reason) = fits_a_url(&template.join(SOCKET)) {
                fault = format!("{}: {reason}", parent.display());
                continue;
            }
            if parent == home.runs() {
                let _ = make_private_directory(&parent);
            }
            match mkdtemp(&template) {
                Ok(path) => {
                    let _ = fs::set_permissions(&path, Permissions::from_mode(DIRECTORY_MODE));
                    return Ok(Self { path });
                }
                Err(error) => fault = format!("{}: {error}", parent.display()),
            }
        }
        Err(Failure::new(format!(
            "cannot make a directory for the server's socket ({fault}): \
             set XDG_RUNTIME_DIR or TMPDIR to a directory that you can write to"
        )))
    }

    /// Listens at a socket in it. The path has only characters that a URL can hold.
    ///
    /// # Errors
    /// The socket cannot be bound, or its mode set.
    pub fn listen(&self) -> Result<(UnixListener, PathBuf), Failure> {
        let socket = self.path.join(SOCKET);
        UnixListener::bind(&socket)
            .and_then(|listener| {
                fs::set_permissions(&socket, Permissions::from_mode(SOCKET_MODE))?;
                Ok((listener, socket.clone()))
            })
            .map_err(|error| {
                Failure::new(format!("cannot listen at {}: {error}", socket.display()))
            })
    }

    /// A path to the library that the preload list can hold: its own, or that of a symbolic link
    /// made in this directory.
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

    /// Copies the library here, for children of the run, if its own file vanishes meanwhile.
    ///
    /// # Errors
    /// As the system says. There is no copy then.
    pub fn keep_spare(&self, mut library: &File) -> io::Result<()> {
        let copy = self.path.join(SPARE_LIBRARY);
        if let Some(folder) = copy.parent() {
            fs::create_dir(folder)?;
            fs::set_permissions(folder, Permissions::from_mode(DIRECTORY_MODE))?;
        }
        let filled = File::create_new(&copy).and_then(|mut file| {
            file.set_permissions(library.metadata()?.permissions())?;
            io::copy(&mut library, &mut file)
        });
        if filled.is_err() {
            // Half a copy would be worse than none.
            let _ = fs::remove_file(copy);
        }
        filled.map(drop)
    }

    /// Removes the directory and its contents.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }

    /// Leaves the directory in place: the server removes it when it ends.
    pub fn leave_to_server(self) {
        std::mem::forget(self);
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Where the directory may be made, the best place first.
fn parents(home: &Home) -> impl Iterator<Item = PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let lasting = named("XDG_RUNTIME_DIR").into_iter().chain([home.runs()]);
    lasting.chain(named("TMPDIR")).chain([PathBuf::from("/tmp")])
}

fn fits_a_url(socket: &Path) -> Result<(), &'static str> {
    let Some(text) = socket.to_str() else {
        return Err("its name is not UTF-8");
    };
    if text.len() > LONGEST_SOCKET_PATH {
        return Err("its name is too long for a socket");
    }
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=~".contains(&byte);
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
            ("/tmp/a,b/s.sock", false),
            ("/tmp/a%20b/s.sock", false),
            (long.as_str(), false),
        ] {
            assert_eq!(fits_a_url(Path::new(path)).is_ok(), fits, "{path}");
        }
    }
}

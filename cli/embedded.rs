//! The policy server that belongs to one guarded run: it is started before the
//! command, is no child of it, and ends after the last process of its tree.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::stat::{Mode as FileMode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, mkdtemp, setsid,
};

use rampart_core::url::LONGEST_SOCKET_PATH;

use crate::environment;
use crate::failure::Failure;
use crate::library;
use crate::mode::Mode;
use crate::policy_file::InForce;
use crate::server::{
    Audit, Durability, Lifetime, Parts, Reload, Server, Tree, listen::Listener, title,
};
use crate::token::Token;

/// The kernel shows the first 15 characters where there is less room.
const TITLE: &CStr = c"rampart-server of a guarded run";
const SOCKET: &str = "s.sock";
const TEMPLATE: &str = "rampart-XXXXXX";
/// Descriptors below this are closed where the system does not list them.
const ASSUMED_DESCRIPTORS: RawFd = 4096;

/// What the guarded command has to know of its server.
pub struct Embedded {
    pub url: String,
    pub token: Token,
    /// The library, by a path that the loader can be given.
    pub library: PathBuf,
}

/// Starts a server for the tree of processes that this process is about to become
/// the root of.
///
/// # Errors
/// There is no directory for its socket, or no process for it. Nothing is left
/// behind then.
pub fn start(
    policy: InForce,
    mode: Mode,
    audit: &Path,
    durability: Durability,
    library: &Path,
) -> Result<Embedded, Failure> {
    let directory = PrivateDirectory::make()?;
    let socket = directory.path.join(SOCKET);
    let failed =
        |error: io::Error| Failure::new(format!("cannot listen at {}: {error}", socket.display()));
    let listener = UnixListener::bind(&socket).map_err(failed)?;
    let mut kept = vec![listener.as_raw_fd()];
    let listener = Listener::unix(listener).map_err(failed)?;
    let library = directory.listable(library)?;

    let url = format!("unix://{}", socket.display());
    let token = Token::random()?;
    let now = Instant::now();
    let tree = Tree::new(getpid(), format!("{}={url}", environment::URL).into_bytes(), now);
    let audit = Audit::open(audit, durability);
    kept.extend(tree.descriptor().map(AsRawFd::as_raw_fd));
    kept.extend(audit.file().map(AsRawFd::as_raw_fd));
    let parts = Parts {
        listeners: vec![listener],
        token: token.clone(),
        mode,
        policy: Reload::new(policy, now),
        audit,
        lifetime: Lifetime::Tree(tree),
    };
    if !become_parent(&kept, parts, &directory)? {
        return Err(Failure::new("the embedded server did not start; nothing was run"));
    }
    directory.leave_to_server();
    Ok(Embedded { url, token, library })
}

/// Forks twice, so that the server is nobody's child: a command that waits for all
/// its children must not wait for it. Gives whether the server is ready.
fn become_parent(
    kept: &[RawFd],
    parts: Parts,
    directory: &PrivateDirectory,
) -> Result<bool, Failure> {
    let failed = |error: Errno| Failure::new(format!("cannot start the embedded server: {error}"));
    // SAFETY: this process has a single thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed)? {
        ForkResult::Parent { child } => Ok(ended_well(child)),
        ForkResult::Child => {
            let ready = go_between(kept, parts, directory);
            exit(i32::from(!ready))
        }
    }
}

/// The process between the command and the server: it waits until the server is
/// ready, and leaves it behind.
fn go_between(kept: &[RawFd], parts: Parts, directory: &PrivateDirectory) -> bool {
    let Ok((mut reader, writer)) = io::pipe() else {
        return false;
    };
    if setsid().is_err() {
        return false;
    }
    // SAFETY: as above, there is a single thread.
    match unsafe { fork() } {
        Err(_) => false,
        Ok(ForkResult::Parent { .. }) => {
            drop(writer);
            reader.read_exact(&mut [0]).is_ok()
        }
        Ok(ForkResult::Child) => {
            drop(reader);
            serve(kept, parts, writer);
            directory.remove();
            exit(0)
        }
    }
}

fn serve(kept: &[RawFd], parts: Parts, mut ready: io::PipeWriter) {
    let mut open = vec![ready.as_raw_fd()];
    open.extend(kept);
    close_all_but(&open);
    let _ = chdir("/");
    umask(FileMode::from_bits_truncate(0o077));
    let _ = SigSet::empty().thread_set_mask();
    // SAFETY: to ignore a signal is no handler of ours.
    let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
    title::set(TITLE);
    let server = match Server::new(parts) {
        Ok(server) => server,
        Err(failure) => {
            failure.report();
            return;
        }
    };
    if silence().is_err() || ready.write_all(&[1]).is_err() {
        return;
    }
    drop(ready);
    let _ = server.run();
}

/// Waits for the process between; whoever ignores `SIGCHLD` gets no status.
fn ended_well(child: Pid) -> bool {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return true,
            status => return matches!(status, Ok(WaitStatus::Exited(_, 0))),
        }
    }
}

fn silence() -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Closes what was inherited: somebody may wait for the end of one of those pipes.
fn close_all_but(kept: &[RawFd]) {
    let named = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open: Vec<RawFd> = match fs::read_dir("/dev/fd") {
        Ok(entries) => entries.filter_map(named).collect(),
        Err(_) => (0..ASSUMED_DESCRIPTORS).collect(),
    };
    for descriptor in open {
        if descriptor > libc::STDERR_FILENO && !kept.contains(&descriptor) {
            // SAFETY: no value in this process owns a descriptor that is not kept.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Ends the process at once: what is registered to run at its end belongs to the
/// process that it was forked from.
fn exit(status: i32) -> ! {
    // SAFETY: ends the process, whatever its state is.
    unsafe { libc::_exit(status) }
}

/// A directory for the socket of one run, which nobody else can enter. It is
/// removed with this value.
struct PrivateDirectory {
    path: PathBuf,
}

impl PrivateDirectory {
    fn make() -> Result<Self, Failure> {
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

    /// A path to the library that the loader can be given: its own, or that of a
    /// link in here.
    fn listable(&self, library: &Path) -> Result<PathBuf, Failure> {
        if library::can_be_listed(library) {
            return Ok(library.to_path_buf());
        }
        let link = self.path.join(library::file_name());
        symlink(library, &link).map(|()| link).map_err(|error| {
            Failure::new(format!("cannot make a link to {}: {error}", library.display()))
        })
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }

    /// The server removes it at its end.
    fn leave_to_server(self) {
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

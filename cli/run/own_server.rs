//! A server that belongs to one guarded run: it is started before the command, is
//! no child of it, and ends after the last process of its tree.
//!
//! There are two ways to it on Linux, so that what takes one away leaves the other: a socket
//! in a directory of its own is lost to who cannot see that path or enter it (a clean-up, an
//! empty file system over it, a chroot, another user), an abstract name to who is in another
//! network namespace.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::stat::{Mode as FileMode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, setsid,
};
use tokio::runtime::LocalRuntime;

use super::environment;
use super::lifetime::{Tree, ending_signal};
use super::private_directory::PrivateDirectory;
use super::title;
use crate::failure::Failure;
use crate::home::Home;
use crate::server::listen::Listener;
use crate::server::{self, Server};
use crate::token::Token;

/// Descriptors below this are closed where the system does not list them.
const ASSUMED_DESCRIPTORS: RawFd = 4096;

/// What the guarded command has to know of its server.
pub struct Access {
    /// The ways to it, as `RAMPART_URL` lists them.
    pub url: String,
    pub token: Token,
    /// The library, by a path that the loader can be given.
    pub library: PathBuf,
}

/// When a server ends.
pub type Until = Pin<Box<dyn Future<Output = ()>>>;

/// Starts a server for the tree of processes that this process is about to become
/// the root of. `build` is called in the server's process, which has a single
/// thread, and may still speak on stderr; what it gives then has the server run, in
/// silence. `file` stays open there, and so many more descriptors are left to it. The kernel
/// shows the first 15 characters of the title where there is less room.
///
/// # Errors
/// There is no directory for its socket, or no process for it, or it could not be
/// built. Nothing is left behind then.
pub fn start<Run: AsyncFnOnce(Server, Until)>(
    title: &CStr,
    home: &Home,
    library: &Path,
    file: Option<RawFd>,
    reserved: usize,
    build: impl FnOnce(&LocalRuntime) -> Result<Run, Failure>,
) -> Result<Access, Failure> {
    let directory = PrivateDirectory::make(home)?;
    let (listener, socket) = directory.listen()?;
    let mut url = format!("unix://{}", socket.display());
    let mut listeners = vec![listener];
    if let Some((listener, name)) = listen_by_name()? {
        url = format!("{url},unix:@{name}");
        listeners.push(listener);
    }
    let library = directory.listable(library)?;
    let token = Token::random()?;
    let entry = format!("{}={url}", environment::URL).into_bytes();
    let tree = Tree::new(getpid(), entry);
    let mut kept: Vec<RawFd> = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    kept.extend(tree.descriptor().map(AsRawFd::as_raw_fd));
    kept.extend(file);
    let startup = Startup { title, kept, directory: &directory };
    let build = || {
        let runtime = server::runtime()?;
        let entered = runtime.enter();
        let cannot = |error| Failure::new(format!("cannot set up the server: {error}"));
        let listeners = listeners.into_iter().map(Listener::unix).collect::<Result<_, _>>();
        let listeners = listeners.map_err(cannot)?;
        let told_to_end = ending_signal().map_err(cannot)?;
        drop(entered);
        let server = Server::new(listeners, token.clone(), reserved);
        let connections = server.connections();
        let until = Box::pin(async move {
            tokio::select! {
                () = told_to_end => {}
                () = tree.gone(&connections) => {}
            }
        });
        let run = build(&runtime)?;
        Ok(move || {
            runtime.block_on(run(server, until));
            // Whoever looks a name up, or judges a command, is not waited for.
            runtime.shutdown_background();
        })
    };
    if !startup.become_parent(build)? {
        return Err(Failure::new("the server of this run did not start; nothing was run"));
    }
    directory.leave_to_server();
    Ok(Access { url, token, library })
}

/// Listens at a name of this run in the abstract namespace (`unix(7)`). Every user can see
/// the name and connect to it; whoever asks has to show the token.
#[cfg(target_os = "linux")]
fn listen_by_name() -> Result<Option<(UnixListener, String)>, Failure> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    const DIGITS: usize = 32;
    let name = format!("rampart-{}", &Token::random()?.reveal()[..DIGITS]);
    SocketAddr::from_abstract_name(&name)
        .and_then(|address| UnixListener::bind_addr(&address))
        .map(|listener| Some((listener, name)))
        .map_err(|error| Failure::new(format!("cannot listen at an abstract name: {error}")))
}

/// Nothing: this system has no such names.
#[cfg(not(target_os = "linux"))]
fn listen_by_name() -> Result<Option<(UnixListener, String)>, Failure> {
    Ok(None)
}

/// How the server's process comes about.
struct Startup<'b> {
    title: &'b CStr,
    /// The descriptors that it keeps.
    kept: Vec<RawFd>,
    directory: &'b PrivateDirectory,
}

impl Startup<'_> {
    /// Forks twice, so that the server is nobody's child: a command that waits for all
    /// its children must not wait for it. Gives whether the server is ready.
    fn become_parent<Run: FnOnce()>(
        &self,
        build: impl FnOnce() -> Result<Run, Failure>,
    ) -> Result<bool, Failure> {
        let cannot = |error| Failure::new(format!("cannot start the server of this run: {error}"));
        let (mut ready, writer) = io::pipe().map_err(cannot)?;
        // SAFETY: this process has a single thread, so the child may do anything.
        match unsafe { fork() }.map_err(|error| cannot(error.into()))? {
            // The pipe's other end is the server's alone once the one between is gone.
            ForkResult::Parent { child } => {
                drop(writer);
                Ok(ended_well(child) && ready.read_exact(&mut [0]).is_ok())
            }
            ForkResult::Child => {
                drop(ready);
                let left = self.go_between(build, writer);
                exit(i32::from(!left))
            }
        }
    }

    /// The process between the command and the server, which it leaves behind.
    fn go_between<Run: FnOnce()>(
        &self,
        build: impl FnOnce() -> Result<Run, Failure>,
        ready: io::PipeWriter,
    ) -> bool {
        if setsid().is_err() {
            return false;
        }
        // SAFETY: as above, there is a single thread.
        match unsafe { fork() } {
            Err(_) => false,
            Ok(ForkResult::Parent { .. }) => true,
            Ok(ForkResult::Child) => {
                self.serve(build, ready);
                self.directory.remove();
                exit(0)
            }
        }
    }

    fn serve<Run: FnOnce()>(
        &self,
        build: impl FnOnce() -> Result<Run, Failure>,
        mut ready: io::PipeWriter,
    ) {
        let mut open = vec![ready.as_raw_fd()];
        open.extend(&self.kept);
        close_all_but(&open);
        let _ = chdir("/");
        umask(FileMode::from_bits_truncate(0o077));
        let _ = SigSet::empty().thread_set_mask();
        // SAFETY: to ignore a signal is no handler of ours.
        let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
        title::set(self.title);
        let run = match build() {
            Ok(run) => run,
            Err(failure) => {
                failure.report();
                return;
            }
        };
        if silence().is_err() || ready.write_all(&[1]).is_err() {
            return;
        }
        drop(ready);
        run();
    }
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

/// Has nobody at the standard streams.
///
/// # Errors
/// As the system says.
pub fn silence() -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Closes what was inherited: somebody may wait for the end of one of those pipes.
pub fn close_all_but(kept: &[RawFd]) {
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
pub fn exit(status: i32) -> ! {
    // SAFETY: ends the process, whatever its state is.
    unsafe { libc::_exit(status) }
}

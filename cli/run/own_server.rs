//! The server of one guarded run. It starts before the command, is not a child of it, and ends
//! after the last process of the command's tree.
//!
//! On Linux it listens at two addresses, because each can be lost alone: the socket path to a
//! clean-up, a mount over it, a chroot or another user; the abstract name to a process in another
//! network namespace.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::RawFd;
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
use super::orphans;
use super::private_directory::PrivateDirectory;
use super::title;
use crate::failure::{Failure, why_not_started};
use crate::home::Home;
use crate::server::listen::Listener;
use crate::server::{self, Server};
use crate::token::Token;

/// Descriptors below this are closed if the system cannot list the open ones.
const ASSUMED_DESCRIPTORS: RawFd = 4096;

/// What the guarded command has to know about its server.
pub struct Access {
    /// Its addresses, in the form of `RAMPART_URL`.
    pub url: String,
    pub token: Token,
    /// The library's path in a form that the preload list can hold.
    pub library: PathBuf,
}

/// Resolves when the server is to end.
pub type Shutdown = Pin<Box<dyn Future<Output = ()>>>;

/// Starts a server for the process tree whose root this process is about to become. `build` is
/// called in the server's process, which has a single thread, and may still report on stderr; the
/// function that it returns runs the server, with the standard streams closed. `reserved`
/// descriptors are kept free for other uses. `title` is what `ps` shows; `comm` has the first 15
/// characters of it (`PR_SET_NAME`). `is_asked` says that each start in the run waits for this
/// server's answer.
///
/// # Errors
/// No directory for its socket, no process for it, or `build` failed. Nothing is left behind.
pub fn start<Run: AsyncFnOnce(Server, Shutdown)>(
    title: &CStr,
    home: &Home,
    library: &Path,
    reserved: usize,
    is_asked: bool,
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
    let listed = directory.listable(library)?;
    let token = Token::random()?;
    let entry = format!("{}={url}", environment::URL).into_bytes();
    let tree = Tree::new(getpid(), entry);
    let startup = Startup { title, directory: &directory, library, is_asked };
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
        let shutdown = Box::pin(async move {
            tokio::select! {
                () = told_to_end => {}
                () = tree.gone(&connections) => {}
            }
        });
        let run = build(&runtime)?;
        Ok(move || {
            runtime.block_on(run(server, shutdown));
            // Do not wait for worker threads that look up a name or judge a command.
            runtime.shutdown_background();
        })
    };
    if !startup.spawn(build)? {
        return Err(Failure::new("the server of this run did not start; nothing was run"));
    }
    directory.leave_to_server();
    Ok(Access { url, token, library: listed })
}

/// Listens at a random name in the abstract namespace (`unix(7)`). Every user can see the name and
/// connect to it, so every question has to show the token.
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

/// Only Linux has abstract socket names.
#[cfg(not(target_os = "linux"))]
fn listen_by_name() -> Result<Option<(UnixListener, String)>, Failure> {
    Ok(None)
}

/// What the server's process is started with.
struct Startup<'b> {
    title: &'b CStr,
    directory: &'b PrivateDirectory,
    library: &'b Path,
    is_asked: bool,
}

impl Startup<'_> {
    /// Forks twice, so that the server is not a child of the command: one that waits for all its
    /// children would wait for it. Where it would become one again, as an orphan, the process
    /// between them stays as its parent. Returns whether the server is ready.
    fn spawn<Run: FnOnce()>(
        &self,
        build: impl FnOnce() -> Result<Run, Failure>,
    ) -> Result<bool, Failure> {
        let (mut ready, writer) = io::pipe().map_err(|error| cannot_start(&error))?;
        let stays = orphans::come_to_this_process();
        // SAFETY: this process has a single thread, so the child may do anything.
        let forked = unsafe { if stays { orphans::fork_unawaited() } else { fork() } };
        match forked.map_err(|error| cannot_start(&error.into()))? {
            // Once the intermediate process is gone, only the server holds the pipe's other end.
            ForkResult::Parent { child } => {
                drop(writer);
                Ok((stays || succeeded(child)) && ready.read_exact(&mut [0]).is_ok())
            }
            ForkResult::Child => {
                drop(ready);
                let left = self.intermediate(build, writer, stays);
                exit(i32::from(!left))
            }
        }
    }

    /// What the intermediate process does: starts the server in a session of its own.
    fn intermediate<Run: FnOnce()>(
        &self,
        build: impl FnOnce() -> Result<Run, Failure>,
        ready: io::PipeWriter,
        stays: bool,
    ) -> bool {
        if setsid().is_err() {
            return false;
        }
        // SAFETY: as above, there is a single thread.
        match unsafe { fork() } {
            Err(error) => {
                cannot_start(&error.into()).report();
                false
            }
            Ok(ForkResult::Parent { child }) if stays => {
                drop(ready);
                self.retire();
                let _ = silence();
                succeeded(child)
            }
            Ok(ForkResult::Parent { .. }) => true,
            Ok(ForkResult::Child) => {
                self.serve(build, ready);
                self.directory.remove();
                exit(0)
            }
        }
    }

    /// Leaves behind what belongs to the command.
    fn retire(&self) {
        close_inherited();
        let _ = chdir("/");
        umask(FileMode::from_bits_truncate(0o077));
        let _ = SigSet::empty().thread_set_mask();
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) };
        title::set(self.title);
        #[cfg(target_os = "linux")]
        super::memory_shortage::outlive_others();
    }

    fn serve<Run: FnOnce()>(
        &self,
        build: impl FnOnce() -> Result<Run, Failure>,
        mut ready: io::PipeWriter,
    ) {
        self.retire();
        let run = match build() {
            Ok(run) => run,
            Err(failure) => {
                failure.report();
                return;
            }
        };
        // Open before the command starts, which may remove it.
        let library = fs::File::open(self.library);
        let keep_spare = || {
            if let Ok(library) = &library {
                // Without the copy the run can begin as well.
                let _ = self.directory.keep_spare(library);
            }
        };
        if let Err(error) = silence() {
            cannot_start(&error).report();
            return;
        }
        if !self.is_asked {
            keep_spare();
        }
        if ready.write_all(&[1]).is_err() {
            return;
        }
        drop(ready);
        // Whoever starts something has an answer first, and so the copy.
        if self.is_asked {
            keep_spare();
        }
        drop(library);
        run();
    }
}

fn cannot_start(error: &io::Error) -> Failure {
    Failure::new(format!("cannot start the server of this run: {}", why_not_started(error)))
}

/// Waits for the intermediate process. There is no status to read if `SIGCHLD` is ignored
/// (`wait(2)`).
fn succeeded(child: Pid) -> bool {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return true,
            status => return matches!(status, Ok(WaitStatus::Exited(_, 0))),
        }
    }
}

/// Points the standard streams to `/dev/null`.
///
/// # Errors
/// As the system says.
pub fn silence() -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| io::Error::other(format!("/dev/null: {error}")))?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Closes the descriptors that this program was started with, but for the standard streams: somebody
/// may wait for the end of one of those pipes. Those that it has opened itself are close-on-exec, and
/// stay: they have an owner, which may be a library.
pub fn close_inherited() {
    let named = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open: Vec<RawFd> = match fs::read_dir("/dev/fd") {
        Ok(entries) => entries.filter_map(named).collect(),
        Err(_) => (0..ASSUMED_DESCRIPTORS).collect(),
    };
    for descriptor in open {
        if descriptor > libc::STDERR_FILENO && is_inherited(descriptor) {
            // SAFETY: no value in this process owns a descriptor that it was started with.
            unsafe { libc::close(descriptor) };
        }
    }
}

fn is_inherited(descriptor: RawFd) -> bool {
    // SAFETY: fcntl(2) takes numbers here.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// Ends the process without running exit handlers: those belong to the process that it was forked
/// from.
pub fn exit(status: i32) -> ! {
    // SAFETY: ends the process, whatever its state is.
    unsafe { libc::_exit(status) }
}

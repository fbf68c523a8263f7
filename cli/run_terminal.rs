//! The terminal that a guarded run was started in, for messages to the person there.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use nix::sys::signal::{SigSet, Signal};

use crate::processes;

/// How many ancestors are searched for the run's first process.
const DEEPEST: usize = 128;
/// The assumed width of a terminal that does not tell it.
const COLUMNS: usize = 80;

/// A terminal on which a line does no harm.
pub struct Terminal {
    file: File,
    device: u64,
    /// Whether the run is in the foreground, so that a person has to type in another terminal.
    pub is_taken: bool,
}

/// Job control state of a process.
struct Job {
    group: i32,
    session: i32,
    /// The terminal's foreground process group.
    foreground: i32,
}

impl Terminal {
    /// The standard error of the run that a process belongs to, if it is a terminal on which a line
    /// does no harm: in canonical mode with echo, or at the prompt of the shell that runs it in the
    /// background. In any other mode a program may have drawn the screen.
    pub fn of_run(process: i32) -> Option<Self> {
        let line = std::iter::successors(Some(process), |each| processes::parent(*each));
        let first = line.take(DEEPEST).take_while(|each| processes::has_library(*each)).last()?;
        if is_silent(first) {
            return None;
        }
        let file = standard_error(first)?;
        let (device, reads_lines) = state(&file)?;
        let job = job(first)?;
        let is_behind_prompt = job.foreground == job.session && job.group != job.foreground;
        let takes = reads_lines || is_behind_prompt;
        takes.then_some(Self { file, device, is_taken: !is_behind_prompt })
    }

    /// The device number.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Its width, in columns.
    pub fn columns(&self) -> usize {
        let size = terminal_size::terminal_size_of(&self.file);
        size.map_or(COLUMNS, |(columns, _)| usize::from(columns.0))
    }

    /// Writes a line, without blocking.
    pub fn tell(&mut self, line: &str) {
        // A background process may be stopped for writing to the terminal (termios(3), `TOSTOP`).
        let mut stopping = SigSet::empty();
        stopping.add(Signal::SIGTTOU);
        if stopping.thread_block().is_ok() {
            let begin = if self.is_taken { "" } else { "\r\n" };
            let _ = self.file.write_all(format!("{begin}{line}\r\n").as_bytes());
        }
    }
}

/// Whether the run's messages are turned off.
fn is_silent(process: i32) -> bool {
    processes::has_entry(process, |entry| entry == b"RAMPART_NOTICE=0")
}

/// The device of a terminal, and whether it is in canonical mode with echo.
fn state(file: &File) -> Option<(u64, bool)> {
    let mut set = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call fills in one such structure, or fails.
    let found = unsafe { libc::tcgetattr(file.as_raw_fd(), set.as_mut_ptr()) };
    // SAFETY: it was filled in.
    let set = (found == 0).then(|| unsafe { set.assume_init() })?;
    let by_line = libc::ICANON | libc::ECHO;
    Some((file.metadata().ok()?.rdev(), set.c_lflag & by_line == by_line))
}

/// Opens a terminal, not as the controlling one.
fn open(path: &str) -> Option<File> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    File::options().write(true).custom_flags(flags).open(path).ok()
}

/// Only terminals: opening another device may have side effects.
#[cfg(target_os = "linux")]
fn standard_error(process: i32) -> Option<File> {
    let path = format!("/proc/{process}/fd/2");
    let device = std::fs::read_link(&path).ok()?;
    let device = device.to_str()?;
    let is_terminal =
        ["/dev/pts/", "/dev/tty", "/dev/console"].iter().any(|it| device.starts_with(it));
    is_terminal.then(|| open(&path)).flatten()
}

/// The process's controlling terminal: macOS does not tell the names of open files.
#[cfg(target_os = "macos")]
fn standard_error(process: i32) -> Option<File> {
    let device = processes::facts(process)?.e_tdev.cast_signed();
    // SAFETY: devname(3) has no preconditions, and returns NULL or a string that stays valid.
    let name = unsafe {
        let name = devname(device, libc::S_IFCHR);
        (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name))
    };
    open(&format!("/dev/{}", name?.to_str().ok()?))
}

#[cfg(target_os = "linux")]
fn job(process: i32) -> Option<Job> {
    let status = processes::status(process).ok()?;
    // After the name in parentheses: state, parent, group, session, terminal, foreground group
    // (proc_pid_stat(5)).
    let fields = status.rsplit_once(')')?.1.split_ascii_whitespace();
    let numbers: Vec<i32> = fields.skip(2).take(4).map_while(|it| it.parse().ok()).collect();
    let [group, session, _, foreground] = numbers[..] else { return None };
    Some(Job { group, session, foreground })
}

#[cfg(target_os = "macos")]
fn job(process: i32) -> Option<Job> {
    let facts = processes::facts(process)?;
    // SAFETY: getsid(2) takes and returns numbers.
    let session = unsafe { libc::getsid(process) };
    let (group, foreground) = (facts.pbi_pgid.cast_signed(), facts.e_tpgid.cast_signed());
    Some(Job { group, session, foreground })
}

#[cfg(target_os = "macos")]
unsafe extern "C" {
    fn devname(device: libc::dev_t, kind: libc::mode_t) -> *const std::ffi::c_char;
}

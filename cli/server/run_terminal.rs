//! The terminal that a guarded run was started in, for what a person there is to know at once.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use nix::sys::signal::{SigSet, Signal};

use crate::processes;

/// So deep a process may stand below the one that was typed.
const DEEPEST: usize = 128;
/// What a terminal is taken for that does not tell how wide it is.
const COLUMNS: usize = 80;

/// A terminal that takes a line.
pub struct Terminal {
    file: File,
    device: u64,
    /// Whether the run has it to itself: a person has to go to another one to type something.
    pub is_taken: bool,
}

/// Who has a process's terminal.
struct Job {
    group: i32,
    session: i32,
    /// The process group that the terminal listens to.
    foreground: i32,
}

impl Terminal {
    /// The standard error of the run that a process is of, where that is a terminal on which a
    /// line does no harm: one that is read line by line, with what is typed shown, or the prompt
    /// of the shell that the run was put behind. Where a program has set it otherwise, it has drawn
    /// the screen, or may have.
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

    /// Which one it is.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// How wide it is, in columns.
    pub fn columns(&self) -> usize {
        let size = terminal_size::terminal_size_of(&self.file);
        size.map_or(COLUMNS, |(columns, _)| usize::from(columns.0))
    }

    /// Writes a line, or nothing where that would have to be waited for.
    pub fn tell(&mut self, line: &str) {
        // Whoever is in the terminal's background may be stopped for writing to it
        // (termios(3), `TOSTOP`).
        let mut stopping = SigSet::empty();
        stopping.add(Signal::SIGTTOU);
        if stopping.thread_block().is_ok() {
            let begin = if self.is_taken { "" } else { "\r\n" };
            let _ = self.file.write_all(format!("{begin}{line}\r\n").as_bytes());
        }
    }
}

/// Whether the run is to tell nothing.
fn is_silent(process: i32) -> bool {
    let all = processes::environment(process).unwrap_or_default();
    all.split(|byte| *byte == 0).any(|entry| entry == b"RAMPART_NOTICE=0")
}

/// The number of a terminal, and whether it is read line by line and shows what is typed.
fn state(file: &File) -> Option<(u64, bool)> {
    let mut set = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call fills in such a structure, or says that it has not.
    let found = unsafe { libc::tcgetattr(file.as_raw_fd(), set.as_mut_ptr()) };
    // SAFETY: it was filled in.
    let set = (found == 0).then(|| unsafe { set.assume_init() })?;
    let by_line = libc::ICANON | libc::ECHO;
    Some((file.metadata().ok()?.rdev(), set.c_lflag & by_line == by_line))
}

/// Opens a terminal, which does not become this process's own.
fn open(path: &str) -> Option<File> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    File::options().write(true).custom_flags(flags).open(path).ok()
}

/// To open another device may already do something.
#[cfg(target_os = "linux")]
fn standard_error(process: i32) -> Option<File> {
    let path = format!("/proc/{process}/fd/2");
    let device = std::fs::read_link(&path).ok()?;
    let device = device.to_str()?;
    let is_terminal =
        ["/dev/pts/", "/dev/tty", "/dev/console"].iter().any(|it| device.starts_with(it));
    is_terminal.then(|| open(&path)).flatten()
}

/// The process's own terminal: which files it has open the system does not tell by name.
#[cfg(target_os = "macos")]
fn standard_error(process: i32) -> Option<File> {
    let device = processes::facts(process)?.e_tdev.cast_signed();
    // SAFETY: the first has no preconditions, and gives no string or one that stays (devname(3)).
    let name = unsafe {
        let name = devname(device, libc::S_IFCHR);
        (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name))
    };
    open(&format!("/dev/{}", name?.to_str().ok()?))
}

#[cfg(target_os = "linux")]
fn job(process: i32) -> Option<Job> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name in brackets: state, parent, group, session, terminal, its foreground
    // (proc_pid_stat(5)).
    let fields = status.rsplit_once(')')?.1.split_ascii_whitespace();
    let numbers: Vec<i32> = fields.skip(2).take(4).map_while(|it| it.parse().ok()).collect();
    let [group, session, _, foreground] = numbers[..] else { return None };
    Some(Job { group, session, foreground })
}

#[cfg(target_os = "macos")]
fn job(process: i32) -> Option<Job> {
    let facts = processes::facts(process)?;
    // SAFETY: takes and gives a number.
    let session = unsafe { libc::getsid(process) };
    let (group, foreground) = (facts.pbi_pgid.cast_signed(), facts.e_tpgid.cast_signed());
    Some(Job { group, session, foreground })
}

#[cfg(target_os = "macos")]
unsafe extern "C" {
    fn devname(device: libc::dev_t, kind: libc::mode_t) -> *const std::ffi::c_char;
}

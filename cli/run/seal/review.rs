//! Looks, a moment after a program was allowed, whether it is the one that has started.
//!
//! Between the answer and the `exec` another thread of the same program, or a process that shares
//! its memory, can write other words where the judged ones were. The kernel keeps what it has
//! copied: the path, which stands at the top of the new program's memory (`AT_EXECFN`,
//! getauxval(3)) whatever interpreters and links make of it, and how long the arguments were
//! (`proc_pid_stat(5)`), whatever the program writes over them. A process that was allowed one
//! thing and has started another is ended, and that is in the audit.
//!
//! To end a process wrongly would be worse than to miss one, so it takes that the old program is
//! certainly gone (the process is not just forked, and where the judged words were is no memory),
//! that two looks find the same, that it is nothing that it was before, that it asked for nothing
//! else meanwhile, and that nobody traces it. What ends sooner, or is started by a thread that is not its process's first, is missed.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{Pid, SysconfVar, getpid, sysconf};

use super::judge::Judge;
use super::memory::Memory;
use super::signals;
use super::telling;
use super::tracee::Started;
use crate::processes;

/// The first look; the next ones come after twice the time each.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// A program that has not started by then has failed to, or waits for its disk.
const LOOKS: u32 = 13;
/// So many programs are looked after at once.
const MOST: usize = 1024;
/// So many are remembered that are gone: a thread that takes its process's place is.
const GONE: usize = 64;
/// So many are looked at soon.
const AT_ONCE: u32 = 4;
/// So many programs of a process are remembered, and of so many processes before those that are
/// gone are forgotten.
const BEFORE: usize = 8;
const PROCESSES: usize = 4096;
/// `PF_FORKNOEXEC` (linux/sched.h): it was forked, and has started no program yet.
const JUST_FORKED: u64 = 0x40;
/// `AT_EXECFN` (linux/auxvec.h)
const EXECFN: u64 = 31;

/// What was allowed a moment ago.
pub struct Review {
    judge: Arc<dyn Judge>,
    book: Mutex<Book>,
    news: Condvar,
}

#[derive(Default)]
struct Book {
    open: HashMap<i32, Allowed>,
    /// What somebody was allowed who is gone by now, the latest at the end.
    gone: VecDeque<Vec<u8>>,
    /// What processes were allowed, the latest at the end.
    before: HashMap<i32, Vec<Vec<u8>>>,
    /// When to forget those that are gone.
    many: usize,
}

impl Book {
    /// Forgets what processes were allowed that are gone by now, once they are many: a process that
    /// is there would be taken for one that has started something else.
    fn forget(&mut self) {
        if self.before.len() > self.many.max(PROCESSES) {
            self.before.retain(|process, _| processes::is_there(Pid::from_raw(*process)));
            self.many = 2 * self.before.len();
        }
    }
}

struct Allowed {
    started: Started,
    /// What it was allowed before, which it still is if its start fails.
    before: Vec<Vec<u8>>,
    /// When, as time since the machine was started.
    uptime: Duration,
    looks: u32,
    due: Instant,
    /// What the last look has found in its place.
    found: Option<Vec<u8>>,
}

enum Look {
    Gone,
    /// The old program is still there, or may be.
    NotYet,
    Same,
    Other(OwnedFd, Vec<u8>),
}

impl Review {
    pub fn new(judge: Arc<dyn Judge>) -> Arc<Self> {
        Arc::new(Self { judge, book: Mutex::default(), news: Condvar::new() })
    }

    /// Notes what a thread is about to be allowed; `None` is not looked after. Whether
    /// [`Self::tell`] has to be called once it was.
    pub fn note(&self, thread: Pid, started: Option<Started>) -> bool {
        let mut book = self.book();
        let was_idle = book.open.is_empty();
        // What it asked for before is no longer what it is.
        book.open.remove(&thread.as_raw());
        let Some(started) = started.filter(|_| book.open.len() < MOST) else { return false };
        book.forget();
        let its = book.before.entry(thread.as_raw()).or_default();
        let before = its.clone();
        its.push(started.path.clone());
        if its.len() > BEFORE {
            its.remove(0);
        }
        // Where many start at once they have the processors; most will have ended by then.
        let waits = u32::try_from(book.open.len()).unwrap_or(0) / AT_ONCE + 1;
        let (uptime, due) = (uptime(), Instant::now() + FIRST_LOOK * waits);
        let allowed = Allowed { started, before, uptime, looks: 0, due, found: None };
        book.open.insert(thread.as_raw(), allowed);
        was_idle
    }

    /// There is something to look after.
    pub fn tell(&self) {
        self.news.notify_one();
    }

    /// Looks, for ever.
    pub fn watch(&self) {
        loop {
            let idle = |book: &mut Book| book.open.is_empty();
            drop(self.news.wait_while(self.book(), idle));
            sleep(FIRST_LOOK);
            let now = Instant::now();
            let due: Vec<(i32, Allowed)> =
                self.book().open.extract_if(|_, allowed| allowed.due <= now).collect();
            for (process, allowed) in due {
                self.look_after(process, allowed);
            }
        }
    }

    fn look_after(&self, process: i32, mut allowed: Allowed) {
        let (handle, found) = match look(process, &allowed) {
            Look::Same => return,
            Look::Gone => {
                let mut book = self.book();
                if book.gone.len() == GONE {
                    book.gone.pop_front();
                }
                return book.gone.push_back(allowed.started.path);
            }
            Look::NotYet => {
                allowed.found = None;
                return self.look_again(process, allowed);
            }
            Look::Other(handle, found) => (handle, found),
        };
        if allowed.found.as_ref() != Some(&found) {
            allowed.found = Some(found);
            return self.look_again(process, allowed);
        }
        let is_another_threads = |book: &Book| book.gone.contains(&found);
        if self.has_asked_again(process)
            || is_another_threads(&self.book())
            || is_traced(process)
            || !signals::is_below(process, getpid())
        {
            return;
        }
        if self.judge.differs(Pid::from_raw(process), &allowed.started.path, &found) {
            let end = || signals::send(&handle, libc::SIGKILL);
            let said = b"rampart: this process is ended: something else was started than what had \
                been allowed, for it was changed in between\n";
            // Before anything is written.
            telling::say(Pid::from_raw(process), said, || {
                end();
                true
            });
            end();
        }
    }

    fn look_again(&self, process: i32, mut allowed: Allowed) {
        allowed.looks += 1;
        allowed.due = Instant::now() + FIRST_LOOK * (1 << allowed.looks);
        if allowed.looks < LOOKS {
            self.book().open.entry(process).or_insert(allowed);
        }
    }

    fn has_asked_again(&self, process: i32) -> bool {
        self.book().open.contains_key(&process)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of a process that was allowed something.
fn look(process: i32, allowed: &Allowed) -> Look {
    let pid = Pid::from_raw(process);
    let started = &allowed.started;
    // The cheapest first: it costs hardly anything to look at what is gone, or not there yet.
    for address in started.addresses {
        match Memory::new(pid, size_of::<u64>()).string(address) {
            Err(Errno::EFAULT) => {}
            Err(Errno::ESRCH) => return Look::Gone,
            _ => return Look::NotYet,
        }
    }
    // A thread that is not its process's first has none.
    let Some(handle) = processes::handle(pid) else { return Look::Gone };
    let Some(state) = State::of(process) else { return Look::Gone };
    if state.is_over {
        return Look::Gone;
    }
    // Another process that has got the number.
    if state.begun > allowed.uptime {
        return Look::Gone;
    }
    if state.is_just_forked {
        return Look::NotYet;
    }
    let Some(path) = path_of(pid) else { return Look::NotYet };
    if allowed.before.contains(&path) {
        return Look::NotYet;
    }
    if path != started.path {
        return Look::Other(handle, path);
    }
    // An interpreter has other arguments than its script.
    let is_itself = std::fs::read_link(format!("/proc/{process}/exe"))
        .is_ok_and(|file| file.as_os_str().as_encoded_bytes() == path);
    if is_itself
        && started.argv_bytes > 0
        && state.argv_bytes.is_some_and(|it| it != started.argv_bytes)
    {
        let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        return Look::Other(handle, words);
    }
    Look::Same
}

/// The path that the kernel has started a process by. `None`: it cannot be read, or the process
/// has pointers of another size.
fn path_of(process: Pid) -> Option<Vec<u8>> {
    let vector = std::fs::read(format!("/proc/{process}/auxv")).ok()?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
    let mut entries = vector.chunks_exact(16).map(|entry| entry.split_at(8));
    let (_, address) = entries.find(|(key, _)| number(key) == Some(EXECFN))?;
    Memory::new(process, size_of::<u64>()).string(number(address)?).ok()
}

fn is_traced(process: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.lines().any(|line| line == "TracerPid:\t0")
}

/// For how long the machine has been running.
fn uptime() -> Duration {
    let since = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    since.map_or(Duration::MAX, Duration::from)
}

/// What `/proc/PID/stat` tells (`proc_pid_stat(5)`).
struct State {
    is_over: bool,
    is_just_forked: bool,
    /// When it was forked, in time since the machine was started; at most a tick too early.
    begun: Duration,
    /// How long its arguments are, each with its NUL, where that is as the kernel has made it.
    argv_bytes: Option<u64>,
}

impl State {
    fn of(process: i32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // Counted as the manual does, where the state is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|it| *it > 0)?;
        let (argv, argv_end, environ) = (field(48)?, field(49)?, field(50)?);
        Some(Self {
            is_over: matches!(*fields.first()?, "Z" | "X"),
            is_just_forked: field(9)? & JUST_FORKED != 0,
            begun: Duration::from_millis(field(22)? * 1000 / ticks),
            argv_bytes: (argv_end == environ).then(|| argv_end.checked_sub(argv)).flatten(),
        })
    }
}

//! Checks, a moment after a program was allowed, that it is the one that started.
//!
//! Between the answer and the `execve`, another thread or a process that shares memory can change
//! the judged arguments. A process that was allowed one program and started another is killed, and
//! the audit says so.
//!
//! Killing a process wrongly would be worse than missing one. So all of this has to hold: the old
//! program is certainly gone (the process is not just forked, and the judged addresses are
//! unmapped); everything that it may have run before is known; two checks find the same other
//! program, and it is what runs there; the process has asked for nothing since; nobody traces it. A
//! process that ends sooner is missed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::unistd::{Pid, getpid};

use super::aftermath::{Look, is_traced, look, uptime};
use super::judge::Judge;
use super::refusal_message;
use super::signals;
use super::tracee::Started;
use crate::background::gives_way;
use crate::processes;

/// When the first check is due. Each further pause is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// After so many pauses with nothing due, the thread sleeps until something is, or it is woken. Waking
/// it takes the answering thread longer than a pause takes in all.
const IDLE_LOOKS: u32 = 5;
/// A program that has not started after this many checks has failed to, or waits for its disk.
const LOOKS: u32 = 13;
/// How many programs are checked at once; more are not checked.
const MOST: usize = 1024;
/// How many get the shortest pause; for each further so many the first pause is longer.
const AT_ONCE: u32 = 4;
/// How many programs of a process are remembered, and for how many processes before those that are
/// gone are dropped.
const PROGRAMS: usize = 8;
const PROCESSES: usize = 4096;
/// How long to wait for room in a stderr, in milliseconds.
const ROOM_WAIT_MS: u16 = 1000;

/// Checks what was allowed a moment ago.
pub struct Review {
    judge: Arc<dyn Judge>,
    records: Mutex<Records>,
    news: Condvar,
    /// Held while a process is killed and that is reported.
    ending: Mutex<()>,
}

#[derive(Default)]
struct Records {
    /// By process.
    pending: HashMap<i32, Allowed>,
    histories: HashMap<i32, History>,
    count: u64,
    /// The thread that checks waits to be woken.
    sleeps: bool,
    /// At how many histories to drop those of processes that are gone.
    prune_at: usize,
}

/// What a process may have started since it was forked, or since it was last seen to have started
/// something. An earlier process with the same ID only adds to it.
#[derive(Debug, Default, Clone, Copy)]
struct History {
    /// The number of its last question.
    latest: u64,
    /// Hashes of their paths. A collision only means that a program is missed.
    programs: [u64; PROGRAMS],
    count: usize,
    /// There were more, or some with unknown paths.
    is_partial: bool,
}

impl History {
    fn add(&mut self, started: Option<&Started>) {
        match (started, self.programs.get_mut(self.count)) {
            (Some(started), Some(free)) => {
                *free = hash(&started.path);
                self.count += 1;
            }
            _ => self.is_partial = true,
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        self.is_partial || self.programs[..self.count].contains(&hash(path))
    }
}

struct Allowed {
    number: u64,
    started: Started,
    /// The process's history before this.
    before: History,
    /// When it was allowed, as time since boot.
    uptime: Duration,
    looks: u32,
    due: Instant,
    /// What the last check found instead.
    found: Option<Vec<u8>>,
}

impl Records {
    /// Notes what a process is about to be allowed, by whatever thread. What it was allowed before
    /// is no longer checked. Returns whether this will be.
    fn note(&mut self, process: i32, started: Option<Started>) -> bool {
        self.forget();
        self.pending.remove(&process);
        self.count += 1;
        let number = self.count;
        let history = self.histories.entry(process).or_default();
        let before = *history;
        history.latest = number;
        history.add(started.as_ref());
        let Some(started) = started.filter(|_| self.pending.len() < MOST) else { return false };
        // With many at once, checking later leaves them the processors, and most will have ended by
        // then.
        let waits = u32::try_from(self.pending.len()).unwrap_or(0) / AT_ONCE + 1;
        let (uptime, due) = (uptime(), Instant::now() + FIRST_LOOK * waits);
        let allowed = Allowed { number, started, before, uptime, looks: 0, due, found: None };
        self.pending.insert(process, allowed);
        true
    }

    /// Whether this is the last program that the process was allowed.
    fn is_latest(&self, process: i32, allowed: &Allowed) -> bool {
        self.histories.get(&process).is_some_and(|history| history.latest == allowed.number)
    }

    /// Notes that a process has started what it was allowed.
    fn settle(&mut self, process: i32, allowed: &Allowed) {
        if self.is_latest(process, allowed) {
            let mut history = History { latest: allowed.number, ..History::default() };
            history.add(Some(&allowed.started));
            self.histories.insert(process, history);
        }
    }

    /// Drops the histories of processes that are gone, once there are many. Those of live processes
    /// have to stay: without one, a process may look as if it had started something else.
    fn forget(&mut self) {
        if self.histories.len() > self.prune_at.max(PROCESSES) {
            self.histories.retain(|process, _| processes::is_there(Pid::from_raw(*process)));
            self.prune_at = 2 * self.histories.len();
        }
    }
}

impl Review {
    pub fn new(judge: Arc<dyn Judge>) -> Arc<Self> {
        let (records, ending) = (Mutex::default(), Mutex::default());
        Arc::new(Self { judge, records, news: Condvar::new(), ending })
    }

    /// Notes what a thread is about to be allowed; `None` is not checked. Returns whether to call
    /// [`Self::tell`] after the answer.
    pub fn note(&self, thread: Pid, started: Option<Started>) -> bool {
        let process = process_of(thread);
        let mut records = self.records();
        records.note(process, started) && std::mem::take(&mut records.sleeps)
    }

    /// Wakes [`Self::watch`].
    pub fn tell(&self) {
        self.news.notify_one();
    }

    /// Waits until a kill under way has been reported. Called before this process ends.
    pub fn finish(&self) {
        drop(self.ending.lock());
    }

    /// Checks what is due, forever.
    pub fn watch(&self) {
        gives_way();
        let mut idle = IDLE_LOOKS;
        loop {
            if idle == IDLE_LOOKS {
                self.sleep();
                idle = 0;
            }
            sleep(FIRST_LOOK);
            let now = Instant::now();
            let due: Vec<(i32, Allowed)> =
                self.records().pending.extract_if(|_, allowed| allowed.due <= now).collect();
            idle = if due.is_empty() { idle + 1 } else { 0 };
            for (process, allowed) in due {
                self.look_after(process, allowed);
            }
        }
    }

    /// Waits until something more is to be checked, or is due to be checked again.
    fn sleep(&self) {
        let mut records = self.records();
        let due = records.pending.values().map(|allowed| allowed.due).min();
        let pause = due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        records.sleeps = true;
        let sleeps = |records: &mut Records| records.sleeps;
        let woken = self.news.wait_timeout_while(records, pause, sleeps);
        woken.unwrap_or_else(PoisonError::into_inner).0.sleeps = false;
    }

    fn look_after(&self, process: i32, mut allowed: Allowed) {
        let now = |allowed: &Allowed| {
            let was = |path: &[u8]| allowed.before.has(path);
            look(process, &allowed.started, allowed.uptime, was)
        };
        let found = match now(&allowed) {
            Look::Gone => return,
            Look::Same => return self.records().settle(process, &allowed),
            Look::NotYet => {
                allowed.found = None;
                return self.look_again(process, allowed);
            }
            Look::Other(found) => found,
        };
        if allowed.found.as_ref() != Some(&found) {
            allowed.found = Some(found);
            return self.look_again(process, allowed);
        }
        if is_traced(process) || !signals::is_below(process, getpid()) {
            return;
        }
        let Some(handle) = processes::handle(Pid::from_raw(process)) else { return };
        // Once more: the ID may have been another process's until the handle kept this one.
        if matches!(now(&allowed), Look::Other(again) if again == found) {
            self.end(process, &handle, &allowed, &found);
        }
    }

    fn end(&self, process: i32, handle: &OwnedFd, allowed: &Allowed, found: &[u8]) {
        // With this process the run may end, and with it the keeper, before the report is written.
        let _ending = self.ending.lock();
        if !self.records().is_latest(process, allowed)
            || !self.judge.differs(Pid::from_raw(process), &allowed.started.path, found)
        {
            return;
        }
        let end = || signals::send(handle, libc::SIGKILL);
        let said = b"rampart: this process was killed: it started something other than what was \
            allowed, because that was changed in between\n";
        // Killed before anything is written.
        refusal_message::say(Pid::from_raw(process), said, PollTimeout::from(ROOM_WAIT_MS), || {
            end();
            true
        });
        end();
    }

    fn look_again(&self, process: i32, mut allowed: Allowed) {
        allowed.looks += 1;
        allowed.due = Instant::now() + FIRST_LOOK * (1 << allowed.looks);
        let mut records = self.records();
        if allowed.looks < LOOKS && records.is_latest(process, &allowed) {
            records.pending.insert(process, allowed);
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process ID of a thread: `execve` in any thread replaces the whole process (execve(2),
/// "Effect on multithreaded processes").
fn process_of(thread: Pid) -> i32 {
    let (number, nothing) = (thread.as_raw(), 0);
    // SAFETY: tgkill(2) takes numbers; signal 0 sends nothing.
    let is_first = unsafe { libc::syscall(libc::SYS_tgkill, number, number, nothing) };
    if Errno::result(is_first) != Err(Errno::ESRCH) {
        return number;
    }
    let process = processes::status_value(number, "Tgid");
    process.and_then(|process| process.parse().ok()).unwrap_or(number)
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::unistd::{Pid, getpid};

    use super::super::judge::{Judge, Verdict};
    use super::super::tracee::{Program, Started};
    use super::{PROCESSES, PROGRAMS, Records, Review};

    const LONG: Duration = Duration::from_secs(60);
    /// Addresses that are never mapped.
    const NOWHERE: [u64; 2] = [16, 32];

    /// Reports the processes that differ, and has them killed once the test says so.
    struct Ends {
        found: Mutex<Sender<Vec<u8>>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Judge for Ends {
        fn judge(&self, _: Pid, _: &Program, _: &dyn Fn()) -> Verdict {
            Verdict::Allowed
        }

        fn judge_unreadable(&self, _: Pid, _: Errno, _: &dyn Fn()) -> Verdict {
            Verdict::Allowed
        }

        fn differs(&self, _: Pid, _: &[u8], started: &[u8]) -> bool {
            self.found.lock().unwrap().send(started.to_vec()).unwrap();
            self.go_on.lock().unwrap().recv_timeout(LONG).is_ok()
        }

        fn answered(&self) {}

        fn finish(&self) {}
    }

    fn reviewed() -> (Arc<Review>, Receiver<Vec<u8>>, Sender<()>) {
        let ((found, finds), (go_on, goes_on)) = (channel(), channel());
        let judge = Ends { found: Mutex::new(found), go_on: Mutex::new(goes_on) };
        let review = Review::new(Arc::new(judge));
        let watch = Arc::clone(&review);
        std::thread::spawn(move || watch.watch());
        (review, finds, go_on)
    }

    fn sleeper() -> Child {
        Command::new("/bin/sleep").arg("60").stderr(Stdio::null()).spawn().unwrap()
    }

    fn pid(of: &Child) -> Pid {
        Pid::from_raw(of.id().cast_signed())
    }

    fn started(path: &str) -> Started {
        Started {
            path: path.as_bytes().to_vec(),
            argv_bytes: 9,
            first_bytes: 6,
            addresses: NOWHERE,
        }
    }

    fn allow(review: &Review, thread: Pid, started: Option<Started>) {
        if review.note(thread, started) {
            review.tell();
        }
    }

    #[test]
    fn who_started_something_else_is_ended_and_the_end_of_the_run_waits_for_what_is_said_of_it() {
        let (review, finds, go_on) = reviewed();
        let mut other = sleeper();
        allow(&review, pid(&other), Some(started("/bin/true")));
        assert_eq!(finds.recv_timeout(LONG).unwrap(), b"/bin/sleep");
        // The report is not finished yet.
        let (told, is_told) = channel();
        let waits = Arc::clone(&review);
        let waiter = std::thread::spawn(move || {
            waits.finish();
            told.send(()).unwrap();
        });
        assert!(is_told.recv_timeout(Duration::from_millis(50)).is_err());
        go_on.send(()).unwrap();
        is_told.recv_timeout(LONG).unwrap();
        waiter.join().unwrap();
        assert_eq!(other.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn who_starts_something_else_late_is_found_though_nobody_else_starts_anything() {
        let (review, finds, go_on) = reviewed();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "read go; exec sleep 60"]).env("PATH", "/bin");
        let mut late = shell.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        allow(&review, pid(&late), Some(started("/bin/sh")));
        // As if this failed, or waited for its file: what runs is what ran before.
        allow(&review, pid(&late), Some(started("/bin/true")));
        std::thread::sleep(super::FIRST_LOOK * 50);
        drop(late.stdin.take());
        assert_eq!(finds.recv_timeout(LONG).unwrap(), b"/bin/sleep");
        go_on.send(()).unwrap();
        assert_eq!(late.wait().unwrap().signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn who_may_have_been_that_before_or_has_asked_since_is_left_alone() {
        let (review, finds, go_on) = reviewed();
        let several: Vec<Child> = (0..6).map(|_| sleeper()).collect();
        let all: Vec<Pid> = several.iter().map(pid).collect();
        // It ran this before, and still does.
        allow(&review, all[0], Some(started("/bin/sleep")));
        allow(&review, all[0], Some(started("/bin/true")));
        // It was allowed something without a known path, before and after.
        allow(&review, all[1], None);
        allow(&review, all[1], Some(started("/bin/true")));
        allow(&review, all[2], Some(started("/bin/true")));
        allow(&review, all[2], None);
        // It has tried more programs than are remembered, so any may be running.
        for number in 0..PROGRAMS + 2 {
            allow(&review, all[3], Some(started(&format!("/bin/{number}"))));
        }
        // Once these are found, one after the other, the ones above have been checked as well.
        for last in &all[4..] {
            allow(&review, *last, Some(started("/bin/true")));
            assert_eq!(finds.recv_timeout(LONG).unwrap(), b"/bin/sleep");
            go_on.send(()).unwrap();
        }
        for (index, mut each) in several.into_iter().enumerate().rev() {
            if index < 4 {
                assert!(each.try_wait().unwrap().is_none(), "{index}");
                each.kill().unwrap();
            }
            assert_eq!(each.wait().unwrap().signal(), Some(libc::SIGKILL));
        }
        assert!(finds.try_recv().is_err());
    }

    #[test]
    fn what_a_thread_starts_takes_the_place_of_its_process() {
        let (thread, process) = std::thread::spawn(|| {
            let thread = nix::unistd::gettid();
            (thread, super::process_of(thread))
        })
        .join()
        .unwrap();
        assert_ne!(thread, getpid());
        assert_eq!(process, getpid().as_raw());
        assert_eq!(super::process_of(getpid()), getpid().as_raw());
    }

    #[test]
    fn of_many_processes_those_that_are_there_are_not_forgotten() {
        let mut records = Records::default();
        let own = getpid().as_raw();
        records.note(own, Some(started("/bin/own")));
        // IDs above any process's (proc_sys_kernel(5), "pid_max").
        for number in 0..2 * PROCESSES {
            let nobody = 1 << 22 | i32::try_from(number).unwrap();
            records.note(nobody, Some(started("/bin/true")));
        }
        assert!(records.histories.len() <= PROCESSES + 1, "{}", records.histories.len());
        assert!(records.histories[&own].has(b"/bin/own"));
        assert!(!records.histories[&own].has(b"/bin/true"));
    }
}

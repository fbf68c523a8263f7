//! Looks, a moment after a program was allowed, whether it is the one that has started.
//!
//! Between the answer and the `exec` another thread of the same program, or a process that shares
//! its memory, can write other words where the judged ones were. A process that was allowed one
//! thing and has started another is ended, and that is in the audit.
//!
//! To end a process wrongly would be worse than to miss one, so it takes that the old program is
//! certainly gone (the process is not just forked, and where the judged words were is no memory),
//! that all is known that it may have been before, that two looks find the same, that this is what
//! runs there, that it asked for nothing since, and that nobody traces it. What ends sooner is missed.

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
use crate::processes;

/// The first look; the next ones come after twice the time each.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// A program that has not started by then has failed to, or waits for its disk.
const LOOKS: u32 = 13;
/// So many programs are looked after at once.
const MOST: usize = 1024;
/// So many are looked at soon.
const AT_ONCE: u32 = 4;
/// So many programs of a process are remembered, and of so many processes before those that are
/// gone are forgotten.
const PROGRAMS: usize = 8;
const PROCESSES: usize = 4096;
/// How long a stderr that takes nothing is waited for, in milliseconds: its process is gone.
const ROOM_WAIT_MS: u16 = 1000;

/// What was allowed a moment ago.
pub struct Review {
    judge: Arc<dyn Judge>,
    book: Mutex<Book>,
    news: Condvar,
    /// Held while a process is ended and that is told.
    ending: Mutex<()>,
}

#[derive(Default)]
struct Book {
    /// By process.
    open: HashMap<i32, Allowed>,
    histories: HashMap<i32, History>,
    notes: u64,
    /// When to forget those that are gone.
    many: usize,
}

/// What a process may have started since it was forked, or since it was seen to have started
/// something. Who had its number before only adds to that.
#[derive(Debug, Default, Clone, Copy)]
struct History {
    /// The number of its last note.
    latest: u64,
    /// By their paths' hashes: one that happens to be another's is a program that is missed.
    programs: [u64; PROGRAMS],
    count: usize,
    /// There were more, or some by paths that are not known.
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
    /// Of its process, before this.
    before: History,
    /// When, as time since the machine was started.
    uptime: Duration,
    looks: u32,
    due: Instant,
    /// What the last look has found in its place.
    found: Option<Vec<u8>>,
}

impl Book {
    /// Notes what a process is about to be allowed, whatever thread of it starts that; what it has
    /// asked for before is not looked after any more.
    fn note(&mut self, process: i32, started: Option<Started>) {
        self.forget();
        self.open.remove(&process);
        self.notes += 1;
        let number = self.notes;
        let history = self.histories.entry(process).or_default();
        let before = *history;
        history.latest = number;
        history.add(started.as_ref());
        let Some(started) = started.filter(|_| self.open.len() < MOST) else { return };
        // Where many start at once they have the processors; most will have ended by then.
        let waits = u32::try_from(self.open.len()).unwrap_or(0) / AT_ONCE + 1;
        let (uptime, due) = (uptime(), Instant::now() + FIRST_LOOK * waits);
        let allowed = Allowed { number, started, before, uptime, looks: 0, due, found: None };
        self.open.insert(process, allowed);
    }

    /// Whether a process was allowed nothing since.
    fn is_latest(&self, process: i32, allowed: &Allowed) -> bool {
        self.histories.get(&process).is_some_and(|history| history.latest == allowed.number)
    }

    /// A process was seen to have started what it was allowed.
    fn settle(&mut self, process: i32, allowed: &Allowed) {
        if self.is_latest(process, allowed) {
            let mut history = History { latest: allowed.number, ..History::default() };
            history.add(Some(&allowed.started));
            self.histories.insert(process, history);
        }
    }

    /// Forgets what processes were allowed that are gone by now, once they are many: a process that
    /// is there would be taken for one that has started something else.
    fn forget(&mut self) {
        if self.histories.len() > self.many.max(PROCESSES) {
            self.histories.retain(|process, _| processes::is_there(Pid::from_raw(*process)));
            self.many = 2 * self.histories.len();
        }
    }
}

impl Review {
    pub fn new(judge: Arc<dyn Judge>) -> Arc<Self> {
        let (book, ending) = (Mutex::default(), Mutex::default());
        Arc::new(Self { judge, book, news: Condvar::new(), ending })
    }

    /// Notes what a thread is about to be allowed; `None` is not looked after. Whether
    /// [`Self::tell`] has to be called once it was.
    pub fn note(&self, thread: Pid, started: Option<Started>) -> bool {
        let process = process_of(thread);
        let mut book = self.book();
        let was_idle = book.open.is_empty();
        book.note(process, started);
        was_idle && !book.open.is_empty()
    }

    /// There is something to look after.
    pub fn tell(&self) {
        self.news.notify_one();
    }

    /// Waits until who is being ended has been told so: this process ends.
    pub fn finish(&self) {
        drop(self.ending.lock());
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
        let was = |path: &[u8]| allowed.before.has(path);
        let (handle, found) = match look(process, &allowed.started, allowed.uptime, was) {
            Look::Gone => return,
            Look::Same => return self.book().settle(process, &allowed),
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
        if !is_traced(process) && signals::is_below(process, getpid()) {
            self.end(process, &handle, &allowed, &found);
        }
    }

    fn end(&self, process: i32, handle: &OwnedFd, allowed: &Allowed, found: &[u8]) {
        // The run may end with this process, before anything of that is told.
        let _ending = self.ending.lock();
        if !self.book().is_latest(process, allowed)
            || !self.judge.differs(Pid::from_raw(process), &allowed.started.path, found)
        {
            return;
        }
        let end = || signals::send(handle, libc::SIGKILL);
        let said = b"rampart: this process is ended: something else was started than what had \
            been allowed, for it was changed in between\n";
        // Before anything is written.
        refusal_message::say(Pid::from_raw(process), said, PollTimeout::from(ROOM_WAIT_MS), || {
            end();
            true
        });
        end();
    }

    fn look_again(&self, process: i32, mut allowed: Allowed) {
        allowed.looks += 1;
        allowed.due = Instant::now() + FIRST_LOOK * (1 << allowed.looks);
        let mut book = self.book();
        if allowed.looks < LOOKS && book.is_latest(process, &allowed) {
            book.open.insert(process, allowed);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process of a thread, whose first one has its number: what a thread starts takes the place of
/// all of them (execve(2), "Effect on multithreaded processes").
fn process_of(thread: Pid) -> i32 {
    let (number, nothing) = (thread.as_raw(), 0);
    // SAFETY: tgkill(2) takes numbers; signal 0 is none.
    let is_first = unsafe { libc::syscall(libc::SYS_tgkill, number, number, nothing) };
    if Errno::result(is_first) != Err(Errno::ESRCH) {
        return number;
    }
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    process.and_then(|process| process.trim().parse().ok()).unwrap_or(number)
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
    use super::{Book, PROCESSES, PROGRAMS, Review};

    const LONG: Duration = Duration::from_secs(60);
    /// Where nobody has memory.
    const NOWHERE: [u64; 2] = [16, 32];

    /// Is told of processes, and has them ended once the test lets it.
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
        // What is said of it is not said yet.
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
    fn who_may_have_been_that_before_or_has_asked_since_is_left_alone() {
        let (review, finds, go_on) = reviewed();
        let several: Vec<Child> = (0..6).map(|_| sleeper()).collect();
        let all: Vec<Pid> = several.iter().map(pid).collect();
        // What it was before, which it still is.
        allow(&review, all[0], Some(started("/bin/sleep")));
        allow(&review, all[0], Some(started("/bin/true")));
        // It was allowed something without a name of its own, before and since.
        allow(&review, all[1], None);
        allow(&review, all[1], Some(started("/bin/true")));
        allow(&review, all[2], Some(started("/bin/true")));
        allow(&review, all[2], None);
        // It has tried more programs than are remembered, and may be any.
        for number in 0..PROGRAMS + 2 {
            allow(&review, all[3], Some(started(&format!("/bin/{number}"))));
        }
        // These are found one after the other, so the others were looked at meanwhile.
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
        let mut book = Book::default();
        let own = getpid().as_raw();
        book.note(own, Some(started("/bin/own")));
        // Numbers that no process has (proc_sys_kernel(5), "pid_max").
        for number in 0..2 * PROCESSES {
            let nobody = 1 << 22 | i32::try_from(number).unwrap();
            book.note(nobody, Some(started("/bin/true")));
        }
        assert!(book.histories.len() <= PROCESSES + 1, "{}", book.histories.len());
        assert!(book.histories[&own].has(b"/bin/own"));
        assert!(!book.histories[&own].has(b"/bin/true"));
    }
}

//! A pool of threads that answer questions.
//!
//! One thread is the leader: it waits for a question, answers it itself and waits for the next,
//! because handing a question to another thread costs more than most answers. Before an answer that
//! may take long, it passes the lead to another thread. If one takes long unexpectedly (an
//! unresponsive file system), the warden thread passes the lead on.

use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, Thread, current, park, sleep};
use std::time::Duration;

use crate::background::gives_way;

/// How many idle threads are kept; more end.
const SPARE_THREADS: usize = 2;
/// The most threads. Further questions wait in the kernel.
const THREADS_LIMIT: usize = 4096;
/// A thread's stack. The policy engine bounds its recursion by itself.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// A question that the warden sees at two checks takes long.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// After this many checks without a question the warden sleeps.
const LOOKS_AT_NOTHING: u32 = 5;

/// What the threads work on.
pub trait Work: Send + Sync + 'static {
    type Question;

    /// Waits for the next question; `None` if there will be no more.
    fn next(&self) -> Option<Self::Question>;

    /// Answers it. Has to call `slow` before anything that may take long.
    fn answer(&self, question: &Self::Question, slow: &dyn Fn());
}

/// The threads.
pub struct Workers<W> {
    work: W,
    /// The number of the leader's question; 0 while it waits for one.
    current: AtomicU64,
    /// How many questions were received.
    taken: AtomicU64,
    rest: Mutex<IdleThreads>,
    called: Condvar,
    warden: OnceLock<Thread>,
    is_warden_asleep: AtomicBool,
}

/// Threads without a question, other than the leader.
#[derive(Default)]
struct IdleThreads {
    threads: usize,
    /// How many of them are called to take the lead.
    calls: usize,
    /// All threads, busy ones included.
    all: usize,
    is_over: bool,
}

impl<W: Work> Workers<W> {
    pub fn new(work: W) -> Arc<Self> {
        Arc::new(Self {
            work,
            current: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            rest: Mutex::default(),
            called: Condvar::new(),
            warden: OnceLock::new(),
            is_warden_asleep: AtomicBool::new(false),
        })
    }

    pub fn work(&self) -> &W {
        &self.work
    }

    /// Starts the first threads, idle. More are started when all are busy.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn prepare(self: &Arc<Self>) -> io::Result<()> {
        let own = Arc::clone(self);
        Builder::new().spawn(move || own.guard())?;
        (0..=SPARE_THREADS).try_for_each(|_| self.add_thread(&mut self.rest()))
    }

    /// Calls an idle thread to take the lead.
    pub fn begin(&self) {
        self.rest().calls += 1;
        self.called.notify_one();
    }

    /// This thread leads.
    fn take_turns(self: &Arc<Self>) {
        while let Some(question) = self.work.next() {
            let number = self.take();
            self.work.answer(&question, &|| self.give_away(number));
            let still_has_it = self.current.compare_exchange(number, 0, SeqCst, SeqCst).is_ok();
            if !still_has_it && !self.wait_for_call() {
                return;
            }
        }
        self.rest().is_over = true;
        self.called.notify_all();
        self.wake_warden();
    }

    fn take(&self) -> u64 {
        let number = self.taken.fetch_add(1, SeqCst) + 1;
        self.current.store(number, SeqCst);
        if self.is_warden_asleep.load(SeqCst) {
            self.wake_warden();
        }
        number
    }

    /// Passes the lead on, if the leader still works on this question. If no thread can be started,
    /// the next question waits for this one's answer.
    fn give_away(self: &Arc<Self>, number: u64) {
        if self.current.load(SeqCst) == number
            && self.can_call()
            && self.current.compare_exchange(number, 0, SeqCst, SeqCst).is_ok()
        {
            self.begin();
        }
    }

    /// Whether there is an idle thread, or one could be started.
    fn can_call(self: &Arc<Self>) -> bool {
        let mut rest = self.rest();
        rest.threads > rest.calls || rest.all < THREADS_LIMIT && self.add_thread(&mut rest).is_ok()
    }

    fn add_thread(self: &Arc<Self>, rest: &mut IdleThreads) -> io::Result<()> {
        let own = Arc::clone(self);
        let begin = move || {
            if own.wait_at(own.rest()) {
                own.take_turns();
            }
        };
        Builder::new().stack_size(STACK_BYTES).spawn(begin)?;
        rest.threads += 1;
        rest.all += 1;
        Ok(())
    }

    /// Waits until this thread is called to lead; `false` if it is to end.
    fn wait_for_call(&self) -> bool {
        let mut rest = self.rest();
        if rest.threads >= SPARE_THREADS {
            rest.all -= 1;
            return false;
        }
        rest.threads += 1;
        self.wait_at(rest)
    }

    fn wait_at(&self, rest: MutexGuard<'_, IdleThreads>) -> bool {
        let is_idle = |rest: &mut IdleThreads| rest.calls == 0 && !rest.is_over;
        let rest = self.called.wait_while(rest, is_idle);
        let mut rest = rest.unwrap_or_else(PoisonError::into_inner);
        rest.threads -= 1;
        rest.calls = rest.calls.saturating_sub(1);
        !rest.is_over
    }

    fn rest(&self) -> MutexGuard<'_, IdleThreads> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the warden thread does. It sleeps while there are no questions.
    fn guard(self: &Arc<Self>) {
        gives_way();
        let _ = self.warden.set(current());
        let (mut seen, mut taken, mut looks) = (0, 0, 0);
        while !self.rest().is_over {
            let now = (self.current.load(SeqCst), self.taken.load(SeqCst));
            if now.0 != 0 && now.0 == seen {
                self.give_away(seen);
            }
            looks = if now == (0, taken) { looks + 1 } else { 0 };
            (seen, taken) = now;
            if looks < LOOKS_AT_NOTHING {
                sleep(LOOK_PAUSE);
                continue;
            }
            self.is_warden_asleep.store(true, SeqCst);
            // A question taken before the store above has not woken the warden.
            if self.current.load(SeqCst) == 0 && !self.rest().is_over {
                park();
            }
            self.is_warden_asleep.store(false, SeqCst);
            looks = 0;
        }
    }

    fn wake_warden(&self) {
        if let Some(warden) = self.warden.get() {
            self.is_warden_asleep.store(false, SeqCst);
            warden.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
    use std::thread::{ThreadId, current};
    use std::time::Duration;

    use super::{Work, Workers};

    /// A question: whether it is known to be slow, and what it waits for before it is answered.
    type Question = (bool, Option<Receiver<()>>);

    struct Answers {
        asked: Mutex<Receiver<Question>>,
        by: Mutex<Sender<ThreadId>>,
    }

    impl Work for Answers {
        type Question = Question;

        fn next(&self) -> Option<Question> {
            self.asked.lock().unwrap().recv().ok()
        }

        fn answer(&self, (is_slow, until): &Question, slow: &dyn Fn()) {
            if *is_slow {
                slow();
            }
            if let Some(until) = until {
                let _ = until.recv();
            }
            self.by.lock().unwrap().send(current().id()).unwrap();
        }
    }

    /// Far longer than needed, for a busy machine.
    const LONG: Duration = Duration::from_secs(60);

    fn next(answered: &Receiver<ThreadId>) -> ThreadId {
        answered.recv_timeout(LONG).expect("an answer")
    }

    fn workers() -> (Sender<Question>, Receiver<ThreadId>) {
        let ((ask, asked), (by, answered)) = (channel(), channel());
        let workers = Workers::new(Answers { asked: Mutex::new(asked), by: Mutex::new(by) });
        workers.prepare().unwrap();
        workers.begin();
        (ask, answered)
    }

    #[test]
    fn one_thread_answers_what_is_quick_and_all_end_with_the_questions() {
        let (ask, answered) = workers();
        ask.send((false, None)).unwrap();
        let first = next(&answered);
        for _ in 0..50 {
            ask.send((false, None)).unwrap();
            assert_eq!(next(&answered), first);
        }
        drop(ask);
        // The channel closes with the last thread.
        assert_eq!(answered.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn no_question_waits_for_another_one_that_takes_long_whether_that_was_known_or_not() {
        for is_known in [true, false] {
            let (ask, answered) = workers();
            let mut held = Vec::new();
            for _ in 0..20 {
                let (go_on, until) = channel();
                held.push(go_on);
                ask.send((is_known, Some(until))).unwrap();
                // Answered although all earlier ones wait.
                ask.send((false, None)).unwrap();
                next(&answered);
            }
            for go_on in held {
                go_on.send(()).unwrap();
                next(&answered);
            }
            ask.send((false, None)).unwrap();
            next(&answered);
        }
    }
}

//! All connections of a server: their limits, their deadlines, and which one is closed to make
//! room.
//!
//! Deadlines are counted in ticks of one clock: recording an event is writing a number, and one
//! pass a second finds the connections that are overdue.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio::time::{interval, timeout};

use super::askers::Askers;
use super::in_flight::InFlight;

/// The most connections at once. An idle one is closed to make room for a new one.
const LIMIT: usize = 4096;
/// What a server needs besides its clients'.
const FEWEST_DESCRIPTORS: usize = 20;
/// Descriptors kept free for files.
const RESERVED_DESCRIPTORS: usize = 32;

const TICK: Duration = Duration::from_secs(1);
/// Ticks within which a request has to arrive, its answer to be received, and the client to close
/// after the last one.
const REQUEST_TICKS: u32 = 10;
/// Ticks for which a connection without a request is kept.
const IDLE_TICKS: u32 = 120;
/// After so many ticks, a connection without a first complete request may be closed to make room.
const SHY_TICKS: u32 = 2;
/// Ticks after which a connection without a request rests, that is, keeps only its socket.
const REST_TICKS: u32 = 2;
/// While more connections than this are awake, each rests as soon as it has its answer.
const AWAKE: usize = 16;
/// When there are so many fewer than there were, it is worth returning memory to the system.
const WORTH_TRIMMING: usize = 16;
/// How long a new client waits before the next attempt to make room.
const PLACE_PAUSE: Duration = Duration::from_millis(100);

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No request yet.
    New,
    /// Between requests.
    Idle,
    /// A request is being read.
    Asking,
    /// The request is complete and its answer is awaited.
    Answering,
    /// The answer is being sent.
    Sending,
    /// The last answer is sent; further data is discarded.
    Leaving,
}

/// A notice to a connection's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Close at once.
    Go,
    /// The request did not arrive in time.
    TooSlow,
    /// Close after the answer under way.
    Finish,
    /// Keep only the socket until data arrives.
    Rest,
}

/// The shared state of one connection.
pub struct Visit {
    connections: Rc<Connections>,
    number: u64,
    phase: Cell<Phase>,
    /// The tick at which the phase began.
    since: Cell<u32>,
    /// The order of its last activity among all connections.
    used: Cell<u64>,
    /// An answer is not completely sent yet.
    owes: Cell<bool>,
    word: Cell<Option<Word>>,
    /// The task that is to be told.
    task: RefCell<Option<Waker>>,
}

impl Visit {
    /// The connection's state.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Changes the connection's state.
    pub fn enter(&self, phase: Phase) {
        if phase == Phase::Sending {
            self.owes.set(true);
        }
        self.phase.set(phase);
        self.since.set(self.connections.now.get());
        self.used.set(self.connections.next_turn());
    }

    /// Records that a request has begun to arrive.
    pub fn has_begun(&self) {
        if matches!(self.phase(), Phase::New | Phase::Idle) {
            self.enter(Phase::Asking);
        }
    }

    /// Whether an answer is not completely sent yet.
    pub fn owes(&self) -> bool {
        self.owes.get()
    }

    /// Records that everything has been sent.
    pub fn has_sent(&self) {
        self.owes.set(false);
        if self.phase() == Phase::Sending {
            self.enter(Phase::Idle);
            if self.connections.awake.get() > AWAKE {
                self.tell_to_rest();
            }
        }
    }

    /// Counts the connection as awake, that is, with more than its socket, for the lifetime of what
    /// this returns.
    pub fn stay_awake(&self) -> InFlight<'_> {
        let awake = InFlight::take(&self.connections.awake);
        self.connections.note_size();
        awake
    }

    /// Records that a process asks a question.
    pub fn note_asker(&self, process: i32) {
        self.connections.askers.note(process);
    }

    /// Waits for a notice, also one given before.
    pub fn told(&self) -> impl Future<Output = Word> {
        poll_fn(|context| {
            if let Some(word) = self.word.take() {
                return Poll::Ready(word);
            }
            match &mut *self.task.borrow_mut() {
                Some(task) => task.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }

    fn tell(&self, word: Word) {
        self.word.set(Some(word));
        let task = self.task.take();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Any other notice is more urgent.
    fn tell_to_rest(&self) {
        if self.word.get().is_none() {
            self.tell(Word::Rest);
        }
    }

    /// Whether it is time to rest; true at one tick only.
    fn may_rest(&self, now: u32) -> bool {
        matches!(self.phase(), Phase::New | Phase::Idle) && now - self.since.get() == REST_TICKS
    }

    fn overdue(&self, now: u32) -> Option<Word> {
        let limit = match self.phase() {
            Phase::New | Phase::Idle => IDLE_TICKS,
            Phase::Answering => return None,
            Phase::Asking | Phase::Sending | Phase::Leaving => REQUEST_TICKS,
        };
        let is_overdue = now - self.since.get() > limit;
        let word = if self.phase() == Phase::Asking { Word::TooSlow } else { Word::Go };
        is_overdue.then_some(word)
    }

    /// Whether it can be closed without losing anything.
    fn may_give_way(&self, now: u32) -> bool {
        match self.phase() {
            Phase::Idle | Phase::Leaving => true,
            Phase::New | Phase::Asking => now - self.since.get() >= SHY_TICKS,
            Phase::Answering | Phase::Sending => false,
        }
    }

    /// Whether a question has arrived just now, perhaps after the decision to close.
    pub fn has_just_asked(&self) -> bool {
        let is_fresh = self.since.get() == self.connections.now.get();
        self.phase() == Phase::Answering || (self.phase() == Phase::Sending && is_fresh)
    }

    fn is_answering(&self) -> bool {
        matches!(self.phase(), Phase::Answering | Phase::Sending)
    }
}

/// A connection that is removed from the others on drop.
pub struct Visitor(Rc<Visit>);

impl std::ops::Deref for Visitor {
    type Target = Rc<Visit>;

    fn deref(&self) -> &Rc<Visit> {
        &self.0
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.0.connections.leave(self.0.number);
    }
}

/// All connections of a server.
pub struct Connections {
    /// The processes that have asked, still connected or not.
    pub askers: Askers,
    visits: RefCell<BTreeMap<u64, Rc<Visit>>>,
    limit: usize,
    /// How many there have been so far.
    number: Cell<u64>,
    turn: Cell<u64>,
    /// The current tick.
    now: Cell<u32>,
    left: Notify,
    /// How many are awake.
    awake: Cell<usize>,
    /// The greatest size since memory was returned to the system.
    largest: Cell<usize>,
}

impl Connections {
    /// Limited by the system's descriptors, less `reserved` ones for other uses.
    pub fn new(reserved: usize) -> Rc<Self> {
        Rc::new(Self {
            askers: Askers::new(),
            visits: RefCell::default(),
            limit: limit(RESERVED_DESCRIPTORS + reserved),
            number: Cell::new(0),
            turn: Cell::new(0),
            now: Cell::new(0),
            left: Notify::new(),
            awake: Cell::new(0),
            largest: Cell::new(0),
        })
    }

    /// Adds a connection.
    pub fn enter(self: &Rc<Self>) -> Visitor {
        let number = self.number.get() + 1;
        self.number.set(number);
        let visit = Rc::new(Visit {
            connections: Rc::clone(self),
            number,
            phase: Cell::new(Phase::New),
            since: Cell::new(self.now.get()),
            used: Cell::new(self.next_turn()),
            owes: Cell::new(false),
            word: Cell::new(None),
            task: RefCell::new(None),
        });
        self.visits.borrow_mut().insert(number, Rc::clone(&visit));
        self.note_size();
        Visitor(visit)
    }

    /// Waits until there is room for one more. Idle connections are closed to make room, those with
    /// a question under way never.
    pub async fn place(&self) {
        while self.visits.borrow().len() >= self.limit && !self.make_place() {
            let _ = timeout(PLACE_PAUSE, self.left.notified()).await;
        }
    }

    /// Closes the connection that has been idle for the longest time; `false` if none is idle.
    pub fn make_place(&self) -> bool {
        let now = self.now.get();
        let quietest = self
            .visits
            .borrow()
            .values()
            .filter(|visit| visit.may_give_way(now))
            .min_by_key(|visit| visit.used.get())
            .cloned();
        if let Some(visit) = &quietest {
            visit.tell(Word::Go);
            self.leave(visit.number);
        }
        quietest.is_some()
    }

    /// The most connections at once.
    pub fn places(&self) -> usize {
        self.limit
    }

    /// Whether there are no connections.
    pub fn is_empty(&self) -> bool {
        self.visits.borrow().is_empty()
    }

    /// Returns when there are no connections.
    async fn none(&self) {
        loop {
            let left = self.left.notified();
            if self.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Notifies connections that are overdue, forever.
    pub async fn watch(&self) {
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            if self.largest.get() >= self.size() + WORTH_TRIMMING {
                self.largest.set(self.size());
                give_memory_back();
            }
            let now = self.now.get() + 1;
            self.now.set(now);
            for visit in self.visits.borrow().values() {
                if let Some(word) = visit.overdue(now) {
                    visit.tell(word);
                } else if visit.may_rest(now) {
                    visit.tell_to_rest();
                }
            }
        }
    }

    /// Closes all connections, those with an answer under way after it, but waits no longer than
    /// `limit`.
    pub async fn finish(&self, limit: Duration) {
        for visit in self.visits.borrow().values() {
            visit.tell(if visit.is_answering() { Word::Finish } else { Word::Go });
        }
        let _ = timeout(limit, self.none()).await;
    }

    /// A measure of the memory in use: those that are awake count twice.
    fn size(&self) -> usize {
        self.visits.borrow().len() + self.awake.get()
    }

    fn note_size(&self) {
        self.largest.set(self.largest.get().max(self.size()));
    }

    fn next_turn(&self) -> u64 {
        self.turn.replace(self.turn.get() + 1)
    }

    fn leave(&self, number: u64) {
        self.visits.borrow_mut().remove(&number);
        self.left.notify_waiters();
    }
}

/// Returns free pages in the middle of the heap to the system (`malloc_trim(3)`).
fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it touches free memory only, under the heap's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether a server may open what it cannot do without. Without them, the runtime panics.
pub fn has_descriptors() -> bool {
    raise_limit(LIMIT + RESERVED_DESCRIPTORS).is_none_or(|granted| granted >= FEWEST_DESCRIPTORS)
}

/// The limit of connections, after raising that of descriptors.
fn limit(reserved: usize) -> usize {
    raise_limit(LIMIT + reserved)
        .map_or(LIMIT, |granted| granted.saturating_sub(reserved).clamp(1, LIMIT))
}

/// Raises the system's limit of descriptors as far as it allows. Returns what it is then.
fn raise_limit(wanted: usize) -> Option<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let raised = hard.min(soft.max(wanted as libc::rlim_t));
    let granted = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised);
    Some(usize::try_from(granted).unwrap_or(wanted))
}

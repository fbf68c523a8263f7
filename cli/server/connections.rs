//! Who is connected: how many, since when, and who has to give way.
//!
//! A deadline is a number of ticks of one clock for all: to note that something has
//! happened is to write a number, and one look a second finds whoever is overdue.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio::time::{interval, timeout};

use super::askers::Askers;

/// More clients than this at once are not served; one that is quiet makes place for a
/// new one.
const LIMIT: usize = 4096;
/// Descriptors that are kept for files.
const RESERVED_DESCRIPTORS: usize = 32;

const TICK: Duration = Duration::from_secs(1);
/// Ticks in which a request that was begun has to be whole, its answer taken, and what
/// follows the last one sent.
const REQUEST_TICKS: u32 = 10;
/// Ticks for which a connection without a request is kept.
const IDLE_TICKS: u32 = 120;
/// Who has begun nothing for so many ticks gives way even before the first request.
const SHY_TICKS: u32 = 2;
/// Ticks after which a connection without a request rests: it costs little until the next one.
const REST_TICKS: u32 = 2;
/// Where more are connected than this, each rests as soon as it has its answer.
const MANY: usize = 256;
/// So many that rest at one tick leave memory behind that is worth giving back to the system.
const WORTH_TRIMMING: usize = 32;
/// How long a new client waits before it is looked again who may give way.
const PLACE_PAUSE: Duration = Duration::from_millis(100);

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There was no request yet.
    New,
    /// There is none after the last one.
    Idle,
    /// A request is being read.
    Asking,
    /// It is whole, and its answer is awaited.
    Answering,
    /// The answer is being sent.
    Sending,
    /// The last answer is sent; what still comes is thrown away.
    Leaving,
}

/// What a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Go, at once.
    Go,
    /// The request is not whole in time.
    TooSlow,
    /// Go after the answer that is under way.
    Finish,
    /// Keep nothing but the socket until something comes.
    Rest,
}

/// One connection, as everybody sees it.
pub struct Visit {
    connections: Rc<Connections>,
    number: u64,
    phase: Cell<Phase>,
    /// The tick at which the phase began.
    since: Cell<u32>,
    /// The place in the order of all that has happened.
    used: Cell<u64>,
    /// An answer was given that is not all sent.
    owes: Cell<bool>,
    word: Cell<Option<Word>>,
    told: Notify,
}

impl Visit {
    /// What the connection is about now.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Notes that the connection is about something else now.
    pub fn enter(&self, phase: Phase) {
        if phase == Phase::Sending {
            self.owes.set(true);
        }
        self.phase.set(phase);
        self.since.set(self.connections.now.get());
        self.used.set(self.connections.next_turn());
    }

    /// Whether an answer was given that is not all sent.
    pub fn owes(&self) -> bool {
        self.owes.get()
    }

    /// Notes that all that was given to send is sent.
    pub fn has_sent(&self) {
        self.owes.set(false);
        if self.phase() == Phase::Sending {
            self.enter(Phase::Idle);
            if self.connections.visits.borrow().len() > MANY {
                self.tell_to_rest();
            }
        }
    }

    /// Notes that a process puts a question.
    pub fn note_asker(&self, process: i32) {
        self.connections.askers.note(process);
    }

    /// Waits for a word; one that was said before counts.
    pub async fn told(&self) -> Word {
        loop {
            self.told.notified().await;
            if let Some(word) = self.word.take() {
                return word;
            }
        }
    }

    fn tell(&self, word: Word) {
        self.word.set(Some(word));
        self.told.notify_one();
    }

    /// Any other word is one more urgent.
    fn tell_to_rest(&self) {
        if self.word.get().is_none() {
            self.tell(Word::Rest);
        }
    }

    /// Whether it is time to rest; said once.
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

    /// Whether nothing is lost with it.
    fn may_give_way(&self, now: u32) -> bool {
        match self.phase() {
            Phase::Idle | Phase::Leaving => true,
            Phase::New | Phase::Asking => now - self.since.get() >= SHY_TICKS,
            Phase::Answering | Phase::Sending => false,
        }
    }

    /// Whether a question has come that nobody could know of a moment ago.
    pub fn has_just_asked(&self) -> bool {
        let is_fresh = self.since.get() == self.connections.now.get();
        self.phase() == Phase::Answering || (self.phase() == Phase::Sending && is_fresh)
    }

    fn is_answering(&self) -> bool {
        matches!(self.phase(), Phase::Answering | Phase::Sending)
    }
}

/// A visit that ends with this value.
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
    /// Who has put a question, connected still or not.
    pub askers: Askers,
    visits: RefCell<BTreeMap<u64, Rc<Visit>>>,
    limit: usize,
    /// How many there have been.
    number: Cell<u64>,
    turn: Cell<u64>,
    /// The tick that it is.
    now: Cell<u32>,
    left: Notify,
}

impl Connections {
    /// As many connections as the system has descriptors for, where so many are needed for
    /// other things.
    pub fn new(reserved: usize) -> Rc<Self> {
        Rc::new(Self {
            askers: Askers::new(),
            visits: RefCell::default(),
            limit: limit(RESERVED_DESCRIPTORS + reserved),
            number: Cell::new(0),
            turn: Cell::new(0),
            now: Cell::new(0),
            left: Notify::new(),
        })
    }

    /// Lets somebody in.
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
            told: Notify::new(),
        });
        self.visits.borrow_mut().insert(number, Rc::clone(&visit));
        Visitor(visit)
    }

    /// Waits until there is place for one more. Whoever is quiet gives way to those who
    /// come; whoever has a question under way never does, and they wait instead.
    pub async fn place(&self) {
        while self.visits.borrow().len() >= self.limit && !self.make_place() {
            let _ = timeout(PLACE_PAUSE, self.left.notified()).await;
        }
    }

    /// Sends the one away that has been quiet for the longest. `false`: nobody is quiet.
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

    /// For how many there is place.
    pub fn places(&self) -> usize {
        self.limit
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.visits.borrow().is_empty()
    }

    /// Returns when nobody is there.
    async fn none(&self) {
        loop {
            let left = self.left.notified();
            if self.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// Tells those who are overdue, for ever.
    pub async fn watch(&self) {
        let mut ticks = interval(TICK);
        let mut resting = 0;
        loop {
            ticks.tick().await;
            if resting >= WORTH_TRIMMING {
                give_memory_back();
            }
            resting = 0;
            let now = self.now.get() + 1;
            self.now.set(now);
            for visit in self.visits.borrow().values() {
                if let Some(word) = visit.overdue(now) {
                    visit.tell(word);
                } else if visit.may_rest(now) {
                    visit.tell_to_rest();
                    resting += 1;
                }
            }
        }
    }

    /// Sends everybody away, those with an answer under way after it, if that does not
    /// take longer than this.
    pub async fn finish(&self, limit: Duration) {
        for visit in self.visits.borrow().values() {
            visit.tell(if visit.is_answering() { Word::Finish } else { Word::Go });
        }
        let _ = timeout(limit, self.none()).await;
    }

    fn next_turn(&self) -> u64 {
        self.turn.replace(self.turn.get() + 1)
    }

    fn leave(&self, number: u64) {
        self.visits.borrow_mut().remove(&number);
        self.left.notify_waiters();
    }
}

/// Gives the system the pages back that hold nothing any more (`malloc_trim(3)`): the heap keeps
/// those that are between others.
fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it touches free memory only, under the heap's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// How many connections can be had beside the descriptors that are reserved, after the
/// system was asked for as many as it gives.
fn limit(reserved: usize) -> usize {
    let wanted = LIMIT + reserved;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return LIMIT;
    };
    let raised = hard.min(soft.max(wanted as libc::rlim_t));
    let granted = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised);
    let granted = usize::try_from(granted).unwrap_or(wanted);
    granted.saturating_sub(reserved).clamp(1, LIMIT)
}

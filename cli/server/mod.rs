//! The policy server: one thread, one poller, and as many clients as come.

mod answer;
mod buffer;
mod chunks;
mod connection;
pub mod http;
mod large;
pub mod listen;
mod peer;
mod reload;
mod stream;

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token as Slot};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slab::Slab;

pub use answer::name as verdict_name;
pub use http::{Endpoint, Refusal};
pub use reload::Reload;

use crate::audit::{self, Audit};
use crate::failure::Failure;
use crate::mode::Mode;
use crate::run::lifetime::Lifetime;
use crate::token::Token;
use answer::Desk;
use connection::{Connection, Next, Shared};
use large::{Large, Ticket};
use listen::Listener;

/// How often files and deadlines are looked at while nobody asks anything.
const TICK: Duration = Duration::from_secs(1);
/// More clients than this at once are not served; the one that has been quiet the
/// longest makes place for a new one.
const CONNECTIONS_LIMIT: usize = 4096;
/// Descriptors that are kept for files.
const RESERVED_DESCRIPTORS: usize = 32;
/// How long the answers under way may take when the server ends.
const ENDING_TIME: Duration = Duration::from_secs(1);
const EVENTS_A_TURN: usize = 256;
/// Clients that are accepted before those who are connected have their turn; more
/// would be a little faster and make one client in a hundred wait ten times as long.
const ACCEPTS_A_TURN: usize = 8;

const SIGNALS: Slot = Slot(usize::MAX);
const TREE: Slot = Slot(usize::MAX - 1);
const LARGE: Slot = Slot(usize::MAX - 2);
/// Listeners count down from here, connections up from zero.
const LISTENERS: usize = usize::MAX - 3;

/// What a server is made of.
pub struct Parts {
    pub listeners: Vec<Listener>,
    pub token: Token,
    pub mode: Mode,
    pub policy: Reload,
    pub audit: Audit,
    pub lifetime: Lifetime,
}

/// A server that is ready to run.
pub struct Server {
    poll: Poll,
    listeners: Vec<Listener>,
    connections: Slab<Connection>,
    /// How many there have been.
    serial: u64,
    limit: usize,
    shared: Shared,
    /// Connections and listeners that have more to do and wait for their next turn.
    again: VecDeque<Slot>,
    /// A listener could not be emptied for want of descriptors.
    accept_later: bool,
    signals: UnixStream,
    lifetime: Lifetime,
}

impl Server {
    /// Puts a server together. `SIGTERM` and `SIGINT` end it from now on.
    ///
    /// # Errors
    /// The system does not give what it takes.
    pub fn new(parts: Parts) -> Result<Self, Failure> {
        let run: String = Token::random()?.reveal().chars().take(16).collect();
        let desk = Desk::new(parts.mode, parts.policy, parts.audit, &run);
        Self::assemble(parts.listeners, parts.token, desk, parts.lifetime)
            .map_err(|error| Failure::new(format!("cannot set up the server: {error}")))
    }

    fn assemble(
        mut listeners: Vec<Listener>,
        token: Token,
        desk: Desk,
        lifetime: Lifetime,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, listener) in listeners.iter_mut().enumerate() {
            let slot = Slot(LISTENERS - index);
            poll.registry().register(listener.source(), slot, Interest::READABLE)?;
        }
        if let Lifetime::Tree(tree) = &lifetime {
            tree.register(poll.registry(), TREE)?;
        }
        let mut signals = ending_signals()?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let large = Large::new(poll.registry(), LARGE)?;
        let store = buffer::Store::new();
        let shared = Shared { token, desk, store, large, out: Vec::new(), alone: true };
        Ok(Self {
            poll,
            listeners,
            connections: Slab::new(),
            serial: 0,
            limit: connections_limit(),
            shared,
            again: VecDeque::new(),
            accept_later: false,
            signals,
            lifetime,
        })
    }

    /// Serves until a signal comes or the guarded tree is gone.
    ///
    /// # Errors
    /// The poller fails.
    pub fn run(mut self) -> io::Result<()> {
        audit::prepare();
        let mut events = Events::with_capacity(EVENTS_A_TURN);
        let mut tick = Instant::now() + TICK;
        loop {
            let now = Instant::now();
            self.wait(&mut events, self.pause(now, tick))?;
            let now = Instant::now();
            let mut ending = false;
            // Whoever had a turn and asked for another one comes after the others.
            let waiting = self.again.len();
            self.shared.alone = events.iter().count() + waiting <= 1;
            for event in &events {
                match event.token() {
                    SIGNALS => ending = self.take_signal(),
                    TREE => self.note_watched_gone(now),
                    LARGE => self.take_answered(now),
                    slot => {
                        if event.is_read_closed()
                            && let Some(connection) = self.connections.get_mut(slot.0)
                        {
                            connection.note_peer_finished();
                        }
                        self.give_turn(slot, now);
                    }
                }
            }
            for _ in 0..waiting {
                if let Some(slot) = self.again.pop_front() {
                    self.give_turn(slot, now);
                }
            }
            self.shared.desk.audit.write_due(now);
            if now >= tick {
                tick = now + TICK;
                self.tick(now);
            }
            if ending || !self.is_needed(now) {
                drop(self.listeners.drain(..));
                self.finish(now, &mut events);
                return Ok(());
            }
        }
    }

    fn take_signal(&mut self) -> bool {
        matches!(self.signals.read(&mut [0]), Ok(1..))
    }

    /// Waits for events. Before that actually takes time, what waits to be written is.
    fn wait(&mut self, events: &mut Events, pause: Duration) -> io::Result<()> {
        if !self.shared.desk.audit.is_written() {
            self.poll_for(events, Duration::ZERO)?;
            if !events.is_empty() || pause.is_zero() {
                return Ok(());
            }
            self.shared.desk.audit.write();
        }
        self.poll_for(events, pause)
    }

    fn poll_for(&mut self, events: &mut Events, pause: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(pause)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    fn pause(&self, now: Instant, tick: Instant) -> Duration {
        if !self.again.is_empty() {
            return Duration::ZERO;
        }
        let look = match &self.lifetime {
            Lifetime::Tree(tree) => tree.next_look(),
            Lifetime::Endless => None,
        };
        look.map_or(tick, |look| look.min(tick)).saturating_duration_since(now)
    }

    fn give_turn(&mut self, slot: Slot, now: Instant) {
        if slot.0 < self.limit {
            self.serve(slot.0, now);
        } else {
            self.accept(LISTENERS - slot.0, now);
        }
    }

    /// Accepts those who wait. A new client has mostly sent its request by now.
    fn accept(&mut self, listener: usize, now: Instant) {
        for _ in 0..ACCEPTS_A_TURN {
            match self.listeners[listener].accept() {
                Ok(stream) => {
                    if self.connections.len() >= self.limit {
                        self.close_quietest();
                    }
                    self.serial += 1;
                    let entry = self.connections.vacant_entry();
                    let ticket = Ticket { index: entry.key(), serial: self.serial };
                    entry.insert(Connection::new(stream, ticket, now));
                    self.serve(ticket.index, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                    if !self.close_quietest() {
                        self.accept_later = true;
                        return;
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(_) => {
                    self.accept_later = true;
                    return;
                }
            }
        }
        self.again.push_back(Slot(LISTENERS - listener));
    }

    /// Gives a connection its turn.
    fn serve(&mut self, index: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        let shared = &mut self.shared;
        let next = catch_unwind(AssertUnwindSafe(|| connection.turn(shared, now)));
        self.follow_up(index, next.unwrap_or(Next::Close));
    }

    /// Sends the answers to large questions on to those who are still there.
    fn take_answered(&mut self, now: Instant) {
        while let Some(mut answered) = self.shared.large.answered() {
            let audit = &mut self.shared.desk.audit;
            audit.append(&answered.lines);
            audit.settle();
            let index = answered.ticket.index;
            if let Some(connection) = self.connections.get_mut(index) {
                let next = connection.come_back(&mut answered, &mut self.shared, now);
                self.follow_up(index, next);
            }
            self.shared.store.take_back(&mut answered.input);
        }
    }

    fn follow_up(&mut self, index: usize, next: Next) {
        match next {
            Next::Close => self.close(index),
            Next::Again => self.again.push_back(Slot(index)),
            Next::Wait => {
                if let Some(connection) = self.connections.get_mut(index)
                    && connection.watch(self.poll.registry(), Slot(index)).is_err()
                {
                    self.close(index);
                }
            }
        }
    }

    /// Closing the socket takes it out of the poller as well.
    fn close(&mut self, index: usize) {
        if let Some(mut connection) = self.connections.try_remove(index) {
            connection.release(&mut self.shared.store);
        }
    }

    fn close_quietest(&mut self) -> bool {
        let quietest = self.connections.iter().min_by_key(|(_, connection)| connection.used());
        let quietest = quietest.map(|(index, _)| index);
        if let Some(index) = quietest {
            self.close(index);
        }
        quietest.is_some()
    }

    fn tick(&mut self, now: Instant) {
        let desk = &mut self.shared.desk;
        desk.policy.look(now, &mut desk.audit);
        desk.audit.follow();
        if std::mem::take(&mut self.accept_later) {
            for listener in 0..self.listeners.len() {
                self.accept(listener, now);
            }
        }
        let indexes: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
        for index in indexes {
            let Some(connection) = self.connections.get_mut(index) else {
                continue;
            };
            let next = connection.check_deadline(&mut self.shared, now);
            self.follow_up(index, next);
        }
    }

    fn note_watched_gone(&mut self, now: Instant) {
        if let Lifetime::Tree(tree) = &mut self.lifetime {
            tree.note_gone(now);
        }
    }

    fn is_needed(&mut self, now: Instant) -> bool {
        match &mut self.lifetime {
            Lifetime::Endless => true,
            Lifetime::Tree(tree) => {
                tree.look(now, self.poll.registry(), TREE) || !self.connections.is_empty()
            }
        }
    }

    /// Sends the answers that are under way.
    fn finish(mut self, now: Instant, events: &mut Events) {
        let end = now + ENDING_TIME;
        self.connections.retain(|_, connection| connection.is_answering());
        while !self.connections.is_empty() {
            let pause = end.saturating_duration_since(Instant::now());
            if pause.is_zero() || self.wait(events, pause).is_err() {
                break;
            }
            for event in &*events {
                match event.token() {
                    LARGE => self.take_answered(now),
                    slot => self.serve(slot.0, now),
                }
            }
            self.connections.retain(|_, connection| connection.is_answering());
        }
        self.shared.desk.audit.write();
    }
}

/// A socket that becomes readable when a signal asks the process to end.
///
/// # Errors
/// As the system says.
pub fn ending_signals() -> io::Result<UnixStream> {
    let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(UnixStream::from_std(reader))
}

/// How many connections can be had, after the system was asked for as many as it
/// gives.
pub fn connections_limit() -> usize {
    let wanted = CONNECTIONS_LIMIT + RESERVED_DESCRIPTORS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return CONNECTIONS_LIMIT;
    };
    let raised = hard.min(soft.max(wanted as libc::rlim_t));
    let granted = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised);
    let granted = usize::try_from(granted).unwrap_or(wanted);
    granted.saturating_sub(RESERVED_DESCRIPTORS).clamp(1, CONNECTIONS_LIMIT)
}

/// Whether a client that gave up is all that is wrong.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::EINTR | libc::EPERM | libc::EPROTO)
    )
}

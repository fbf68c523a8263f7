//! One client: reads its requests, has them answered one after the other, and
//! never waits for it.

use std::cell::OnceCell;
use std::io;
use std::mem;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token as Slot};

use super::answer::{Desk, refuse, whole};
use super::buffer::{Buffer, Store};
use super::chunks::{Chunks, Decoded};
use super::http::{CONTINUE, Endpoint, Framing, Head, Refusal, TOO_MANY, TOO_SLOW, read_head};
use super::large::{Answered, Job, LARGE_BYTES, Large, Ticket};
use super::stream::Stream;
use crate::token::Token;

/// A request that was begun has to be whole, and its answer taken, in this time.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// A connection without a request is kept so long.
const IDLE_TIME: Duration = Duration::from_secs(120);
/// Reads and answers that one connection gets before the others have their turn.
const STEPS_A_TURN: usize = 32;

/// What the whole server lends to the connection whose turn it is.
pub struct Shared {
    pub token: Token,
    pub desk: Desk,
    pub store: Store,
    pub large: Large,
    /// Where answers are put together.
    pub out: Vec<u8>,
    /// Nobody else is known to wait: who was just answered may well have the next
    /// question ready, and to look is cheaper than to wait for the poller's word.
    pub alone: bool,
}

/// What is to be done with a connection after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait until its socket is ready.
    Wait,
    /// Give it another turn after the others.
    Again,
    /// It is over.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are answered.
    Open,
    /// A large question is being answered elsewhere.
    Away(Away),
    /// The last answer is on its way.
    Ending,
    /// What still comes is thrown away: to close a socket with bytes unread would
    /// reset the connection and might take the answer with it.
    Draining,
}

/// What is to be done after a large question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Away {
    /// What the request took of the input.
    bytes: usize,
    keep_alive: bool,
}

/// Why a turn ends.
enum Stop {
    /// The socket has no more for now, or takes no more.
    Blocked,
    /// The client is gone.
    Gone,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock { Self::Blocked } else { Self::Gone }
    }
}

/// One client.
pub struct Connection {
    stream: Stream,
    ticket: Ticket,
    phase: Phase,
    input: Buffer,
    /// What of the answers the socket did not take at once.
    output: Vec<u8>,
    sent: usize,
    chunks: Option<Chunks>,
    told_to_continue: bool,
    /// The client said that it sends no more; a short read is not the last then.
    peer_finished: bool,
    pid: OnceCell<Option<i32>>,
    deadline: Instant,
    used: Instant,
    /// What the poller was asked to tell.
    watched: Option<Interest>,
}

impl Connection {
    pub fn new(stream: Stream, ticket: Ticket, now: Instant) -> Self {
        Self {
            stream,
            ticket,
            phase: Phase::Open,
            input: Buffer::default(),
            output: Vec::new(),
            sent: 0,
            chunks: None,
            told_to_continue: false,
            peer_finished: false,
            pid: OnceCell::new(),
            deadline: now + IDLE_TIME,
            used: now,
            watched: None,
        }
    }

    /// Has the poller tell when there is something to read; and when the socket
    /// takes more, but only while an answer waits for it: otherwise a Unix socket
    /// would wake the server for each answer that is read.
    ///
    /// # Errors
    /// As the system says.
    pub fn watch(&mut self, registry: &Registry, slot: Slot) -> io::Result<()> {
        let wanted = if self.is_sending() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        match self.watched.replace(wanted) {
            None => self.stream.source().register(registry, slot, wanted),
            Some(watched) if watched == wanted => Ok(()),
            Some(_) => self.stream.source().reregister(registry, slot, wanted),
        }
    }

    /// When it last had a turn.
    pub fn used(&self) -> Instant {
        self.used
    }

    /// Whether an answer is not all sent.
    fn is_sending(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether an answer is not all sent, or not ready.
    pub fn is_answering(&self) -> bool {
        self.is_sending() || matches!(self.phase, Phase::Away(_))
    }

    /// Notes that the client has finished writing.
    pub fn note_peer_finished(&mut self) {
        self.peer_finished = true;
    }

    /// One turn: reads, answers and writes as far as the socket lets it.
    pub fn turn(&mut self, shared: &mut Shared, now: Instant) -> Next {
        self.used = now;
        for _ in 0..STEPS_A_TURN {
            match self.step(shared, now) {
                Ok(()) => {}
                Err(Stop::Blocked) => return Next::Wait,
                Err(Stop::Gone) => return Next::Close,
            }
        }
        Next::Again
    }

    /// What a deadline that has passed leads to.
    pub fn check_deadline(&mut self, shared: &mut Shared, now: Instant) -> Next {
        if now < self.deadline || matches!(self.phase, Phase::Away(_)) {
            return Next::Wait;
        }
        let waits_for_request = self.phase == Phase::Open && !self.input.is_empty();
        if !waits_for_request || self.is_sending() {
            return Next::Close;
        }
        self.end_with(TOO_SLOW, shared);
        match self.send(&mut shared.out, now) {
            Ok(()) => self.turn(shared, now),
            Err(Stop::Blocked) => Next::Wait,
            Err(Stop::Gone) => Next::Close,
        }
    }

    /// Takes the answer to its large question, if it is its, and has a turn.
    pub fn come_back(
        &mut self,
        answered: &mut Answered,
        shared: &mut Shared,
        now: Instant,
    ) -> Next {
        let Phase::Away(Away { bytes, keep_alive }) = self.phase else {
            return Next::Wait;
        };
        if answered.ticket != self.ticket {
            return Next::Wait;
        }
        mem::swap(&mut self.input, &mut answered.input);
        whole(answered.status, keep_alive, &answered.body, &mut shared.out);
        self.leave(bytes, keep_alive, shared, now);
        match self.send(&mut shared.out, now) {
            Ok(()) => self.turn(shared, now),
            Err(Stop::Blocked) => Next::Wait,
            Err(Stop::Gone) => Next::Close,
        }
    }

    /// Gives its memory back.
    pub fn release(&mut self, store: &mut Store) {
        store.take_back(&mut self.input);
    }

    fn step(&mut self, shared: &mut Shared, now: Instant) -> Result<(), Stop> {
        self.flush()?;
        match self.phase {
            Phase::Ending => self.finish(now),
            Phase::Draining => self.drain(shared),
            Phase::Away(_) => Err(Stop::Blocked),
            Phase::Open => {
                if self.answer_next(shared, now) {
                    self.send(&mut shared.out, now)
                } else if self.phase == Phase::Open {
                    self.read(shared, now)
                } else {
                    Err(Stop::Blocked)
                }
            }
        }
    }

    /// Answers the request that the input begins with, if all of it is there.
    /// `false`: more has to be read, or the question is answered elsewhere.
    fn answer_next(&mut self, shared: &mut Shared, now: Instant) -> bool {
        if self.input.is_empty() {
            return false;
        }
        let head = match read_head(self.input.filled(), &shared.token) {
            Ok(Some(head)) => head,
            Ok(None) => return false,
            Err(refusal) => {
                self.end_with(refusal, shared);
                return true;
            }
        };
        let body =
            match head.endpoint.and(head.framing).and_then(|framing| self.body(head, framing)) {
                Ok(Some(body)) => body,
                Ok(None) => return self.ask_to_continue(head, shared),
                Err(refusal) => {
                    self.refuse(refusal, head, shared, now);
                    return true;
                }
            };
        let bytes = head.bytes + body.wire;
        let pid = *self.pid.get_or_init(|| self.stream.peer());
        match head.endpoint {
            Ok(Endpoint::Preflight) if body.length > LARGE_BYTES => {
                self.phase = Phase::Away(Away { bytes, keep_alive: head.keep_alive });
                return self.ask_elsewhere(head.bytes..head.bytes + body.length, pid, shared, now);
            }
            Ok(endpoint) => {
                let body = &self.input.filled()[head.bytes..head.bytes + body.length];
                shared.desk.answer(endpoint, body, pid, head.keep_alive, &mut shared.out, now);
            }
            Err(_) => {}
        }
        self.leave(bytes, head.keep_alive, shared, now);
        true
    }

    /// Hands the question over. `true`: it is refused instead.
    fn ask_elsewhere(
        &mut self,
        body: Range<usize>,
        pid: Option<i32>,
        shared: &mut Shared,
        now: Instant,
    ) -> bool {
        let (policies, mode, id) = shared.desk.hand_out(now);
        let (ticket, input) = (self.ticket, mem::take(&mut self.input));
        let job = Job { ticket, input, body, pid, policies, mode, id };
        match shared.large.take(job) {
            Ok(()) => false,
            Err(job) => {
                self.input = job.input;
                self.end_with(TOO_MANY, shared);
                true
            }
        }
    }

    /// The body of the request, if all of it is there.
    fn body(&mut self, head: Head, framing: Framing) -> Result<Option<Body>, Refusal> {
        let input = self.input.filled_mut();
        match framing {
            Framing::Length(length) => {
                let whole = input.len() - head.bytes >= length;
                Ok(whole.then_some(Body { length, wire: length }))
            }
            Framing::Chunked => {
                let chunks = self.chunks.get_or_insert_default();
                match chunks.decode(&mut input[head.bytes..])? {
                    Decoded::Whole { body, wire } => Ok(Some(Body { length: body, wire })),
                    Decoded::Partial { kept } => {
                        self.input.truncate(head.bytes + kept);
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Leaves the answered request behind, and all that may follow where the client
    /// wants the connection to end.
    fn leave(&mut self, bytes: usize, keep_alive: bool, shared: &mut Shared, now: Instant) {
        self.next_request(bytes, shared, now);
        self.phase = if keep_alive { Phase::Open } else { Phase::Ending };
    }

    fn next_request(&mut self, bytes: usize, shared: &mut Shared, now: Instant) {
        self.input.consume(bytes);
        self.chunks = None;
        self.told_to_continue = false;
        self.deadline = now + IDLE_TIME;
        if self.input.is_empty() {
            shared.store.take_back(&mut self.input);
        } else {
            self.deadline = now + REQUEST_TIME;
        }
    }

    /// Refuses a request whose head was understood. The connection goes on if the
    /// request's end is known and already here.
    fn refuse(&mut self, refusal: Refusal, head: Head, shared: &mut Shared, now: Instant) {
        match head.framing {
            Ok(Framing::Length(length))
                if head.keep_alive && self.input.filled().len() - head.bytes >= length =>
            {
                refuse(refusal, true, &mut shared.out);
                self.next_request(head.bytes + length, shared, now);
            }
            _ => self.end_with(refusal, shared),
        }
    }

    fn end_with(&mut self, refusal: Refusal, shared: &mut Shared) {
        refuse(refusal, false, &mut shared.out);
        self.phase = Phase::Ending;
    }

    fn ask_to_continue(&mut self, head: Head, shared: &mut Shared) -> bool {
        let waits = head.expects_continue && !self.told_to_continue;
        if waits {
            self.told_to_continue = true;
            shared.out.extend_from_slice(CONTINUE);
        }
        waits
    }

    fn read(&mut self, shared: &mut Shared, now: Instant) -> Result<(), Stop> {
        let begins = self.input.is_empty();
        if !shared.store.make_room(&mut self.input) {
            self.end_with(TOO_MANY, shared);
            return self.send(&mut shared.out, now);
        }
        let room = self.input.room();
        let asked = room.len();
        let count = match self.stream.read(room) {
            Ok(0) => return Err(Stop::Gone),
            Ok(count) => count,
            Err(error) => {
                if begins {
                    shared.store.take_back(&mut self.input);
                }
                return Err(error.into());
            }
        };
        self.input.extend(count);
        if begins {
            self.deadline = now + REQUEST_TIME;
        }
        // The socket is empty after a short read: what comes later wakes the poller.
        if count < asked && !self.peer_finished {
            if self.answer_next(shared, now) {
                self.send(&mut shared.out, now)?;
            }
            if self.phase == Phase::Open && self.input.is_empty() && !shared.alone {
                return Err(Stop::Blocked);
            }
        }
        Ok(())
    }

    /// Sends what was put together; what the socket does not take is kept.
    fn send(&mut self, out: &mut Vec<u8>, now: Instant) -> Result<(), Stop> {
        mem::swap(&mut self.output, out);
        self.flush().inspect_err(|_| self.deadline = now + REQUEST_TIME)?;
        mem::swap(&mut self.output, out);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(Stop::Gone),
                Ok(count) => self.sent += count,
                Err(error) => return Err(error.into()),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }

    fn finish(&mut self, now: Instant) -> Result<(), Stop> {
        self.stream.finish_writing().map_err(|_| Stop::Gone)?;
        self.phase = Phase::Draining;
        self.deadline = now + REQUEST_TIME;
        Ok(())
    }

    fn drain(&mut self, shared: &mut Shared) -> Result<(), Stop> {
        let unread = self.input.filled().len();
        self.input.consume(unread);
        if !shared.store.make_room(&mut self.input) {
            return Err(Stop::Gone);
        }
        match self.stream.read(self.input.room())? {
            0 => Err(Stop::Gone),
            _ => Ok(()),
        }
    }
}

/// Where a body ends: in the buffer once decoded, and on the wire.
struct Body {
    length: usize,
    wire: usize,
}

//! Sends a question to the policy server and reads the answer.
//!
//! The process that loaded the library keeps one connection between its checks.
//! Its forked and vforked children, and threads that find the kept one in use,
//! open their own, close it after, and touch nothing shared.

use core::sync::atomic::{AtomicU64, Ordering};

use rampart_core::answer::{End, Reader};
use rampart_core::arena::copy_fitting;
use rampart_core::command::Sink;
use rampart_core::request::{Question, SendError};
use rampart_core::verdict::{Outcome, Unreachable};

use crate::descriptor::{Descriptor, Event};
use crate::errno::Errno;
use crate::os::sys::{self, Address, Deadline, SignalMask};
use crate::state::{ClientConfig, State};

/// Below are the numbers that programs count on (0 to 2) and shells play with.
const LOWEST_DESCRIPTOR: i32 = 64;
/// What the program itself takes to be its standard streams, open or not.
const STANDARD_STREAMS: [i32; 3] = [0, 1, 2];
/// So long the kernel's own receive waits on the kept connection before it is polled with
/// what is left of the time: nearly every answer comes within, and saves a call.
const LONGEST_RECEIVE_MS: u32 = 50;
/// So long a connection to this machine may take to come about before it is tried anew.
const QUEUE_WAIT_MS: u32 = 20;
/// For the request, and then for the answer, on the stack.
const BUFFER_BYTES: usize = 480;

const NO_SERVER: Outcome = Outcome::Unreachable(Unreachable::NoServer);
const NO_DESCRIPTOR: Outcome = Outcome::Fault("no file descriptor is to be had for the check");
const CHANGED: Outcome = Outcome::Fault("the arguments changed while they were being checked");
const UNDECIDED: Outcome = Outcome::Fault("a person is to decide this, and nobody has");
const KILLED: Outcome = Outcome::Fault("the check was killed");
const TOO_EARLY: Outcome =
    Outcome::Garbled("the policy server answered before it had the whole question");

/// Asks; `reader` holds what the answer said. `is_own` is [`State::is_own`].
pub fn ask<'q>(
    state: &State,
    client: &ClientConfig,
    is_own: bool,
    question: &Question<'q, impl Iterator<Item = &'q [u8]> + Clone>,
    reader: &mut Reader,
) -> Outcome {
    let mut exchange = Exchange {
        client,
        question,
        reader,
        deadline: Deadline::new(state.timeout_ms),
        wait_ms: if state.ask_ms == 0 { 0 } else { state.ask_ms.saturating_add(state.timeout_ms) },
        blocked: None,
    };
    if is_own {
        exchange.by_kept_connection(state.timeout_ms.min(LONGEST_RECEIVE_MS))
    } else {
        // A handler of the parent's would run in its memory here (vfork(2), "Caveats"). The
        // mask is inherited by the program, so it is put back.
        let mask = SignalMask::ALL.block();
        exchange.blocked = Some(mask);
        let outcome = exchange.by_new_connection().0.outcome;
        mask.restore();
        outcome
    }
}

/// One question on its way.
struct Exchange<'x, 'q, Arguments> {
    client: &'x ClientConfig,
    question: &'x Question<'q, Arguments>,
    reader: &'x mut Reader,
    deadline: Deadline,
    /// How long a person's decision is still waited for, in milliseconds; 0: it is not.
    wait_ms: u32,
    /// The mask that was in force before all signals were blocked, if they are.
    blocked: Option<SignalMask>,
}

impl<'q, Arguments: Iterator<Item = &'q [u8]> + Clone> Exchange<'_, 'q, Arguments> {
    fn by_kept_connection(&mut self, receive_ms: u32) -> Outcome {
        let mut slot = Slot::take();
        if let Some(slot) = &mut slot
            && let Some(kept) = slot.connection()
        {
            let end = self.converse(&kept, Some(receive_ms));
            // The server may have closed it just now: that is no failure.
            let was_stale =
                end.outcome == Outcome::Unreachable(Unreachable::Cut) && !self.reader.has_begun();
            if !was_stale {
                if end.reusable {
                    slot.put_back(kept);
                }
                return end.outcome;
            }
        }
        // A new one is not to take the number of a closed stream. But who waits for a child is deaf
        // to signals, and a person may take minutes.
        if self.wait_ms == 0 && sys::has_closed_stream() {
            let mut outcome = KILLED;
            sys::with_unshared_table(|| outcome = self.by_new_connection().0.outcome);
            return outcome;
        }
        let (end, fresh) = self.by_new_connection();
        if let (Some(slot), Some(fresh), true) = (&mut slot, fresh, end.reusable) {
            slot.keep(fresh, receive_ms);
        }
        end.outcome
    }

    /// Takes the first way that leads to the server: one may be lost (its file removed, another
    /// user, another namespace) where another one still is there.
    fn by_new_connection(&mut self) -> (End, Option<Descriptor>) {
        let mut last = (End { outcome: NO_SERVER, reusable: false }, None);
        for address in self.client.addresses.iter().flatten() {
            last = match self.connect(address) {
                Ok(fresh) => (self.converse(&fresh, None), Some(fresh)),
                Err(outcome) => (End { outcome, reusable: false }, None),
            };
            if last.0.outcome != NO_SERVER {
                break;
            }
        }
        last
    }

    /// In a frame of its own, which is left when the talk begins.
    #[inline(never)]
    fn connect(&mut self, address: &Address) -> Result<Descriptor, Outcome> {
        // A tenth of what a socket costs that is made in vain.
        if sys::is_missing(address) {
            return Err(NO_SERVER);
        }
        let mut socket = new_socket(address)?;
        let mut connected = sys::connect(&socket, address);
        loop {
            connected = match connected {
                // Whether a connection that was begun comes about is found out by sending.
                Ok(()) => return Ok(socket),
                Err(Errno(libc::EINPROGRESS)) if !address.is_loopback() => return Ok(socket),
                // On this machine it comes about at once, or the queue is full: the kernel tries
                // again after 1 s, 3 s and 7 s, together with everybody else.
                Err(Errno(libc::EINPROGRESS)) => {
                    let mut brief = Deadline::new(QUEUE_WAIT_MS);
                    if brief.wait(&socket, Event::Writable) != Err(Errno(libc::ETIMEDOUT)) {
                        return Ok(socket);
                    }
                    self.deadline.spend(QUEUE_WAIT_MS);
                    self.deadline.pause(1).map_err(outcome_of)?;
                    socket = new_socket(address)?;
                    sys::connect(&socket, address)
                }
                // A Unix socket whose queue is full (connect(2)).
                Err(Errno(libc::EAGAIN)) => {
                    sys::connect_to_full_queue(&socket, address, &mut self.deadline)
                }
                Err(errno) => return Err(outcome_of(errno)),
            }
        }
    }

    /// `receive_ms` is how long a receive on this socket waits by itself, if it does.
    fn converse(&mut self, socket: &Descriptor, receive_ms: Option<u32>) -> End {
        let end = |outcome| End { outcome, reusable: false };
        let whole = match self.send(socket) {
            Ok(()) => true,
            Err(SendError::Changed) => return end(CHANGED),
            // It takes no more: perhaps it says why.
            Err(SendError::Stopped(Stop::Interrupted)) => false,
            Err(SendError::Stopped(Stop::Failed(errno))) => return end(outcome_of(errno)),
        };
        let answer = self.receive(socket, receive_ms);
        let answer = if self.waits_for_person() { self.end_wait(answer) } else { answer };
        match answer.outcome {
            Outcome::Allowed | Outcome::Denied if !whole => end(TOO_EARLY),
            _ => answer,
        }
    }

    /// In a frame of its own, as [`Self::receive`] is: neither stands on the other's buffer.
    #[inline(never)]
    fn send(&mut self, socket: &Descriptor) -> Result<(), SendError<Stop>> {
        let (buffer, deadline) = ([0; BUFFER_BYTES], &mut self.deadline);
        let mut outgoing = Outgoing { socket, deadline, buffer, filled: 0 };
        self.question.write(&self.client.preamble, &mut outgoing)?;
        outgoing.flush().map_err(SendError::Stopped)
    }

    #[inline(never)]
    fn receive(&mut self, socket: &Descriptor, receive_ms: Option<u32>) -> End {
        let end = |outcome| End { outcome, reusable: false };
        let mut buffer = [0; BUFFER_BYTES];
        let buffer = &mut buffer;
        let mut receive_ms = receive_ms;
        loop {
            let received = match receive_ms.take() {
                Some(ms) => self.receive_waiting(socket, ms, buffer),
                None => self
                    .deadline
                    .wait(socket, Event::Readable)
                    .and_then(|_| sys::receive(socket, buffer)),
            };
            match received {
                Ok(0) => return self.reader.closed(),
                Ok(count) => {
                    let received = buffer.get(..count).unwrap_or_default();
                    if let Some(end) = self.reader.feed(received) {
                        return end;
                    }
                    if self.wait_ms > 0 && self.waits_for_person() {
                        self.begin_wait();
                    }
                }
                Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
                Err(errno) => return end(outcome_of(errno)),
            }
        }
    }

    /// Whether the server has said that a person is asked, to who has said that it waits for one.
    fn waits_for_person(&self) -> bool {
        self.reader.is_held() && self.client.preamble.waits()
    }

    /// From now on the time for a check is a person's. Who waits so long in a child of this
    /// process must be able to die of an interrupt meanwhile; a handler is no more to run there
    /// than before.
    #[cold]
    #[inline(never)]
    fn begin_wait(&mut self) {
        self.deadline = Deadline::new(core::mem::take(&mut self.wait_ms));
        if let Some(mask) = self.blocked {
            mask.with_handled().restore();
        }
    }

    /// The policy has been asked and has not allowed it: without a decision it is refused, whatever
    /// has become of the server.
    #[cold]
    #[inline(never)]
    fn end_wait(&self, answer: End) -> End {
        if self.blocked.is_some() {
            SignalMask::ALL.block();
        }
        match answer.outcome {
            Outcome::Unreachable(_) => End { outcome: UNDECIDED, reusable: false },
            _ => answer,
        }
    }

    fn receive_waiting(
        &mut self,
        socket: &Descriptor,
        ms: u32,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let received = sys::receive_waiting(socket, buffer);
        if received == Err(Errno(libc::EAGAIN)) {
            self.deadline.spend(ms);
        }
        received
    }
}

/// A socket to connect.
fn new_socket(address: &Address) -> Result<Descriptor, Outcome> {
    // Another thread, or a handler, may write to a stream that it has closed: that is to
    // fail as before, not to reach the server or, on a socket that is not connected yet,
    // raise SIGPIPE.
    let _occupied = STANDARD_STREAMS.map(sys::occupy);
    sys::socket(address).map_err(outcome_of)
}

/// What an error of the network means for the check.
fn outcome_of(Errno(errno): Errno) -> Outcome {
    match errno {
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS => NO_DESCRIPTOR,
        libc::ETIMEDOUT => Outcome::Unreachable(Unreachable::TimedOut),
        libc::ECONNRESET | libc::EPIPE => Outcome::Unreachable(Unreachable::Cut),
        _ => NO_SERVER,
    }
}

/// Why not all of a request was sent.
enum Stop {
    /// The server closed, or answers already.
    Interrupted,
    /// Something else.
    Failed(Errno),
}

/// Gathers a request in a buffer and sends it when that is full.
struct Outgoing<'o> {
    socket: &'o Descriptor,
    deadline: &'o mut Deadline,
    buffer: [u8; BUFFER_BYTES],
    filled: usize,
}

impl Sink for Outgoing<'_> {
    type Stop = Stop;

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let taken = copy_fitting(&mut self.buffer, self.filled, bytes);
            self.filled = self.filled.saturating_add(taken);
            bytes = bytes.get(taken..).unwrap_or_default();
            if !bytes.is_empty() {
                // The last piece is not to wait for word that the others have come.
                sys::set_no_delay(self.socket);
                self.flush()?;
            }
        }
        Ok(())
    }
}

impl Outgoing<'_> {
    fn flush(&mut self) -> Result<(), Stop> {
        let mut left = self.buffer.get(..self.filled).unwrap_or_default();
        while !left.is_empty() {
            match sys::send(self.socket, left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(Errno(libc::EINTR)) => {}
                Err(Errno(libc::EAGAIN)) => {
                    let answers = self.deadline.wait(self.socket, Event::Writable);
                    if answers.map_err(Stop::Failed)? {
                        return Err(Stop::Interrupted);
                    }
                }
                Err(Errno(libc::EPIPE | libc::ECONNRESET)) => return Err(Stop::Interrupted),
                Err(errno) => return Err(Stop::Failed(errno)),
            }
        }
        self.filled = 0;
        Ok(())
    }
}

/// The place of the kept connection: one word, so that it is taken and put back as one.
static SLOT: AtomicU64 = AtomicU64::new(EMPTY);
/// Which socket the kept descriptor stands for. Changed only while the place is taken.
static IDENTITY: AtomicU64 = AtomicU64::new(0);

const EMPTY: u64 = 0;
const TAKEN: u64 = 1;
/// Stands for descriptor 0; the others follow.
const FIRST: u64 = 2;

/// The place of the kept connection, taken; left empty when dropped unless a
/// connection was put back.
struct Slot {
    found: u64,
    leave: u64,
}

impl Slot {
    /// `None` if another thread has it, or this one had when a signal came.
    fn take() -> Option<Self> {
        let found = SLOT.swap(TAKEN, Ordering::Acquire);
        // Only who has taken it may make a value that gives it back.
        (found != TAKEN).then(|| Self { found, leave: EMPTY })
    }

    /// The kept connection. `None` also if the program has closed it meanwhile (the number
    /// may stand for a file of its own by now), if it is another process's of the same number,
    /// if the server has closed it, or if it has sent what would be taken for the answer to a
    /// question that was not put yet.
    fn connection(&self) -> Option<Descriptor> {
        let number = i32::try_from(self.found.checked_sub(FIRST)?).ok()?;
        let identity = sys::socket_identity(number)?;
        if identity != IDENTITY.load(Ordering::Relaxed) {
            return None;
        }
        let connection = core::mem::ManuallyDrop::new(Descriptor::from_number(number));
        // What is another process's stays open: this may be its copy of the descriptor.
        if !sys::is_owned(&connection) {
            return None;
        }
        let connection = core::mem::ManuallyDrop::into_inner(connection);
        sys::is_idle(&connection).then_some(connection)
    }

    /// Leaves the connection that was found here.
    fn put_back(&mut self, connection: Descriptor) {
        connection.into_number();
        self.leave = self.found;
    }

    /// Leaves a new connection here, out of the way of the program's own descriptors. There
    /// may be fewer than that to be had (`RLIMIT_NOFILE`).
    fn keep(&mut self, connection: Descriptor, receive_ms: u32) {
        let connection = sys::duplicate(&connection, LOWEST_DESCRIPTOR).unwrap_or(connection);
        if sys::set_owner(&connection)
            .and_then(|()| sys::set_receive_timeout(&connection, receive_ms))
            .is_err()
        {
            return;
        }
        let Some(identity) = sys::mark_identity(&connection) else { return };
        IDENTITY.store(identity, Ordering::Relaxed);
        self.leave = FIRST + u64::from(connection.into_number().unsigned_abs());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        SLOT.store(self.leave, Ordering::Release);
    }
}

//! Sends a question to the policy server and reads the answer.
//!
//! The process that loaded the library keeps one connection between its checks. Its forked and
//! vforked children, and threads that find the kept one in use, open a connection of their own and
//! close it afterwards.

use rampart_core::answer::{End, Reader};
use rampart_core::arena::copy_fitting;
use rampart_core::command::Sink;
use rampart_core::request::{Question, SendError};
use rampart_core::verdict::{Outcome, Unreachable};

use crate::descriptor::{Descriptor, Event};
use crate::errno::Errno;
use crate::kept_connection::Slot;
use crate::os::sys::{self, Address, Deadline, SignalMask};
use crate::state::{ClientConfig, State};

/// The descriptors that the program takes for its standard streams, open or not.
const STANDARD_STREAMS: [i32; 3] = [0, 1, 2];
/// How long the first receive on the kept connection blocks by itself. Nearly every answer comes
/// within that time, which saves a `ppoll(2)`; after it the library polls with the rest of the
/// time.
const LONGEST_RECEIVE_MS: u32 = 50;
/// How long a TCP connection to this machine may take before a new attempt is made.
const QUEUE_WAIT_MS: u32 = 20;
/// How often a question is put anew where another thread closes descriptors meanwhile
/// (`close_range(2)`): it does that from time to time, and a check is brief.
const MOST_ATTEMPTS: usize = 16;
/// The buffer on the stack for the request, and then for the answer.
const BUFFER_BYTES: usize = 480;

const NO_SERVER: Outcome = Outcome::Unreachable(Unreachable::NoServer);
const NO_DESCRIPTOR: Outcome = Outcome::Fault("no file descriptor is to be had for the check");
const CHANGED: Outcome = Outcome::Fault("the arguments changed while they were being checked");
const UNDECIDED: Outcome = Outcome::Fault("a person is to decide this, and nobody has");
const KILLED: Outcome = Outcome::Fault("the check was killed");
const TAKEN_AWAY: Outcome = Outcome::Fault("the program closes the descriptors of its checks");
const TOO_EARLY: Outcome =
    Outcome::Garbled("the policy server answered before it had the whole question");

/// Asks the server; afterwards `reader`, which the caller has on its stack, holds the content of the
/// answer. `is_own` is whether this process read the state itself ([`State::is_of`]).
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
        first: 0,
        blocked: None,
    };
    if is_own {
        exchange.by_kept_connection(state.timeout_ms.min(LONGEST_RECEIVE_MS))
    } else {
        if !exchange.find_first() {
            return NO_SERVER;
        }
        // This may be a vfork child, where a signal handler would run in the parent's memory
        // (vfork(2), "Caveats"). The program inherits the mask, so it is restored.
        let mask = SignalMask::ALL.block();
        exchange.blocked = Some(mask);
        let outcome = exchange.by_new_connection(None).0.outcome;
        mask.restore();
        outcome
    }
}

/// One question and its answer.
struct Exchange<'x, 'q, Arguments> {
    client: &'x ClientConfig,
    question: &'x Question<'q, Arguments>,
    reader: &'x mut Reader,
    deadline: Deadline,
    /// How long to wait for a person's decision, in milliseconds; 0: not at all, or already begun.
    wait_ms: u32,
    /// The first address to try.
    first: usize,
    /// The signal mask to restore, if all signals are blocked.
    blocked: Option<SignalMask>,
}

impl<'q, Arguments: Iterator<Item = &'q [u8]> + Clone> Exchange<'_, 'q, Arguments> {
    fn by_kept_connection(&mut self, receive_ms: u32) -> Outcome {
        // Which of the two lies higher is the compiler's choice where their frames are one.
        let own = core::ptr::from_ref(self).addr();
        let reader = core::ptr::from_ref(&*self.reader).addr();
        let mut slot = Slot::take(&(own.min(reader)..=own.max(reader)));
        if let Some(slot) = &mut slot
            && let Some(kept) = slot.connection()
        {
            let end = self.converse(&kept, Some(receive_ms));
            // The server may close an idle connection at any time, and another thread every
            // descriptor: try once more on a new one.
            let ends = [Outcome::Unreachable(Unreachable::Cut), TAKEN_AWAY];
            let was_stale = ends.contains(&end.outcome) && !self.reader.has_begun();
            if !was_stale {
                if end.reusable {
                    slot.put_back(kept);
                }
                return end.outcome;
            }
        }
        if !self.find_first() {
            return NO_SERVER;
        }
        // A new connection must not take the number of a closed standard stream. But that needs a
        // child, for which this thread waits with all signals blocked, and a person may take
        // minutes.
        if self.wait_ms == 0 && sys::has_closed_stream() {
            let mut outcome = KILLED;
            sys::with_unshared_table(|| outcome = self.by_new_connection(None).0.outcome);
            return outcome;
        }
        let (end, fresh) = self.by_new_connection(slot.as_mut());
        if let (Some(slot), Some(fresh), true) = (&mut slot, fresh, end.reusable) {
            slot.keep(fresh, receive_ms);
        }
        end.outcome
    }

    /// Finds the first address that is not of a missing socket file; `false` if there is none. That
    /// takes a tenth of the time of a socket that cannot be connected.
    fn find_first(&mut self) -> bool {
        let is_there =
            |address: &Option<Address>| address.as_ref().is_some_and(|it| !sys::is_missing(it));
        let first = self.client.addresses.iter().position(is_there);
        self.first = first.unwrap_or_default();
        first.is_some()
    }

    /// Asks at the first address where the server is reachable: a socket file may be removed, or
    /// out of reach for another user or in another namespace.
    fn by_new_connection(&mut self, mut slot: Option<&mut Slot>) -> (End, Option<Descriptor>) {
        let mut last = (End { outcome: NO_SERVER, reusable: false }, None);
        let mut is_known = true;
        for address in self.client.addresses.get(self.first..).unwrap_or_default() {
            let Some(address) = address else { continue };
            if !core::mem::take(&mut is_known) && sys::is_missing(address) {
                continue;
            }
            for _ in 0..MOST_ATTEMPTS {
                last = match self.connect(address, slot.as_deref_mut()) {
                    Ok(fresh) => (self.converse(&fresh, None), Some(fresh)),
                    Err(outcome) => (End { outcome, reusable: false }, None),
                };
                if last.0.outcome != TAKEN_AWAY || self.reader.has_begun() {
                    break;
                }
            }
            if last.0.outcome != NO_SERVER {
                break;
            }
        }
        last
    }

    /// Not inlined, so that its frame is gone before [`Self::converse`].
    #[inline(never)]
    fn connect(
        &mut self,
        address: &Address,
        mut slot: Option<&mut Slot>,
    ) -> Result<Descriptor, Outcome> {
        let mut noted_socket = || {
            let Some(slot) = &mut slot else { return new_socket(address) };
            // A handler that does not return would lose a socket that is not noted yet.
            let mask = SignalMask::ALL.block();
            let socket = new_socket(address);
            if let Ok(socket) = &socket {
                slot.note(socket);
            }
            mask.restore();
            socket
        };
        let mut socket = noted_socket()?;
        let mut connected = sys::connect(&socket, address);
        loop {
            connected = match connected {
                // If it is still in progress, sending will wait for it.
                Ok(()) => return Ok(socket),
                Err(Errno(libc::EINPROGRESS)) if !address.is_loopback() => return Ok(socket),
                // On this machine a connection is there at once unless the server's queue is full.
                // Then the kernel would retry after 1 s, 3 s and 7 s (tcp(7), `tcp_syn_retries`).
                Err(Errno(libc::EINPROGRESS)) => {
                    let mut brief = Deadline::new(QUEUE_WAIT_MS);
                    if brief.wait(&socket, Event::Writable) != Err(Errno(libc::ETIMEDOUT)) {
                        return Ok(socket);
                    }
                    self.deadline.spend(QUEUE_WAIT_MS);
                    self.deadline.pause(1).map_err(outcome_of)?;
                    socket = noted_socket()?;
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

    /// Sends the question and reads the answer. `receive_ms` is how long a receive on this socket
    /// blocks by itself; `None`: it does not.
    fn converse(&mut self, socket: &Descriptor, receive_ms: Option<u32>) -> End {
        let end = |outcome| End { outcome, reusable: false };
        let whole = match self.send(socket) {
            Ok(()) => true,
            Err(SendError::Changed) => return end(CHANGED),
            // The server reads no more; it may have said why.
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

    /// Not inlined, like [`Self::receive`], so that only one of their buffers is on the stack.
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

    /// Whether the server waits for a person's decision, and this request allows that.
    fn waits_for_person(&self) -> bool {
        self.reader.is_held() && self.client.preamble.waits()
    }

    /// Replaces the deadline of the check by that for a person's decision. A child that waits that
    /// long must die of a signal such as SIGINT; only signals with a handler stay blocked (see
    /// [`ask`]).
    #[cold]
    #[inline(never)]
    fn begin_wait(&mut self) {
        self.deadline = Deadline::new(core::mem::take(&mut self.wait_ms));
        if let Some(mask) = self.blocked {
            mask.with_handled().restore();
        }
    }

    /// Without a decision the program is refused, also if the server is gone: the policy did not
    /// allow it.
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
    // Another thread or a signal handler may write to a standard stream that is closed. That must
    // fail as before, and not go to the server's socket instead.
    let _occupied = STANDARD_STREAMS.map(sys::occupy);
    sys::socket(address).map_err(outcome_of)
}

/// The outcome of a check that failed with this error.
fn outcome_of(Errno(errno): Errno) -> Outcome {
    match errno {
        // Another thread has closed it, and may have opened a file by its number.
        libc::EBADF | libc::ENOTSOCK => TAKEN_AWAY,
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS => NO_DESCRIPTOR,
        libc::ETIMEDOUT => Outcome::Unreachable(Unreachable::TimedOut),
        libc::ECONNRESET | libc::EPIPE => Outcome::Unreachable(Unreachable::Cut),
        _ => NO_SERVER,
    }
}

/// Why a request was not sent completely.
enum Stop {
    /// The server closed the connection, or has answered already.
    Interrupted,
    /// Another error.
    Failed(Errno),
}

/// Collects a request in a buffer and sends it whenever that is full.
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
                // Otherwise the last piece would wait until the others are acknowledged.
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

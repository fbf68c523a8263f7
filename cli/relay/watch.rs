//! Waits until a relay is needed no more.

use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token as Slot};

use crate::run::lifetime::Tree;
use crate::server::ending_signals;

const SIGNALS: Slot = Slot(0);
const TREE: Slot = Slot(1);
const EVENTS_A_TURN: usize = 2;
/// How often to look whether somebody is still connected.
const TICK: Duration = Duration::from_secs(1);

/// Returns when the tree is gone and nobody uses the relay, or when a signal asks
/// the process to end.
///
/// # Errors
/// As the system says.
pub fn until_over(mut tree: Tree, is_used: impl Fn() -> bool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut signals = ending_signals()?;
    poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
    tree.register(poll.registry(), TREE)?;
    let mut events = Events::with_capacity(EVENTS_A_TURN);
    loop {
        let now = Instant::now();
        let pause = tree.next_look().map_or(TICK, |look| look.saturating_duration_since(now));
        match poll.poll(&mut events, Some(pause.min(TICK))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            polled => polled?,
        }
        let now = Instant::now();
        for event in &events {
            match event.token() {
                SIGNALS if matches!(signals.read(&mut [0]), Ok(1..)) => return Ok(()),
                TREE => tree.note_gone(now),
                _ => {}
            }
        }
        if !tree.look(now, poll.registry(), TREE) && !is_used() {
            return Ok(());
        }
    }
}

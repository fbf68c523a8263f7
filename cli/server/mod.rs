//! The HTTP server, whoever it is that answers: one thread, and as many clients as come.
//!
//! A handler answers now or later. Later may be a millisecond, where a long command is
//! judged on another thread, a round trip to another server, or a person's minute: nobody
//! else waits for it.
//!
//! A question goes this way: [`listen`] gives a socket, [`crowd`] a place among the others
//! and the deadlines, [`connection`] speaks HTTP with it, [`door`] sees whether it may be
//! asked and reads it whole, and the [`Handler`] answers.

mod answer;
mod connection;
mod crowd;
mod door;
mod itself;
pub mod listen;
mod policy;
mod question;
mod reload;
mod stream;
pub mod tls;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{JoinSet, spawn_local, yield_now};
use tokio::time::sleep;

pub use answer::{Answer, Asked, Endpoint};
pub use crowd::Crowd;
pub use itself::Itself;
pub use policy::Policy;
pub use question::verdict_name;
pub use reload::Reload;

use crate::failure::Failure;
use crate::token::Token;
use door::Door;
use listen::Listener;

/// How long the answers under way may take when the server ends.
const ENDING_TIME: Duration = Duration::from_secs(1);
/// Clients that are accepted before those who are connected have their turn.
const ACCEPTS_A_TURN: usize = 16;
/// How long to wait where the system has nothing to accept a client with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Threads for what cannot be awaited: names that are looked up, long commands.
const BLOCKING_THREADS: usize = 4;

/// Answers questions, now or later.
pub trait Handler: 'static {
    /// The answer to a request that is whole and may be asked.
    async fn answer(&self, asked: Asked) -> Answer;
}

/// What a server runs in: a single thread, and a few more where something blocks.
///
/// # Errors
/// The system does not give what it takes.
pub fn runtime() -> Result<LocalRuntime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build_local(LocalOptions::default())
        .map_err(|error| Failure::new(format!("cannot set up the server: {error}")))
}

/// A server that is ready to run.
pub struct Server {
    listeners: Vec<Listener>,
    token: Token,
    crowd: Rc<Crowd>,
}

impl Server {
    /// A server for those who show this token. So many descriptors are left to others.
    pub fn new(listeners: Vec<Listener>, token: Token, reserved: usize) -> Self {
        Self { listeners, token, crowd: Crowd::new(reserved) }
    }

    /// Those who will be connected to it.
    pub fn crowd(&self) -> Rc<Crowd> {
        Rc::clone(&self.crowd)
    }

    /// Serves until this is done, and then sends the answers that are under way.
    pub async fn run<H: Handler>(self, handler: H, until: impl Future<Output = ()>) {
        let Self { listeners, token, crowd } = self;
        let door = Rc::new(Door::new(token, handler));
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn_local(accept(listener, Rc::clone(&crowd), Rc::clone(&door)));
        }
        tokio::select! {
            () = until => {}
            () = crowd.watch() => {}
        }
        accepting.shutdown().await;
        crowd.finish(ENDING_TIME).await;
    }
}

/// Lets everybody in who comes, for ever.
async fn accept<H: Handler>(listener: Listener, crowd: Rc<Crowd>, door: Rc<Door<H>>) {
    loop {
        for _ in 0..ACCEPTS_A_TURN {
            crowd.place().await;
            match listener.accept().await {
                Ok(arrival) => {
                    spawn_local(connection::converse(arrival, crowd.enter(), Rc::clone(&door)));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) if error.raw_os_error() == Some(libc::EMFILE) && crowd.make_place() => {
                    break;
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
        yield_now().await;
    }
}

/// Whether a client that gave up is all that is wrong.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::EINTR | libc::EPERM | libc::EPROTO)
    )
}

//! The relay: where the policy server is one that the library does not speak to
//! itself, a server of the run's own passes its questions on, over verified TLS.
//!
//! The library asks at a Unix socket, with a token made for the run; the server's
//! own token stays in the relay. What the server answers is passed on as it is.

mod client;
mod connect;
mod fault;
mod front;
mod remote;
mod trust;
mod watch;

use std::ffi::CStr;
use std::io;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use rampart_core::settings::{Settings, Variable};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

pub use remote::{Proxy, Remote};

use crate::failure::{Failure, say};
use crate::home::Home;
use crate::run::lifetime::Tree;
use crate::run::own_server::{self, Access, Post};
use crate::server::{Endpoint, connections_limit};
use crate::token::Token;
use client::Client;
use connect::Connector;
use fault::Fault;
use front::Front;

const TITLE: &CStr = c"rampart-relay: for a guarded run";
/// The relay gives up before the library does, by a tenth of what that waits and at
/// most so much, so that its answer still comes in time.
const LONGEST_MARGIN: Duration = Duration::from_millis(200);
/// How long the command is kept waiting for a server that may not be there.
const TRIAL_TIME: Duration = Duration::from_secs(2);
/// Threads that look names up.
const RESOLVERS: usize = 4;
/// How long the answers under way may take when the relay ends.
const ENDING_TIME: Duration = Duration::from_secs(1);
const ENDING_PAUSE: Duration = Duration::from_millis(10);

/// What a relay is told.
pub struct Order<'o> {
    pub remote: Remote,
    /// The server's token.
    pub token: Option<Token>,
    pub ca: Option<&'o Path>,
    pub proxy: Option<Proxy>,
    /// What becomes of commands while the server cannot be reached.
    pub consequence: &'static str,
}

/// Starts a relay for the tree of processes that this process is about to become
/// the root of. The server has been tried by then: one that cannot be reached is
/// warned of, and one that is not to be trusted is an error.
///
/// # Errors
/// The CAs cannot be read, the server's name has no address, or as
/// [`own_server::start`].
pub fn start(order: Order<'_>, home: &Home, library: &Path) -> Result<Access, Failure> {
    let Order { remote, token, ca, proxy, consequence } = order;
    let tls = trust::client(ca)?;
    check_name(&remote, proxy.as_ref())?;
    let authorization = token.as_ref().map(authorization).transpose()?;
    let patience = patience();
    let connector = Connector::new(tls, proxy, patience);
    let client = Client::new(remote, connector, authorization, patience);
    own_server::start(TITLE, home, library, None, |post| {
        hide_memory();
        let relay = Relay::new(client, post)?;
        relay.try_out(consequence)?;
        Ok(|| relay.run())
    })
}

/// A relay that is ready to run.
struct Relay {
    runtime: Runtime,
    front: Arc<Front>,
    listeners: Vec<std::os::unix::net::UnixListener>,
    tree: Tree,
}

impl Relay {
    fn new(client: Client, post: Post) -> Result<Self, Failure> {
        let Post { listeners, token, tree } = post;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVERS)
            .build()
            .map_err(|error| Failure::new(format!("cannot set up the relay: {error}")))?;
        let connections_limit = connections_limit().saturating_sub(client::CONNECTIONS).max(1);
        let front = Arc::new(Front::new(client, token, connections_limit));
        Ok(Self { runtime, front, listeners, tree })
    }

    /// Asks for the server's health, so that a fault is known before the command runs,
    /// and a connection is there when it asks.
    fn try_out(&self, consequence: &str) -> Result<(), Failure> {
        let client = self.front.client();
        let asked = client.in_time(client.ask(Endpoint::Health, Bytes::new()));
        let tried = async { timeout(TRIAL_TIME, asked).await.unwrap_or(Err(Fault::Late)) };
        let fault = match self.runtime.block_on(tried) {
            Ok(answer) if answer.status.is_server_error() => {
                Fault::Unreachable(format!("it answers {}", answer.status))
            }
            Ok(_) => return Ok(()),
            Err(fault) => fault,
        };
        let sentence = format!("{}: {}", client.url(), fault.reason());
        if matches!(fault, Fault::Untrusted(_)) {
            return Err(Failure::new(sentence));
        }
        say(format!("{sentence}; until it can, {consequence}"));
        Ok(())
    }

    fn run(self) {
        let Self { runtime, front, listeners, tree } = self;
        let (over, ended) = oneshot::channel();
        let watched = Arc::clone(&front);
        std::thread::spawn(move || {
            let _ = watch::until_over(tree, || watched.is_used());
            let _ = over.send(());
        });
        runtime.block_on(async {
            let listeners = listeners.into_iter().flat_map(listen);
            let serve = |listener| tokio::spawn(Arc::clone(&front).serve(listener));
            let serving: Vec<_> = listeners.map(serve).collect();
            let _ = ended.await;
            serving.iter().for_each(tokio::task::JoinHandle::abort);
            let end = Instant::now() + ENDING_TIME;
            while front.client().is_asking() && Instant::now() < end {
                sleep(ENDING_PAUSE).await;
            }
        });
        // Whoever looks a name up for longer is not waited for.
        runtime.shutdown_background();
    }
}

fn listen(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// A name without an address is mistyped, or the proxy's to know.
fn check_name(remote: &Remote, proxy: Option<&Proxy>) -> Result<(), Failure> {
    let (host, port) = proxy.map_or((&remote.host, remote.port), |proxy| (&proxy.host, proxy.port));
    (host.as_str(), port).to_socket_addrs().map(drop).map_err(|error| {
        Failure::new(format!("cannot find the address of {host}: {error}; nothing was run"))
    })
}

fn authorization(token: &Token) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
        .map_err(|_| Failure::usage("the token has a character that cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// How long a question may take, for the library to have the answer in time.
fn patience() -> Duration {
    let variable = Variable::TimeoutMs;
    let value = std::env::var_os(&*variable.name().to_string_lossy());
    let value = value.as_deref().map(std::os::unix::ffi::OsStrExt::as_bytes);
    let settings = Settings::read(|asked| if asked == variable { value } else { None });
    let timeout = Duration::from_millis(settings.timeout_ms.into());
    timeout.saturating_sub((timeout / 10).min(LONGEST_MARGIN))
}

/// Keeps the server's token from the agent: another process of the same user can
/// neither read this one's memory nor the environment that it was started with.
#[cfg(target_os = "linux")]
fn hide_memory() {
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Not done on this system.
#[cfg(not(target_os = "linux"))]
fn hide_memory() {}

//! The relay: for a policy server over TLS, which the library does not speak, the run's own server
//! passes the questions on.
//!
//! The library asks at a Unix socket with a token made for the run; the policy server's token stays
//! in the relay. Answers are passed on unchanged.

mod client;
mod connect;
mod fault;
mod handler;
mod remote;

use std::cell::Cell;
use std::ffi::CStr;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use rampart_core::settings::{Settings, Variable};
use tokio::time::timeout;

pub use remote::{Proxy, Remote};

use crate::audit::{Audit, Durability};
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::run::own_server::{self, Access};
use crate::server::{self, ApprovalQueue, Endpoint, OwnProcess, Server};
use crate::token::Token;
use crate::trust;
use client::Client;
use connect::Connector;
use fault::Fault;
use handler::Relay;

const TITLE: &CStr = c"rampart-relay";
/// The relay gives up before the library does, by a tenth of the library's timeout but at most
/// this, so that its own answer still arrives.
const LONGEST_MARGIN: Duration = Duration::from_millis(200);
/// How long the start of a run waits for the server's first answer.
const TRIAL_TIME: Duration = Duration::from_secs(2);

/// A relay's options.
pub struct RelayOptions<'o> {
    pub remote: Remote,
    /// The server's token.
    pub token: Option<Token>,
    pub ca: Option<&'o Path>,
    pub proxy: Option<Proxy>,
    /// What happens to commands while the server cannot be reached, for messages.
    pub consequence: &'static str,
    /// Whether the run waits for a person (`--ask`).
    pub waits: bool,
}

/// Starts a relay for the process tree whose root this process is about to become. Tries the server
/// first: warns if it cannot be reached, fails if it is not to be trusted.
///
/// # Errors
/// The CAs cannot be read, the server's name has no address, or as
/// [`own_server::start`].
pub fn start(options: RelayOptions<'_>, home: &Home, library: &Path) -> Result<Access, Failure> {
    let RelayOptions { remote, token, ca, proxy, consequence, waits } = options;
    let tls = trust::client(ca)?;
    check_name(&remote, proxy.as_ref())?;
    let authorization = token.as_ref().map(authorization).transpose()?;
    let request_timeout = request_timeout();
    let connector = Connector::new(tls, proxy, request_timeout);
    let client = Client::new(remote, connector, authorization, request_timeout);
    let audit = waits.then(|| Audit::open(&home.audit(), Durability::Soon));
    let reserved = client::CONNECTIONS + if waits { handler::MOST_HELD } else { 0 };
    own_server::start(TITLE, home, library, reserved, true, |runtime| {
        hide_memory();
        let run = server::run_id()?;
        let approval_queue = ApprovalQueue::new(&run);
        let (held, count) = (Cell::new(0), Cell::new(0));
        let relay =
            Relay { client, itself: OwnProcess::here(), approval_queue, audit, held, run, count };
        runtime.block_on(try_out(&relay, consequence))?;
        Ok(async move |server: Server, shutdown| relay.serve(server, shutdown).await)
    })
}

/// Asks for the server's health, so that faults show before the command runs and a connection is
/// ready.
async fn try_out(relay: &Relay, consequence: &str) -> Result<(), Failure> {
    let asked = timeout(TRIAL_TIME, relay.ask(Endpoint::Health, Bytes::new()));
    let fault = match asked.await.unwrap_or(Err(Fault::Late)) {
        Ok(answer) if answer.status.is_server_error() => {
            Fault::Unreachable(format!("it answers {}", answer.status))
        }
        Ok(_) => return Ok(()),
        Err(fault) => fault,
    };
    let sentence = format!("{}: {}", relay.client.url(), fault.reason());
    if matches!(fault, Fault::Untrusted(_)) {
        return Err(Failure::new(sentence));
    }
    say(format!("{sentence}; until it can, {consequence}"));
    Ok(())
}

/// Checks that the server's or the proxy's name can be resolved. With a proxy, the proxy resolves
/// the server's.
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

/// How long a question may take so that the library gets the answer in time.
fn request_timeout() -> Duration {
    let timeout = check_timeout();
    timeout.saturating_sub((timeout / 10).min(LONGEST_MARGIN))
}

/// How long the library waits for an answer.
pub fn check_timeout() -> Duration {
    let variable = Variable::TimeoutMs;
    let value = std::env::var_os(&*variable.name().to_string_lossy());
    let value = value.as_deref().map(std::os::unix::ffi::OsStrExt::as_bytes);
    let settings = Settings::read(|asked| if asked == variable { value } else { None });
    Duration::from_millis(settings.timeout_ms.into())
}

/// Keeps the server's token from the agent: other processes of this user can then read neither this
/// one's memory nor its initial environment (`PR_SET_DUMPABLE`, prctl(2)).
#[cfg(target_os = "linux")]
fn hide_memory() {
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Does nothing: not available on this system.
#[cfg(not(target_os = "linux"))]
fn hide_memory() {}

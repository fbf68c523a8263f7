//! Sends decisions and waiting questions to the receivers of `notify` and of rules' `webhook`: as
//! events of the Go server, or as text for chat channels.
//!
//! Sending happens on a thread of its own; what does not fit its queue is dropped. A receiver that
//! fails is an event in the audit, once until it succeeds again. Secrets are masked as in the
//! audit, redirects are not followed, and proxy variables are ignored.

use std::error::Error;
use std::sync::mpsc::{Receiver as Done, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rampart_policy::{Decision, Notify, Platform, PolicySet};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::approval::Waiting;
use super::question::{Question, verdict_name};
use crate::audit::mask;
use crate::mode::Mode;
use crate::terminal::cut;
use crate::trust;

/// The audit's event for a webhook that failed.
pub const UNTOLD: &str = "webhook-failed";
/// For a whole call, including the name lookup.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many calls are under way at once.
const AT_ONCE: u32 = 16;
/// How many calls wait for their turn: as many as questions may wait for a person.
const QUEUE: usize = 1024;
/// How long the server's end waits for calls under way.
const ENDING_TIME: Duration = Duration::from_secs(1);
/// How much of a command is sent, in characters: it is for a person to read.
const SHOWN: usize = 1000;

/// An event. The names are the Go server's; the last three are additions.
#[derive(Serialize)]
struct Event {
    action: &'static str,
    tool: &'static str,
    command: String,
    policy: String,
    message: String,
    agent: String,
    /// RFC 3339, in UTC.
    timestamp: String,
    /// The question's ID, if it waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    mode: &'static str,
}

/// A call of a webhook.
struct Call {
    to: Notify,
    event: Event,
}

/// Sends webhooks.
#[derive(Default)]
pub struct Webhook {
    line: Mutex<Worker>,
    faults: Arc<Mutex<Faults>>,
}

/// The sending thread, started by the first call.
#[derive(Default)]
enum Worker {
    #[default]
    Unopened,
    Open(Sender<Call>, Done<()>),
    Closed,
}

/// Whether calls fail, and the message that the audit has not recorded yet.
#[derive(Default)]
struct Faults {
    is_failing: bool,
    untold: Option<String>,
}

impl Faults {
    fn add(&mut self, why: String) {
        if !std::mem::replace(&mut self.is_failing, true) {
            self.untold = Some(why);
        }
    }
}

impl Webhook {
    /// Sends a decision on a question, which may be waiting for a person.
    pub fn tell(
        &self,
        policies: &PolicySet,
        question: &Question<'_>,
        decision: &Decision,
        waiting: Option<&Waiting>,
        mode: Mode,
    ) {
        let is_for = |to: &&Notify| to.is_for(decision.action);
        let general = policies.notify().filter(is_for);
        let of_rule = policies.webhook(decision).filter(is_for);
        let of_rule = of_rule.filter(|it| general.is_none_or(|other| other.url != it.url));
        for to in general.into_iter().chain(of_rule) {
            let event = event(question, decision, waiting, mode);
            self.send(Call { to: to.clone(), event });
        }
    }

    /// The message to record in the audit, if calls have begun to fail.
    pub fn take_fault(&self) -> Option<String> {
        lock(&self.faults).untold.take()
    }

    /// Takes no more calls, and waits a moment for those under way.
    pub fn finish(&self) {
        let line = std::mem::replace(&mut *lock(&self.line), Worker::Closed);
        if let Worker::Open(sender, done) = line {
            drop(sender);
            let _ = done.recv_timeout(ENDING_TIME);
        }
    }

    fn send(&self, call: Call) {
        let mut line = lock(&self.line);
        if matches!(*line, Worker::Unopened) {
            *line = open(Arc::clone(&self.faults)).unwrap_or(Worker::Closed);
        }
        if let Worker::Open(sender, _) = &*line
            && sender.try_send(call).is_err()
        {
            let why = "events for `notify` come faster than its receiver takes them; some were \
                dropped";
            lock(&self.faults).add(why.to_owned());
        }
    }
}

/// Starts the thread, with its own runtime, so that the server's answers do not wait for it.
fn open(faults: Arc<Mutex<Faults>>) -> Option<Worker> {
    let (sender, mut calls) = channel::<Call>(QUEUE);
    let (all_done, done) = sync_channel(1);
    let tell = move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let turns = Arc::new(Semaphore::new(AT_ONCE as usize));
            let tls = Arc::new(OnceCell::new());
            while let Some(Call { to, event }) = calls.recv().await {
                let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
                let (tls, faults) = (Arc::clone(&tls), Arc::clone(&faults));
                tokio::spawn(async move {
                    let told = timeout(TIMEOUT, post(&to, event, &tls)).await;
                    match told.unwrap_or_else(|_| Err("it did not answer in time".to_owned())) {
                        Ok(()) => lock(&faults).is_failing = false,
                        Err(why) => {
                            // The path may be a secret.
                            let place = place(&to.url);
                            lock(&faults).add(format!("no event reached {place}: {why}"));
                        }
                    }
                    drop(turn);
                });
            }
            let _ = turns.acquire_many(AT_ONCE).await;
        });
        runtime.shutdown_background();
        let _ = all_done.send(());
    };
    let thread = thread::Builder::new().name("webhook".into()).spawn(tell);
    thread.ok().map(|_| Worker::Open(sender, done))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn event(
    question: &Question<'_>,
    decision: &Decision,
    waiting: Option<&Waiting>,
    mode: Mode,
) -> Event {
    let call = question.call();
    let now = SystemTime::now();
    let time = |time| humantime::format_rfc3339_seconds(time).to_string();
    let expires_at = waiting.map(|it| time(now + Duration::from_millis(it.left_ms)));
    Event {
        action: verdict_name(decision.action),
        tool: "exec",
        command: call.command.to_owned(),
        policy: decision.matched.first().map_or("unknown", String::as_str).to_owned(),
        message: decision.message.clone(),
        agent: call.agent.to_owned(),
        timestamp: time(now),
        approval_id: waiting.map(|it| it.id.clone()),
        expires_at,
        session: call.session.to_owned(),
        cwd: call.cwd.map(str::to_owned),
        mode: mode.name(),
    }
}

/// The scheme and host of a URL.
fn place(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::authority).map_or("", |host| host.as_str());
    format!("the receiver of `notify` at {host}")
}

/// Sends an event, and checks the answer.
async fn post(to: &Notify, mut event: Event, tls: &OnceCell<TlsConnector>) -> Result<(), String> {
    event.command = cut(&mask(&event.command), SHOWN);
    event.message = mask(&event.message).into_owned();
    let body = match to.platform {
        Platform::Generic => serde_json::to_vec(&event),
        Platform::Slack => serde_json::to_vec(&json!({ "text": for_slack(&text(&event)) })),
        Platform::Discord => serde_json::to_vec(&for_discord(&text(&event))),
    };
    let body = body.map_err(|error| error.to_string())?;
    let uri: Uri = to.url.parse().map_err(|error| format!("its URL is none: {error}"))?;
    let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
    let authority = uri.authority().ok_or("its URL has no host")?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    *request.uri_mut() = path.parse().map_err(|error| format!("its path is none: {error}"))?;
    let fields = request.headers_mut();
    fields.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(|it| it.to_string())?);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(USER_AGENT, HeaderValue::from_static("rampart"));
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|it| it.to_string())?;
    let status = if is_secure {
        let tls = tls.get_or_try_init(connector).await?;
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await.map_err(|error| error.to_string())?;
        send(stream, request).await?
    } else {
        send(stream, request).await?
    };
    if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
}

async fn connector() -> Result<TlsConnector, String> {
    // On another thread: reads the machine's certificates from disk.
    let config =
        spawn_blocking(|| trust::client(None).map_err(|failure| failure.sentence().to_owned()));
    config.await.map_err(|error| error.to_string())?.map(TlsConnector::from)
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, String> {
    let (mut sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    tokio::spawn(driver);
    sender.send_request(request).await.map(|it| it.status()).map_err(|error| said(&error))
}

/// The innermost cause of an error.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// An event as text for a chat channel.
fn text(event: &Event) -> String {
    let Event { agent, command, message, policy, session, .. } = event;
    let what = match event.action {
        "ask" if event.approval_id.is_some() => "waits for a person",
        "ask" => "was refused because no person was asked",
        "deny" if event.mode == Mode::Enforce.name() => "was refused",
        "deny" => "would have been refused",
        "watch" => "is watched",
        _ => "was allowed",
    };
    let answer = match (&event.approval_id, &event.expires_at) {
        (Some(id), Some(until)) => {
            format!("\nrampart approve {id} | rampart deny {id} (until {until})")
        }
        _ => String::new(),
    };
    format!("rampart: {agent} ({session}): `{command}` {what}: {message} [{policy}]{answer}")
}

/// Escapes markup (Slack, "Formatting text for app surfaces"; Teams takes HTML, with the same
/// escapes).
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Without mentions, and at most 2,000 characters (Discord, "Execute Webhook").
fn for_discord(text: &str) -> Value {
    json!({ "content": cut(text, 2000), "allowed_mentions": { "parse": [] } })
}

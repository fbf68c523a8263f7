//! The client of the policy server, which reuses connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::ext::on_informational;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rampart_core::answer::LONGEST_BODY;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::connect::Connector;
use super::fault::Fault;
use super::remote::Remote;
use crate::server::{Answer, Endpoint};

/// How many questions are under way at once, each on its own connection. Others wait for their
/// turn.
pub const CONNECTIONS: usize = 32;
/// How long an idle connection is reused. Servers, proxies and NATs drop connections that are idle
/// for a minute or more, some of them silently.
const IDLE_TIME: Duration = Duration::from_secs(50);

/// A connection.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// When it was last used, by a clock that continues while the machine is suspended.
    used: SystemTime,
}

impl Connection {
    fn new(sender: SendRequest<Full<Bytes>>) -> Self {
        Self { sender, used: SystemTime::now() }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Fault> {
        self.sender.send_request(request).await.map_err(|error| Fault::of(&error))
    }

    fn is_usable(&self) -> bool {
        self.sender.is_ready() && self.used.elapsed().is_ok_and(|idle| idle < IDLE_TIME)
    }
}

/// Notified when the server says that it holds the question (`102 Processing`).
type Held = Arc<Notify>;

/// The outcome of a question that the server may hold.
pub enum HeldReply {
    AtOnce(Answer),
    /// The server held it. A failure after that does not count as an unreachable server.
    Held(Result<Answer, Fault>),
}

/// A client of one server.
pub struct Client {
    remote: Remote,
    connector: Connector,
    authorization: Option<HeaderValue>,
    /// The time for a whole question.
    timeout_after: Duration,
    turns: Semaphore,
    /// The most recently used one is last.
    kept: Mutex<Vec<Connection>>,
}

impl Client {
    pub fn new(
        remote: Remote,
        connector: Connector,
        authorization: Option<HeaderValue>,
        timeout_after: Duration,
    ) -> Self {
        Self {
            remote,
            connector,
            authorization,
            timeout_after,
            turns: Semaphore::new(CONNECTIONS),
            kept: Mutex::default(),
        }
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        self.remote.url()
    }

    /// Limits some work to the time for a question.
    ///
    /// # Errors
    /// As the work, or it takes too long.
    pub async fn in_time<Done>(
        &self,
        work: impl Future<Output = Result<Done, Fault>>,
    ) -> Result<Done, Fault> {
        timeout(self.timeout_after, work).await.unwrap_or_else(|_| {
            // If the network has changed, all kept connections are dead.
            self.forget_kept();
            Err(Fault::Late)
        })
    }

    /// Asks a question.
    ///
    /// # Errors
    /// The server did not answer.
    pub async fn ask(&self, endpoint: Endpoint, body: Bytes) -> Result<Answer, Fault> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.map_err(|error| Fault::of(&error))?;
        self.exchange(endpoint, body, &Held::default()).await
    }

    /// Asks a question that the server may hold for a person, and waits up to `longest` then. A
    /// held question does not count among those under way, so that it keeps nobody from asking.
    /// `meanwhile` runs while the question is held; if it ends, the answer is given up.
    ///
    /// # Errors
    /// As [`Client::in_time`], before the server says that it holds the question; after that the
    /// error is inside [`HeldReply::Held`].
    pub async fn ask_and_wait(
        &self,
        body: Bytes,
        longest: Duration,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<HeldReply, Fault> {
        let held = Held::default();
        let asking = self.exchange(Endpoint::Preflight, body, &held);
        tokio::pin!(asking);
        let told = self.in_time(async {
            let turn = self.turns.acquire().await.map_err(|error| Fault::of(&error))?;
            let told = tokio::select! {
                biased;
                answer = &mut asking => Some(answer?),
                () = held.notified() => None,
            };
            drop(turn);
            Ok(told)
        });
        if let Some(answer) = told.await? {
            return Ok(HeldReply::AtOnce(answer));
        }
        let answer = timeout(longest + self.timeout_after, async {
            tokio::select! {
                biased;
                answer = asking => answer,
                () = meanwhile => Err(Fault::Late),
            }
        });
        Ok(HeldReply::Held(answer.await.unwrap_or(Err(Fault::Late))))
    }

    async fn exchange(
        &self,
        endpoint: Endpoint,
        body: Bytes,
        held: &Held,
    ) -> Result<Answer, Fault> {
        let (mut connection, response) = self.send(endpoint, body, held).await?;
        let answer = read(response).await?;
        if connection.sender.ready().await.is_ok() {
            connection.used = SystemTime::now();
            self.lock_kept().push(connection);
        }
        Ok(answer)
    }

    /// Sends a question, and returns the head of the answer with its connection.
    async fn send(
        &self,
        endpoint: Endpoint,
        body: Bytes,
        held: &Held,
    ) -> Result<(Connection, Response<Incoming>), Fault> {
        if let Some(mut kept) = self.take_kept() {
            match kept.send(self.request(endpoint, body.clone(), held)).await {
                // The server may have just closed it: try a new one.
                Err(Fault::Unreachable(_)) => self.forget_kept(),
                sent => return sent.map(|response| (kept, response)),
            }
        }
        let mut fresh = Connection::new(self.connector.connect(&self.remote).await?);
        let response = fresh.send(self.request(endpoint, body, held)).await?;
        Ok((fresh, response))
    }

    fn request(&self, endpoint: Endpoint, body: Bytes, held: &Held) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        let held = Arc::clone(held);
        on_informational(&mut request, move |response| {
            if response.status() == StatusCode::PROCESSING {
                held.notify_one();
            }
        });
        *request.uri_mut() = self.remote.path(endpoint).clone();
        let fields = request.headers_mut();
        fields.insert(HOST, self.remote.authority.clone());
        if endpoint == Endpoint::Preflight {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(authorization) = &self.authorization {
                fields.insert(AUTHORIZATION, authorization.clone());
            }
            *request.method_mut() = Method::POST;
        }
        request
    }

    fn take_kept(&self) -> Option<Connection> {
        let mut kept = self.lock_kept();
        kept.retain(Connection::is_usable);
        kept.pop()
    }

    fn forget_kept(&self) {
        self.lock_kept().clear();
    }

    fn lock_kept(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a whole answer. An error status counts even if its body cannot be read.
async fn read(response: Response<Incoming>) -> Result<Answer, Fault> {
    let status = response.status();
    if status.is_informational() {
        return Err(Fault::Untrusted(format!("it answers {status}")));
    }
    match Limited::new(response.into_body(), LONGEST_BODY).collect().await {
        Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
        Err(_) if status != StatusCode::OK => Ok(Answer { status, body: Bytes::new() }),
        Err(error) => Err(Fault::of(&*error)),
    }
}

//! Asks the policy server, over connections that are kept between the questions.

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

/// Questions that are on their way at once, each on a connection of its own. The
/// others wait for their turn.
pub const CONNECTIONS: usize = 32;
/// Servers and what is before them close a connection that was idle for one to
/// several minutes, not all of them audibly.
const IDLE_TIME: Duration = Duration::from_secs(50);

/// One connection.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// By the clock that goes on while the machine sleeps.
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

/// Whether the server has said that it holds a question.
type Held = Arc<Notify>;

/// What has become of a question that may be held.
pub enum HeldReply {
    AtOnce(Answer),
    /// The server has said that it holds it. What fails then is no server that cannot be reached.
    Held(Result<Answer, Fault>),
}

/// Asks one server.
pub struct Client {
    remote: Remote,
    connector: Connector,
    authorization: Option<HeaderValue>,
    /// For one question, whatever it takes.
    timeout_after: Duration,
    turns: Semaphore,
    /// The one that was used last is at the end.
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

    /// Gives up on an answer when it would come too late.
    ///
    /// # Errors
    /// As the work, or it takes too long.
    pub async fn in_time<Done>(
        &self,
        work: impl Future<Output = Result<Done, Fault>>,
    ) -> Result<Done, Fault> {
        timeout(self.timeout_after, work).await.unwrap_or_else(|_| {
            // Perhaps the network has changed, and all kept connections are dead.
            self.forget_kept();
            Err(Fault::Late)
        })
    }

    /// Puts a question.
    ///
    /// # Errors
    /// There is no answer of the server's.
    pub async fn ask(&self, endpoint: Endpoint, body: Bytes) -> Result<Answer, Fault> {
        // Without a turn nothing is asked; the semaphore is never closed.
        let _turn = self.turns.acquire().await.map_err(|error| Fault::of(&error))?;
        self.exchange(endpoint, body, &Held::default()).await
    }

    /// Puts a question that the server may hold for a person, and waits for so long then. It has
    /// no turn meanwhile: what a person thinks about keeps nobody from asking. `meanwhile` is done
    /// when the server says that it holds it, and gives up on the answer where it ends.
    ///
    /// # Errors
    /// As [`Client::in_time`] before the server says so. Inside: what becomes of a question that it
    /// holds.
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

    /// Sends a question, and gives the head of the answer with its connection.
    async fn send(
        &self,
        endpoint: Endpoint,
        body: Bytes,
        held: &Held,
    ) -> Result<(Connection, Response<Incoming>), Fault> {
        if let Some(mut kept) = self.take_kept() {
            match kept.send(self.request(endpoint, body.clone(), held)).await {
                // The server may have closed it just now: that is no failure.
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

/// Reads an answer whole. The status of one that is no verdict counts whatever
/// becomes of its body.
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

//! The client side of approvals: questions that wait for a person, at all servers of this user.
//!
//! [`all`] lists them, and [`Question::resolve`] answers one, over Unix sockets and without a
//! token: the server sees which process connects, and refuses guarded ones.

use std::collections::BTreeSet;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;
use std::{fmt, io};

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::home::Home;
use crate::run::guarded::runs;
pub use crate::server::{Reply, Scope, Waiting};

/// Far longer than even a busy server on this machine needs.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest body, a full list of long questions.
const LIST_LIMIT: usize = 32 * 1024 * 1024;

/// A waiting question, and its server.
#[derive(Debug, Clone)]
pub struct Question {
    pub server: Endpoint,
    pub waiting: Waiting,
}

/// What waits at this user's servers.
#[derive(Debug, Default)]
pub struct Waits {
    /// The oldest first.
    pub questions: Vec<Question>,
    /// The servers that gave no list: there may be more questions.
    pub silent: Vec<Silent>,
}

/// A server that gave no list, and why.
#[derive(Debug)]
pub struct Silent {
    pub server: Endpoint,
    pub error: io::Error,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server at {} does not say what waits: {}", self.server.url(), self.error)
    }
}

/// All waiting questions. The servers are asked at the same time.
pub fn all(home: &Home) -> Waits {
    at(servers(home))
}

/// The question with this ID.
///
/// # Errors
/// There is none.
pub fn find(home: &Home, id: &str) -> Result<Question, Failure> {
    let servers = servers(home);
    let Waits { questions, silent } = at(servers.clone());
    questions.into_iter().find(|question| question.waiting.id == id).ok_or_else(|| {
        // Its server may still know how it ended.
        let path = path(id);
        let answers = |server: &&Endpoint| silent.iter().all(|it| it.server.url() != server.url());
        let told = servers.iter().filter(answers).find_map(|server| {
            let (status, body) =
                server.exchange(&Method::POST, &path, "{}", LIST_LIMIT, TIMEOUT).ok()?;
            (status == StatusCode::CONFLICT).then(|| fault(&body))
        });
        Failure::new(told.unwrap_or_else(|| match &silent[..] {
            [] => format!("no question {id} waits: `rampart pending` lists those that do"),
            silent => {
                let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
                format!("no question {id} is known to wait: {}", silent.join("; "))
            }
        }))
    })
}

impl Question {
    /// Answers the question.
    ///
    /// # Errors
    /// It no longer waits, or this process may not answer it.
    pub fn resolve(&self, reply: &Reply) -> Result<(), Failure> {
        let cannot = |why: &str| Failure::new(format!("{}: {why}", self.waiting.id));
        let body = serde_json::to_string(reply).map_err(|error| cannot(&error.to_string()))?;
        let path = path(&self.waiting.id);
        match self.server.exchange(&Method::POST, &path, &body, LIST_LIMIT, TIMEOUT) {
            Ok((StatusCode::OK, _)) => Ok(()),
            Ok((_, body)) => Err(cannot(&fault(&body))),
            Err(error) => Err(cannot(&format!("its server does not answer: {error}"))),
        }
    }
}

fn path(id: &str) -> String {
    format!("/v1/approvals/{id}/resolve")
}

/// This user's servers: `rampart serve`, if it runs, and those of the runs.
fn servers(home: &Home) -> Vec<Endpoint> {
    let mut urls: BTreeSet<String> = runs().into_iter().map(|run| run.url).collect();
    urls.extend(Endpoint::at_socket(&home.serve_socket()).map(|server| server.url().to_owned()));
    let known = urls.iter().filter_map(|url| Endpoint::parse(url).ok());
    known.filter(Endpoint::is_trusted).collect()
}

fn at(servers: Vec<Endpoint>) -> Waits {
    let mut waits = Waits::default();
    let lists: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = servers.iter().map(|server| scope.spawn(|| list(server))).collect();
        asked.into_iter().map(ScopedJoinHandle::join).collect()
    });
    for (server, list) in servers.into_iter().zip(lists) {
        match list.unwrap_or_else(|_| Err(io::Error::other("asking it has failed"))) {
            Ok(list) => waits.questions.extend(
                list.into_iter().map(|waiting| Question { server: server.clone(), waiting }),
            ),
            // A run may end at any time.
            Err(_) if !server.is_trusted() => {}
            Err(error) => waits.silent.push(Silent { server, error }),
        }
    }
    waits.questions.sort_by_key(|question| std::cmp::Reverse(question.waiting.waited_ms));
    waits
}

fn list(server: &Endpoint) -> io::Result<Vec<Waiting>> {
    #[derive(Deserialize)]
    struct List {
        approvals: Vec<Waiting>,
    }
    match server.exchange(&Method::GET, "/v1/approvals", "", LIST_LIMIT, TIMEOUT)? {
        (StatusCode::OK, body) => {
            serde_json::from_slice::<List>(&body).map(|list| list.approvals).map_err(Into::into)
        }
        // It is none that asks a person.
        (StatusCode::NOT_FOUND, _) => Ok(Vec::new()),
        (_, body) => Err(io::Error::other(fault(&body))),
    }
}

/// The message of a server's error.
fn fault(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Fault {
        message: String,
    }
    let said = serde_json::from_slice::<Fault>(body);
    said.map_or_else(|_| "its server does not take it".to_owned(), |fault| fault.message)
}

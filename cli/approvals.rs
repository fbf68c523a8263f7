//! The client side of approvals: questions that wait for a person, at all servers of this user.
//!
//! [`all`] lists them, and [`Question::resolve`] answers one, over Unix sockets and without a
//! token: the server sees which process connects, and refuses guarded ones.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::home::Home;
use crate::run::guarded::runs;
pub use crate::server::{Reply, Scope, Waiting};

/// Far longer than even a busy server on this machine needs.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest body, a full list of long questions.
const LIST_LIMIT: usize = 32 * 1024 * 1024;

/// A waiting question, and its server.
#[derive(Debug, Clone)]
pub struct Question {
    pub server: Endpoint,
    pub waiting: Waiting,
}

/// All waiting questions, the oldest first. Servers that do not answer are skipped.
pub fn all(home: &Home) -> Vec<Question> {
    let mut all: Vec<Question> = servers(home).iter().flat_map(at).collect();
    all.sort_by_key(|question| std::cmp::Reverse(question.waiting.waited_ms));
    all
}

/// The question with this ID.
///
/// # Errors
/// There is none.
pub fn find(home: &Home, id: &str) -> Result<Question, Failure> {
    let servers = servers(home);
    let found = servers.iter().flat_map(at).find(|question| question.waiting.id == id);
    found.ok_or_else(|| {
        // Its server may still know how it ended.
        let path = path(id);
        let told = servers.iter().find_map(|server| {
            let (status, body) =
                server.exchange(&Method::POST, &path, "{}", LIST_LIMIT, TIMEOUT).ok()?;
            (status == StatusCode::CONFLICT).then(|| fault(&body))
        });
        Failure::new(told.unwrap_or_else(|| {
            format!("no question {id} waits: `rampart pending` lists those that do")
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

fn at(server: &Endpoint) -> Vec<Question> {
    #[derive(Deserialize)]
    struct List {
        approvals: Vec<Waiting>,
    }
    let asked = server.exchange(&Method::GET, "/v1/approvals", "", LIST_LIMIT, TIMEOUT);
    let list =
        asked.and_then(|(_, body)| serde_json::from_slice::<List>(&body).map_err(io::Error::other));
    let list = list.map_or_else(|_| Vec::new(), |list| list.approvals);
    list.into_iter().map(|waiting| Question { server: server.clone(), waiting }).collect()
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

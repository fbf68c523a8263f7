//! Questions that wait for a person, and what people have answered.
//!
//! The types on the wire are in [`super::approval`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{Instant as Moment, interval, sleep_until};

use super::approval::{Reply, Scope, Waiting};
use super::notifications::Notifications;
use super::own_process::same_command;
use crate::processes;

/// How many questions wait at once; more are not asked.
const MOST: usize = 1024;
/// Nobody reads a longer command, so it is not asked about.
const LONGEST_COMMAND: usize = 16 * 1024;
/// The longest line that such a command stands in: codex puts 40 KB before each.
const LONGEST_LINE: usize = 128 * 1024;
/// How often to check whether the asking process is still there.
const LOOK: Duration = Duration::from_millis(500);
/// How long a once-only approval covers the commands in the approved line when its shell starts
/// them.
const ONCE: Duration = Duration::from_secs(60);
/// How many answered questions are remembered, to tell people who answer late.
const REMEMBERED: usize = 1024;
/// How many generations below the approved process a process may be.
const DEEPEST: usize = 64;

/// What a waiting question needs from the client that asked.
pub trait Hold: Clone + 'static {
    /// Tells the client that its answer takes time; `false` if that cannot be told, and the
    /// question cannot wait.
    async fn say_held(&self) -> bool;

    /// Whether the client still waits.
    fn is_there(&self) -> bool;
}

/// How the wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Said(Reply),
    /// Nobody answered within this time.
    Late(Duration),
    /// The asking process is gone.
    Gone,
    /// The server ends.
    Ended,
    /// It could not wait.
    Unasked,
}

/// Why a reply had no effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Unknown,
    /// The reply was malformed.
    NoReply,
    /// The question was answered, or ended, before; with how.
    Over(String),
}

struct Entry {
    waiting: Waiting,
    since: Instant,
    limit: Duration,
    is_there: Box<dyn Fn() -> bool>,
    tell: oneshot::Sender<Outcome>,
}

/// An approval that covers later commands.
struct Grant {
    session: String,
    command: String,
    /// The command in that line that the question was about.
    part: Option<String>,
    /// For a once-only approval: the process, until when, and the commands it was used for.
    once: Option<(Option<i32>, Instant, RefCell<Vec<String>>)>,
}

impl Grant {
    /// Whether it is a command of the approved line: the one that the question was about, by itself
    /// or in a line within that (codex's shell starts another), or any other, word for word.
    fn has(&self, command: &str, part: Option<&str>) -> bool {
        let unquoted = |text: &str| text.replace(['\'', '"', '\\'], "");
        let command_alone = unquoted(command);
        let is_about = |own: &String| match part {
            None => unquoted(own) == command_alone,
            Some(part) => own == part && unquoted(&self.command).contains(&command_alone),
        };
        self.part.as_ref().is_some_and(is_about) || same_command(&self.command, command)
    }
}

/// All waiting questions of a server.
pub struct Pending {
    /// What all IDs of this server begin with.
    prefix: String,
    count: Cell<u64>,
    entries: RefCell<BTreeMap<u64, Entry>>,
    over: RefCell<VecDeque<(String, String)>>,
    grants: RefCell<Vec<Grant>>,
    ended: Cell<bool>,
    notifications: Notifications,
}

impl Pending {
    /// `run` is unique to each server.
    pub fn new(run: &str) -> Self {
        Self {
            prefix: run.chars().take(4).collect(),
            count: Cell::new(0),
            entries: RefCell::default(),
            over: RefCell::default(),
            grants: RefCell::default(),
            ended: Cell::new(false),
            notifications: Notifications::default(),
        }
    }

    /// Waits for a person's answer, at most `limit` and while the asking process is there. At most
    /// half of the server's `places` wait. `announce` is called with the question as it is listed.
    pub async fn wait(
        &self,
        mut waiting: Waiting,
        limit: Duration,
        places: usize,
        hold: &impl Hold,
        announce: impl FnOnce(&Waiting),
    ) -> Outcome {
        let is_long =
            waiting.asked().len() > LONGEST_COMMAND || waiting.command.len() > LONGEST_LINE;
        // Each one holds a connection, and clients without one get no answer at all.
        let most = MOST.min(places / 2);
        if is_long || self.ended.get() || self.entries.borrow().len() >= most {
            return Outcome::Unasked;
        }
        let number = self.count.get() + 1;
        self.count.set(number);
        waiting.id = format!("{}-{number}", self.prefix);
        let (tell, mut told) = oneshot::channel();
        let there = hold.clone();
        let entry = Entry {
            waiting,
            since: Instant::now(),
            limit,
            is_there: Box::new(move || there.is_there()),
            tell,
        };
        // Listed before the client is told: an answer that comes at once has to find it.
        let place = Registration { pending: self, number };
        self.entries.borrow_mut().insert(number, entry);
        if !hold.say_held().await {
            place.over("the process that asked could not be told to wait");
            return Outcome::Unasked;
        }
        self.tell(number, announce);
        let end = sleep_until(Moment::now() + limit);
        tokio::pin!(end);
        let mut looks = interval(LOOK);
        loop {
            tokio::select! {
                biased;
                said = &mut told => return said.unwrap_or(Outcome::Ended),
                () = &mut end => {
                    place.over("nobody had answered in time");
                    return Outcome::Late(limit);
                }
                _ = looks.tick() => if !hold.is_there() {
                    place.over("the process that asked is gone");
                    return Outcome::Gone;
                }
            }
        }
    }

    /// The number of the question with this ID.
    ///
    /// # Errors
    /// It does not wait (any more).
    pub fn find(&self, id: &str) -> Result<u64, Refused> {
        let found =
            self.entries.borrow().iter().find(|(_, each)| each.waiting.id == id).map(|it| *it.0);
        found.ok_or_else(|| {
            let over = self.over.borrow();
            let over = over.iter().find(|(each, _)| each == id);
            over.map_or(Refused::Unknown, |(_, how)| Refused::Over(how.clone()))
        })
    }

    /// Answers a question. Only the first answer counts.
    ///
    /// # Errors
    /// [`Refused`]: it had no effect.
    pub fn resolve(&self, number: u64, reply: Reply) -> Result<(), Refused> {
        let Some(entry) = self.entries.borrow_mut().remove(&number) else {
            return Err(Refused::Unknown);
        };
        let Entry { waiting, is_there, tell, .. } = entry;
        let gone = "the process that asked is gone";
        if !is_there() {
            self.remember(&waiting.id, gone);
            let _ = tell.send(Outcome::Gone);
            return Err(Refused::Over(gone.to_owned()));
        }
        self.remember(
            &waiting.id,
            if reply.approved { "it was approved" } else { "it was denied" },
        );
        let grant = reply.approved.then(|| Grant {
            session: waiting.session,
            command: waiting.command,
            part: waiting.part,
            once: match reply.scope {
                Scope::Once => Some((waiting.pid, Instant::now() + ONCE, RefCell::default())),
                Scope::Session => None,
            },
        });
        if tell.send(Outcome::Said(reply)).is_err() {
            return Err(Refused::Over(gone.to_owned()));
        }
        self.grants.borrow_mut().extend(grant);
        Ok(())
    }

    /// Whether an earlier approval covers this command, or line with this command in it.
    pub fn remembers(
        &self,
        session: &str,
        command: &str,
        part: Option<&str>,
        pid: Option<i32>,
    ) -> bool {
        let now = Instant::now();
        let mut grants = self.grants.borrow_mut();
        grants.retain(|grant| grant.once.as_ref().is_none_or(|(_, until, _)| *until > now));
        grants.iter().filter(|grant| grant.session == session).any(|grant| match &grant.once {
            None => grant.command == command || grant.has(command, part),
            Some((asker, _, used)) => {
                let mut used = used.borrow_mut();
                let holds = grant.command != command
                    && !used.iter().any(|each| each == command)
                    && is_below(pid, *asker)
                    && grant.has(command, part);
                if holds {
                    used.push(command.to_owned());
                }
                holds
            }
        })
    }

    /// All waiting questions, the oldest first.
    pub fn list(&self) -> Vec<Waiting> {
        self.entries.borrow().values().map(Entry::now).collect()
    }

    /// Ends all waits, and takes no more questions.
    pub fn end(&self) {
        self.ended.set(true);
        for (_, entry) in std::mem::take(&mut *self.entries.borrow_mut()) {
            let _ = entry.tell.send(Outcome::Ended);
        }
    }

    fn remember(&self, id: &str, how: &str) {
        let mut over = self.over.borrow_mut();
        if over.len() == REMEMBERED {
            over.pop_front();
        }
        over.push_back((id.to_owned(), how.to_owned()));
    }

    /// Notifies the person here of a question that is answered elsewhere.
    pub fn tell_of_another(&self, waiting: Waiting) {
        self.notifications.tell(waiting, 1);
    }

    fn tell(&self, number: u64, announce: impl FnOnce(&Waiting)) {
        let entries = self.entries.borrow();
        if let Some(entry) = entries.get(&number) {
            let waiting = entry.now();
            announce(&waiting);
            self.notifications.tell(waiting, entries.len());
        }
    }
}

impl Entry {
    /// The question with its current times.
    fn now(&self) -> Waiting {
        let waited = self.since.elapsed();
        let left = self.limit.saturating_sub(waited);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Waiting { waited_ms: ms(waited), left_ms: ms(left), ..self.waiting.clone() }
    }
}

/// A question's place among the waiting ones. Removed on drop.
struct Registration<'p> {
    pending: &'p Pending,
    number: u64,
}

impl Registration<'_> {
    fn over(&self, how: &str) {
        if let Some(entry) = self.pending.entries.borrow_mut().remove(&self.number) {
            self.pending.remember(&entry.waiting.id, how);
        }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.over("the process that asked is gone");
    }
}

/// Whether a process is `above` or a descendant of it.
fn is_below(process: Option<i32>, above: Option<i32>) -> bool {
    let (Some(process), Some(above)) = (process, above) else { return false };
    let line = std::iter::successors(Some(process), |process| processes::parent(*process));
    line.take(DEEPEST).any(|each| each == above)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::task::{spawn_local, yield_now};

    use super::{Hold, Outcome, Pending, Refused, Reply, Scope, Waiting};
    use crate::server::runtime;

    #[derive(Clone)]
    struct Asker(Rc<Cell<bool>>);

    impl Hold for Asker {
        async fn say_held(&self) -> bool {
            true
        }

        fn is_there(&self) -> bool {
            self.0.get()
        }
    }

    fn waiting(command: &str) -> Waiting {
        Waiting {
            id: String::new(),
            command: command.to_owned(),
            part: None,
            agent: "a".to_owned(),
            session: "s".to_owned(),
            cwd: None,
            pid: i32::try_from(std::process::id()).ok(),
            message: String::new(),
            policy: None,
            waited_ms: 0,
            left_ms: 0,
        }
    }

    fn reply(approved: bool, scope: Scope) -> Reply {
        Reply { approved, scope, message: None }
    }

    fn answered(pending: &Pending, id: &str, reply: Reply) -> Result<(), Refused> {
        pending.find(id).and_then(|number| pending.resolve(number, reply))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_first_word_counts_and_a_later_one_is_told_so() {
        runtime().unwrap().block_on(async {
            let pending = Rc::new(Pending::new("abcdef"));
            let there = Rc::new(Cell::new(true));
            for (approved, how) in [(true, "it was approved"), (false, "it was denied")] {
                let (own, asker) = (Rc::clone(&pending), Asker(Rc::clone(&there)));
                let waits =
                    spawn_local(
                        async move { own.wait(waiting("x"), LONG, 64, &asker, |_| {}).await },
                    );
                yield_now().await;
                let id = pending.list()[0].id.clone();
                assert!(id.starts_with("abcd-"), "{id}");
                let said = reply(approved, Scope::Once);
                assert_eq!(answered(&pending, &id, said.clone()), Ok(()));
                assert_eq!(waits.await.unwrap(), Outcome::Said(said.clone()));
                for _ in 0..2 {
                    let late = answered(&pending, &id, reply(!approved, Scope::Session));
                    assert_eq!(late, Err(Refused::Over(how.to_owned())));
                }
            }
            assert!(pending.list().is_empty());
            assert_eq!(
                answered(&pending, "abcd-9", reply(true, Scope::Once)),
                Err(Refused::Unknown)
            );
        });
    }

    #[test]
    fn who_is_gone_waits_no_more_and_cannot_be_answered() {
        runtime().unwrap().block_on(async {
            let pending = Rc::new(Pending::new("abcdef"));
            let there = Rc::new(Cell::new(true));
            let (own, asker) = (Rc::clone(&pending), Asker(Rc::clone(&there)));
            let waits =
                spawn_local(async move { own.wait(waiting("x"), LONG, 64, &asker, |_| {}).await });
            yield_now().await;
            let id = pending.list()[0].id.clone();
            there.set(false);
            // Before the next check, and after.
            let gone = Err(Refused::Over("the process that asked is gone".to_owned()));
            assert_eq!(answered(&pending, &id, reply(true, Scope::Session)), gone);
            assert_eq!(waits.await.unwrap(), Outcome::Gone);
            assert_eq!(answered(&pending, &id, reply(true, Scope::Session)), gone);
            assert!(!pending.remembers("s", "x", None, None), "nothing was approved");
            let asker = Asker(Rc::clone(&there));
            assert_eq!(pending.wait(waiting("x"), LONG, 64, &asker, |_| {}).await, Outcome::Gone);
            there.set(true);
            let short = Duration::from_millis(30);
            let asker = Asker(there);
            assert_eq!(
                pending.wait(waiting("x"), short, 64, &asker, |_| {}).await,
                Outcome::Late(short)
            );
            // Not if that would take the last place.
            assert_eq!(
                pending.wait(waiting("x"), short, 1, &asker, |_| {}).await,
                Outcome::Unasked
            );
            pending.end();
            assert_eq!(
                pending.wait(waiting("x"), short, 64, &asker, |_| {}).await,
                Outcome::Unasked
            );
        });
    }

    #[test]
    fn what_was_approved_holds_as_far_as_it_was_meant_and_no_further() {
        runtime().unwrap().block_on(async {
            let pid = i32::try_from(std::process::id()).ok();
            let line = "sh -c 'a; eval '\\''git push'\\'' < /dev/null'";
            for (scope, command, asked, session, holds) in [
                (Scope::Session, line, "git push", "s", [true, true]),
                (Scope::Once, line, "git push", "s", [true, false]),
                (Scope::Once, line, "git push -f", "s", [false, false]),
                (Scope::Once, line, "eval 'git push'", "s", [true, false]),
                (Scope::Once, line, "eval 'git push'; b", "s", [false, false]),
                (Scope::Session, line, "eval 'git push' < /dev/null", "s", [true, true]),
                (Scope::Session, "git push", "git push", "s", [true, true]),
                (Scope::Session, "git push", "git push", "other", [false, false]),
                (Scope::Session, "git push", "git push -f", "s", [false, false]),
                (Scope::Session, "git push -n", "git push", "s", [false, false]),
                (Scope::Session, "sh -c 'a; git push'", "git push", "s", [true, true]),
                (Scope::Once, "git push", "git push", "s", [false, false]),
                (Scope::Once, "sh -c 'a; git push'", "git push", "s", [true, false]),
                (Scope::Once, "sh -c 'a; git push'", "/tmp/git push", "s", [false, false]),
                (Scope::Once, "sh -c 'a; git push'", "git push; b", "s", [false, false]),
            ] {
                let pending = Rc::new(Pending::new("abcdef"));
                let (own, asker) = (Rc::clone(&pending), Asker(Rc::new(Cell::new(true))));
                let part = (command == line).then(|| "git push".to_owned());
                let what = Waiting { part, ..waiting(command) };
                let waits =
                    spawn_local(async move { own.wait(what, LONG, 64, &asker, |_| {}).await });
                yield_now().await;
                let id = pending.list()[0].id.clone();
                assert_eq!(answered(&pending, &id, reply(true, scope)), Ok(()));
                waits.await.unwrap();
                let inside = asked.starts_with("eval").then_some("git push");
                let held = [(); 2].map(|()| pending.remembers(session, asked, inside, pid));
                assert_eq!(held, holds, "{scope:?} {command}: {asked}");
                if scope == Scope::Once {
                    assert!(
                        !pending.remembers(session, asked, inside, Some(1)),
                        "no process of another's"
                    );
                }
            }
        });
    }
}

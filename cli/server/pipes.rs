//! Finds commands that are connected by a pipe although no command line shows it: a script or an
//! agent starts them one by one. The kernel tells which pipe each one holds.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rampart_policy::Form;

use super::question::Question;
use super::stream::Peer;
use crate::processes::{self, started};

/// How many ends are remembered.
const ENDS: usize = 512;
/// How much of a command is remembered, in bytes.
const COMMAND_BYTES: usize = 4 * 1024;
/// How long an end counts after its process is gone or if it is unknown: what it wrote may still be
/// read.
const SHORT: Duration = Duration::from_secs(5);
/// How many commands are joined at most.
const STAGES: usize = 8;

/// Which end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    /// Standard input.
    Reads,
    /// Standard output.
    Writes,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Reads => Self::Writes,
            Self::Writes => Self::Reads,
        }
    }
}

/// A process that was allowed a command.
#[derive(Debug, Clone, Copy)]
struct Process {
    pid: i32,
    /// When it was seen, in the units of [`started`]. Its real start would cost more than
    /// everything else here, and is looked up only once another end is found.
    since: u64,
}

impl Process {
    /// Whether it still lives: a process that was started later only reuses its ID.
    fn is_there(self) -> bool {
        started(Pid::from_raw(self.pid)).is_some_and(|start| start <= self.since)
    }
}

/// A command that holds pipes.
#[derive(Debug, Clone)]
struct End {
    stdin: Option<u64>,
    stdout: Option<u64>,
    /// The command as a stage of a shell's line.
    stage: String,
    session: String,
    process: Option<Process>,
    since: Instant,
}

impl End {
    /// Whether it is this process's, and that is still the same one. `known_since`: since when the
    /// process is known to be the same, in place of a look at it.
    fn is_of_process(&self, process: Option<Process>, known_since: u64) -> bool {
        self.process.is_some_and(|own| {
            process.is_some_and(|it| it.pid == own.pid)
                && (own.since > known_since || own.is_there())
        })
    }

    fn pipe(&self, side: Side) -> Option<u64> {
        match side {
            Side::Reads => self.stdin,
            Side::Writes => self.stdout,
        }
    }

    fn handles(&self) -> impl Iterator<Item = Handle> {
        let process = self.process.map(|process| Handle::Process(process.pid));
        let pipes = [Side::Reads, Side::Writes]
            .map(|side| self.pipe(side).map(|pipe| Handle::Pipe(side, pipe)));
        process.into_iter().chain(pipes.into_iter().flatten())
    }
}

/// By what an end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Handle {
    Process(i32),
    Pipe(Side, u64),
}

/// Which commands hold which pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    ends: VecDeque<End>,
    /// How many ends have a handle. To look at all of them took longer than the rest of an answer.
    known: HashMap<Handle, usize>,
}

impl Pipes {
    /// Records the command of a question from `peer`. Returns the pipelines that it forms with the
    /// commands at the other ends of its pipes.
    pub fn join(&mut self, question: &Question<'_>, peer: Peer) -> Vec<String> {
        let [stdin, stdout] = question.pipes();
        if stdin.is_none() && stdout.is_none() {
            return Vec::new();
        }
        let now = Instant::now();
        // Who asks has been the same since it connected; who asks for another tells its number only.
        let (pid, known_since) = match question.pid {
            Some(pid) => (Some(pid), u64::MAX),
            None => (peer.pid, peer.since),
        };
        let end = End {
            stdin,
            stdout,
            stage: stage(question),
            session: question.call().session.to_owned(),
            process: pid.map(|pid| Process { pid, since: processes::now() }),
            since: now,
        };
        self.join_end(end, known_since, now, &holds)
    }

    /// Whether another end of one of these pipes (standard input and output) is known.
    pub fn may_join(&self, [stdin, stdout]: [Option<u64>; 2]) -> bool {
        let others = [(Side::Writes, stdin), (Side::Reads, stdout)];
        others.into_iter().any(|(side, pipe)| {
            pipe.is_some_and(|pipe| self.known.contains_key(&Handle::Pipe(side, pipe)))
        })
    }

    /// Forgets a command that was refused.
    pub fn forget(&mut self, question: &Question<'_>) {
        let [stdin, stdout] = question.pipes();
        if stdin.is_some() || stdout.is_some() {
            let refused = stage(question);
            let is_it =
                |end: &End| end.stdin == stdin && end.stdout == stdout && end.stage == refused;
            if let Some(at) = self.ends.iter().rposition(is_it) {
                self.remove(at);
            }
        }
    }

    fn join_end(
        &mut self,
        end: End,
        known_since: u64,
        now: Instant,
        holds: &dyn Fn(&End, Side) -> Option<bool>,
    ) -> Vec<String> {
        // A process's new command replaces its previous one.
        let is_known = |process: Process| self.known.contains_key(&Handle::Process(process.pid));
        if end.process.is_some_and(is_known) {
            for at in (0..self.ends.len()).rev() {
                if self.ends[at].is_of_process(end.process, known_since) {
                    self.remove(at);
                }
            }
        }
        let mut lines = Vec::new();
        if self.may_join([end.stdin, end.stdout]) {
            let before = self.chains(&end, Side::Reads, now, holds);
            let after = self.chains(&end, Side::Writes, now, holds);
            for before in &before {
                for after in &after {
                    if before.len() + after.len() > 0 {
                        let stages = before.iter().rev().chain([&end.stage]).chain(after);
                        lines.push(stages.map(String::as_str).collect::<Vec<_>>().join(" | "));
                    }
                }
            }
        }
        if self.ends.len() == ENDS {
            self.remove(0);
        }
        for handle in end.handles() {
            *self.known.entry(handle).or_default() += 1;
        }
        self.ends.push_back(end);
        lines.truncate(STAGES);
        lines
    }

    fn remove(&mut self, at: usize) {
        for handle in self.ends.remove(at).iter().flat_map(End::handles) {
            if let Entry::Occupied(mut count) = self.known.entry(handle) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// The chains of commands connected to one side of an end, the nearest first; a single empty
    /// chain if there are none.
    fn chains(
        &self,
        end: &End,
        side: Side,
        now: Instant,
        holds: &dyn Fn(&End, Side) -> Option<bool>,
    ) -> Vec<Vec<String>> {
        let mut chains: Vec<Vec<String>> = Vec::new();
        for mut next in self.at_other_end(end, side, now, holds) {
            let mut chain = Vec::new();
            for _ in 0..STAGES {
                chain.push(next.stage.clone());
                match self.at_other_end(next, side, now, holds).next() {
                    Some(further) => next = further,
                    None => break,
                }
            }
            chains.push(chain);
        }
        if chains.is_empty() { vec![Vec::new()] } else { chains }
    }

    fn at_other_end<'p>(
        &'p self,
        end: &'p End,
        side: Side,
        now: Instant,
        holds: &'p dyn Fn(&End, Side) -> Option<bool>,
    ) -> impl Iterator<Item = &'p End> {
        let other = side.other();
        let joins = move |it: &&End| {
            it.pipe(other).is_some()
                && it.pipe(other) == end.pipe(side)
                && it.session == end.session
                && !std::ptr::eq(*it, end)
        };
        // The kernel reuses a pipe's number only after nobody holds it any more.
        self.ends.iter().rev().filter(joins).filter(move |it| {
            holds(it, other).unwrap_or(now.saturating_duration_since(it.since) < SHORT)
        })
    }
}

/// Whether the process of an end still holds its pipe; `None` if it is gone or unknown.
fn holds(end: &End, side: Side) -> Option<bool> {
    let process = end.process.filter(|process| process.is_there())?;
    let number = match side {
        Side::Reads => 0,
        Side::Writes => 1,
    };
    // If other processes' descriptors are hidden, treat it as unknown.
    let link = fs::read_link(format!("/proc/{}/fd/{number}", process.pid)).ok()?;
    let pipe = format!("pipe:[{}]", end.pipe(side)?);
    Some(link.as_os_str().as_encoded_bytes() == pipe.as_bytes())
}

/// The command of a question as a stage of a pipeline.
fn stage(question: &Question<'_>) -> String {
    let call = question.call();
    let mut end = call.command.len().min(COMMAND_BYTES);
    while !call.command.is_char_boundary(end) {
        end -= 1;
    }
    let command = &call.command[..end];
    match (call.form, call.argv0) {
        (Form::Arguments, None) => command.to_owned(),
        // A multi-call program (busybox) is what `argv[0]` says.
        (Form::Arguments, Some(name)) => {
            let rest = command.split_once(' ').map_or("", |(_, rest)| rest);
            format!("{} {rest}", name.rsplit('/').next().unwrap_or(name))
        }
        (Form::Line, _) => format!("sh -c '{}'", command.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is known of who asks: each is looked at.
    const UNKNOWN: u64 = u64::MAX;

    fn end(stdin: u64, stdout: u64, stage: &str, pid: i32, since: Instant) -> End {
        End {
            stdin: Some(stdin).filter(|it| *it > 0),
            stdout: Some(stdout).filter(|it| *it > 0),
            stage: stage.to_owned(),
            session: "s".to_owned(),
            process: Some(Process { pid, since: 0 }).filter(|_| pid > 0),
            since,
        }
    }

    #[test]
    fn commands_are_joined_by_their_pipes_whichever_comes_first() {
        let now = Instant::now();
        for order in [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2]] {
            let ends = [
                end(0, 5, "curl x", 10, now),
                end(5, 6, "tee y", 11, now),
                end(6, 0, "sh", 12, now),
            ];
            let mut pipes = Pipes::default();
            let lines = order.map(|at| {
                let end = ends[at].clone();
                let may_join = pipes.may_join([end.stdin, end.stdout]);
                let lines = pipes.join_end(end, UNKNOWN, now, &|_, _| Some(true));
                assert!(may_join || lines.is_empty(), "{order:?}");
                lines
            });
            assert_eq!(lines[2], ["curl x | tee y | sh"], "{order:?}");
        }
    }

    #[test]
    fn what_a_process_was_before_it_is_no_longer() {
        let now = Instant::now();
        let (pid, since) = (std::process::id().cast_signed(), processes::now());
        let this = |end| End { process: Some(Process { pid, since }), ..end };
        let mut pipes = Pipes::default();
        pipes.join_end(this(end(0, 5, "curl x", 1, now)), UNKNOWN, now, &|_, _| Some(true));
        let lines = pipes.join_end(this(end(5, 0, "sh", 1, now)), UNKNOWN, now, &|_, _| Some(true));
        assert_eq!((lines.len(), pipes.ends.len()), (0, 1));
        // One that has been connected for longer is the same without a look.
        let end_of = |since| End {
            process: Some(Process { pid: 1 << 22, since }),
            ..end(0, 5, "curl x", 1, now)
        };
        for (connected, remembered) in [(since, 3), (since - 1, 2)] {
            let mut pipes = Pipes::default();
            for _ in 0..2 {
                pipes.join_end(end_of(since), connected, now, &|_, _| Some(true));
            }
            assert_eq!(pipes.ends.len() + 1, remembered);
        }
        // If the previous process with this ID is gone, its pipe may still be read.
        let gone = Process { pid, since: 0 };
        let other = End { process: Some(gone), ..end(0, 7, "curl y", 1, now) };
        pipes.join_end(other, UNKNOWN, now, &|_, _| Some(true));
        let lines = pipes.join_end(this(end(7, 0, "sh", 1, now)), UNKNOWN, now, &|_, _| Some(true));
        assert_eq!(lines, ["curl y | sh"]);
    }

    #[test]
    fn a_number_that_is_used_again_joins_nothing() {
        let now = Instant::now();
        let later = now + SHORT;
        let sh = || end(5, 0, "sh", 12, later);
        for (writer, held, at, joined) in [
            (end(0, 5, "curl x", 10, now), Some(true), later, true),
            (end(0, 5, "curl x", 10, now), Some(false), now, false),
            (end(0, 5, "curl x", 10, now), None, now, true),
            (end(0, 5, "curl x", 10, now), None, later, false),
            (end(0, 5, "curl x", 0, now), None, later, false),
            (end(0, 7, "curl x", 10, now), Some(true), now, false),
            (
                End { session: "t".to_owned(), ..end(0, 5, "curl x", 10, now) },
                Some(true),
                now,
                false,
            ),
        ] {
            let mut pipes = Pipes::default();
            pipes.join_end(writer.clone(), UNKNOWN, now, &|_, _| held);
            let lines = pipes.join_end(sh(), UNKNOWN, at, &|_, _| held);
            assert_eq!(!lines.is_empty(), joined, "{writer:?} {held:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut pipes = Pipes::default();
        for pid in 1..2_000 {
            pipes.join_end(end(0, 5, "curl x", pid, now), UNKNOWN, now, &|_, _| Some(true));
        }
        assert_eq!(pipes.ends.len(), ENDS);
        assert_eq!(pipes.known.len(), ENDS + 1);
        assert!(
            pipes.join_end(end(5, 0, "sh", 9_999, now), UNKNOWN, now, &|_, _| Some(true)).len()
                <= STAGES
        );
        let question = |body: &'static str| Question::read(body.as_bytes()).unwrap();
        let long = format!(r#"{{"params":{{"command":"{}","form":"argv"}}}}"#, "é".repeat(9_000));
        assert!(stage(&Question::read(long.as_bytes()).unwrap()).len() <= COMMAND_BYTES);
        for (body, expected) in [
            (r#"{"params":{"command":"curl x","form":"argv"}}"#, "curl x"),
            (r#"{"params":{"command":"busybox -c y","form":"argv","argv0":"/bin/sh"}}"#, "sh -c y"),
            (r#"{"params":{"command":"a 'b'"}}"#, r"sh -c 'a '\''b'\'''"),
        ] {
            assert_eq!(stage(&question(body)), expected);
        }
    }
}

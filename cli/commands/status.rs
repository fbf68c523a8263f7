//! `rampart status`: the guarded runs under way, with their servers and policies.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;

use crate::audit::{Event, Trail, place};
use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::failure::Failure;
use crate::home::Home;
use crate::output;
use crate::run::default_server;
use crate::run::guarded::{Run, runs};
use crate::terminal::{fit, harmless, width};

const EXAMPLES: &str = "\
Examples:
  rampart status
  rampart status --json | jq '.runs[].session'

Runs are found by the environments of the processes that this user may look at, and counted in
the audit of the last 30 days. If the server of a run does not answer, --fail-open decides, and
commands may run unchecked.";

/// Older decisions do not belong to a run under way.
const COUNTED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many decisions are read.
const LOOKED_AT: usize = 200_000;

/// Show what runs under guard now
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    server: Option<String>,
    runs: Vec<RunReport>,
}

/// A run that is under way.
#[derive(Debug, Serialize)]
pub struct RunReport {
    agent: String,
    session: String,
    mode: String,
    url: String,
    answers: bool,
    policy: Option<String>,
    pub processes: Vec<i32>,
    asked: u64,
    denied: u64,
    unchecked: u64,
}

/// Writes the report.
///
/// # Errors
/// The audit cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut counts = count()?;
    let told = runs().into_iter().map(|run| {
        let told = RunReport::of(run);
        let counted = counts.remove(&(told.agent.clone(), told.session.clone()));
        let (asked, denied, unchecked) = counted.unwrap_or_default();
        RunReport { asked, denied, unchecked, ..told }
    });
    let report = Report {
        runs: told.collect(),
        server: default_server::find(&Home::locate()?).map(|server| server.url().to_owned()),
    };
    if arguments.json { output::json(&report) } else { output::text(&text(&report)).map(drop) }
}

impl RunReport {
    /// A run and its server's state; the counts are still zero.
    pub fn of(run: Run) -> Self {
        // As the library does if no URL is set.
        let url = if run.url.is_empty() { DEFAULT_URL } else { &run.url };
        let health = Endpoint::parse(url).ok().and_then(|server| server.health());
        let Run { agent, session, mode, url, processes } = run;
        let answers = health.is_some();
        let policy = health.map(|health| health.policy).filter(|policy| !policy.is_empty());
        let (asked, denied, unchecked) = Default::default();
        Self { agent, session, mode, url, answers, policy, processes, asked, denied, unchecked }
    }

    /// Agent and session.
    pub fn name(&self) -> String {
        match (&*self.agent, &*self.session) {
            ("", "") => "library without a run".to_owned(),
            (agent, session) => super::log::name(agent, session),
        }
    }

    /// The state of its server, and the policy.
    pub fn state(&self) -> String {
        match (&*self.mode, self.answers, &self.policy) {
            ("disabled", ..) => "nothing is checked".to_owned(),
            (_, true, Some(policy)) => format!("policy {policy}"),
            (_, true, None) => "its server answers".to_owned(),
            (_, false, _) => "ITS SERVER DOES NOT ANSWER: commands may run unchecked".to_owned(),
        }
    }

    /// Whether its commands run unchecked.
    pub fn is_unchecked(&self) -> bool {
        self.mode == "disabled" || !self.answers
    }
}

/// Asked, denied and unchecked, by agent and session.
type Counts = HashMap<(String, String), (u64, u64, u64)>;

fn count() -> Result<Counts, Failure> {
    let since = SystemTime::now().checked_sub(COUNTED);
    let is_new = |time: Option<SystemTime>| time >= since;
    let counts = |event: &Event| event.is_decision() || event.unchecked() > 0;
    let events = Trail::of(&place(None)?).last(LOOKED_AT, counts)?;
    let mut counts = Counts::new();
    for event in events.into_iter().filter(|event| is_new(event.time())) {
        let missed = event.unchecked();
        let (is_decision, is_refusal) = (event.is_decision(), event.is_refusal());
        let (asked, denied, unchecked) = counts.entry((event.agent, event.session)).or_default();
        *unchecked += missed;
        *asked += u64::from(is_decision);
        *denied += u64::from(is_decision && is_refusal);
    }
    Ok(counts)
}

fn text(report: &Report) -> String {
    let mut text = match &report.server {
        Some(url) => format!("server   yours answers at {url}\n"),
        None => "server   none of yours runs: each run starts its own\n".to_owned(),
    };
    if report.runs.is_empty() {
        text.push_str("guarded  nothing\n");
    }
    let rows: Vec<[String; 4]> = report.runs.iter().map(cells).collect();
    let widest = |at: usize| rows.iter().map(|row| width(&row[at])).max().unwrap_or_default();
    let columns = [widest(0), widest(1), widest(2)];
    for row in &rows {
        let padded = row.iter().zip(columns).map(|(cell, columns)| fit(cell, columns) + "  ");
        let _ = writeln!(text, "guarded  {}{}", padded.collect::<String>(), row[3]);
    }
    text
}

/// Name, mode, processes, and what was asked, of which the last may be of any width.
fn cells(run: &RunReport) -> [String; 4] {
    let unchecked = match run.unchecked {
        0 => String::new(),
        count => format!(", {count} UNCHECKED"),
    };
    let several = if run.processes.len() == 1 { "" } else { "es" };
    let first = run.processes.first().map_or_else(String::new, ToString::to_string);
    let mode = if run.mode.is_empty() { "enforce" } else { &run.mode };
    [
        run.name(),
        mode.to_owned(),
        format!("{} process{several} ({first})", run.processes.len()),
        format!("{} asked, {} denied{unchecked}, {}", run.asked, run.denied, run.state()),
    ]
    .map(|cell| harmless(&cell))
}

#[cfg(test)]
mod tests {
    use super::{Report, RunReport, text};

    #[test]
    fn runs_stand_in_columns() {
        let run = |agent: &str, processes: &[i32], mode: &str| RunReport {
            agent: agent.into(),
            session: "s".into(),
            mode: mode.into(),
            url: String::new(),
            answers: true,
            policy: Some("/p".into()),
            processes: processes.to_vec(),
            asked: 3,
            denied: 1,
            unchecked: 0,
        };
        let runs = vec![run("a", &[1], "enforce"), run("an-agent", &[23, 24], "monitor")];
        assert_eq!(
            text(&Report { server: None, runs }),
            "server   none of yours runs: each run starts its own\n\
             guarded  a/s         enforce  1 process (1)     3 asked, 1 denied, policy /p\n\
             guarded  an-agent/s  monitor  2 processes (23)  3 asked, 1 denied, policy /p\n"
        );
    }
}

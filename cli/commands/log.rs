//! `rampart log`: past decisions, as a table that fits the terminal.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;

use crate::audit::{Event, Follower, Trail};
use crate::command_line::count;
use crate::failure::{Failure, say};
use crate::output;
use crate::terminal::{Colour, Local, Screen, cut, fit, harmless, width};

mod advice;
mod tree;

const EXAMPLES: &str = "\
Examples:
  rampart log                         the last decisions
  rampart log --follow --denied       refusals as they happen
  rampart log --since 2h --tree       who started what
  rampart log --json | jq -r .request.command

A verdict in brackets was not enforced (--mode monitor). Of a long line with several commands
the refused one stands first. Commands are cut to the terminal's width, but not in a pipe or
with --json. Secrets were masked when they were written. To check that nothing was changed:
rampart audit verify";

/// How often `--follow` checks the audit.
const LOOK: Duration = Duration::from_millis(200);
/// The greatest widths of the columns beside the command.
const WHO_COLUMNS: usize = 20;
const POLICY_COLUMNS: usize = 22;
/// From this width on the day is shown.
const WIDE_COLUMNS: usize = 48;
/// The least width of the command column before others are dropped.
const COMMAND_COLUMNS: usize = 24;

/// From this width on the refused command of a line stands before it.
const LONG_COLUMNS: usize = 60;

/// Show past decisions
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Keep showing new records
    #[arg(long, short, conflicts_with = "tree")]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
    /// Show the last N records [default: 50]
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = count
    )]
    lines: Option<usize>,
    /// Show which process started what
    #[arg(long, conflicts_with = "json")]
    tree: bool,
    /// Write the records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
    /// The audit [default: ~/.rampart/audit.jsonl]; a directory is an audit of the Go command
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

/// Which records to show.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only refusals, including those that were not enforced
    #[arg(long)]
    denied: bool,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only records since: 90s, 2h, 3days, 2026-01-31, 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
}

impl Filter {
    /// Whether a record is wanted.
    pub fn wants(&self, event: &Event) -> bool {
        (!self.denied || event.is_refusal())
            && self.session.as_ref().is_none_or(|session| *session == event.session)
            && self.since.is_none_or(|since| event.time().is_some_and(|time| time >= since))
    }

    /// Whether it selects a part that should be shown completely.
    fn is_narrow(&self) -> bool {
        self.session.is_some() || self.since.is_some()
    }
}

/// A time as people write it: how long ago, or a date.
///
/// # Errors
/// It is neither.
fn since(text: &str) -> Result<SystemTime, String> {
    let ago =
        humantime::parse_duration(text).ok().and_then(|ago| SystemTime::now().checked_sub(ago));
    let date = || {
        let day = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        humantime::parse_rfc3339_weak(&day).ok()
    };
    ago.or_else(date).ok_or_else(|| "write 90s, 2h, 3days or a date like 2026-01-31".to_owned())
}

/// Shows the records.
///
/// # Errors
/// The audit cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let trail = Trail::at(arguments.audit.as_deref())?;
    // Opened before the existing records are read, so that none is missed.
    let follower = arguments.follow.then(|| Follower::new(trail.path()));
    let few = if arguments.filter.is_narrow() { usize::MAX } else { 50 };
    let events =
        trail.last(arguments.lines.unwrap_or(few), |event| arguments.filter.wants(event))?;
    if events.is_empty() && trail.files().is_empty() && !arguments.follow {
        say(format!("nothing is recorded yet in {}", trail.path().display()));
    }
    if arguments.tree {
        return output::text(&tree::text(&events, Screen::of_stdout())).map(drop);
    }
    let mut writer = Rows::new(&events, arguments.json);
    if !writer.write(&events)? {
        return Ok(());
    }
    let Some(mut follower) = follower else { return writer.advise(&events) };
    loop {
        std::thread::sleep(LOOK);
        let mut added = follower.added();
        added.retain(|event| arguments.filter.wants(event));
        if !writer.write(&added)? || output::is_closed() {
            return Ok(());
        }
    }
}

/// Writes events as rows.
pub struct Rows {
    json: bool,
    screen: Screen,
    layout: Layout,
}

impl Rows {
    /// Columns wide enough for these events.
    pub fn new(events: &[Event], json: bool) -> Self {
        let screen = Screen::of_stdout();
        Self { json, screen, layout: Layout::for_events(&events.iter(), screen.width) }
    }

    /// On a terminal, says what to do about the last refusal.
    fn advise(&self, events: &[Event]) -> Result<(), Failure> {
        match advice::about(events) {
            Some(advice) if self.screen.width.is_some() && !self.json => {
                output::line(self.screen.paint(Colour::Dim, &advice))
            }
            _ => Ok(()),
        }
    }

    /// Writes events; returns whether the reader is still there.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, events: &[Event]) -> Result<bool, Failure> {
        let mut text = String::new();
        for event in events {
            if self.json {
                text.push_str(&event.json());
            } else {
                text.push_str(&self.layout.row(event, self.screen));
            }
            text.push('\n');
        }
        output::text(&text)
    }
}

/// The text of a column, and its colour.
pub type Cell = (Option<Colour>, String);

/// The columns of the table.
pub struct Layout {
    with_day: bool,
    who: usize,
    policy: usize,
    /// `None` if commands are not cut.
    command: Option<usize>,
}

impl Layout {
    /// The layout for these events in so many columns.
    pub fn for_events<'e>(
        events: &(impl Iterator<Item = &'e Event> + Clone),
        columns: Option<usize>,
    ) -> Self {
        let today = Local::of(SystemTime::now());
        let with_day = columns.is_none_or(|columns| columns >= WIDE_COLUMNS)
            && events.clone().any(|event| !event.local().is_same_day(today));
        let most = |text: fn(&Event) -> String, limit: usize, least: usize| {
            let widest = events.clone().map(|event| width(&text(event))).max();
            widest.unwrap_or(limit).clamp(least, limit)
        };
        let (mut who, mut policy) = (most(who, WHO_COLUMNS, 3), most(policy, POLICY_COLUMNS, 6));
        let time = if with_day { 14 } else { 8 };
        let Some(columns) = columns else {
            return Self { with_day, who, policy, command: None };
        };
        // If space is short, other columns give way to the command.
        let rest = |who: usize, policy: usize| {
            let gaps = if policy > 0 { 2 } else { 0 } + if who > 0 { 2 } else { 0 } + 4;
            columns.saturating_sub(time + 6 + who + policy + gaps)
        };
        if rest(who, policy) < COMMAND_COLUMNS {
            who = 0;
        }
        if rest(who, policy) < COMMAND_COLUMNS {
            policy = 0;
        }
        Self { with_day, who, policy, command: Some(rest(who, policy).max(8)) }
    }

    /// The cells of an event, to be joined by two blanks.
    pub fn cells(&self, event: &Event) -> Vec<Cell> {
        let local = event.local();
        let time = if self.with_day { local.day_and_clock() } else { local.clock() };
        let mut cells = vec![(Some(Colour::Dim), time), verdict(event)];
        if self.who > 0 {
            cells.push((None, fit(&who(event), self.who)));
        }
        let command = told(event);
        cells.push(match self.command {
            None => (None, command),
            Some(columns) if self.policy > 0 => (None, fit(&command, columns)),
            Some(columns) => (None, cut(&command, columns)),
        });
        let policy = policy(event);
        if self.policy > 0 && !policy.is_empty() {
            let columns = if self.command.is_some() { self.policy } else { usize::MAX };
            cells.push((Some(Colour::Dim), cut(&policy, columns)));
        }
        cells
    }

    fn row(&self, event: &Event, screen: Screen) -> String {
        let cells = self.cells(event).into_iter();
        let painted = cells.map(|cell| screen.paint_cell(&cell)).collect::<Vec<_>>();
        painted.join("  ").trim_end().to_owned()
    }
}

/// The verdict in six columns, in brackets if it was not enforced.
pub fn verdict(event: &Event) -> Cell {
    let action = &*event.decision.action;
    let only_told = event.asked("mode") == Some("monitor") && matches!(action, "deny" | "ask");
    let word = match action {
        _ if !event.is_decision() => "note".to_owned(),
        _ if only_told => format!("({action})"),
        _ => harmless(action),
    };
    (colour_of(action), fit(&word, 6))
}

/// The colour of a verdict.
pub fn colour_of(action: &str) -> Option<Colour> {
    match action {
        "deny" => Some(Colour::Red),
        "watch" => Some(Colour::Yellow),
        "ask" => Some(Colour::Magenta),
        _ => None,
    }
}

/// The agent and the session of a record.
pub fn who(event: &Event) -> String {
    name(&event.agent, &event.session)
}

/// The agent and the session, or only the session if it begins with the agent.
pub fn name(agent: &str, session: &str) -> String {
    if agent.is_empty() || session.starts_with(agent) {
        return harmless(session);
    }
    harmless(&format!("{agent}/{session}"))
}

/// The command, or the message of an event without one.
pub fn told(event: &Event) -> String {
    if event.is_decision() {
        let command = event.command();
        let text =
            if command.is_empty() { event.asked("path").unwrap_or_default() } else { command };
        return match event.part().filter(|_| width(text) > LONG_COLUMNS) {
            Some(part) => harmless(&format!("{part}  (in {text})")),
            None => harmless(text),
        };
    }
    harmless(&event.decision.message)
}

/// The policy that decided, if any.
pub fn policy(event: &Event) -> String {
    harmless(event.decision.matched_policies.first().map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::{Layout, since};
    use crate::audit::Event;
    use crate::terminal::{Screen, width};

    fn event(command: &str, policy: &str) -> Event {
        serde_json::from_value(serde_json::json!({
            "id": "1", "timestamp": "2026-01-02T03:04:05Z", "agent": "claude", "session": "night",
            "tool": "exec", "request": {"command": command},
            "decision": {"action": "deny", "matched_policies": [policy]},
        }))
        .unwrap()
    }

    #[test]
    fn a_row_is_never_wider_than_the_terminal() {
        let events =
            [event(&"日本 x".repeat(50), "block-everything-that-is-long"), event("ls", "p")];
        for columns in 30..140 {
            let layout = Layout::for_events(&events.iter(), Some(columns));
            let plain = Screen::plain(Some(columns));
            for event in &events {
                let row = layout.row(event, plain);
                assert!(width(&row) <= columns, "{columns}: {row}");
                assert!(row.contains("deny"), "{row}");
            }
        }
    }

    #[test]
    fn elsewhere_a_command_is_whole() {
        let long = "x".repeat(5_000);
        let events = [event(&long, "p")];
        let row = Layout::for_events(&events.iter(), None).row(&events[0], Screen::plain(None));
        assert!(row.contains(&long) && row.contains("claude/night"), "{row}");
    }

    #[test]
    fn a_moment_is_so_long_ago_or_a_date() {
        for text in ["90s", "2h", "3days", "1h 30m", "2026-01-31", "2026-01-31T12:00:00Z"] {
            assert!(since(text).is_ok(), "{text}");
        }
        for text in ["", "yesterday", "31.1.2026", "5"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}

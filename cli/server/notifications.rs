//! Tells a person that a question waits: on the desktop, if it can show notifications, and on the
//! terminal of the run, if a line there does no harm.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::approval::Waiting;
use crate::run_terminal::Terminal;
use crate::terminal::{cut, harmless, width};

/// How long one desktop notification, or one series of lines on a terminal, stands for later
/// questions.
const PAUSE: Duration = Duration::from_secs(3);
/// How many lines a terminal gets within that time.
const LINES: usize = 4;
/// How much of a command the desktop shows, in columns.
const COLUMNS: usize = 120;
/// How much of a command a terminal shows at least, in columns.
const LEAST_COLUMNS: usize = 16;
/// How many notifications wait to be shown; more are dropped.
const QUEUE: usize = 64;

/// A notification to be shown.
struct Notification {
    waiting: Waiting,
    /// How many questions wait.
    count: usize,
}

/// Shows notifications on a thread of its own, started by the first one: a desktop or terminal that
/// hangs blocks nothing else.
#[derive(Default)]
pub struct Notifications {
    thread: std::cell::OnceCell<Option<SyncSender<Notification>>>,
}

impl Notifications {
    /// Tells of a question, one of `count` that wait.
    pub fn tell(&self, waiting: Waiting, count: usize) {
        let thread = self.thread.get_or_init(|| {
            let (sender, notifications) = sync_channel::<Notification>(QUEUE);
            let mut desktop = Desktop::new();
            let mut terminals = Terminals::default();
            let tell = move || {
                for Notification { waiting, count } in notifications {
                    terminals.tell(&waiting);
                    // The desktop shows only questions that can be answered here.
                    if !waiting.id.is_empty() {
                        desktop.tell(&waiting, count);
                    }
                }
            };
            thread::Builder::new().name("notes".into()).spawn(tell).ok().map(|_| sender)
        });
        if let Some(thread) = thread {
            let _ = thread.try_send(Notification { waiting, count });
        }
    }
}

/// The program that shows desktop notifications, if there is one.
struct Desktop {
    program: Option<PathBuf>,
    told: Option<Instant>,
}

impl Desktop {
    fn new() -> Self {
        let name = if cfg!(target_os = "macos") { "osascript" } else { "notify-send" };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|program| program.is_file());
        Self { program: found, told: None }
    }

    fn tell(&mut self, waiting: &Waiting, count: usize) {
        let Some(program) = &self.program else { return };
        if self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        let more = if count > 1 { format!(" ({count} questions wait)") } else { String::new() };
        let title = format!("rampart: {} asks{more}", harmless(&waiting.agent));
        let whole = harmless(&waiting.command);
        let command = if width(&whole) <= COLUMNS { whole } else { cut(&waiting.shown(), COLUMNS) };
        let text = format!("{command}\nrampart approve {0} | rampart deny {0}", waiting.id);
        let mut show = Command::new(program);
        if cfg!(target_os = "macos") {
            let script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run";
            show.args(["-e", script, &title, &text]);
        } else {
            // The text is markup (Desktop Notifications Specification, "Markup").
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            show.args(["--app-name=rampart", "--urgency=critical", "--", &title, &text]);
        }
        show.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // On its own thread, so that a hanging desktop does not delay the terminals.
        let _ = thread::Builder::new().name("desktop".into()).spawn(move || show.status());
    }
}

/// Terminals written to: device, time of the first line, count.
#[derive(Default)]
struct Terminals(Vec<(u64, Instant, usize)>);

impl Terminals {
    fn tell(&mut self, waiting: &Waiting) {
        let Some(mut terminal) = waiting.pid.and_then(Terminal::of_run) else { return };
        self.0.retain(|(_, since, _)| since.elapsed() < PAUSE);
        let device = terminal.device();
        let known = self.0.iter().position(|(each, ..)| *each == device);
        let at = known.unwrap_or_else(|| {
            self.0.push((device, Instant::now(), 0));
            self.0.len() - 1
        });
        let told = &mut self.0[at].2;
        *told += 1;
        if *told < LINES {
            let columns = terminal.columns();
            terminal.tell(&line(waiting, terminal.is_taken, columns));
        } else if *told == LINES {
            terminal.tell("rampart: more questions wait for a person: rampart pending");
        }
    }
}

/// The line for a terminal of `columns`. If the command does not fit, it does not offer `approve`:
/// nobody should approve what they cannot read.
fn line(waiting: &Waiting, is_taken: bool, columns: usize) -> String {
    let command = harmless(&waiting.command);
    let begin = "rampart: waiting for a person: ";
    let place = if is_taken { "in another terminal: " } else { "" };
    let left = waiting.left_ms.div_ceil(1000);
    let end = |how: &str| format!("; {place}{how} ({left} s)");
    let is_ours = !waiting.id.is_empty();
    let whole = match &*waiting.id {
        "" => format!("; whoever runs its policy server decides ({left} s)"),
        id => end(&format!("rampart approve {id}")),
    };
    let fits = width(begin) + width(&command) + width(&whole) < columns.max(1);
    if fits || command.len() <= LEAST_COLUMNS {
        return format!("{begin}{command}{whole}");
    }
    let end = if is_ours { end("rampart pending") } else { whole };
    let left = columns.saturating_sub(width(begin) + width(&end) + 1).max(LEAST_COLUMNS);
    format!("{begin}{}{end}", cut(&waiting.shown(), left))
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::server::Waiting;

    #[test]
    fn a_line_has_the_whole_command_or_says_where_it_is() {
        let waiting = |id: &str, command: &str| Waiting {
            id: id.to_owned(),
            command: command.to_owned(),
            part: None,
            agent: String::new(),
            session: String::new(),
            cwd: None,
            pid: None,
            message: String::new(),
            policy: None,
            waited_ms: 0,
            left_ms: 59_001,
        };
        let long = "publish ".repeat(20);
        for (id, command, is_taken, columns, end) in [
            ("a-1", "npm x", true, 99, "npm x; in another terminal: rampart approve a-1 (60 s)"),
            ("a-1", "npm x", false, 99, "npm x; rampart approve a-1 (60 s)"),
            ("a-1", "npm x", false, 20, "npm x; rampart approve a-1 (60 s)"),
            ("a-1", "npm\u{1b}[2J", false, 99, "npm\\u{1b}[2J; rampart approve a-1 (60 s)"),
            ("a-1", &long, false, 80, "publish publish publish…; rampart pending (60 s)"),
            (
                "a-1",
                &long,
                true,
                20,
                "publish publish…; in another terminal: rampart pending (60 s)",
            ),
            ("", "npm x", true, 99, "npm x; whoever runs its policy server decides (60 s)"),
            (
                "",
                &long,
                true,
                20,
                "publish publish…; whoever runs its policy server decides (60 s)",
            ),
        ] {
            let shown = line(&waiting(id, command), is_taken, columns);
            assert_eq!(shown, format!("rampart: waiting for a person: {end}"));
        }
        let inside = Waiting { part: Some("npm x".to_owned()), ..waiting("a-1", &long) };
        assert_eq!(
            line(&inside, false, 99),
            "rampart: waiting for a person: npm x (in a longer line); rampart pending (60 s)"
        );
    }
}

//! Tells the person at the screen that a question waits, where the desktop has a way to.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::pending::Waiting;
use crate::terminal::{cut, harmless};

/// Who asks more often is told of at the next one.
const PAUSE: Duration = Duration::from_secs(3);
/// So much of a command is shown.
const COLUMNS: usize = 120;

/// The program that shows notes, if there is one.
pub struct Desktop {
    program: Option<PathBuf>,
    told: Cell<Option<Instant>>,
}

impl Desktop {
    pub fn new() -> Self {
        let name = if cfg!(target_os = "macos") { "osascript" } else { "notify-send" };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|program| program.is_file());
        Self { program: found, told: Cell::new(None) }
    }

    /// Tells of a question, which is one of so many. Nobody waits for that.
    pub fn tell(&self, waiting: &Waiting, count: usize) {
        let Some(program) = &self.program else { return };
        if self.told.get().is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told.set(Some(Instant::now()));
        let more = if count > 1 { format!(" ({count} questions wait)") } else { String::new() };
        let title = format!("rampart: {} asks{more}", harmless(&waiting.agent));
        let command = cut(&harmless(&waiting.command), COLUMNS);
        let text = format!("{command}\nrampart approve {0} | rampart deny {0}", waiting.id);
        let mut show = Command::new(program);
        if cfg!(target_os = "macos") {
            let script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run";
            show.args(["-e", script, &title, &text]);
        } else {
            // The text is taken for markup (Desktop Notifications Specification, "Markup").
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            show.args(["--app-name=rampart", "--urgency=critical", "--", &title, &text]);
        }
        show.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A desktop that hangs holds up nothing but this thread.
        let _ = thread::Builder::new().name("desktop".into()).spawn(move || show.status());
    }
}

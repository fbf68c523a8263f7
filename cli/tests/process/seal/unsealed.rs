//! Agents that need the seal, started in a run without it.

use std::fs;
use std::path::Path;

use super::{Sealed, text};
use crate::team::library;
use crate::terminal::Terminal;
use crate::world::{finished, stderr, wait_until};

const TOLD: &str = "this run is not sealed, and codex is a static program";

/// A world with an agent that starts `forbidden`, which the library does not see.
fn world() -> Sealed {
    let sealed = Sealed::new();
    let source = "#include <unistd.h>\nint main(void) { execlp(\"forbidden\", \"forbidden\", NULL); \
        return 5; }\n";
    fs::rename(sealed.compiled("agent", source), sealed.0.path("bin/codex")).unwrap();
    sealed
}

/// A run of a shell script in a terminal, which has ended; what was on its screen.
fn shown(sealed: &Sealed, flags: &str, line: &str) -> String {
    let rampart = Path::new(env!("CARGO_BIN_EXE_rampart")).parent().unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", text(&sealed.0.path("bin")), text(rampart));
    let script = sealed.script(&format!("{line}; echo is over\n"));
    let line = format!("rampart preload {flags} --policy p.yaml -- sh {}", text(&script));
    let mut command = sealed.0.command("sh");
    command.args(["-c", &line]).env("PATH", path).env("TERM", "xterm");
    let mut terminal = Terminal::start(command.env("RAMPART_LIBRARY", library()), 200, 24);
    terminal.ended();
    terminal.is_drained();
    let shown = terminal.text();
    assert!(shown.contains("is over"), "{shown}");
    shown
}

fn is_recorded_once(sealed: &Sealed) {
    wait_until("the record", || events(sealed) > 0);
    assert_eq!(events(sealed), 1);
}

fn events(sealed: &Sealed) -> usize {
    let is_one = |line: &&serde_json::Value| line["request"]["event"] == "unsealed-agent";
    sealed.0.audit().iter().filter(is_one).count()
}

#[test]
fn an_agent_that_needs_the_seal_and_starts_without_it_is_told_of_once() {
    let sealed = world();
    let screen = shown(&sealed, "", "codex; codex exec; codex-sdk");
    assert_eq!(screen.matches(TOLD).count(), 1, "{screen}");
    assert!(screen.contains("`rampart preload -- codex`"), "{screen}");
    is_recorded_once(&sealed);
    assert!(sealed.ran("forbidden"));
}

#[test]
fn on_a_screen_that_a_program_has_drawn_it_is_not_told_but_recorded() {
    let sealed = world();
    let screen = shown(&sealed, "", "stty raw -echo; codex; stty sane");
    assert!(!screen.contains("not sealed"), "{screen}");
    is_recorded_once(&sealed);
}

#[test]
fn it_is_not_told_to_who_knows_nor_of_a_run_that_is_sealed() {
    let sealed = world();
    for (flags, line, forbidden_ran) in [
        ("--seal=off", "codex", true),
        ("--seal", "codex", false),
        ("", "rampart preload --policy p.yaml -- codex", false),
        ("", "rampart preload -- env codex", false),
    ] {
        let screen = shown(&sealed, flags, line);
        assert!(!screen.contains("not sealed"), "{flags} {line}: {screen}");
        assert_eq!(
            (events(&sealed), sealed.ran("forbidden")),
            (0, forbidden_ran),
            "{flags} {line}"
        );
    }
    let script = sealed.script("codex; true\n");
    let mut silent = sealed.command(&["--seal=auto"], &["sh", text(&script)]);
    let output = finished(silent.env("RAMPART_LIBRARY", library()));
    assert!(!stderr(&output).contains("not sealed"), "{}", stderr(&output));
}

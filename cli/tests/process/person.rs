//! Commands in unusual places: narrow and wide terminals, without a terminal, with a full or closed
//! stdout, on a full or read-only disk.

use std::fs;
use std::process::Stdio;

use crate::server::Server;
use crate::terminal::Terminal;
use crate::world::{POLICY, World, finished, stderr, stdout};

/// A command of each kind that only shows something.
const SHOWS: &[&[&str]] = &[
    &["log"],
    &["log", "--tree"],
    &["log", "--json"],
    &["audit", "stats"],
    &["audit", "search", "forbidden"],
    &["audit", "verify"],
    &["status"],
    &["rules"],
    &["test", "ls"],
    &["policy", "show"],
    &["policy", "explain", "ls | wc"],
    &["policy", "suggest"],
    &["policy", "conditions"],
    &["policy", "check", ".rampart/policy.yaml"],
    &["allow", "--dry-run", "forbidden 1"],
    &["block", "--dry-run", "ls*"],
    &["completions", "bash"],
    &["man"],
    &["help"],
];

fn decided() -> World {
    let world = World::with_library();
    world.write(".rampart/policy.yaml", POLICY);
    let mut server = Server::start(&world, &[]);
    server.ask(&format!("forbidden 1 {}", "with many words ".repeat(20)));
    server.ask("ls");
    server.signal("-TERM");
    server.ended();
    assert_eq!(world.run(["block", "tool"]).status.code(), Some(0));
    world
}

#[test]
fn every_command_fits_a_terminal_of_any_width_and_has_colours_only_where_they_are_wanted() {
    let world = decided();
    for (columns, no_color, term) in
        [(34, "", "xterm"), (200, "", "xterm"), (80, "1", "xterm"), (80, "", "dumb")]
    {
        for words in SHOWS {
            let mut command = world.rampart(*words);
            command.env("TERM", term).env("NO_COLOR", no_color);
            let mut terminal = Terminal::start(&mut command, columns, 24);
            let ended = terminal.ended();
            assert_eq!(ended.code(), Some(0), "{words:?}:\n{}", terminal.text());
            terminal.is_drained();
            let screen = terminal.screen();
            let painted = (0..24)
                .flat_map(|row| (0..columns).map(move |column| (row, column)))
                .filter_map(|(row, column)| screen.cell(row, column))
                .any(|cell| cell.fgcolor() != vt100::Color::Default);
            // Apart from tables, only refusals are coloured.
            let may = no_color.is_empty() && term != "dumb";
            assert!(may || !painted, "{words:?} {no_color:?} {term}:\n{}", terminal.text());
            if *words == ["log"] {
                assert_eq!(painted, may, "{}", terminal.text());
                let wrapped = (0..24).filter(|row| screen.row_wrapped(*row)).count();
                assert!(columns > 40 || wrapped <= 8, "{}", terminal.text());
                let rows = screen.contents();
                let row = rows.lines().find(|row| row.contains("forbidden")).unwrap();
                assert!(row.trim_end().ends_with(['…']) || row.contains("no-forb"), "{rows}");
            }
        }
    }
}

#[test]
fn a_stdout_that_takes_nothing_is_a_fault_that_is_told_and_a_closed_one_is_none() {
    let world = decided();
    for words in SHOWS {
        let mut closed = world.command("sh");
        closed.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(world.rampart([""; 0]).get_program());
        let closed = finished(closed.args(*words));
        assert_eq!(closed.status.code(), Some(0), "{words:?}: {}", stderr(&closed));
        assert!(!stderr(&closed).contains("fault"), "{words:?}: {}", stderr(&closed));
        let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { continue };
        let mut command = world.rampart(*words);
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let full = child.wait_with_output().unwrap();
        // Clap ignores write errors in its own output.
        if words[0] != "help" {
            assert_eq!(full.status.code(), Some(1), "{words:?}");
            assert!(stderr(&full).contains("cannot write to stdout"), "{}", stderr(&full));
        }
        assert!(!stderr(&full).contains("fault of rampart"), "{words:?}: {}", stderr(&full));
    }
}

#[test]
fn ten_that_set_up_at_once_leave_one_home_that_is_whole() {
    let world = World::new();
    let library = world.path("librampart.so");
    world.compile_library(&library);
    let children: Vec<_> = (0..10)
        .map(|_| {
            let mut setup = world.rampart(["setup"]);
            setup.env("RAMPART_LIBRARY", &library).stdout(Stdio::piped()).stderr(Stdio::piped());
            setup.spawn().unwrap()
        })
        .collect();
    let mut made = 0;
    for child in children {
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        made += stdout(&done).matches("made the token").count();
    }
    assert_eq!(made, 1);
    let count = |name: &str| fs::read_dir(world.home().join(name)).unwrap().count();
    assert_eq!((count(""), count("lib")), (3, 1));
    assert_eq!(world.run(["policy", "check", ".rampart/policy.yaml"]).status.code(), Some(0));
}

/// Runs a script with the user's home on its own file system; `None` if this machine does not
/// permit that.
#[cfg(target_os = "linux")]
fn in_own_home(world: &World, mount: &str, script: &str) -> Option<std::process::Output> {
    if !crate::reach::can(&["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]) {
        return None;
    }
    let mut command = world.command("unshare");
    command.args(["-rm", "sh", "-c", &format!("set -u; {mount}; cd /tmp; {script}")]);
    command.arg(world.rampart([""; 0]).get_program());
    Some(finished(&mut command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing_and_stops_no_command() {
    let world = World::with_library();
    let library = world.home().join("lib/librampart.so");
    let mount = format!(
        "export RAMPART_LIBRARY={}; mkdir -p \"$HOME/full\"; \
         mount -t tmpfs -o size=64k none \"$HOME/full\"; \
         cp {} \"$HOME/full/policy.yaml\"; export RAMPART_HOME=\"$HOME/full\"; \
         fill() {{ head -c 100000 /dev/zero >\"$HOME/full/rest\" 2>/dev/null; }}; fill",
        library.display(),
        world.write("policy.yaml", POLICY).display(),
    );
    let script = "\"$0\" allow 'forbidden 1'; echo \"allow $?\"
        cmp \"$RAMPART_HOME/policy.yaml\" \"$HOME/policy.yaml\" && echo the same
        \"$0\" preload -- sh -c 'echo ran'; echo \"preload $?\"
        \"$0\" doctor; echo \"doctor $?\"
        rm -f \"$RAMPART_HOME/policy.yaml\"; fill; \"$0\" setup; echo \"setup $?\"
        ls \"$RAMPART_HOME\"";
    let Some(full) = in_own_home(&world, &mount, script) else { return };
    let (said, told) = (stdout(&full), stderr(&full));
    for words in ["allow 1", "the same", "ran\n", "preload 0", "is full", "doctor 1", "setup 1"] {
        assert!(said.contains(words), "{words}: {said}\n{told}");
    }
    assert!(told.contains("cannot write the policy") && told.contains("it is as it was"), "{told}");
    assert!(told.contains("No space left on device"), "{told}");
    assert!(told.contains("cannot write the audit"), "{told}");
    // No incomplete file is left.
    assert!(!said.contains("new-") && !said.contains("\npolicy.yaml"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_during_a_run_is_told_on_its_terminal_and_so_is_its_end() {
    if !crate::reach::can(&["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]) {
        return;
    }
    for flag in ["--seal=off", "--seal=on"] {
        let world = World::with_library();
        let run = "until [ -e $HOME/begun ]; do sleep 0.1; done; \
            head -c 100000 /dev/zero >$RAMPART_HOME/rest; \
            until [ -e $HOME/told ]; do sleep 0.2; done; rm $RAMPART_HOME/rest; \
            until [ -e $HOME/over ]; do sleep 0.2; done";
        let script = format!(
            "mkdir $HOME/full; mount -t tmpfs -o size=64k none $HOME/full; \
             export RAMPART_HOME=$HOME/full; \
             \"$0\" preload {flag} --policy $HOME/p.yaml -- sh -c '{run}'; echo ended with $?"
        );
        world.write("p.yaml", POLICY);
        let mut command = world.command("unshare");
        command.args(["-rm", "sh", "-c", &script]).arg(world.rampart([""; 0]).get_program());
        command.env("RAMPART_LIBRARY", crate::team::library());
        let mut terminal = Terminal::start(&mut command, 300, 24);
        world.write("begun", "");
        terminal.shows("cannot write the audit file");
        world.write("told", "");
        terminal.shows("can be written again; nothing is lost");
        world.write("over", "");
        terminal.shows("ended with 0");
        terminal.ended();
        assert_eq!(terminal.text().matches("cannot write").count(), 1, "{}", terminal.text());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_home_that_cannot_be_written_stops_no_command_and_is_told() {
    let world = decided();
    let before = fs::read_to_string(world.home().join("policy.yaml")).unwrap();
    let mount = "mount --bind \"$HOME/.rampart\" \"$HOME/.rampart\"; \
                 mount -o remount,ro,bind \"$HOME/.rampart\"";
    let script = "\"$0\" preload -- sh -c 'echo ran'; echo \"preload $?\"
        \"$0\" allow 'forbidden 1'; echo \"allow $?\"
        \"$0\" rules remove 1; echo \"remove $?\"
        \"$0\" log >/dev/null; echo \"log $?\"
        \"$0\" status >/dev/null; echo \"status $?\"
        \"$0\" test ls >/dev/null; echo \"test $?\"
        \"$0\" audit verify; echo \"verify $?\"
        \"$0\" doctor; echo \"doctor $?\"
        \"$0\" setup --remove; echo \"setup $?\"";
    let Some(done) = in_own_home(&world, mount, script) else { return };
    let (said, told) = (stdout(&done), stderr(&done));
    for words in [
        "ran\n",
        "preload 0",
        "allow 1",
        "remove 1",
        "log 0",
        "status 0",
        "test 0",
        "verify 0",
        "cannot be written: Read-only file system",
        "doctor 1",
        "setup 1",
    ] {
        assert!(said.contains(words), "{words}: {said}\n{told}");
    }
    assert!(told.contains("Read-only file system"), "{told}");
    assert!(told.contains("cannot write the audit"), "{told}");
    assert_eq!(fs::read_to_string(world.home().join("policy.yaml")).unwrap(), before);
}

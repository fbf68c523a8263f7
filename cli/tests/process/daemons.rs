//! Agents whose work is done by a daemon that was there before the run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};

use crate::world::{World, finished, stderr, stdout, wait_until};

/// A stub for an agent and its daemon, which lives until its stdin is closed.
const AGENT: &str = "#!/bin/sh
case \"$*\" in
*'daemon run'*|*--listen*|*--cline-hub-daemon*) : > \"$HOME/ready\"; read line ;;
*) echo \"$*\" > \"$HOME/ran\" ;;
esac
";

fn world() -> World {
    let world = World::with_library();
    for name in ["claude", "codex", "cline"] {
        let path = world.write(&format!("bin/{name}"), AGENT);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    world
}

fn daemon(world: &World, mut command: Command, line: &str) -> Child {
    let mut words = line.split(' ');
    command.arg(world.path("bin").join(words.next().unwrap())).args(words);
    let child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the daemon", || fs::remove_file(world.path("ready")).is_ok());
    child
}

fn end(mut daemon: Child) {
    drop(daemon.stdin.take());
    daemon.wait().unwrap();
}

fn run(world: &World, flags: &[&str], line: &str) -> Output {
    let mut command = world.rampart(["preload"]);
    command.args(flags).arg("--").args(line.split(' '));
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    finished(command.env("PATH", path))
}

fn ran(world: &World) -> bool {
    fs::remove_file(world.path("ran")).is_ok()
}

#[test]
fn work_is_not_left_to_a_process_that_is_not_guarded() {
    let world = world();
    for (line, using, way_out, other) in [
        ("codex app-server --listen unix://", "codex -m x task", "--no-daemon", "codex exec task"),
        ("codex app-server --listen unix://", "env A=1 codex", "--no-daemon", "codex --no-daemon"),
        ("claude daemon run --origin x", "claude --bg task", "claude daemon stop", "claude -p x"),
        ("cline --cline-hub-daemon --port 1", "cline task", "end that process", "echo cline"),
    ] {
        // There is no daemon yet.
        let output = run(&world, &[], using);
        assert!(ran(&world) && output.status.success(), "{using}: {}", stderr(&output));

        let there = daemon(&world, world.command("sh"), line);
        let output = run(&world, &[], using);
        assert_eq!(output.status.code(), Some(2), "{using}: {}", stderr(&output));
        let told = stderr(&output);
        assert!(told.contains(way_out) && told.contains(&there.id().to_string()), "{told}");
        assert!(!ran(&world), "{using}");

        let output = run(&world, &["--mode", "monitor"], using);
        assert!(ran(&world) && stderr(&output).contains("is not guarded"), "{}", stderr(&output));
        let output = run(&world, &[], other);
        assert!(output.status.success(), "{other}: {}", stderr(&output));
        assert_eq!(ran(&world), other != "echo cline");
        let name = line.split(' ').next().unwrap();
        let output = world.run(["doctor", "--agent", name]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stdout(&output).contains(&format!("process {}", there.id())), "{output:?}");
        end(there);
    }
}

#[test]
fn a_guarded_process_and_one_of_another_home_may_do_the_work() {
    let world = world();
    let line = "cline --cline-hub-daemon";
    for flag in ["--seal=off", "--seal"] {
        let mut guard = world.rampart(["preload", flag, "--"]);
        guard.arg("sh");
        let guarded = daemon(&world, guard, line);
        let output = run(&world, &[], "cline task");
        assert!(ran(&world) && output.status.success(), "{flag}: {}", stderr(&output));
        end(guarded);
    }
    let mut elsewhere = world.command("sh");
    elsewhere.env("HOME", world.path("bin"));
    let mut words = line.split(' ');
    elsewhere.arg(world.path("bin").join(words.next().unwrap())).args(words);
    let elsewhere = elsewhere.stdin(Stdio::piped()).spawn().unwrap();
    wait_until("the daemon", || world.path("bin/ready").exists());
    let output = run(&world, &[], "cline task");
    assert!(ran(&world) && stderr(&output).is_empty(), "{}", stderr(&output));
    end(elsewhere);
}

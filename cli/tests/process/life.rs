//! A run's own server lives as long as its tree, even if the processes make themselves
//! unrecognisable.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

#[cfg(target_os = "linux")]
use crate::reach::can;
use crate::team::library;
use crate::world::{POLICY, World, compile, finished, stderr, wait_until};

/// A daemon that makes itself unrecognisable, and starts a program long after its parent is gone.
const DAEMON: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
extern char **environ;
int main(int count, char **words) {
    if (count != 3) return 2;
    if (fork()) return 0;
    if (strcmp(words[1], "in its group")) setsid();
    if (!strcmp(words[1], "unreadable")) prctl(PR_SET_DUMPABLE, 0);
    if (!strcmp(words[1], "overwritten")) {
        char *from = environ[0], *to = from;
        for (char **each = environ; *each; each++) to = *each + strlen(*each);
        memset(from, 'x', to - from);
    }
    /* A server that cannot see this process would have ended by then. */
    sleep(2);
    char *arguments[] = {words[2], 0};
    execv(words[2], arguments);
    puts("refused");
}
"#;

/// A run of that daemon.
fn daemon(world: &World, way: &str) -> Command {
    world.write("p.yaml", POLICY);
    let stub = world.write("forbidden", "#!/bin/sh\necho ran >> marks\n");
    fs::set_permissions(&stub, Permissions::from_mode(0o755)).unwrap();
    let source = world.write("daemon.c", DAEMON);
    compile(&source, &world.path("daemon"), &[]);
    let mut command = world.rampart(["preload", "--policy", "p.yaml", "--"]);
    command.arg(world.path("daemon")).arg(way).arg(&stub).env("RAMPART_LIBRARY", library());
    command
}

/// Its output ends with the daemon.
fn was_waited_for(world: &World, way: &str, command: &mut Command) {
    let output = finished(command);
    assert!(!world.path("marks").exists(), "{way}: {output:?}");
    assert!(stderr(&output).contains("rampart: blocked"), "{way}: {output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("refused"), "{way}: {output:?}");
}

#[test]
fn the_server_waits_for_processes_that_cannot_be_recognised() {
    for way in ["plain", "unreadable", "overwritten"] {
        let world = World::new();
        let mut command = daemon(&world, way);
        if nix::unistd::geteuid().is_root() {
            // Root may read every process.
            for place in [world.path(""), world.runtime()] {
                fs::set_permissions(place, Permissions::from_mode(0o777)).unwrap();
            }
            command.uid(65534).gid(65534);
        }
        was_waited_for(&world, way, &mut command);
        wait_until("the end of its server", || world.private_directories().is_empty());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_waits_for_processes_of_a_group_from_outside_their_namespace() {
    let inside = ["unshare", "-rpf", "--mount-proc"];
    if !can(&[&inside[..], &["true"]].concat()) {
        return;
    }
    let (world, way) = (World::new(), "in its group");
    let run = daemon(&world, way);
    let mut command = world.command(inside[0]);
    // The first process of the namespace waits for the daemon. Its end kills the server.
    command.args(&inside[1..]).args(["sh", "-c", "\"$@\" | cat", "sh"]);
    command.arg(run.get_program()).args(run.get_args()).env("RAMPART_LIBRARY", library());
    was_waited_for(&world, way, &mut command);
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_waits_for_who_has_asked_where_processes_are_hidden() {
    let hides = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/proc"];
    if !can(&hides) {
        return;
    }
    let world = World::new();
    world.write("p.yaml", POLICY);
    let stub = world.write("forbidden", "#!/bin/sh\necho ran >> marks\n");
    fs::set_permissions(&stub, Permissions::from_mode(0o755)).unwrap();
    world.write("late.sh", "./forbidden x\n");
    // By then a server that takes hidden processes for gone would have ended.
    let script = "mount -t tmpfs none /proc; (setsid sh -c 'sleep 2; sh late.sh' &)";
    let rampart = world.rampart(["preload", "--policy", "p.yaml", "--", "sh", "-c", script]);
    let mut command = world.command("unshare");
    command.arg("-rm").arg(rampart.get_program()).args(rampart.get_args());
    let output = finished(command.env("RAMPART_LIBRARY", library()));
    assert!(!world.path("marks").exists(), "{output:?}");
    assert!(stderr(&output).contains("rampart: blocked"), "{output:?}");
    assert!(!stderr(&output).contains("unchecked"), "{output:?}");
    wait_until("the end of its server", || world.private_directories().is_empty());
}

//! A run's own server can be reached from wherever its tree goes; if not, that is reported.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use crate::embedded::Waiting;
use crate::team::library;
use crate::world::{POLICY, World, finished, mode_of, stderr, wait_until};

const UNCHECKED: &str = "rampart: forbidden runs unchecked: the policy server cannot be reached";
const BLOCKED: &str = "rampart: blocked forbidden: Do something else";

/// Mounts an empty file system over the sockets.
const HIDE: &str = r#"mount -t tmpfs none "${XDG_RUNTIME_DIR:?}"; "#;

/// Runs `forbidden`, which leaves a mark, where `connect(2)` is not permitted.
const NO_CONNECT: &str = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 42, "aarch64": 203}[platform.machine()]
filter = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x00050001), (6, 0, 0, 0x7FFF0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in filter))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(filter), ctypes.addressof(text))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execvp("forbidden", ["forbidden", "x"])
"#;

/// A world with a policy and a program that it forbids and that leaves a mark.
fn world() -> World {
    let world = World::new();
    world.write("p.yaml", POLICY);
    world.write("no-connect.py", NO_CONNECT);
    // In scripts, because the policy would see the word in a command line.
    world.write("inner.sh", "forbidden x\n");
    world.write("hidden.sh", &format!("{HIDE} forbidden x\n"));
    let stub = world.write("bin/forbidden", "#!/bin/sh\necho ran >> \"$HOME/marks\"\n");
    fs::set_permissions(stub, Permissions::from_mode(0o755)).unwrap();
    // Another user has to find it and leave a mark.
    fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    let marks = world.write("marks", "");
    fs::set_permissions(marks, Permissions::from_mode(0o666)).unwrap();
    world
}

fn command(world: &World, flags: &[&str], script: &str) -> Command {
    let mut command = world.rampart(["preload", "--policy", "p.yaml"]);
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", world.path("bin").display());
    command.args(flags).args(["--", "sh", "-c", script]);
    command.env("PATH", path).env("RAMPART_LIBRARY", library());
    command
}

fn guard(world: &World, flags: &[&str], script: &str) -> Output {
    finished(&mut command(world, flags, script))
}

/// How often the program ran since the last call.
fn marks(world: &World) -> usize {
    let count = fs::read_to_string(world.path("marks")).unwrap().lines().count();
    fs::write(world.path("marks"), "").unwrap();
    count
}

/// Whether a command that a case needs works on this machine, unguarded.
pub fn can(words: &[&str]) -> bool {
    let tried = Command::new(words[0]).args(&words[1..]).output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        println!("left out, for this machine does not permit: {}", words.join(" "));
    }
    can
}

#[test]
fn the_server_is_where_clean_ups_and_sandboxes_do_not_get_to() {
    let world = world();
    for (runtime, parent) in [(true, world.runtime()), (false, world.home().join("run"))] {
        let mut command = command(&world, &[], "echo \"$RAMPART_URL\"");
        command.env("TMPDIR", world.path(""));
        if !runtime {
            command.env_remove("XDG_RUNTIME_DIR");
        }
        let output = finished(&mut command);
        let url = String::from_utf8(output.stdout).unwrap();
        let place = url.strip_prefix("unix://").unwrap();
        assert!(place.starts_with(parent.to_str().unwrap()), "{url}");
        assert_eq!(url.contains(",unix:@"), cfg!(target_os = "linux"), "{url}");
        wait_until("its end", || fs::read_dir(&parent).unwrap().count() == 0);
    }
    assert_eq!(mode_of(&world.home().join("run")), 0o700);
    // Whoever can enter the directory may connect, but has to show the token.
    let waiting = Waiting::start_with(&world, &["--policy", "p.yaml"], &library_variable());
    assert_eq!(mode_of(&waiting.socket), 0o666);
    assert_eq!(mode_of(waiting.socket.parent().unwrap()), 0o711);
    #[cfg(target_os = "linux")]
    assert_eq!(waiting.ask_by_name("ls", "wrong").status, 401);
    waiting.end();
}

fn library_variable() -> [(&'static str, &'static str); 1] {
    [("RAMPART_LIBRARY", Box::leak(library().into_os_string().into_string().unwrap().into()))]
}

#[test]
fn one_lost_way_to_the_server_loses_no_check() {
    let world = world();
    let empty = r#"find "${XDG_RUNTIME_DIR:?}" -mindepth 1 -delete; forbidden x"#.to_owned();
    let hide = "unshare -rm sh hidden.sh".to_owned();
    let mut cases = vec![("nothing", "forbidden x".to_owned()), ("its file", empty)];
    if can(&["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]) {
        cases.push(("its directory", hide));
    }
    if can(&["unshare", "-rn", "true"]) {
        cases.push(("its network", "unshare -rn sh inner.sh".to_owned()));
    }
    let change = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if can(&[&change[..], &["true"]].concat()) {
        cases.push(("its user", format!("{} sh inner.sh", change.join(" "))));
    }
    for (lost, script) in cases {
        let output = guard(&world, &[], &script);
        assert_eq!(marks(&world), 0, "{lost}: {output:?}");
        assert_eq!(stderr(&output).matches(BLOCKED).count(), 1, "{lost}: {output:?}");
        assert!(!stderr(&output).contains("unchecked"), "{lost}: {output:?}");
    }
}

#[test]
fn whatever_becomes_of_the_file_of_the_library_its_run_stays_guarded() {
    let world = world();
    world.write("system.py", "import os\nos.system('sh inner.sh')\n");
    for (lost, script) in [
        ("moved", "mv lib/librampart.so lib/other; sh inner.sh"),
        ("its folder moved", "mv lib lib2; sh inner.sh; mv lib2 lib"),
        ("system", "mv lib/librampart.so lib/other; python3 system.py"),
        (
            "a clean environment",
            "mv lib/librampart.so lib/other; env -i \"PATH=$PATH\" sh inner.sh",
        ),
        ("another list", "mv lib/librampart.so lib/other; LD_PRELOAD=libc.so.6 sh inner.sh"),
        ("back again", "mv lib lib2; sh -c 'mv lib2 lib; sh inner.sh'"),
    ] {
        let _ = fs::create_dir(world.path("lib"));
        let own = world.path("lib/librampart.so");
        fs::copy(library(), &own).unwrap();
        let mut command = command(&world, &[], script);
        let output = finished(command.env("RAMPART_LIBRARY", own));
        assert_eq!(marks(&world), 0, "{lost}: {output:?}");
        assert_eq!(stderr(&output).matches(BLOCKED).count(), 1, "{lost}: {output:?}");
        assert!(!stderr(&output).contains("cannot be preloaded"), "{lost}: {output:?}");
    }
}

#[test]
fn what_runs_unchecked_because_the_server_is_lost_is_told() {
    let world = world();
    let mut cases = vec![("connect", "python3 no-connect.py".to_owned())];
    if can(&["unshare", "-rmn", "mount", "-t", "tmpfs", "none", "/mnt"]) {
        cases.push(("both ways", "unshare -rmn sh hidden.sh".to_owned()));
    }
    for (lost, script) in cases {
        let output = guard(&world, &[], &script);
        assert_eq!(marks(&world), 1, "{lost}: {output:?}");
        assert_eq!(stderr(&output).matches(UNCHECKED).count(), 1, "{lost}: {output:?}");
        let output = guard(&world, &["--fail-open=false"], &script);
        assert_eq!(marks(&world), 0, "{lost}: {output:?}");
        assert!(!stderr(&output).contains("unchecked"), "{lost}: {output:?}");
    }
}

#[test]
fn a_killed_server_is_told_by_each_command_that_it_is_missed_by() {
    let world = world();
    // Kills only the process that listens at this run's socket, by its ID.
    let kill = r#"for p in /proc/[0-9]*; do
        [ "$(cat "$p/comm" 2>/dev/null)" = rampart-policy ] || continue
        grep -qz "^HOME=$HOME$" "$p/environ" && kill -9 "${p#/proc/}"
        done"#;
    let script = format!("forbidden x; {kill}; sleep 0.2; forbidden x; forbidden x");
    let output = guard(&world, &[], &script);
    assert_eq!(marks(&world), 2, "{output:?}");
    assert_eq!(stderr(&output).matches(BLOCKED).count(), 1, "{output:?}");
    assert_eq!(stderr(&output).matches(UNCHECKED).count(), 2, "{output:?}");
}

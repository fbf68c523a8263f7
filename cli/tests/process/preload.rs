//! What `rampart preload` becomes, and what it leaves behind.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use crate::server::{Server, TOKEN};
use crate::world::{World, finished, stderr, stdout, wait_until};

/// Runs a shell script under guard.
pub fn guard(world: &World, flags: &[&str], script: &str) -> std::process::Output {
    let mut words = vec!["preload"];
    words.extend(flags);
    words.extend(["--", "sh", "-c", script]);
    world.run(words)
}

pub fn wait_until_gone(world: &World) {
    wait_until("the end of the embedded server", || world.private_directories().is_empty());
}

#[test]
fn the_command_takes_the_place_of_rampart_and_ends_as_it_does() {
    let world = World::with_library();
    assert_eq!(guard(&world, &[], "exit 7").status.code(), Some(7));
    assert_eq!(guard(&world, &[], "kill -9 $$").status.signal(), Some(9));
    let mut child =
        world.rampart(["preload", "sh", "-c", "echo $$"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut pid = String::new();
    child.stdout.take().unwrap().read_to_string(&mut pid).unwrap();
    assert_eq!(pid.trim(), child.id().to_string());
    child.wait().unwrap();
}

#[test]
fn a_command_that_cannot_be_run_fails_as_in_a_shell() {
    let world = World::with_library();
    let file = world.write("file", "");
    for (command, status, word) in [
        ("no-such-program", 127, "no-such-program"),
        ("/no/such/program", 127, "/no/such/program"),
        (file.to_str().unwrap(), 126, "Permission denied"),
        ("/", 126, "Permission denied"),
    ] {
        let output = world.run(["preload", "--", command]);
        assert_eq!(output.status.code(), Some(status), "{command}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    wait_until_gone(&world);
}

#[test]
fn the_command_finds_everything_that_the_library_needs() {
    let world = World::with_library();
    let mut command = world.rampart([
        "preload",
        "--mode",
        "monitor",
        "--fail-open=false",
        "--agent",
        "a 1",
        "--session",
        "s 1",
        "--debug",
        "--",
        "env",
    ]);
    command.env("RAMPART_ADDRESS", "1.2.3.4:5").env("RAMPART_NOTICE", "0").env("KEPT", "x");
    let output = finished(&mut command);
    let environment = stdout(&output);
    let value = |name: &str| {
        environment
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")))
            .map(str::to_owned)
    };
    let library = world.home().join("lib/librampart.so");
    assert_eq!(value("LD_PRELOAD").as_deref(), library.to_str());
    assert_eq!(value("RAMPART_MODE").as_deref(), Some("monitor"));
    assert_eq!(value("RAMPART_FAIL_OPEN").as_deref(), Some("0"));
    assert_eq!(value("RAMPART_AGENT").as_deref(), Some("a 1"));
    assert_eq!(value("RAMPART_SESSION").as_deref(), Some("s 1"));
    assert_eq!(value("RAMPART_DEBUG").as_deref(), Some("1"));
    assert_eq!(value("RAMPART_NOTICE").as_deref(), Some("0"));
    assert_eq!(value("KEPT").as_deref(), Some("x"));
    assert_eq!(value("RAMPART_ADDRESS"), None);
    assert_eq!(value("RAMPART_TOKEN").map(|token| token.len()), Some(64));
    let url = value("RAMPART_URL").unwrap();
    assert!(url.starts_with(&format!("unix://{}/", world.runtime().display())), "{url}");

    let plain = stdout(&world.run(["preload", "--", "env"]));
    assert!(plain.contains("RAMPART_FAIL_OPEN=1\n"), "{plain}");
    assert!(plain.contains("RAMPART_SESSION=preload-"), "{plain}");
    assert!(!plain.contains("RAMPART_DEBUG"), "{plain}");
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let world = World::with_library();
    let odd = OsStr::from_bytes(b"a\xff \n'\"$x");
    let mut command = world.rampart(["preload", "--", "printf", "%s|"]);
    let output = command.args([odd, OsStr::new(""), OsStr::new("--mode")]).output().unwrap();
    assert_eq!(output.stdout, b"a\xff \n'\"$x||--mode|");
}

/// The signal's bit in the masks of `/proc/PID/status`.
const SIGPIPE: u64 = 1 << 12;

#[test]
fn signals_and_closed_streams_are_inherited_as_they_were() {
    let world = World::with_library();
    let rampart = env!("CARGO_BIN_EXE_rampart");
    let run = |script: &str| {
        let mut shell = world.rampart(["preload", "--", "sh", "-c", script]);
        stdout(&finished(&mut shell))
    };
    let ignored = |text: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    };
    assert_eq!(ignored(&run("cat /proc/self/status")) & SIGPIPE, 0);
    let nested = format!("trap '' PIPE; exec {rampart} preload -- cat /proc/self/status");
    assert_eq!(ignored(&run(&nested)) & SIGPIPE, SIGPIPE);
    let closed = format!("exec 0<&-; exec {rampart} preload -- ls /proc/self/fd");
    assert!(!run(&closed).lines().any(|line| line == "0 "), "stdin is open");
    let closed = format!("exec 0<&-; exec {rampart} preload -- readlink /proc/self/fd/0; true");
    assert_eq!(run(&closed), "");
}

#[test]
fn what_is_not_usable_is_said_and_nothing_is_run() {
    let world = World::with_library();
    world.write("bad.yaml", "version: [");
    let not_a_library = world.write("librampart.so", "text that is long enough to be read");
    let whole = std::fs::read(crate::team::library()).unwrap();
    let cut_short = world.path("short.so");
    std::fs::write(&cut_short, &whole[..whole.len() / 2]).unwrap();
    let [foreign, older] = ["foreign.so", "older.so"].map(|name| world.path(name));
    crate::world::compile(
        &world.write("foreign.c", "int nothing;\n"),
        &foreign,
        &["-shared", "-fPIC"],
    );
    let mark = memchr::memmem::find(&whole, b"librampart speaks 1\n").unwrap();
    let mut whole = whole;
    whole[mark + 18] = b'0';
    std::fs::write(&older, &whole).unwrap();
    let run = |flags: &[&str], library: Option<&str>| {
        let mut command = world.rampart(["preload"]);
        command.args(flags).args(["--", "touch", "ran"]);
        if let Some(library) = library {
            command.env("RAMPART_LIBRARY", library);
        }
        finished(&mut command)
    };
    let table: &[(&[&str], Option<&str>, i32, &str)] = &[
        (&["--policy", "bad.yaml"], None, 2, "bad.yaml:1:"),
        (&["--policy", "none.yaml"], None, 2, "none.yaml"),
        (&["--policy", "bad.yaml", "--port", "1"], None, 2, "cannot be used with"),
        (&["--policy", "bad.yaml", "--url", "http://h"], None, 2, "cannot be used with"),
        (&["--policy", "bad.yaml", "--token", "t"], None, 2, "cannot be used with"),
        (&["--url", "http://h", "--port", "1"], None, 2, "cannot be used with"),
        (&["--url", "ftp://h"], None, 2, "none of http"),
        (&["--url", "http://me:pw@h"], None, 2, "user info"),
        (&["--url", "http://no-such-host.invalid"], None, 1, "no-such-host.invalid"),
        (&["--port", "0"], None, 2, "--port"),
        (&["--mode", "lax"], None, 2, "lax"),
        (&["--fail-open=maybe"], None, 2, "maybe"),
        (&["--token", "a b", "--port", "1"], None, 2, "token"),
        (&[], Some("/no/librampart.so"), 2, "/no/librampart.so"),
        (&[], Some(not_a_library.to_str().unwrap()), 2, "not a shared library"),
        (&[], Some("/bin"), 2, "not a file"),
        (&[], Some(foreign.to_str().unwrap()), 2, "not this rampart's library"),
        (&[], Some(older.to_str().unwrap()), 2, "another version"),
        #[cfg(target_os = "linux")]
        (&[], Some(cut_short.to_str().unwrap()), 2, "cut short"),
        #[cfg(target_os = "linux")]
        (&[], Some("/bin/sh"), 2, "a program"),
    ];
    for (flags, library, status, words) in table {
        let output = run(flags, *library);
        assert_eq!(output.status.code(), Some(*status), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{flags:?}: {}", stderr(&output));
    }
    assert!(!world.path("ran").exists());
    assert!(world.private_directories().is_empty());

    let bare = World::without_library();
    let output = bare.run(["preload", "--", "touch", "ran"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("rampart setup"), "{}", stderr(&output));
}

#[test]
fn a_library_that_others_may_write_is_told() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::with_library();
    let library = world.home().join("lib/librampart.so");
    for (mode, words) in [(0o755, ""), (0o777, "can be written by everybody"), (0o775, "its group")]
    {
        std::fs::set_permissions(&library, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = world.run(["preload", "--", "true"]);
        assert!(output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
        assert_eq!(stderr(&output).is_empty(), words.is_empty(), "{}", stderr(&output));
    }
}

#[test]
fn a_library_in_a_path_with_blanks_is_preloaded_by_a_link() {
    let world = World::new();
    std::fs::create_dir(world.path("two words")).unwrap();
    let library = world.path("two words/librampart.so");
    world.compile_library(&library);
    let mut command = world.rampart(["preload", "--", "sh", "-c", "readlink \"$LD_PRELOAD\""]);
    let output = finished(command.env("RAMPART_LIBRARY", &library));
    assert_eq!(stdout(&output).trim_end(), library.to_str().unwrap());
    assert_eq!(stderr(&output), "");
    wait_until_gone(&world);

    let mut command = world.rampart(["preload", "--port", "1", "--", "true"]);
    let output = finished(command.env("RAMPART_LIBRARY", &library));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("blank"), "{}", stderr(&output));
}

#[test]
fn a_server_that_is_there_is_used_with_the_token_that_is_known() {
    let world = World::with_library();
    let token = world.write(".rampart/token", TOKEN);
    std::fs::set_permissions(token, Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(&world, &[]);
    let url = format!("http://{}", server.tcp);
    let port = server.tcp.port().to_string();
    let unix = format!("unix://{}", server.unix.display());
    let show = "echo \"$RAMPART_URL $RAMPART_TOKEN $RAMPART_ADDRESS\"";
    let by_port = guard(&world, &["--port", &port], show);
    assert_eq!(stdout(&by_port), format!("{url} {TOKEN} \n"));
    assert_eq!(stderr(&by_port), "");
    // A server named by URL does not get this user's token.
    assert_eq!(stdout(&guard(&world, &["--url", &url], show)), format!("{url}  \n"));
    let given = guard(&world, &["--url", &format!("{unix}/"), "--token", "t"], show);
    assert_eq!(stdout(&given), format!("{unix} t \n"));
    let mut command = world.rampart(["preload", "--", "sh", "-c", show]);
    let inherited = command.env("RAMPART_URL", &url).env("RAMPART_TOKEN", "e").output().unwrap();
    assert_eq!(stdout(&inherited), format!("{url} e \n"));
    assert!(world.private_directories().is_empty());
}

#[test]
fn a_server_that_is_not_there_is_warned_of() {
    let world = World::with_library();
    for (flag, words) in
        [("--fail-open=false", "everything is refused"), ("--fail-open", "runs unchecked")]
    {
        let output = guard(&world, &["--port", "1", flag], "echo ran");
        assert_eq!(stdout(&output), "ran\n");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
fn nothing_is_started_where_nothing_is_asked() {
    let world = World::with_library();
    let output = guard(&world, &["--mode", "disabled"], "echo \"$RAMPART_MODE $RAMPART_URL\"");
    assert_eq!(stdout(&output), "disabled \n");
    assert!(world.private_directories().is_empty());
}

#[test]
fn how_a_refusal_looks_is_handed_down_and_a_shell_line_is_a_failed_command_by_default() {
    let world = World::with_library();
    for (flags, expected) in [
        (&[][..], "shell"),
        (&["--refusal", "errno"], "errno"),
        (&["--refusal", "shell"], "shell"),
        (&["--refusal=message"], "message"),
    ] {
        let words = [&["preload"], flags, &["--", "sh", "-c", "echo $RAMPART_REFUSAL"]].concat();
        let mut command = world.rampart(words);
        let output = finished(command.env("RAMPART_REFUSAL", "stale"));
        assert_eq!(stdout(&output).trim(), expected, "{flags:?}");
    }
    let output = world.run(["preload", "--refusal", "loud", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("errno, shell, message"), "{}", stderr(&output));
    wait_until_gone(&world);
}

//! What `rampart doctor` says about a home, and about all kinds of programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::{Server, TOKEN};
use crate::world::{POLICY, World, compile, finished, mark_in_c, stderr, stdout};

const MODE_SET_USER_ID: u32 = 0o4755;
const MODE_SET_GROUP_ID: u32 = 0o2755;

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The level of each check, such as `library=ok`.
fn levels(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let told = checks.map(|check| format!("{}={}", text(&check["about"]), text(&check["level"])));
    // Whether a run can be sealed depends on the machine.
    told.filter(|told| !told.starts_with("seal=")).collect()
}

/// A complete home, with a library that reports when it is loaded.
fn well() -> World {
    let world = World::new();
    let home = world.home();
    fs::create_dir_all(home.join("lib")).unwrap();
    let says = "#include <unistd.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void say(void)\n\
         { if (getenv(\"RAMPART_DEBUG\")) write(2, \"[rampart] loaded pid=1\\n\", 23); }\n";
    let source = world.write("loud.c", &format!("{says}{}", mark_in_c()));
    compile(&source, &home.join("lib/librampart.so"), &["-shared", "-fPIC"]);
    world.write(".rampart/policy.yaml", POLICY);
    world.write(".rampart/token", TOKEN);
    for (name, mode) in [("", 0o700), ("token", 0o600), ("policy.yaml", 0o600), ("lib", 0o700)] {
        set_mode(&home.join(name), mode);
    }
    world
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_home_that_lacks_nothing_is_well() {
    let world = well();
    let output = world.run(["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).lines().all(|line| line.starts_with("ok ")), "{output:?}");
    let report = json(&world.run(["doctor", "--json"]));
    assert_eq!(report["ok"], true);
    assert_eq!(
        levels(&report),
        ["home=ok", "token=ok", "policy=ok", "library=ok", "loader=ok", "server=ok"]
    );
    // It has changed nothing.
    assert!(world.audit().is_empty());
}

#[test]
fn before_setup_it_says_to_run_setup() {
    let world = World::without_library();
    let output = world.run(["doctor"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("problem  library"), "{output:?}");
    assert!(stdout(&output).contains("run `rampart setup`"), "{output:?}");
    assert!(!world.home().exists());
}

#[test]
fn each_fault_is_found_and_comes_with_what_to_do() {
    type Break = fn(&World);
    let table: [(&str, &str, Break); 11] = [
        ("home=warning", "chmod 700", |world| set_mode(&world.home(), 0o750)),
        ("home=problem", "chmod 700", |world| set_mode(&world.home(), 0o770)),
        ("token=problem", "chmod 600", |world| set_mode(&world.home().join("token"), 0o640)),
        ("token=problem", "rampart setup", |world| {
            fs::write(world.home().join("token"), "two words").unwrap();
        }),
        ("policy=problem", "chmod go-w", |world| {
            set_mode(&world.home().join("policy.yaml"), 0o662);
        }),
        ("policy=problem", "policy.yaml:1:", |world| {
            fs::write(world.home().join("policy.yaml"), "polices: []").unwrap();
        }),
        ("policy=warning", "default_action", |world| {
            fs::write(world.home().join("policy.yaml"), "policies: []").unwrap();
        }),
        ("library=problem", "chmod go-w", |world| {
            set_mode(&world.home().join("lib/librampart.so"), 0o777);
        }),
        ("library=problem", "not a shared library", |world| {
            fs::write(world.home().join("lib/librampart.so"), "text").unwrap();
        }),
        ("library=problem", "another machine", |world| {
            let path = world.home().join("lib/librampart.so");
            let mut bytes = fs::read(&path).unwrap();
            bytes[18] = 3;
            fs::write(path, bytes).unwrap();
        }),
        ("loader=problem", "it said: nothing", |world| {
            world.compile_library(&world.home().join("lib/librampart.so"));
        }),
    ];
    // Only root can give a file away.
    let given: (&str, &str, Break) = ("policy=problem", "chown 0 ", |world| {
        let policy = world.home().join("policy.yaml");
        std::os::unix::fs::chown(policy, Some(65534), None).unwrap();
    });
    let given = nix::unistd::geteuid().is_root().then_some(given);
    for (level, words, break_it) in table.into_iter().chain(given) {
        let world = well();
        break_it(&world);
        let (output, report) = (world.run(["doctor"]), json(&world.run(["doctor", "--json"])));
        let is_problem = level.ends_with("problem");
        assert_eq!(output.status.code(), Some(i32::from(is_problem)), "{level}: {output:?}");
        assert_eq!(report["ok"], !is_problem);
        assert!(levels(&report).iter().any(|found| found == level), "{level}: {report}");
        assert!(stdout(&output).contains(words), "{words}: {}", stdout(&output));
        assert!(!stdout(&output).contains(TOKEN));
    }
}

#[test]
fn a_library_that_the_loader_cannot_be_given_is_told() {
    let world = well();
    let path = world.path("two words.so");
    fs::copy(world.home().join("lib/librampart.so"), &path).unwrap();
    let output = finished(world.rampart(["doctor", "--json"]).env("RAMPART_LIBRARY", &path));
    assert!(levels(&json(&output)).contains(&"library=warning".to_owned()), "{output:?}");
}

#[test]
fn where_nothing_can_be_written_that_is_told_before_setup_too() {
    let world = well();
    let file = world.write("file", "");
    let mut doctor = world.rampart(["doctor", "--json"]);
    let output = finished(doctor.env("RAMPART_HOME", file.join("home")));
    assert!(levels(&json(&output)).contains(&"audit=problem".to_owned()), "{output:?}");
    assert!(stdout(&output).contains("Not a directory"), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_guarded_process_is_told_that_it_is_and_not_that_the_library_is_missing() {
    let world = well();
    let mut doctor = world.rampart(["doctor", "--json"]);
    let output = finished(doctor.env("LD_PRELOAD", "/nowhere/librampart.so"));
    assert!(levels(&json(&output)).contains(&"loader=ok".to_owned()), "{output:?}");
    assert!(stdout(&output).contains("this process is guarded"), "{output:?}");
}

#[test]
fn fix_replaces_a_library_that_cannot_be_used() {
    let world = World::without_library();
    world.compile_library(&world.path("librampart.so"));
    assert_eq!(world.run(["setup"]).status.code(), Some(0));
    let installed = world.home().join("lib/librampart.so");
    fs::write(&installed, "text").unwrap();
    assert!(stdout(&world.run(["doctor"])).contains("run `rampart setup`"));
    let fixed = world.run(["doctor", "--fix"]);
    assert!(stdout(&fixed).contains("installed the library"), "{fixed:?}");
    assert_eq!(fs::read(installed).unwrap(), fs::read(world.path("librampart.so")).unwrap());
}

#[test]
fn a_server_is_looked_for_where_one_is_named() {
    let world = well();
    let server = Server::start(&world, &[]);
    let (tcp, unix) =
        (format!("http://{}", server.tcp), format!("unix://{}", server.unix.display()));
    let level = |url: &str| {
        let report = json(&finished(world.rampart(["doctor", "--json"]).env("RAMPART_URL", url)));
        levels(&report).pop().unwrap()
    };
    assert_eq!(level(&tcp), "server=ok");
    assert_eq!(level(&unix), "server=ok");
    assert_eq!(level("https://127.0.0.1"), "server=problem");
    assert_eq!(level("unix:///nonexistent.sock"), "server=problem");
    drop(server);
    assert_eq!(level(&tcp), "server=problem");
    // A listener that is not a policy server.
    let other = std::os::unix::net::UnixListener::bind(world.path("other.sock")).unwrap();
    assert_eq!(level(&format!("unix://{}", world.path("other.sock").display())), "server=problem");
    drop(other);
}

/// A static program: compiled, or an edited ELF file if the compiler cannot.
fn static_program(world: &World) -> PathBuf {
    let source = world.write("static.c", "int main(void) { return 0; }\n");
    let program = world.path("static");
    let mut compiler = Command::new("cc");
    compiler.arg("-static").arg("-o").arg(&program).arg(&source);
    if !compiler.output().is_ok_and(|output| output.status.success()) {
        let own = fs::read(env!("CARGO_BIN_EXE_rampart")).unwrap();
        let mut head = own[..120].to_vec();
        // A single program header, which is not `PT_INTERP`.
        head[56..58].copy_from_slice(&1u16.to_le_bytes());
        head[64..68].copy_from_slice(&1u32.to_le_bytes());
        fs::write(&program, head).unwrap();
    }
    set_mode(&program, 0o755);
    program
}

/// A program with the note that Go's linker writes.
fn go_program(world: &World) -> PathBuf {
    let note = r#"__asm__(".section .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.asciz \"Go\"\n.byte 0\n.long 7\n.text");"#;
    let source = world.write("go.c", &format!("{note}\nint main(void) {{ return 0; }}\n"));
    let program = world.path("go");
    let made = Command::new("cc").arg("-o").arg(&program).arg(&source).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    program
}

fn changed(world: &World, name: &str, mode: u32, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_rampart")).unwrap();
    bytes.truncate(4096);
    change(&mut bytes);
    let path = world.path(name);
    fs::write(&path, bytes).unwrap();
    set_mode(&path, mode);
    path
}

fn script(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.write(name, text);
    set_mode(&path, 0o755);
    path
}

#[test]
fn it_says_what_is_seen_of_programs_of_every_kind() {
    let world = World::new();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let full = path(changed(&world, "full", 0o755, |_| {}));
    let unseen = path(static_program(&world));
    let setuid = path(changed(&world, "setuid", MODE_SET_USER_ID, |_| {}));
    let foreign = path(changed(&world, "foreign", 0o755, |bytes| bytes[4] = 1));
    let go = path(go_program(&world));
    let setgid = path(changed(&world, "setgid", MODE_SET_GROUP_ID, |_| {}));
    let text = path(script(&world, "text", "echo no interpreter\n"));
    let of_full = path(script(&world, "of-full", &format!("#!{full} -x\n")));
    let of_static = path(script(&world, "of-static", &format!("#!{unseen}\n")));
    let of_script = path(script(&world, "of-script", &format!("#! {of_static}\n")));
    let of_nothing = path(script(&world, "of-nothing", "#!/no/such/interpreter\n"));
    let of_env = path(script(&world, "of-env", "#!/usr/bin/env static\n"));
    for (program, coverage, words) in [
        (&full, Some("full"), "so is everything that it starts"),
        (&unseen, Some("static"), "linked statically"),
        (&setuid, Some("setuid"), "its owner or group"),
        (&setgid, Some("setuid"), "its owner or group"),
        (&go, Some("go"), "system calls of its own"),
        (&full, Some("full"), "dlmopen"),
        (&foreign, Some("other-arch"), "another machine"),
        (&text, None, "is not a program"),
        (&of_full, Some("full"), "-x"),
        (&of_static, Some("static"), "what it starts itself is not seen"),
        (&of_script, Some("static"), &unseen),
        (&of_nothing, None, "/no/such/interpreter"),
        (&of_env, Some("static"), "/usr/bin/env static"),
    ] {
        let search = format!("{}:/usr/bin:/bin", world.path("").display());
        let run = |words: &[&str]| finished(world.rampart(words).env("PATH", &search));
        let output = run(&["doctor", "--", program, "--flag", "-x"]);
        let first = format!("{}: {program}\n", coverage.unwrap_or("unknown"));
        assert!(stdout(&output).starts_with(&first), "{output:?}");
        assert!(stdout(&output).contains(words), "{words}: {output:?}");
        let status = i32::from(coverage != Some("full"));
        assert_eq!(output.status.code(), Some(status), "{output:?}");

        let name = Path::new(program).file_name().unwrap().to_str().unwrap();
        let output = run(&["doctor", "--json", "--", name]);
        let report = json(&output);
        assert_eq!(report["coverage"], coverage.map_or(Value::Null, Value::from), "{report}");
        assert_eq!(report["ok"], coverage == Some("full"));
        assert_eq!(report["steps"][0]["path"], program.as_str());
        assert_eq!(output.status.code(), Some(status));
    }
}

#[test]
fn a_program_that_cannot_be_run_is_told_as_a_shell_does() {
    let world = World::new();
    world.write("plain", "text");
    symlink("/dev/null/nowhere", world.path("dangling")).unwrap();
    for (name, status) in [
        ("no-such-program", 127),
        ("./no-such-program", 127),
        ("", 127),
        ("./plain", 126),
        ("./dangling", 126),
        ("/", 126),
    ] {
        let output = world.run(["doctor", "--", name]);
        assert_eq!(output.status.code(), Some(status), "{name}: {output:?}");
        assert_eq!(stdout(&output), "");
        assert_eq!(stderr(&output).lines().count(), 1, "{output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_an_agent_needs_is_told_and_whether_it_can_be_had() {
    let world = World::with_library();
    let text = stdout(&world.run(["doctor"]));
    assert!(text.lines().any(|line| line.contains(" seal ")), "{text}");
    let output = world.run(["doctor", "--agent", "codex"]);
    assert!(stdout(&output).starts_with("codex: codex is a static program"), "{output:?}");
    let output = world.run(["doctor", "--json", "--agent", "mini"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["known"], &report["ok"]), (&Value::Bool(false), &Value::Bool(true)));
    let launcher = world.write("bin/claude", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
    let output = world.run(["doctor", "--", launcher.to_str().unwrap()]);
    assert!(stdout(&output).contains("sandbox of its own"), "{output:?}");
}

#[test]
fn a_policy_about_coverage_decides_in_test_and_in_serve() {
    let world = World::new();
    let policy = "version: \"1\"\ndefault_action: allow\npolicies:\n  - name: unseen\n    rules:\n\
                  \x20     - action: deny\n        when: { coverage_matches: [static] }\n        message: m\n";
    world.write(".rampart/policy.yaml", policy);
    let unseen = static_program(&world);
    let unseen = unseen.to_str().unwrap();
    for (words, status) in [
        (&["--", unseen][..], 1),
        (&["--coverage", "full", "--", unseen], 0),
        (&["--coverage", "static", "ls"], 1),
        (&["--coverage", "sip", "ls"], 0),
        (&["--coverage", "statik", "ls"], 2),
        (&["--", "no-such-program"], 0),
        (&[unseen], 0),
    ] {
        let output = world.run(["test"].iter().chain(words));
        assert_eq!(output.status.code(), Some(status), "{words:?}: {output:?}");
    }

    let server = Server::start(&world, &[]);
    for (coverage, decision) in [
        (r#","coverage":"static""#, "deny"),
        (r#","coverage":"full""#, "allow"),
        (r#","coverage":"of a later version""#, "allow"),
        ("", "allow"),
    ] {
        let mut client = server.over_unix();
        let body = format!(r#"{{"params":{{"command":"ls"{coverage}}},"enforce":true}}"#);
        client.send(format!(
            "{}Content-Length: {}\r\n\r\n{body}",
            crate::server::head(),
            body.len()
        ));
        let answer: Value = serde_json::from_str(&client.answer().body).unwrap();
        assert_eq!(answer["decision"], decision, "{coverage}");
    }
}

#[test]
fn fix_takes_rights_from_others_makes_what_is_missing_and_changes_nothing_else() {
    let world = well();
    set_mode(&world.home(), 0o775);
    set_mode(&world.home().join("policy.yaml"), 0o666);
    set_mode(&world.home().join("lib/librampart.so"), 0o777);
    fs::remove_file(world.home().join("token")).unwrap();
    assert_eq!(world.run(["doctor"]).status.code(), Some(1));
    let fixed = world.run(["doctor", "--fix"]);
    assert_eq!(fixed.status.code(), Some(0), "{fixed:?}");
    let told = stderr(&fixed);
    assert_eq!(told.matches("others' rights taken away").count(), 3, "{told}");
    assert!(stdout(&fixed).contains("made the token"), "{fixed:?}");
    assert_eq!(world.run(["doctor"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(world.home().join("policy.yaml")).unwrap(), POLICY);
    let again = world.run(["doctor", "--fix"]);
    assert_eq!(stderr(&again), "");

    // What needs a decision is still only reported.
    fs::write(world.home().join("policy.yaml"), "polices: []").unwrap();
    assert_eq!(world.run(["doctor", "--fix"]).status.code(), Some(1));
    let mut guarded = world.rampart(["doctor", "--fix"]);
    guarded.env("LD_PRELOAD", "/nowhere/librampart.so");
    assert_eq!(crate::world::finished(&mut guarded).status.code(), Some(126));
}

#[cfg(target_os = "linux")]
#[test]
fn a_launcher_is_looked_through() {
    let world = World::new();
    let source = world.write("static.c", "int main(void) { return 0; }");
    crate::world::compile(&source, &world.path("static"), &["-static"]);
    let path = world.path("static");
    let path = path.to_str().unwrap();
    for (line, why) in [
        (format!("env A=1 nohup {path} x"), "a static program loads no library"),
        ("env node /x/codex.js exec".to_owned(), "codex is a static program"),
        ("env npx -y claude".to_owned(), "a sandbox of its own"),
    ] {
        let words = || line.split(' ');
        let output = finished(world.rampart(["doctor", "--"]).args(words()));
        let said = stdout(&output);
        assert!(said.starts_with("full: ") && said.contains(why), "{line}: {said}");
        assert!(!said.contains("everything that it starts"), "{said}");
        assert_eq!(output.status.code(), Some(1), "{line}");
        let report = json(&finished(world.rampart(["doctor", "--json", "--"]).args(words())));
        assert_eq!(report["ok"], false);
    }
    let output = finished(world.rampart(["doctor", "--"]).args(["env", "A=1", "sh"]));
    assert!(output.status.success() && stdout(&output).contains("everything that it starts"));
}

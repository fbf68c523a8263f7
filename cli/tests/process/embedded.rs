//! The server of a guarded run: what it decides, how long it lives, what it must not hold up.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::preload::{guard, wait_until_gone};
use crate::server::{Client, TOKEN};
use crate::world::{POLICY, World, compile, finished, stdout};

/// A guarded shell that waits, and its server.
pub struct Waiting {
    shell: Child,
    pub socket: PathBuf,
    /// Its abstract socket name, on Linux.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has them"))]
    pub name: String,
    pub token: String,
}

impl Waiting {
    fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_with(world, flags, &[])
    }

    pub fn start_with(world: &World, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut words = vec!["preload"];
        words.extend(flags);
        words.extend([
            "--",
            "sh",
            "-c",
            "echo \"$RAMPART_URL\"; echo \"$RAMPART_TOKEN\"; echo; read x",
        ]);
        let mut command = world.rampart(words);
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let mut said = String::new();
        let mut out = shell.stdout.take().unwrap();
        while !said.ends_with("\n\n") {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            said.push(char::from(byte[0]));
        }
        let mut lines = said.lines();
        let ways = lines.next().unwrap();
        let ways = ways.strip_prefix("unix://").unwrap();
        let (socket, name) = ways.split_once(",unix:@").unwrap_or((ways, ""));
        let (socket, name) = (socket.into(), name.to_owned());
        Self { shell, socket, name, token: lines.next().unwrap().to_owned() }
    }

    pub fn ask(&self, command: &str, token: &str) -> crate::server::Answer {
        let mut client = Client::over_unix(&self.socket);
        client.send(crate::server::question(command).replace(TOKEN, token));
        client.answer()
    }

    /// Asks a question over the abstract socket.
    #[cfg(target_os = "linux")]
    pub fn ask_by_name(&self, command: &str, token: &str) -> crate::server::Answer {
        let mut client = Client::over_name(&self.name);
        client.send(crate::server::question(command).replace(TOKEN, token));
        client.answer()
    }

    pub fn end(mut self) {
        self.shell.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.shell.wait().unwrap();
    }
}

#[test]
fn the_embedded_server_decides_by_the_policy_and_knows_its_token() {
    let world = World::with_library();
    world.write("p.yaml", POLICY);
    let waiting = Waiting::start(&world, &["--policy", "p.yaml"]);
    assert!(waiting.ask("forbidden", &waiting.token).body.contains("\"allowed\":false"));
    assert!(waiting.ask("ls", &waiting.token).body.contains("\"allowed\":true"));
    assert_eq!(waiting.ask("ls", "wrong").status, 401);
    #[cfg(target_os = "linux")]
    {
        let answer = waiting.ask_by_name("forbidden", &waiting.token);
        assert!(answer.body.contains("\"allowed\":false"));
        assert_eq!(waiting.ask_by_name("ls", "wrong").status, 401);
    }
    world.audit_of(3);
    waiting.end();
    wait_until_gone(&world);
}

/// A server that follows its file checks it ten times within this.
const RELOADED: Duration = Duration::from_secs(1);

#[test]
fn a_run_keeps_the_policy_that_it_began_with() {
    let world = World::with_library();
    let lax = POLICY.replace("forbidden*", "banned*");
    for file in ["p.yaml", ".rampart/policy.yaml"] {
        world.write(file, POLICY);
        let flags: &[&str] = if file == "p.yaml" { &["--policy", file] } else { &[] };
        let waiting = Waiting::start(&world, flags);
        let denies = |command| waiting.ask(command, &waiting.token).body.contains(":false");
        world.write(file, &lax);
        std::thread::sleep(RELOADED);
        assert!(denies("forbidden") && !denies("banned"), "{file}");
        std::fs::remove_file(world.path(file)).unwrap();
        std::thread::sleep(RELOADED);
        assert!(denies("forbidden"), "{file}");
        waiting.end();
    }
    // Nor does a policy that appears later count.
    let waiting = Waiting::start(&world, &[]);
    let shutdown = || waiting.ask("shutdown -h now", &waiting.token).body.contains(":false");
    assert!(shutdown());
    world.write(".rampart/policy.yaml", &lax);
    std::thread::sleep(RELOADED);
    assert!(shutdown());
    waiting.end();
    wait_until_gone(&world);
}

#[test]
fn what_would_end_the_server_is_refused_whatever_the_policy_says() {
    let world = World::with_library();
    world.write("p.yaml", "version: \"1\"\ndefault_action: allow\npolicies: []\n");
    let waiting = Waiting::start(&world, &["--policy", "p.yaml"]);
    let server = find_server(&waiting, "rampart-policy");
    let socket = waiting.socket.display();
    let [own, other] = [("own", &server), ("other", &"1".to_owned())]
        .map(|(name, number)| world.write(&format!("{name}.pid"), &format!("{number}\n")));
    // The server cannot know what will be written to it, and does not wait for that.
    let pipe = world.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (refused, allowed) = (
        [
            format!("kill {server}"),
            format!("kill -9 1 {server}"),
            format!("sh -c 'echo; kill -KILL {server}'"),
            format!("sudo kill {server}"),
            "pkill -f rampart".to_owned(),
            "pkill policy".to_owned(),
            format!("pkill -F {}", own.display()),
            format!("pkill -F {}", pipe.display()),
            "killall rampart-policy".to_owned(),
            "kill -9 -1".to_owned(),
            format!("fuser -k {socket}"),
            format!("fuser -k {}", world.home().join("audit.jsonl").display()),
        ],
        [
            format!("kill -0 {server}"),
            format!("kill 1{server}"),
            format!("echo kill {server}"),
            "pkill -f server".to_owned(),
            format!("pkill -F {}", other.display()),
            format!("pkill -F {}.missing", other.display()),
            "pkill -f preload".to_owned(),
            "pkill -f \"sh -c\"".to_owned(),
            "killall node".to_owned(),
            format!("fuser {socket}"),
            "fuser -k 3000/tcp".to_owned(),
            "kill -9 0".to_owned(),
        ],
    );
    for (commands, allowed) in [(&refused, false), (&allowed, true)] {
        for command in commands {
            let answer = waiting.ask(command, &waiting.token);
            let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(answer["allowed"], allowed, "{command}: {answer}");
            let by = &answer["matched_policies"][0];
            assert_eq!(by == "rampart-itself", !allowed, "{command}: {answer}");
        }
    }
    waiting.end();
    wait_until_gone(&world);
}

#[test]
fn with_audit_sync_the_embedded_servers_lines_are_there_before_its_answers() {
    let world = World::with_library();
    world.write(".rampart/policy.yaml", POLICY);
    let waiting = Waiting::start(&world, &["--audit-sync"]);
    for asked in 1..=20 {
        assert!(waiting.ask("forbidden", &waiting.token).body.contains("\"allowed\":false"));
        assert_eq!(world.audit().len(), asked);
    }
    waiting.end();
    wait_until_gone(&world);
}

#[test]
fn the_server_lives_as_long_as_one_process_of_the_tree() {
    let world = World::with_library();
    nix::unistd::mkfifo(&world.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = "(read x < go; echo done > late) >/dev/null 2>&1 </dev/null & exit 0";
    assert!(guard(&world, &[], script).status.success());
    // A server that believed the tree gone would have ended by then.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(world.private_directories().len(), 1);
    std::fs::write(world.path("go"), "x\n").unwrap();
    wait_until_gone(&world);
    assert!(world.path("late").exists());
}

#[test]
fn the_server_holds_nothing_open_that_somebody_waits_for() {
    let world = World::with_library();
    nix::unistd::mkfifo(&world.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The child keeps the server alive. If the server held our pipe open, this would never return.
    let output = guard(&world, &[], "(read x < go) >/dev/null 2>&1 </dev/null & echo hi");
    assert_eq!(stdout(&output), "hi\n");
    assert_eq!(world.private_directories().len(), 1);
    std::fs::write(world.path("go"), "x\n").unwrap();
    wait_until_gone(&world);

    // The same with a descriptor that only the command knows of.
    let daemon = "(read x < go) 9>&- >/dev/null 2>&1 </dev/null & echo hi >&9";
    let rampart = env!("CARGO_BIN_EXE_rampart");
    for flag in ["--seal=off", "--seal=on"] {
        if flag == "--seal=on" && !cfg!(target_os = "linux") {
            continue;
        }
        let line = format!("exec {rampart} preload {flag} -- sh -c '{daemon}' 9>&1");
        let output = finished(world.command("/bin/sh").args(["-c", &line]));
        assert_eq!(stdout(&output), "hi\n", "{output:?}");
        assert_eq!(world.private_directories().len(), 1);
        std::fs::write(world.path("go"), "x\n").unwrap();
        wait_until_gone(&world);
    }
}

#[test]
fn a_command_that_waits_for_all_its_children_does_not_wait_for_the_server() {
    let world = World::with_library();
    let source = world.write(
        "wait.c",
        "#include <sys/wait.h>\n#include <errno.h>\n\
         int main(void) { int n = 0; while (wait(0) > 0) n++; return errno == ECHILD ? n : 99; }\n",
    );
    let program = world.path("wait-all");
    compile(&source, &program, &[]);
    let output = world.run([OsStr::new("preload"), OsStr::new("--"), program.as_os_str()]);
    assert_eq!(output.status.code(), Some(0));
}

/// Starts a run whose command is given the orphans of its tree.
#[cfg(target_os = "linux")]
fn reaping(world: &World, is_first: bool, words: &[&str]) -> Option<std::process::Output> {
    const SUBREAPER: &str = "import ctypes, os, sys\n\
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let script = world.write("subreaper.py", SUBREAPER);
    let first = ["unshare", "-rpf", "--mount-proc"];
    let outer = if is_first { &first[..] } else { &["python3", script.to_str().unwrap()] };
    if is_first && !crate::reach::can(&[&first[..], &["true"]].concat()) {
        return None;
    }
    let rampart = world.rampart(["preload", "--policy", "p.yaml", "--"]);
    let mut command = world.command(outer[0]);
    command.args(&outer[1..]).arg(rampart.get_program()).args(rampart.get_args()).args(words);
    Some(finished(command.env("RAMPART_LIBRARY", crate::team::library())))
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_that_is_given_orphans_is_not_given_the_server() {
    let world = World::new();
    world.write("p.yaml", POLICY);
    // Started after the server, which a shell that waits for its own children would not notice.
    let script = "import os, subprocess, sys\n\
        refused = subprocess.run(['sh', '-c', 'forbidden x']).returncode\n\
        orphan = subprocess.run(['sh', '-c', 'exit 3 &'])\n\
        ended = []\n\
        while True:\n\
        \x20   try: ended.append(os.waitstatus_to_exitcode(os.wait()[1]))\n\
        \x20   except ChildProcessError: break\n\
        print(refused, ended)\n";
    let script = world.write("reaps.py", script);
    for is_first in [false, true] {
        let words = ["python3", script.to_str().unwrap()];
        let Some(output) = reaping(&world, is_first, &words) else { continue };
        assert_eq!(stdout(&output), "126 [3]\n", "{is_first}: {output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_decision_of_process_1_is_in_the_audit() {
    let world = World::new();
    world.write("p.yaml", POLICY);
    for number in 1..=5 {
        let line = format!("sh -c 'forbidden {number}'");
        if reaping(&world, true, &["sh", "-c", &format!("exec {line}")]).is_none() {
            return;
        }
        let audit = world.audit();
        assert_eq!(audit.len(), number, "{audit:?}");
        assert_eq!(audit[number - 1]["request"]["command"], *line);
    }
}

#[test]
fn sigterm_ends_the_embedded_server_and_the_terminals_signals_do_not() {
    let world = World::with_library();
    let waiting = Waiting::start(&world, &[]);
    let server = find_server(&waiting, "rampart-policy");
    let signal = |name: &str| {
        let status = std::process::Command::new("kill").args([name, &server]).status().unwrap();
        assert!(status.success());
    };
    signal("-HUP");
    assert_eq!(waiting.ask("ls", &waiting.token).status, 200);
    signal("-TERM");
    wait_until_gone(&world);
    waiting.end();
}

/// The process of this name at the other end of the socket.
pub fn find_server(waiting: &Waiting, title: &str) -> String {
    let root = waiting.shell.id().to_string();
    let servers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let started = std::fs::read(path.join("environ")).ok()?;
        let home = waiting.socket.parent()?.parent()?.to_str()?;
        let is_ours = String::from_utf8_lossy(&started).contains(home);
        let pid = path.file_name()?.to_str()?.to_owned();
        let shows = std::fs::read(path.join("cmdline")).ok()?.starts_with(title.as_bytes());
        (shows && name.starts_with(title) && is_ours && pid != root).then_some(pid)
    });
    let found: Vec<String> = servers.collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

//! Questions that wait for a person: who can answer them, and what happens to the process that
//! asked.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Server, TOKEN};
use crate::team::library;
use crate::world::{TIMEOUT, World, compile, finished, stderr, stdout, wait_until};

/// A policy that asks about `publish`.
const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: releases
    match: { tool: exec }
    rules:
      - action: ask
        when: { command_matches: ["publish*"] }
        message: "A release needs a person."
"#;

/// A home with that policy, and a program that only leaves a mark.
pub fn world() -> World {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let text = format!("#!/bin/sh\necho \"$@\" >> {}\n", world.path("ran").display());
    let path = world.write("bin/publish", &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    world
}

/// What ran since the last call.
pub fn ran(world: &World) -> String {
    let path = world.path("ran");
    let text = fs::read_to_string(&path).unwrap_or_default();
    // An empty file is about to be written.
    if !text.is_empty() {
        let _ = fs::remove_file(path);
    }
    text
}

/// A guarded run of a shell line under the real library.
pub fn run(world: &World, flags: &[&str], line: &str) -> Child {
    let mut command = world.rampart(["preload", "--policy"]);
    command
        .arg(world.home().join("policy.yaml"))
        .args(flags)
        .args(if flags.contains(&"--seal") { [].as_slice() } else { &["--seal=off"] })
        .args(["--", "sh", "-c", line])
        .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
        .env("RAMPART_LIBRARY", library())
        // A slow machine must not look like an unreachable server.
        .env("RAMPART_TIMEOUT_MS", "30000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The questions of this world: other runs on this machine may have some too.
pub fn pending(world: &World) -> Vec<Value> {
    let mut output = world.run(["pending", "--json"]);
    // A list in which a server's part is missing proves nothing.
    wait_until("a whole list", || {
        output.status.success() || {
            output = world.run(["pending", "--json"]);
            false
        }
    });
    listed(world, &output)
}

/// Those of this world: there are other runs on the machine.
fn listed(world: &World, output: &Output) -> Vec<Value> {
    let all: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let place = fs::canonicalize(world.path("")).unwrap();
    all.into_iter()
        .filter(|each| each["cwd"].as_str().map(PathBuf::from) == Some(place.clone()))
        .collect()
}

/// The ID of the only waiting question, once there is one.
pub fn waiting(world: &World) -> String {
    let mut list = Vec::new();
    wait_until("a question", || {
        list = pending(world);
        !list.is_empty()
    });
    assert_eq!(list.len(), 1, "{list:?}");
    list[0]["id"].as_str().unwrap().to_owned()
}

/// The ID of the question about a command; empty if there is none.
#[cfg(target_os = "linux")]
pub fn id_in(world: &World, command: &str) -> String {
    let list = pending(world);
    let found = list.iter().find(|each| each["command"] == command);
    found.map_or_else(String::new, |each| each["id"].as_str().unwrap().to_owned())
}

/// The decisions about a command.
pub fn lines(world: &World, command: &str) -> Vec<Value> {
    let text = fs::read_to_string(world.home().join("audit.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["request"]["command"] == command).collect()
}

pub fn answer(world: &World, words: &[&str]) {
    let output = world.run(words);
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
}

pub fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    stdout(&output)
}

#[test]
fn a_program_waits_for_a_person_and_runs_if_it_is_approved_and_only_then() {
    let world = world();
    let child = run(&world, &["--ask=600"], "publish one; echo $?; publish two; echo $?");
    let id = waiting(&world);
    assert_eq!(ran(&world), "", "it waits");
    let list = pending(&world);
    assert_eq!(list[0]["command"], "publish one");
    assert_eq!(list[0]["message"], "A release needs a person.");
    assert_eq!(list[0]["policy"], "releases");
    let shown = stdout(&world.run(["pending"]));
    assert!(shown.lines().any(|line| line == format!("{id}  publish one")), "{shown}");
    answer(&world, &["approve", &id]);
    // The next one is another question.
    wait_until("the second question", || {
        pending(&world).iter().any(|each| each["id"] != id.as_str())
    });
    assert_eq!(ran(&world), "one\n");
    let second = waiting(&world);
    answer(&world, &["deny", &second, "--message", "Not today"]);
    let out = end(child);
    assert!(out.starts_with("0\n") && !out.ends_with("0\n"), "{out}");
    assert_eq!(ran(&world), "");
    assert!(pending(&world).is_empty());
    // Lines are written a moment after the answers.
    wait_until("the audit", || lines(&world, "publish two").len() == 1);
    let audit = world.audit();
    let decided = |command: &str| {
        let line = audit.iter().find(|line| line["request"]["command"] == command).unwrap();
        let decision = &line["decision"];
        (decision["action"].clone(), decision["message"].clone())
    };
    assert_eq!(decided("publish one"), ("allow".into(), "a person has approved it".into()));
    assert_eq!(decided("publish two"), ("deny".into(), "Not today".into()));
}

#[test]
fn without_a_person_nothing_waits_and_nothing_runs() {
    let world = world();
    let begun = Instant::now();
    assert_ne!(end(run(&world, &[], "publish one; echo $?")), "0\n");
    assert!(begun.elapsed() < TIMEOUT, "nobody was waited for");
    assert_ne!(end(run(&world, &["--ask=1"], "publish one; echo $?")), "0\n");
    assert_eq!(ran(&world), "");
    wait_until("the audit", || lines(&world, "publish one").len() == 2);
    let asked = lines(&world, "publish one");
    assert!(asked.iter().all(|line| line["decision"]["action"] == "ask"), "{asked:?}");
    let message = asked[1]["decision"]["message"].as_str().unwrap();
    assert_eq!(message, "Nobody answered within 1 s. A release needs a person.");
}

#[test]
fn an_approval_holds_as_far_as_was_said() {
    let world = world();
    // The commands of an approved shell line are not asked about again.
    let child = run(&world, &["--ask=600"], "sh -c 'publish one; echo $?'; publish one; echo $?");
    let id = waiting(&world);
    answer(&world, &["approve", &id, "--once"]);
    wait_until("what was approved", || world.path("ran").exists());
    let id = waiting(&world);
    assert_eq!(ran(&world), "one\n");
    answer(&world, &["deny", &id]);
    end(child);
    assert_eq!(ran(&world), "");

    let line = "publish one; publish one; publish two; echo $?";
    let child = run(&world, &["--ask=600"], line);
    let id = waiting(&world);
    answer(&world, &["approve", &id, "--session"]);
    wait_until("the other command", || {
        pending(&world).iter().any(|each| each["command"] == "publish two")
    });
    assert_eq!(ran(&world), "one\none\n");
    let id = waiting(&world);
    // By a rule, which holds in the next run too.
    answer(&world, &["approve", &id, "--always"]);
    assert_eq!(end(child), "0\n");
    assert_eq!(ran(&world), "two\n");
    assert_eq!(end(run(&world, &["--ask=600"], "publish two; echo $?")), "0\n");
    assert_eq!(ran(&world), "two\n");
}

/// Sends an approval to a Unix socket, and prints the answer. A reader of that output also waits
/// for a child that is left behind.
const SENDER: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int count, char **words) {
    struct sockaddr_un address = {AF_UNIX, ""};
    char room[4096];
    strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
    if (words[3] && !strcmp(words[3], "daemon")) {
        if (fork()) return 0;
        setsid();
        usleep(300 * 1000);
    }
    int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
    if (count < 3 || connect(socket_, (void *)&address, sizeof address)) return 1;
    if (words[3] && !strcmp(words[3], "left")) {
        if (fork()) return 0;
        usleep(300 * 1000);
    }
    dprintf(socket_, "POST /v1/approvals/%s/resolve HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 17\r\nConnection: close\r\n\r\n{\"approved\":true}", words[2]);
    for (long got; (got = read(socket_, room, sizeof room)) > 0;) write(1, room, got);
    return 0;
}
"#;

#[test]
fn what_an_agents_shell_runs_among_words_of_its_own_is_told_and_allowed_by_itself() {
    let world = world();
    let line = |command: &str, own: &str| {
        format!("bash -c 'shopt -u extglob || true && eval \"{command}\" && pwd > {own}'")
    };
    let run = |flags: &[&str], command: &str, own: &str| {
        run(&world, flags, &line(command, own)).wait_with_output().unwrap()
    };
    let asks = std::thread::scope(|scope| {
        let asks = scope.spawn(|| run(&["--ask"], "publish 1", "/dev/null"));
        let id = waiting(&world);
        let told = stdout(&world.run(["pending"]));
        assert!(told.contains(&format!("{id}  publish 1\n    in bash -c 'shopt")), "{told}");
        let always = stdout(&world.run(["approve", &id, "--always"]));
        assert!(always.contains("command_matches: [\"publish 1\"]"), "{always}");
        assert!(
            always.ends_with("approved, from now on: publish 1 (in a longer line)\n"),
            "{always}"
        );
        asks.join().unwrap()
    });
    assert!(asks.status.success(), "{asks:?}");
    assert_eq!(ran(&world), "1\n");

    // The agent's own words are others the next time.
    assert!(run(&[], "publish 1", "/dev/full").status.code().is_some());
    assert_eq!(ran(&world), "1\n");

    let refused = run(&[], "publish 2", "/dev/null");
    assert_eq!(refused.status.code(), Some(126), "{refused:?}");
    assert!(stderr(&refused).contains("rampart allow 'publish 2'"), "{}", stderr(&refused));
    let piped = run(&[], "publish 3 | cat", "/dev/null");
    assert!(stderr(&piped).contains("rampart allow 'publish 3'"), "{}", stderr(&piped));
    let logged = stdout(&world.run(["log", "--denied"]));
    assert!(logged.contains("  publish 2  (in bash -c 'shopt"), "{logged}");
    assert_eq!(ran(&world), "");
}

#[test]
fn a_guarded_process_cannot_answer_by_whatever_program_and_from_whatever_environment() {
    cannot_answer("--seal=off", &["plain", "clean", "left", "command"]);
}

/// Also for a process that leaves its tree: the keeper stays its ancestor.
#[cfg(target_os = "linux")]
#[test]
fn in_a_sealed_run_a_program_waits_as_well_and_nobody_in_it_can_answer() {
    cannot_answer("--seal", &["plain", "clean", "left", "command", "daemon"]);
    let world = world();
    for (word, runs) in [("approve", "one\n"), ("deny", "")] {
        let child = run(&world, &["--seal", "--ask=600"], "publish one; echo $?");
        let id = waiting(&world);
        assert_eq!(ran(&world), "", "it waits");
        answer(&world, &[word, &id]);
        let out = end(child);
        assert_eq!((ran(&world).as_str(), out == "0\n"), (runs, word == "approve"), "{out}");
    }
    // A killed process no longer waits.
    let line = "publish two & p=$!; read x < go; kill -9 $p; wait $p; : > killed; read x < end";
    // Two: of one alone, the second reader may meet the first writer, and read its end.
    for pipe in ["go", "end"] {
        nix::unistd::mkfifo(&world.path(pipe), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let child = run(&world, &["--seal", "--ask=600"], line);
    let id = waiting(&world);
    fs::write(world.path("go"), "x\n").unwrap();
    wait_until("the kill", || world.path("killed").exists());
    // On a busy machine the command may give up on the server, and knows no question then.
    wait_until("that it waits no more", || {
        stderr(&world.run(["approve", &id])).contains("the process that asked is gone")
    });
    fs::write(world.path("end"), "x\n").unwrap();
    end(child);
    assert_eq!(ran(&world), "");
}

/// Nobody is told that nothing waits who cannot know it.
#[test]
fn a_server_that_does_not_say_what_waits_is_named_and_the_others_are_listed() {
    let world = world();
    let lies = scripted_server::json_answer("nonsense");
    let _nonsense = scripted_server::Server::at_socket(
        &world.home().join("serve.sock"),
        None,
        move |exchange| exchange.answer_all(|_| lies.clone()),
    );
    let child = run(&world, &["--ask=600"], "publish one; echo $?");
    let mut questions = Vec::new();
    wait_until("the question", || {
        let output = world.run(["pending", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let why = stderr(&output);
        assert!(why.contains("serve.sock does not say what waits: "), "{why}");
        questions = listed(&world, &output);
        !questions.is_empty()
    });
    let unknown = stderr(&world.run(["approve", "none-1"]));
    assert!(unknown.contains("serve.sock does not say what waits: "), "{unknown}");
    answer(&world, &["approve", questions[0]["id"].as_str().unwrap()]);
    assert_eq!((end(child).as_str(), ran(&world).as_str()), ("0\n", "one\n"));
}

fn cannot_answer(seal: &str, ways: &[&str]) {
    let world = world();
    let source = world.write("sender.c", SENDER);
    let sender = world.path("sender");
    // Statically linked, so without the library, where that is possible.
    let flags: &[&str] = if cfg!(target_os = "linux") { &["-static", "-w"] } else { &["-w"] };
    compile(&source, &sender, flags);
    let script = "publish one & s=${RAMPART_URL%%,*}; s=${s#unix://}; echo $s; while read how id; do \
        case $how in \
        plain) sender $s $id;; \
        clean) env -i \"$(command -v sender)\" $s $id;; \
        left) sender $s $id left | cat;; \
        daemon) env -i \"$(command -v sender)\" $s $id daemon | cat;; \
        command) rampart approve $id;; \
        esac; echo; echo done; done; wait";
    let mut command = world.rampart(["preload", seal, "--ask=600", "--policy"]);
    let rampart = PathBuf::from(env!("CARGO_BIN_EXE_rampart"));
    let path = [world.path("bin"), world.path(""), rampart.parent().unwrap().to_owned()];
    let path = path.map(|each| each.display().to_string()).join(":");
    command
        .arg(world.home().join("policy.yaml"))
        .args(["--", "sh", "-c", script])
        .env("PATH", format!("{path}:/usr/bin:/bin"))
        .env("RAMPART_LIBRARY", library())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let socket = lines.next().unwrap().unwrap();
    let id = waiting(&world);
    for how in ways {
        writeln!(stdin, "{how} {id}").unwrap();
        let said: Vec<String> =
            lines.by_ref().map(Result::unwrap).take_while(|line| line != "done").collect();
        let said = said.join("\n");
        assert!(*how == "command" || said.contains("403 Forbidden"), "{how}: {said:?}");
        assert_eq!(ran(&world), "", "{how}");
        assert_eq!(waiting(&world), id, "{how}: it waits yet");
    }
    // The same program, unguarded.
    let output = finished(world.command(&sender).args([&socket, &id]));
    assert!(stdout(&output).contains("200 OK"), "{}", stdout(&output));
    // The mark is created before it is written, so wait until it is complete.
    let mark = || fs::read_to_string(world.path("ran")).unwrap_or_default();
    wait_until("what was approved", || mark() == "one\n");
    drop(stdin);
    child.wait().unwrap();
}

/// A server whose questions wait.
fn serve(world: &World) -> Server {
    Server::start(world, &[])
}

/// Asks questions, each on its own connection, and prints the answers. In another process than the
/// one that approves: a process that has asked may not approve.
const ASKER: &str = r#"
import json, socket, sys, threading
place, lock, connections = sys.argv[1], threading.Lock(), {}
def say(*words):
    with lock: print(*words, flush=True)
def answers(name, connection):
    file = connection.makefile("rb")
    while head := file.readline():
        length = 0
        while (line := file.readline().strip()):
            if line.lower().startswith(b"content-length:"): length = int(line.split(b":")[1])
        say(name, head.split()[1].decode(), file.read(length).decode() or "{}")
    say(name, "end", "{}")
def ask(name, ask_ms, command):
    if name not in connections:
        if place.isdigit(): connection = socket.create_connection(("127.0.0.1", int(place)))
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(place)
        connections[name] = connection
        threading.Thread(target=answers, args=(name, connection), daemon=True).start()
    question = {"agent": "tester", "session": "s1", "params": {"command": command}}
    if int(ask_ms): question["ask_ms"] = int(ask_ms)
    body = json.dumps(question)
    connections[name].sendall(("POST /v1/preflight/exec HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        f"the-token\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
for line in sys.stdin:
    how, name, *rest = line.rstrip("\n").split(" ", 3)
    if how == "ask": ask(name, *rest)
    elif how == "half": connections[name].shutdown(socket.SHUT_WR)
"#;

/// The asking process.
pub struct Asking {
    process: Child,
    answers: Receiver<(String, String, Value)>,
    early: Vec<(String, String, Value)>,
}

impl Asking {
    fn start(world: &World, place: &str) -> Self {
        let script = world.write("asker.py", ASKER);
        let mut command = world.command("python3");
        command.arg(script).arg(place).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut words = line.splitn(3, ' ').map(str::to_owned);
                let mut next = || words.next().unwrap();
                let (name, status, body) = (next(), next(), next());
                let body = serde_json::from_str(&body).unwrap();
                if sender.send((name, status, body)).is_err() {
                    break;
                }
            }
        });
        Self { process, answers, early: Vec::new() }
    }

    pub fn over_unix(world: &World, server: &Server) -> Self {
        Self::start(world, server.unix.to_str().unwrap())
    }

    pub fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Asks a question that waits.
    pub fn ask(&mut self, name: &str, command: &str) {
        self.tell(&format!("ask {name} 60000 {command}"));
        assert_eq!(self.answer(name).0, "102", "{command}");
    }

    /// The next answer for this name: its status and body.
    fn answer(&mut self, name: &str) -> (String, Value) {
        loop {
            if let Some(at) = self.early.iter().position(|(of, ..)| of == name) {
                let (_, status, body) = self.early.remove(at);
                return (status, body);
            }
            self.early.push(self.answers.recv_timeout(TIMEOUT).unwrap());
        }
    }

    pub fn verdict(&mut self, name: &str) -> Value {
        let (status, verdict) = self.answer(name);
        assert_eq!(status, "200", "{verdict}");
        verdict
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn list(server: &Server) -> Vec<Value> {
    let mut client = server.over_unix();
    client.send("GET /v1/approvals HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    let list: Value = serde_json::from_str(&answer.body).unwrap();
    list["approvals"].as_array().unwrap().clone()
}

pub fn id_of(server: &Server, command: &str) -> String {
    let list = list(server);
    let found = list.iter().find(|each| each["command"] == command);
    found.unwrap_or_else(|| panic!("{command}: {list:?}"))["id"].as_str().unwrap().to_owned()
}

fn resolution(id: &str, reply: &Value) -> String {
    let body = reply.to_string();
    let length = body.len();
    format!(
        "POST /v1/approvals/{id}/resolve HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The status of a person's answer.
pub fn resolve(server: &Server, id: &str, reply: &Value) -> (u16, String) {
    let mut client = server.over_unix();
    client.send(resolution(id, reply));
    let answer = client.answer();
    (answer.status, answer.body)
}

#[test]
fn two_hundred_wait_at_once_and_each_gets_its_own_answer() {
    let world = world();
    let server = serve(&world);
    let mut asking = Asking::over_unix(&world, &server);
    let name = |number: usize| format!("n{number}");
    for number in 0..200 {
        asking.ask(&name(number), &format!("publish {number}"));
    }
    let ids: Vec<String> = list(&server)
        .iter()
        .enumerate()
        .map(|(number, each)| {
            assert_eq!(each["command"], format!("publish {number}"));
            each["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 200);
    // Other questions do not wait for them.
    asking.tell("ask other 0 ls");
    assert_eq!(asking.verdict("other")["allowed"], true);
    for (number, id) in ids.iter().enumerate().rev() {
        let reply = json!({ "approved": number % 3 == 0, "message": "no" });
        assert_eq!(resolve(&server, id, &reply).0, 200);
    }
    for number in 0..200 {
        let verdict = asking.verdict(&name(number));
        assert_eq!(verdict["allowed"], number % 3 == 0, "{number}: {verdict}");
    }
    assert!(list(&server).is_empty());
    // The connections still work.
    for number in 0..200 {
        asking.tell(&format!("ask {} 0 ls", name(number)));
        assert_eq!(asking.verdict(&name(number))["allowed"], true);
    }
}

#[test]
fn of_two_words_the_first_counts_and_what_waits_no_more_cannot_be_answered() {
    let world = world();
    let server = serve(&world);
    let mut asking = Asking::over_unix(&world, &server);
    let (yes, no) = (json!({ "approved": true }), json!({ "approved": false }));
    asking.ask("one", "publish one");
    let id = id_of(&server, "publish one");
    assert_eq!(resolve(&server, &id, &json!({ "approve": true })).0, 400);
    assert_eq!(resolve(&server, &id, &no).0, 200);
    let (status, why) = resolve(&server, &id, &yes);
    assert!(status == 409 && why.contains("it was denied"), "{status} {why}");
    assert_eq!(asking.verdict("one")["allowed"], false);
    assert_eq!(resolve(&server, "none-1", &yes).0, 404);
    let typed = world.run(["approve", "none-1"]);
    assert!(stderr(&typed).contains("no question none-1 waits"), "{typed:?}");

    // A client that has shut down its sending side still waits; one that is gone does not.
    asking.ask("half", "publish half");
    asking.tell("half half");
    let mut gone = Asking::over_unix(&world, &server);
    gone.ask("gone", "publish gone");
    let id = id_of(&server, "publish gone");
    drop(gone);
    let (status, why) = resolve(&server, &id, &yes);
    assert!(status == 409 && why.contains("the process that asked is gone"), "{status} {why}");
    for place in [server.unix.to_str().unwrap(), &server.tcp.port().to_string()] {
        let mut gone = Asking::start(&world, place);
        gone.ask("gone", "publish gone");
        assert_eq!(list(&server).len(), 2, "{place}");
        drop(gone);
        wait_until("that it waits no more", || list(&server).len() == 1);
    }
    let id = id_of(&server, "publish half");
    assert_eq!(resolve(&server, &id, &yes).0, 200);
    assert_eq!(asking.verdict("half")["allowed"], true);
}

#[test]
fn nobody_answers_over_tcp_and_nobody_waits_who_has_not_said_so() {
    let world = world();
    let server = serve(&world);
    let mut asking = Asking::over_unix(&world, &server);
    asking.ask("one", "publish one");
    let id = id_of(&server, "publish one");
    let mut tcp = server.over_tcp();
    let with_token = format!("Host: x\r\nAuthorization: Bearer {TOKEN}");
    tcp.send(resolution(&id, &json!({ "approved": true })).replace("Host: x", &with_token));
    assert_eq!(tcp.answer().status, 403);
    tcp.send("GET /v1/approvals HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(tcp.answer().status, 403);
    asking.tell("ask two 0 publish two");
    assert_eq!(asking.verdict("two")["decision"], "ask");
    asking.tell("ask three 300 publish three");
    assert_eq!(asking.answer("three").0, "102");
    let late = asking.verdict("three");
    assert_eq!((&late["allowed"], &late["decision"]), (&false.into(), &"ask".into()), "{late}");
    // A command too long to read is not asked about; a shorter one is.
    asking.tell(&format!("ask long 60000 publish {}", "x".repeat(20_000)));
    assert_eq!(asking.verdict("long")["decision"], "ask");
    let long = format!("publish {}", "x".repeat(6_000));
    asking.ask("long", &long);
    assert_eq!(resolve(&server, &id_of(&server, &long), &json!({ "approved": true })).0, 200);
    assert_eq!(asking.verdict("long")["allowed"], true);
    assert_eq!(resolve(&server, &id, &json!({ "approved": true })).0, 200);
    assert_eq!(asking.verdict("one")["allowed"], true);
}

#[test]
fn who_waits_leaves_place_for_those_who_do_not() {
    let world = world();
    // Descriptors for 16 clients, beside the server's own.
    let script = "ulimit -n 48; exec \"$@\"";
    let server = Server::start_by(&world, &["sh", "-c", script, "sh"]);
    let mut asking = Asking::over_unix(&world, &server);
    for number in 0..8 {
        asking.ask(&format!("n{number}"), &format!("publish {number}"));
    }
    for number in 8..20 {
        asking.tell(&format!("ask n{number} 60000 publish {number}"));
        assert_eq!(asking.verdict(&format!("n{number}"))["decision"], "ask", "{number}");
    }
    assert_eq!(list(&server).len(), 8);
}

#[test]
fn a_server_that_ends_says_so_to_those_who_wait() {
    let world = world();
    let mut server = serve(&world);
    let mut asking = Asking::over_unix(&world, &server);
    asking.ask("one", "publish one");
    asking.ask("two", "publish two");
    server.signal("-TERM");
    for name in ["one", "two"] {
        let verdict = asking.verdict(name);
        assert_eq!(verdict["allowed"], false);
        assert!(verdict["message"].as_str().unwrap().starts_with("The server ended"), "{verdict}");
    }
    assert!(server.ended().success());
}

#[test]
fn a_desktop_is_told_once_in_a_while_and_its_text_is_no_markup() {
    let world = world();
    let notes = world.path("notes");
    let text = format!("#!/bin/sh\nprintf '%s|' \"$@\" >> {}\n", notes.display());
    let path = world.write("bin/notify-send", &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:/usr/bin:/bin", world.path("bin").display());
    let server = Server::start_by(&world, &["env", &path]);
    let mut asking = Asking::over_unix(&world, &server);
    asking.ask("one", "publish '<b>' & x");
    asking.ask("two", "publish two");
    let id = id_of(&server, "publish '<b>' & x");
    let told = || fs::read_to_string(&notes).unwrap_or_default();
    wait_until("the note", || told().ends_with('|'));
    std::thread::sleep(Duration::from_millis(300));
    let told = told();
    assert!(told.contains("publish '&lt;b&gt;' &amp; x"), "{told}");
    assert!(told.contains(&format!("rampart approve {id} ")) && !told.contains("two"), "{told}");
}

//! Questions behind a relay that wait for a person: at the server that holds them, or here if it
//! cannot.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::ask::{self, answer, end, id_of, list, pending, ran, resolve, waiting};
use crate::remote::{Authority, Manner, Remote, SECRET, with_head};
use crate::server::{Server, TOKEN};
use crate::team::library;
use crate::world::{World, wait_until};

const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];

/// A world whose policy asks about `publish`, with a CA.
fn world() -> (World, Authority) {
    let (world, authority) = (ask::world(), Authority::new("the team"));
    authority.file(&world);
    authority.files(&world, "localhost");
    (world, authority)
}

/// A run of a shell line behind a relay to this port.
fn run(world: &World, port: u16, token: &str, flags: &[&str], line: &str) -> Child {
    let url = format!("https://localhost:{port}");
    let mut command = world.rampart(["preload", "--url", &url, "--ca", "ca.pem"]);
    command
        .args(flags)
        .args(["--", "sh", "-c", line])
        .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
        .env("RAMPART_LIBRARY", library())
        .env("RAMPART_TOKEN", token)
        // A slow machine must not look like an unreachable server.
        .env("RAMPART_TIMEOUT_MS", "30000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn seals() -> &'static [&'static str] {
    if cfg!(target_os = "linux") { &["--seal=off", "--seal=on"] } else { &["--seal=off"] }
}

/// The ID of the question about a command, once it waits at this server.
fn held(server: &Server, command: &str) -> String {
    wait_until("the question", || list(server).iter().any(|each| each["command"] == command));
    id_of(server, command)
}

#[test]
fn a_server_that_holds_a_question_has_it_answered_there() {
    let (world, _) = world();
    let server = Server::start(&world, &TLS);
    let port = server.tcp.port();
    for seal in seals() {
        for (approved, runs) in [(true, "one\n"), (false, "")] {
            let line = "publish one; echo $?";
            let child = run(&world, port, TOKEN, &["--ask=600", seal], line);
            let id = held(&server, "publish one");
            assert_eq!(ran(&world), "", "it waits");
            // It cannot be answered at the relay.
            assert!(pending(&world).is_empty());
            let reply = json!({ "approved": approved, "message": "Not today" });
            assert_eq!(resolve(&server, &id, &reply).0, 200);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(ran(&world), runs, "{seal}: {said}");
            assert_eq!(said.contains("Not today"), !approved, "{said}");
        }
    }
    // A run without `--ask` does not wait, and a process that is gone no longer does.
    let out = end(run(&world, port, TOKEN, &["--seal=off"], "publish one; echo $?"));
    assert!(!out.is_empty() && out != "0\n", "{out}");
    let line = "publish two & p=$!; read x < go; kill -9 $p; sleep 30";
    nix::unistd::mkfifo(&world.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = run(&world, port, TOKEN, &["--ask=600", "--seal=off"], line);
    held(&server, "publish two");
    std::fs::write(world.path("go"), "x\n").unwrap();
    wait_until("that it waits no more", || list(&server).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ran(&world), "");
}

/// More than the relay's connections for questions that do not wait.
#[test]
fn who_waits_at_the_server_keeps_nobody_from_asking() {
    let (world, _) = world();
    let server = Server::start(&world, &TLS);
    let line = "i=0; while [ $i -lt 40 ]; do publish $i & i=$((i+1)); done; read x < go; \
        /bin/echo is asked and runs; wait";
    nix::unistd::mkfifo(&world.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = run(&world, server.tcp.port(), TOKEN, &["--ask=600", "--seal=off"], line);
    wait_until("forty questions", || list(&server).len() == 40);
    std::fs::write(world.path("go"), "x\n").unwrap();
    wait_until("the answer", || !ask::lines(&world, "/bin/echo is asked and runs").is_empty());
    assert_eq!(list(&server).len(), 40);
    for each in list(&server) {
        let id = each["id"].as_str().unwrap();
        assert_eq!(resolve(&server, id, &json!({ "approved": id.ends_with('7') })).0, 200);
    }
    assert!(end(child).contains("is asked and runs"));
    assert_eq!(ran(&world).lines().count(), 4);
}

/// What the Go server answers.
fn asks() -> Manner {
    let body = json!({
        "allowed": false, "decision": "ask", "message": "A release needs a person.",
        "matched_policies": ["releases"], "audit_id": "x-1",
    });
    Manner::Say(with_head(200, &body.to_string()))
}

#[test]
fn what_a_server_asks_at_once_waits_here() {
    let (world, authority) = world();
    let remote = Remote::start(authority.certify("localhost"));
    remote.answers(asks());
    for seal in seals() {
        let line = "publish one; echo $?";
        let child = run(&world, remote.port, SECRET, &["--ask=600", seal], line);
        let id = waiting(&world);
        let question = pending(&world).remove(0);
        assert_eq!(question["command"], "publish one");
        assert_eq!(question["message"], "A release needs a person.");
        assert_eq!(question["policy"], "releases");
        assert_eq!(ran(&world), "", "it waits");
        answer(&world, &["approve", &id]);
        assert_eq!(end(child), "0\n");
        assert_eq!(ran(&world), "one\n");
        let child = run(&world, remote.port, SECRET, &["--ask=600", seal], line);
        let id = waiting(&world);
        answer(&world, &["deny", &id, "--message", "Not today"]);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("Not today [releases]"), "{said}");
        assert_eq!(ran(&world), "");
    }
    // The server has no record of what was decided here.
    let decided = |line: &Value| line["decision"]["action"].as_str().unwrap().to_owned();
    wait_until("the audit", || ask::lines(&world, "publish one").len() == 2 * seals().len());
    let of: Vec<String> = ask::lines(&world, "publish one").iter().map(decided).collect();
    assert_eq!(of, ["allow", "deny"].repeat(seals().len()));
    // A run without `--ask` is refused at once.
    let out = end(run(&world, remote.port, SECRET, &["--seal=off"], "publish one; echo $?"));
    assert!(!out.is_empty() && out != "0\n", "{out}");
    // A denial is not a question.
    let body = json!({ "allowed": false, "decision": "deny" }).to_string();
    remote.answers(Manner::Say(with_head(200, &body)));
    let child =
        run(&world, remote.port, SECRET, &["--ask=600", "--seal=off"], "publish one; echo $?");
    assert_ne!(end(child), "0\n");
    assert_eq!(ran(&world), "");
}

#[test]
fn a_server_that_is_gone_while_it_holds_a_question_has_not_allowed_it() {
    let (world, authority) = world();
    let remote = Remote::start(authority.certify("localhost"));
    remote.answers(Manner::Say("HTTP/1.1 102 Processing\r\n\r\n".to_owned()));
    for seal in seals() {
        let flags = ["--ask=600", "--fail-open=true", seal];
        let output = run(&world, remote.port, SECRET, &flags, "publish one; echo $?")
            .wait_with_output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("blocked"), "{said}");
        assert_eq!(ran(&world), "", "{said}");
    }
}

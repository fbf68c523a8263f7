//! The files of `rampart serve`: policy, sockets, token, audit.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::server::{Client, Server, TOKEN, question};
use crate::world::{POLICY, World, mode_of, stderr, wait_until};

#[test]
fn a_changed_policy_is_taken_over_and_a_broken_one_is_not() {
    let world = World::new();
    let policy = world.write("p.yaml", POLICY);
    let server = Server::start(&world, &["--policy", "p.yaml"]);
    assert_eq!(server.ask("forbidden")["allowed"], false);

    fs::write(&policy, POLICY.replace("forbidden*", "banned*")).unwrap();
    server.says("was reloaded");
    assert_eq!(server.ask("forbidden")["allowed"], true);
    assert_eq!(server.ask("banned")["allowed"], false);

    fs::write(&policy, "version: \"1\"\npolicies: [{naem: x}]\n").unwrap();
    let complaint = server.says("not taken");
    assert!(complaint.contains("p.yaml:2:"), "{complaint}");
    assert_eq!(server.ask("banned")["allowed"], false);

    // More than anybody writes, and than there may be memory for.
    fs::File::options().write(true).open(&policy).unwrap().set_len(17 << 20).unwrap();
    let complaint = server.says("not taken");
    assert!(complaint.contains("longer than 16 MiB"), "{complaint}");
    assert_eq!(server.ask("banned")["allowed"], false);

    // Editors write a new file and rename it over the old one.
    let new = world.write("p.yaml.new", POLICY);
    fs::rename(new, &policy).unwrap();
    server.says("was reloaded");
    assert_eq!(server.ask("banned")["allowed"], true);

    fs::remove_file(&policy).unwrap();
    server.says("is gone");
    assert_eq!(server.ask("forbidden")["allowed"], false);
    // By then it has checked ten times.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(server.is_silent());

    let events: Vec<_> = world
        .audit()
        .into_iter()
        .filter_map(|line| line["request"]["event"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        events,
        [
            "policy-reloaded",
            "policy-refused",
            "policy-refused",
            "policy-reloaded",
            "policy-missing"
        ]
    );
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_no_answer() {
    let world = World::new();
    let policy = world.write("p.yaml", POLICY);
    world.write("token", TOKEN);
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut command =
        world.rampart(["serve", "--token-file", "token", "--port", "0", "--policy", "p.yaml"]);
    let mut server = command.stderr(writer.try_clone().unwrap()).spawn().unwrap();
    let socket = world.home().join("serve.sock");
    wait_until("its socket", || socket.exists());
    assert_eq!(Client::over_unix(&socket).ask("forbidden")["allowed"], false);
    fill(&writer);
    fs::write(&policy, POLICY.replace("forbidden*", "banned*")).unwrap();
    // By then it has said that the policy was reloaded.
    wait_until("the new policy", || Client::over_unix(&socket).ask("forbidden")["allowed"] == true);
    assert_eq!(Client::over_unix(&socket).ask("banned")["allowed"], false);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Writes until no more fits.
fn fill(mut pipe: &std::io::PipeWriter) {
    let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL).unwrap());
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    fcntl(pipe, FcntlArg::F_SETFL(flags)).unwrap();
}

#[test]
fn a_changed_policy_that_others_may_write_is_not_taken_over() {
    let world = World::new();
    let policy = world.write("p.yaml", POLICY);
    let server = Server::start(&world, &["--policy", "p.yaml"]);
    for (mode, who) in [(0o664, "its group"), (0o646, "everybody")] {
        fs::write(&policy, POLICY.replace("forbidden*", "banned*")).unwrap();
        fs::set_permissions(&policy, Permissions::from_mode(mode)).unwrap();
        let complaint = server.says("not taken");
        assert!(complaint.contains(&format!("written by {who}: run `chmod go-w")), "{complaint}");
        assert_eq!(server.ask("forbidden")["allowed"], false);
    }
    fs::set_permissions(&policy, Permissions::from_mode(0o644)).unwrap();
    let owner = server.says("was reloaded");
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    assert!(owner.ends_with(&format!("it belongs to {user}")), "{owner}");
    assert_eq!(server.ask("forbidden")["allowed"], true);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&policy, Some(65534), None).unwrap();
        fs::write(&policy, POLICY).unwrap();
        assert!(server.says("not taken").contains("its owner"));
        assert_eq!(server.ask("forbidden")["allowed"], true);
    }
    let is_told = |line: &serde_json::Value| {
        line["decision"]["message"]
            .as_str()
            .is_some_and(|told| told.ends_with(&format!("it belongs to {user}")))
    };
    assert!(world.audit().iter().any(is_told));
}

#[test]
fn a_policy_that_appears_takes_the_starters_place() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    assert_eq!(server.ask("forbidden")["allowed"], true);
    world.write(".rampart/policy.yaml", POLICY);
    server.says("was reloaded");
    assert_eq!(server.ask("forbidden")["allowed"], false);
}

#[test]
fn a_signal_ends_it_cleanly_and_takes_the_socket_away() {
    for signal in ["-TERM", "-INT"] {
        let world = World::new();
        let mut server = Server::start(&world, &[]);
        let mut client = server.over_unix();
        client.ask("ls");
        assert_eq!(mode_of(&server.unix), 0o600);
        server.signal(signal);
        assert_eq!(server.ended().code(), Some(0));
        assert!(!server.unix.exists());
        assert!(client.is_closed());
    }
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let world = World::new();
    drop(UnixListener::bind(world.path("s.sock")).unwrap());
    let server = Server::start(&world, &[]);
    assert_eq!(server.ask("ls")["allowed"], true);

    let serve = ["serve", "--port", "0", "--unix", "s.sock"];
    let second = world.run(serve);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("listens at"), "{}", stderr(&second));
    assert_eq!(server.ask("ls")["allowed"], true);
    drop(server);

    let file = world.write("file", "mine");
    let third = world.run(["serve", "--port", "0", "--unix", "file"]);
    assert_eq!(third.status.code(), Some(1));
    assert!(stderr(&third).contains("not a socket"), "{}", stderr(&third));
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}

#[test]
fn a_taken_port_is_named() {
    let world = World::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let output = world.run(["serve", "--port", &address.port().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("{address} is taken")), "{}", stderr(&output));
}

#[test]
fn a_token_is_made_once_and_kept_private() {
    let world = World::new();
    let policy = world.write("bad.yaml", "version: [");
    let refused = world.run(["serve", "--port", "0", "--policy", policy.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("bad.yaml:1:"), "{}", stderr(&refused));
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let first = world.run(["serve", "--port", &port]);
    assert!(stderr(&first).contains("made a new token"), "{}", stderr(&first));
    let token = world.home().join("token");
    assert_eq!(mode_of(&token), 0o600);
    assert_eq!(mode_of(&world.home()), 0o700);
    assert_eq!(fs::read_to_string(&token).unwrap().trim().len(), 64);
    let second = world.run(["serve", "--port", &port]);
    assert!(!stderr(&second).contains("made a new token"), "{}", stderr(&second));
}

#[test]
fn every_decision_is_a_line_in_the_audit() {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let server = Server::start(&world, &[]);
    let answer = server.ask("forbidden --password=hunter2 x");
    let line = &world.audit_of(1)[0];
    assert_eq!(line["id"], answer["audit_id"]);
    assert_eq!(line["agent"], "tester");
    assert_eq!(line["session"], "s1");
    assert_eq!(line["schema_version"], "rampart.audit.v1");
    assert_eq!(line["tool"], "exec");
    assert_eq!(line["decision"]["action"], "deny");
    assert_eq!(line["decision"]["matched_policies"][0], "no-forbidden");
    assert_eq!(line["decision"]["message"], "Do something else");
    let request = &line["request"];
    assert_eq!(request["pid"], std::process::id());
    assert_eq!(request["parent"], std::os::unix::process::parent_id());
    assert_eq!(request["command"], "forbidden --password=*** x");
    assert_eq!(request["mode"], "enforce");
    assert_eq!(mode_of(&world.home().join("audit.jsonl")), 0o600);

    let mut tcp = server.over_tcp();
    tcp.ask("ls");
    assert!(world.audit_of(2)[1]["request"]["pid"].is_null());

    // Log rotation: the file is moved away, and a new one begins.
    let audit = world.home().join("audit.jsonl");
    fs::rename(&audit, world.path("old.jsonl")).unwrap();
    wait_until("a new audit file", || audit.exists());
    server.ask("ls");
    world.audit_of(1);
}

#[test]
fn with_audit_sync_a_line_is_there_before_its_answer() {
    let world = World::new();
    let server = Server::start(&world, &["--audit-sync"]);
    let mut client = server.over_unix();
    for asked in 1..=50 {
        let answer = client.ask("ls");
        let lines = world.audit();
        assert_eq!(lines.len(), asked);
        assert_eq!(lines[asked - 1]["id"], answer["audit_id"]);
    }
    // Long questions, which go to another thread, are no exception.
    let answer = client.ask(&format!("echo {}", "x".repeat(10_000)));
    assert_eq!(world.audit()[50]["id"], answer["audit_id"]);
}

#[test]
fn many_decisions_are_as_many_lines_in_the_order_of_the_answers() {
    const ASKED: usize = 2_000;
    let world = World::new();
    let mut server = Server::start(&world, &[]);
    let mut client = server.over_unix();
    let flood = question("ls").repeat(ASKED);
    let mut reader = client.reader();
    let sender = std::thread::spawn(move || client.send(flood));
    let ids: Vec<_> = (0..ASKED)
        .map(|_| {
            let answer: serde_json::Value = serde_json::from_str(&reader.answer().body).unwrap();
            answer["audit_id"].clone()
        })
        .collect();
    sender.join().unwrap();
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
    let written: Vec<_> = world.audit().iter().map(|line| line["id"].clone()).collect();
    assert_eq!(written, ids);
}

#[test]
fn monitoring_allows_and_records_the_verdict_and_disabled_does_not_look() {
    for (mode, verdict) in [("monitor", "deny"), ("disabled", "allow")] {
        let world = World::new();
        world.write(".rampart/policy.yaml", POLICY);
        let server = Server::start(&world, &["--mode", mode]);
        let answer = server.ask("forbidden");
        assert_eq!(answer["allowed"], true, "{mode}");
        assert_eq!(answer["decision"], verdict, "{mode}");
        let line = &world.audit_of(1)[0];
        assert_eq!(line["decision"]["action"], verdict, "{mode}");
        assert_eq!(line["request"]["mode"], mode);
    }
}

#[test]
fn an_audit_file_that_cannot_be_written_is_said_once_and_answers_go_on() {
    let world = World::new();
    let server = Server::start(&world, &["--audit", "/dev/full"]);
    for _ in 0..3 {
        assert_eq!(server.ask("ls")["allowed"], true);
    }
    server.says("cannot write the audit file /dev/full");
    assert!(server.is_silent());
}

#[test]
fn an_audit_that_a_flag_asks_for_is_there_or_nothing_begins() {
    let world = World::with_library();
    world.write("p.yaml", POLICY);
    let audit = world.home().join("audit.jsonl");
    fs::create_dir_all(&audit).unwrap();
    for words in [
        &["serve", "--port", "0", "--audit", "."][..],
        &["serve", "--port", "0", "--audit", "p.yaml/audit.jsonl"],
        &["serve", "--port", "0", "--audit-sync"],
        &["preload", "--policy", "p.yaml", "--audit-sync", "--", "touch", "ran"],
    ] {
        let told = world.run(words);
        assert_eq!(told.status.code(), Some(2), "{words:?}: {}", stderr(&told));
        assert!(stderr(&told).contains("cannot write the audit file"), "{}", stderr(&told));
    }
    assert!(!world.path("ran").exists());
    // What nobody has asked for is told, and does not keep a run from its work.
    let told = world.run(["preload", "--policy", "p.yaml", "--", "touch", "ran"]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    assert!(stderr(&told).contains("cannot write the audit file"), "{}", stderr(&told));
    assert!(world.path("ran").exists());
}

#[test]
fn a_policy_that_others_may_write_is_told_when_a_run_begins() {
    let world = World::with_library();
    let own = world.write(".rampart/policy.yaml", POLICY);
    let more = world.write(".rampart/policies/more.yaml", POLICY);
    for (writable, mode, count) in [(&own, 0o600, 0), (&own, 0o622, 1), (&more, 0o620, 2)] {
        fs::set_permissions(writable, Permissions::from_mode(mode)).unwrap();
        let told = stderr(&world.run(["preload", "--", "true"]));
        assert_eq!(told.matches("can be written by").count(), count, "{told}");
    }
}

#[test]
fn health_tells_the_mode_and_the_policy_to_everybody() {
    let world = World::new();
    let server = Server::start(&world, &["--mode", "monitor"]);
    let mut client = server.over_tcp();
    for path in ["/healthz", "/health"] {
        client.send(format!("GET {path} HTTP/1.1\r\n\r\n"));
        let health: serde_json::Value = serde_json::from_str(&client.answer().body).unwrap();
        assert_eq!(health["status"], "ok");
        assert_eq!(health["mode"], "monitor");
        assert_eq!(health["policy"], "the built-in starter");
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    }
    client.send(question("ls"));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn what_the_server_has_missed_is_an_event_in_the_audit() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    let mut client = server.over_unix();
    for missed in [r#""missed":3,"agent""#, r#""missed":0,"agent""#, r#""agent""#] {
        client.send(question("ls").replacen(r#""agent""#, missed, 1).replace(
            &format!("Content-Length: {}", question_length("ls")),
            &format!("Content-Length: {}", question_length("ls") + missed.len() - 7),
        ));
        assert_eq!(client.answer().status, 200);
    }
    let audit = world.audit_of(4);
    assert_eq!(audit[0]["request"]["event"], "checks-missed");
    assert_eq!(audit[0]["request"]["missed"], 3);
    assert_eq!(audit[0]["session"], "s1");
    let own = std::process::id();
    let message = audit[0]["decision"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("3 programs of process {own} ")), "{message}");
    assert!(audit[1..].iter().all(|line| line["decision"]["action"] == "allow"), "{audit:?}");
}

fn question_length(command: &str) -> usize {
    question(command).split_once("\r\n\r\n").unwrap().1.len()
}

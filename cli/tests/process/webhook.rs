//! What `notify` sends, and that nothing waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use scripted_server::{ClosedPort, Request, Transport};
use serde_json::{Value, json};

use crate::ask::{Asking, answer, ran, run, waiting, world};
use crate::remote::{Authority, Manner, Remote};
use crate::server::Server;
use crate::world::{World, wait_until};

const RULES: &str = "\
policies:
  - name: releases
    match: { tool: exec }
    rules:
      - {action: ask, when: {command_matches: ['publish*']}, message: A release needs a person.}
      - {action: deny, when: {command_matches: ['forbidden*']}, message: Never.}
      - {action: watch, when: {command_matches: ['watched*']}}
";

/// A receiver that answers calls once it is allowed to.
struct Receiver {
    server: scripted_server::Server,
    answers: Arc<AtomicBool>,
}

impl Receiver {
    fn start(status: &'static str) -> Self {
        let answers = Arc::new(AtomicBool::new(true));
        let may = Arc::clone(&answers);
        let server = scripted_server::Server::scripted(Transport::Tcp, move |exchange| {
            let Some(request) = exchange.request() else { return };
            exchange.remember(&request);
            while !may.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(10));
            }
            let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            exchange.send(format!("HTTP/1.1 {status}\r\n{rest}"));
        });
        Self { server, answers }
    }

    fn url(&self) -> String {
        format!("{}/hook?x=1", self.server.url)
    }

    fn heads(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|request| request.head).collect()
    }

    /// The received events, once there are so many.
    fn events(&self, count: usize) -> Vec<Value> {
        wait_until("what is told", || self.server.requests().len() >= count);
        let events: Vec<Value> = self.server.requests().iter().map(Request::json).collect();
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

/// Lets this world's policy notify this URL.
fn notify(world: &World, rest: &str) {
    let head = "version: '1'\ndefault_action: allow\n";
    world.write(".rampart/policy.yaml", &format!("{head}{rest}\n{RULES}"));
}

/// With a program `forbidden` that does nothing.
fn world_with_forbidden() -> World {
    let world = world();
    let file = world.write("bin/forbidden", "#!/bin/sh\n");
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world
}

fn events_in_audit(world: &World, name: &str) -> Vec<Value> {
    let audit = world.audit();
    audit.into_iter().filter(|line| line["request"]["event"] == name).collect()
}

/// The message of the audit's event about a failed webhook, once it is there.
fn fault(world: &World) -> String {
    let found = || events_in_audit(world, "webhook-failed");
    wait_until("the audit's word", || !found().is_empty());
    let found = found();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["decision"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn what_waits_is_told_once_by_its_id_and_without_its_secrets() {
    let world = world_with_forbidden();
    let receiver = Receiver::start("204 No Content");
    notify(&world, &format!("notify: {{url: '{}'}}", receiver.url()));
    let child = run(
        &world,
        &["--ask=600", "--agent=tester"],
        "publish --token=hunter2 one; forbidden; true",
    );
    let id = waiting(&world);
    let event = receiver.events(1).remove(0);
    let head = receiver.heads().remove(0);
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-type: application/json\r\n"), "{head}");
    for (name, value) in [
        ("action", "ask"),
        ("tool", "exec"),
        ("command", "publish --token=*** one"),
        ("policy", "releases"),
        ("message", "A release needs a person."),
        ("agent", "tester"),
        ("approval_id", &id),
        ("mode", "enforce"),
    ] {
        assert_eq!(event[name], value, "{name}: {event}");
    }
    for name in ["timestamp", "expires_at"] {
        humantime::parse_rfc3339(event[name].as_str().unwrap()).unwrap();
    }
    assert_eq!(ran(&world), "", "it waits");
    answer(&world, &["approve", &id]);
    child.wait_with_output().unwrap();
    assert_eq!(ran(&world), "--token=hunter2 one\n");
    // The approval is not sent; the next refusal is.
    let refused = receiver.events(2).remove(1);
    assert_eq!((&refused["action"], &refused["command"]), (&"deny".into(), &"forbidden".into()));
    assert!(refused.get("approval_id").is_none(), "{refused}");
    assert!(events_in_audit(&world, "webhook-failed").is_empty());
}

/// Both what the keeper decides itself and what the server decides for it.
#[cfg(target_os = "linux")]
#[test]
fn a_sealed_run_tells_what_was_refused_and_what_waits() {
    let world = world_with_forbidden();
    let receiver = Receiver::start("200 OK");
    notify(&world, &format!("notify: {{url: '{}', on: [ask, deny, watch]}}", receiver.url()));
    let child = run(&world, &["--seal", "--ask=600"], "forbidden; publish one; true");
    let id = waiting(&world);
    let events = receiver.events(2);
    let of = |action: &str| events.iter().find(|event| event["action"] == action).unwrap();
    assert_eq!(of("deny")["command"], "forbidden");
    assert_eq!(of("ask")["approval_id"], id.as_str());
    answer(&world, &["deny", &id]);
    child.wait_with_output().unwrap();
    assert_eq!(ran(&world), "");
}

#[test]
fn nobody_waits_for_a_receiver_that_does_not_answer() {
    let world = world();
    let receiver = Receiver::start("200 OK");
    receiver.answers.store(false, Ordering::SeqCst);
    notify(
        &world,
        &format!("notify: {{url: '{}', on: [deny, watch, ask, nonsense]}}", receiver.url()),
    );
    let checked = world.run(["policy", "check", ".rampart/policy.yaml"]);
    let said = crate::world::stdout(&checked) + &crate::world::stderr(&checked);
    assert!(said.contains("nonsense") && !said.contains("nobody"), "{said}");
    let server = Server::start(&world, &[]);
    let mut asking = Asking::over_unix(&world, &server);
    for number in 0..40 {
        asking.tell(&format!("ask one 0 forbidden {number}"));
        assert_eq!(asking.verdict("one")["allowed"], false);
        asking.tell(&format!("ask one 0 watched {number}"));
        assert_eq!(asking.verdict("one")["allowed"], true);
    }
    asking.ask("two", "publish two");
    // 16 calls at once, none answered yet; more if some have timed out already.
    wait_until("the calls", || receiver.heads().len() >= 16);
    receiver.answers.store(true, Ordering::SeqCst);
    let events = receiver.events(81);
    let count = |action: &str| events.iter().filter(|event| event["action"] == action).count();
    assert_eq!((count("deny"), count("watch"), count("ask")), (40, 40, 1));
}

#[test]
fn two_hundred_that_wait_are_told_of_each() {
    let world = world();
    let receiver = Receiver::start("200 OK");
    notify(&world, &format!("notify: {{url: '{}'}}", receiver.url()));
    // Proxy variables are ignored.
    let closed = "http://127.0.0.1:9";
    let proxies = ["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| format!("{name}={closed}"));
    let before: Vec<&str> =
        std::iter::once("env").chain(proxies.iter().map(String::as_str)).collect();
    let server = Server::start_by(&world, &before);
    let mut asking = Asking::over_unix(&world, &server);
    for number in 0..200 {
        asking.ask(&format!("n{number}"), &format!("publish {number}"));
    }
    let mut told: Vec<String> = receiver
        .events(200)
        .iter()
        .map(|event| event["command"].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 200);
}

#[test]
fn a_receiver_that_is_not_there_or_does_not_take_it_is_noted_once() {
    let dead = ClosedPort::new();
    let elsewhere = Receiver::start("200 OK");
    let moves: &'static str = format!("307 Moved\r\nLocation: {}", elsewhere.url()).leak();
    let moving = Receiver::start(moves);
    for (url, why) in [(dead.url(), "refused"), (moving.server.url.clone(), "it answers 307")] {
        let world = world();
        notify(&world, &format!("notify: {{url: '{url}/the-secret-path'}}"));
        let server = Server::start(&world, &[]);
        let mut asking = Asking::over_unix(&world, &server);
        for number in 0..3 {
            asking.tell(&format!("ask one 0 forbidden {number}"));
            assert_eq!(asking.verdict("one")["allowed"], false);
        }
        let message = fault(&world);
        let place = url.strip_prefix("http://").unwrap();
        assert!(message.contains(why) && message.contains(place), "{message}");
        assert!(!message.contains("secret"), "{message}");
        if url == moving.server.url {
            wait_until("all calls", || moving.heads().len() == 3);
        }
        drop(server);
        fault(&world);
    }
    assert_eq!(elsewhere.heads().len(), 0);
    assert_eq!(moving.heads().len(), 3);
}

#[test]
fn a_receiver_behind_tls_has_to_prove_who_it_is() {
    let authority = Authority::new("the team");
    let remote = Remote::start(authority.certify("localhost"));
    remote.answers(Manner::Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()));
    for is_known in [true, false] {
        let world = world();
        let other = Authority::new("another");
        let file = if is_known { authority.file(&world) } else { other.file(&world) };
        notify(&world, &format!("notify: {{url: 'https://localhost:{}/hook'}}", remote.port));
        let server =
            Server::start_by(&world, &["env", &format!("SSL_CERT_FILE={}", file.display())]);
        let mut asking = Asking::over_unix(&world, &server);
        asking.tell("ask one 0 forbidden x");
        assert_eq!(asking.verdict("one")["allowed"], false);
        if is_known {
            wait_until("the event", || {
                remote.questions().iter().any(|it| it.contains("forbidden x"))
            });
        } else {
            assert!(fault(&world).contains("certificate"));
            assert_eq!(remote.questions().len(), 1);
        }
    }
}

#[test]
fn a_channel_gets_a_text_and_a_rules_own_receiver_is_told_what_waits_by_it() {
    let world = world();
    let (channel, own) = (Receiver::start("200 OK"), Receiver::start("200 OK"));
    let notify = format!("notify: {{url: '{}', platform: slack, on: [deny]}}", channel.url());
    let rules = format!(
        "policies:\n  - name: p\n    rules:\n      - {{action: webhook, when: {{command_matches: ['publish*']}}, webhook: {{url: '{}'}}}}\n      - {{action: deny, when: {{command_matches: ['forbidden*']}}, message: Never.}}\n",
        own.url()
    );
    world.write(
        ".rampart/policy.yaml",
        &format!("version: '1'\ndefault_action: allow\n{notify}\n{rules}"),
    );
    let server = Server::start(&world, &[]);
    let mut asking = Asking::over_unix(&world, &server);
    asking.tell("ask one 0 forbidden <x> & y");
    assert_eq!(asking.verdict("one")["allowed"], false);
    let text = "rampart: tester (s1): `forbidden &lt;x&gt; &amp; y` was refused: Never. [p]";
    assert_eq!(channel.events(1)[0], json!({ "text": text }));
    asking.ask("two", "publish two");
    let event = own.events(1).remove(0);
    assert_eq!((&event["command"], &event["action"]), (&"publish two".into(), &"ask".into()));
    assert_eq!(channel.heads().len(), 1);
}

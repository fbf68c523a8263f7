//! Two servers behind `HAProxy`, one of which is killed and restarted repeatedly while many clients
//! ask. `make test-full` runs it.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::server::{Client, Server, TOKEN};
use crate::team::{library, stub};
use crate::world::{POLICY, TIMEOUT, World, finished, stderr, wait_until};

const KILLS: usize = 8;
const ASKING: usize = 8;
/// How long a server stays dead, and how long alive.
const PAUSE: Duration = Duration::from_millis(700);

/// A question may be sent twice, but is answered once. A server counts as dead after three failed
/// checks, because this machine may be busy; until then it is tried first, and then the other one.
const CONFIGURATION: &str = "global
  maxconn 1000
defaults
  mode http
  timeout connect 500ms
  timeout client 30s
  timeout server 30s
  timeout check 5s
  option http-buffer-request
  option redispatch 1
  retries 5
  retry-on conn-failure empty-response response-timeout 503
frontend f
  bind ADDRESS
  default_backend b
backend b
  balance roundrobin
  option httpchk GET /healthz
  default-server fall 3 rise 1
  ONE
  OTHER
";

struct Balancer {
    process: Child,
    address: SocketAddr,
}

impl Balancer {
    fn start(world: &World, servers: [SocketAddr; 2]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let line = |at: SocketAddr| format!("server at-{} {at} check inter 200ms", at.port());
        let [one, other] = servers.map(line);
        let text = CONFIGURATION.replace("ADDRESS", &address.to_string());
        let text = text.replace("ONE", &one).replace("OTHER", &other);
        let file = world.write("haproxy.cfg", &text);
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("haproxy is missing: ci/test-full installs it");
        let balancer = Self { process, address };
        wait_until("the balancer", || TcpStream::connect(address).is_ok());
        balancer
    }

    fn client(&self) -> Client<TcpStream> {
        Client::over_tcp(self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server at a fixed port. Each decision is on the disk before its answer.
fn serve(world: &World, port: u16) -> Server {
    Server::at_port(world, port, &["--audit-sync"])
}

fn home() -> World {
    let world = World::new();
    let rules = POLICY.replace("forbidden*\"", "forbidden*\", \"*stub forbidden*\"");
    world.write(".rampart/policy.yaml", &rules);
    world
}

#[test]
#[ignore = "needs haproxy and takes a while: make test-full"]
fn a_server_that_is_killed_loses_no_question_and_nothing_is_answered_unasked() {
    let (first_home, second_home) = (home(), home());
    let second = serve(&second_home, 0);
    let mut first = serve(&first_home, 0);
    let port = first.tcp.port();
    let balancer = Balancer::start(&first_home, [first.tcp, second.tcp]);
    let (over, worlds) = (AtomicBool::new(false), [&first_home, &second_home]);
    let answers: Vec<(String, serde_json::Value)> = thread::scope(|scope| {
        let ask = |number: usize| {
            let (balancer, over) = (&balancer, &over);
            scope.spawn(move || ask_until(balancer, number, over))
        };
        let asking: Vec<_> = (0..ASKING).map(ask).collect();
        let guarded = scope.spawn(|| guarded_runs(&balancer, &over));
        for _ in 0..KILLS {
            thread::sleep(PAUSE);
            first.signal("-KILL");
            first.ended();
            thread::sleep(PAUSE);
            first = serve(&first_home, port);
        }
        over.store(true, Ordering::Relaxed);
        assert!(guarded.join().unwrap() > 0);
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    });
    // Each answer belongs to its own question, from one of the two.
    let lines = worlds.iter().flat_map(|world| world.audit());
    let recorded: HashMap<String, String> = lines
        .filter_map(|line| {
            Some((line["id"].as_str()?.into(), line["request"]["command"].as_str()?.into()))
        })
        .collect();
    for (command, answer) in &answers {
        assert_eq!(answer["allowed"], !command.starts_with("forbidden"), "{command}");
        let id = answer["audit_id"].as_str().unwrap();
        assert_eq!(recorded.get(id), Some(command), "{id}");
    }
    for world in worlds {
        assert!(world.audit().len() > answers.len() / 20, "one of the two was hardly asked");
    }
    assert!(answers.len() > KILLS * ASKING, "{}", answers.len());
}

/// Asks one question after the other, half of them on fresh connections.
fn ask_until(
    balancer: &Balancer,
    number: usize,
    over: &AtomicBool,
) -> Vec<(String, serde_json::Value)> {
    let mut kept = balancer.client();
    let mut answers = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let count = answers.len();
        let word = if count.is_multiple_of(3) { "forbidden" } else { "ls" };
        let command = format!("{word} {number}-{count}");
        if number.is_multiple_of(2) {
            kept = balancer.client();
        }
        let answer = kept.ask(&command);
        answers.push((command, answer));
    }
    answers
}

/// Runs scripts under the real library, and returns how many. What is allowed always runs, what is
/// denied never does.
fn guarded_runs(balancer: &Balancer, over: &AtomicBool) -> usize {
    let world = World::new();
    let stub = stub(&world);
    let url = format!("http://{}", balancer.address);
    let script = "\"$stub\" good; \"$stub\" forbidden; \"$stub\" good; true";
    let words = ["preload", "--url", &url, "--fail-open=false", "--", "sh", "-c", script];
    let mut runs = 0;
    while !over.load(Ordering::Relaxed) {
        let mut command = world.rampart(words);
        command.env("RAMPART_LIBRARY", library()).env("RAMPART_TOKEN", TOKEN).env("stub", &stub);
        command.env("RAMPART_TIMEOUT_MS", TIMEOUT.as_millis().to_string());
        let output = finished(&mut command);
        runs += 1;
        let marks = std::fs::read_to_string(world.path("good")).unwrap_or_default();
        assert_eq!(marks.lines().count(), 2 * runs, "{}", stderr(&output));
        assert!(!world.path("forbidden").exists(), "{}", stderr(&output));
    }
    runs
}

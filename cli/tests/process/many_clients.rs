//! Many clients at one server: what they cost, and which ones are closed to make room.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::server::{Client, Server, question, serve};
use crate::world::{POLICY, TIMEOUT, World, wait_until};

/// Descriptors that the server reserves.
const RESERVED: usize = 32;

/// A server with room for so many clients.
fn small(places: usize) -> (World, Server) {
    let world = World::new();
    world.write(".rampart/policy.yaml", POLICY);
    let script = format!("ulimit -n {}; exec \"$@\"", RESERVED + places);
    let server = Server::start_by(&world, &["sh", "-c", &script, "sh"]);
    (world, server)
}

fn clients(server: &Server, count: usize) -> Vec<Client<UnixStream>> {
    (0..count).map(|_| server.over_unix()).collect()
}

#[test]
fn a_server_with_a_thousand_idle_connections_takes_at_most_10_mebibytes() {
    /// With what a server on a busy machine has not given back yet of what it began with.
    const MOST: usize = 10 * 1024 * 1024;
    for bytes in [1, 3_000] {
        let (_world, server) = serve();
        let command = "x".repeat(bytes);
        let mut clients = clients(&server, 1000);
        for client in &mut clients {
            assert_eq!(client.ask(&command)["allowed"], true);
        }
        let taken = server.private_bytes();
        assert!(taken <= MOST, "{bytes}: {} KiB", taken / 1024);
        // They are all still there.
        for client in &mut clients {
            assert_eq!(client.ask("forbidden")["allowed"], false);
        }
    }
}

#[test]
fn a_quiet_connection_gives_way_to_a_new_one_the_quietest_first() {
    let (_world, server) = small(8);
    let mut old = clients(&server, 8);
    for client in &mut old {
        client.ask("ls");
    }
    old[0].ask("ls");
    let mut new = clients(&server, 3);
    for client in &mut new {
        assert_eq!(client.ask("forbidden")["allowed"], false);
    }
    for gone in &mut old[1..4] {
        assert!(gone.is_closed());
    }
    for client in old[4..].iter_mut().chain(&mut new) {
        assert_eq!(client.ask("ls")["allowed"], true);
    }
    assert_eq!(old[0].ask("ls")["allowed"], true);
}

#[test]
fn whoever_waits_for_an_answer_never_gives_way_and_those_who_come_wait() {
    let (_world, server) = small(8);
    let question = question(&"a;".repeat(20_000));
    let mut asking = clients(&server, 8);
    for client in &mut asking {
        client.send(&question);
    }
    let mut late = clients(&server, 8);
    for client in &mut late {
        client.send(&question);
    }
    for client in asking.iter_mut().chain(&mut late) {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn whoever_has_begun_and_does_not_go_on_gives_way_after_a_moment() {
    let (_world, server) = small(8);
    let mut stalled = clients(&server, 8);
    for (number, client) in stalled.iter_mut().enumerate() {
        client.send(&question("ls").as_bytes()[..number * 10]);
    }
    let question = question("ls");
    let (first, second) = question.split_at(question.len() / 2);
    let mut new = clients(&server, 4);
    // None has its answer before all are in: those would give way to the others.
    for client in &mut new {
        client.send(first);
    }
    // A connection that is given up for taking too long is told so; one that gives way is not.
    wait_until("as many that are gone", || {
        stalled.iter_mut().map(Client::is_gone).filter(|gone| *gone).count() >= new.len()
    });
    for client in &mut new {
        client.send(second);
        let answer = client.answer();
        assert!(answer.status == 200 && answer.body.contains("\"allowed\":true"), "{answer:?}");
    }
}

#[test]
fn a_burst_is_taken_whole_by_the_queue_while_the_server_stands_still() {
    let (_world, server) = serve();
    let longest = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let burst = longest.trim().parse::<usize>().unwrap().min(900);
    server.signal("-STOP");
    let (sender, receiver) = channel();
    let socket = server.unix.clone();
    std::thread::spawn(move || {
        let ask = |_| {
            let mut client = Client::over_unix(&socket);
            client.send(question("ls"));
            client
        };
        let _ = sender.send((0..burst).map(ask).collect::<Vec<_>>());
    });
    let mut clients = receiver.recv_timeout(TIMEOUT).expect("the queue is too short");
    server.signal("-CONT");
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn a_server_without_descriptors_sends_quiet_ones_away_and_answers() {
    let (_world, server) = serve();
    let mut quiet = clients(&server, 40);
    for client in &mut quiet {
        client.ask("ls");
    }
    // From now on its limit is below what it uses.
    let limit = format!("--nofile={}:", server.descriptors());
    let limited = Command::new("prlimit").args(["--pid", &server.pid(), &limit]).status();
    assert!(limited.unwrap().success());
    for _ in 0..10 {
        assert_eq!(server.ask("forbidden")["allowed"], false);
    }
    let mut closed = 0;
    wait_until("a quiet one's end", || {
        closed = quiet.iter_mut().map(Client::is_gone).filter(|gone| *gone).count();
        closed > 0
    });
    assert!(closed < 40, "{closed}");
}

/// After this a connection without requests rests: three ticks of the server, one a second.
const UNTIL_REST: Duration = Duration::from_millis(3_200);

#[test]
fn a_connection_that_rests_costs_little_and_loses_nothing() {
    const MEBIBYTE: usize = 1024 * 1024;
    let (_world, server) = serve();
    server.ask("ls");
    let before = server.private_bytes();
    let mut clients = clients(&server, 200);
    for client in &mut clients {
        assert_eq!(client.ask("forbidden")["allowed"], false);
    }
    let mut tcp = server.over_tcp();
    assert_eq!(tcp.ask("ls")["allowed"], true);
    wait_until("connections that cost little", || {
        server.private_bytes().saturating_sub(before) < MEBIBYTE
    });
    // Data that came with the previous request, before the rest, is not lost.
    let (whole, half) = (question("forbidden"), question("ls"));
    // In the middle of its head, and of its body.
    let parts = [half.len() / 4, half.len() - 5].map(|at| half.split_at(at));
    for (client, (first, _)) in clients[..40].iter_mut().zip(parts.iter().cycle()) {
        client.send(format!("{whole}{first}"));
        assert_eq!(client.answer().status, 200);
    }
    std::thread::sleep(UNTIL_REST);
    for (client, (_, second)) in clients[..40].iter_mut().zip(parts.iter().cycle()) {
        client.send(second);
        assert!(client.answer().body.contains("\"allowed\":true"));
    }
    for client in &mut clients {
        assert_eq!(client.ask("forbidden")["allowed"], false);
    }
    assert_eq!(tcp.ask("forbidden")["allowed"], false);
    // A connection that has never asked rests too.
    let mut late = server.over_unix();
    std::thread::sleep(UNTIL_REST);
    assert_eq!(late.ask("forbidden")["allowed"], false);
    drop(late);
    std::thread::sleep(UNTIL_REST);
    assert_eq!(tcp.ask("ls")["allowed"], true);
}

//! Very long commands are answered, and other clients do not wait for that.

use std::time::{Duration, Instant};

use crate::server::{question, serve};

/// Half a mebibyte of simple commands, which take a second or two to judge.
fn long_line() -> String {
    "a;".repeat(1 << 18)
}

#[test]
fn short_commands_are_answered_while_a_long_one_is_judged() {
    let (world, server) = serve();
    let mut long = server.over_unix();
    let begun = Instant::now();
    long.send(question(&long_line()));
    let mut reader = long.reader();
    let judged = std::thread::spawn(move || (reader.answer(), Instant::now()));

    let mut times = Vec::new();
    let mut short = server.over_unix();
    while !judged.is_finished() {
        let asked = Instant::now();
        assert_eq!(short.ask("forbidden")["allowed"], false);
        assert_eq!(server.ask("ls")["allowed"], true);
        times.push(asked.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    let (answer, end) = judged.join().unwrap();
    assert_eq!(answer.status, 200);
    times.sort_unstable();
    let (middle, whole) = (times[times.len() / 2], end - begun);
    assert!(times.len() > 10 && middle < whole / 10, "{middle:?} of {whole:?}");
    let commands = world.audit_of(2 * times.len() + 1);
    assert!(commands.iter().any(|line| line["request"]["command"] == long_line().as_str()));
}

#[test]
fn answers_keep_their_order_behind_a_long_command() {
    let (_world, server) = serve();
    let mut client = server.over_unix();
    let long = format!("forbidden {}", "x ".repeat(20_000));
    client.send(["ls", &long, "watched", &long].map(question).concat());
    let decisions: Vec<_> = (0..4)
        .map(|_| {
            let answer: serde_json::Value = serde_json::from_str(&client.answer().body).unwrap();
            answer["decision"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(decisions, ["allow", "deny", "watch", "deny"]);
}

#[test]
fn more_long_commands_than_can_wait_are_refused_and_those_that_wait_are_not_lost() {
    let (_world, server) = serve();
    let question = question(&"a;".repeat(20_000));
    let mut clients: Vec<_> = (0..24)
        .map(|_| {
            let mut client = server.over_unix();
            client.send(&question);
            client
        })
        .collect();
    let statuses: Vec<u16> = clients.iter_mut().map(|client| client.answer().status).collect();
    let count = |status| statuses.iter().filter(|each| **each == status).count();
    assert!(count(200) >= 16 && count(429) >= 1 && count(200) + count(429) == 24, "{statuses:?}");
    assert_eq!(server.ask("ls")["allowed"], true);
}

#[test]
fn a_client_that_goes_away_before_its_long_command_is_judged_leaves_the_server_well() {
    let (world, mut server) = serve();
    for _ in 0..3 {
        let mut client = server.over_unix();
        client.send(question(&"a;".repeat(20_000)));
    }
    assert_eq!(server.ask("ls")["allowed"], true);
    world.audit_of(4);
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
}

//! What `rampart serve` says on the wire.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::server::{Client, body, head, question, serve};

const LIMIT: usize = 16 * 1024 * 1024;

#[test]
fn each_kind_of_request_has_its_status_on_both_transports() {
    let (_world, server) = serve();
    let ok = question("ls");
    let table: &[(u16, String)] = &[
        (200, ok.clone()),
        (200, "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        (200, "GET /health HTTP/1.0\r\n\r\n".to_owned()),
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, format!("{}Content-Length: 3\r\n\r\n{{]}}", head())),
        (400, format!("{}Content-Length: 2\r\n\r\n{{}}", head())),
        (400, format!("{}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", head())),
        (400, format!("{}Transfer-Encoding: chunked\r\n\r\nzz\r\n", head())),
        (401, ok.replace("Bearer the-token", "Bearer wrong")),
        (401, ok.replace("Authorization: Bearer the-token\r\n", "")),
        (404, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (405, "PUT /v1/preflight/exec HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (405, "DELETE /healthz HTTP/1.1\r\n\r\n".to_owned()),
        (411, format!("{}\r\n", head())),
        (413, format!("{}Content-Length: {}\r\n\r\n", head(), LIMIT + 1)),
        (417, format!("{}Expect: a-miracle\r\n\r\n", head())),
        (431, format!("{}X: {}\r\n\r\n", head(), "x".repeat(20_000))),
        (400, format!("{}Transfer-Encoding: gzip\r\n\r\n", head())),
        (501, format!("{}Transfer-Encoding: gzip, chunked\r\n\r\n", head())),
        (431, format!("{}{}Content-Length: 0\r\n\r\n", head(), "X: y\r\n".repeat(65))),
    ];
    for (status, request) in table {
        let (mut tcp, mut unix) = (server.over_tcp(), server.over_unix());
        tcp.send(request);
        unix.send(request);
        for answer in [tcp.answer(), unix.answer()] {
            assert_eq!(answer.status, *status, "{request}");
            assert!(is_json(&answer.body), "{request}: {}", answer.body);
        }
    }
}

fn is_json(body: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(body).is_ok()
}

#[test]
fn the_answer_says_what_was_decided_and_why() {
    let (_world, server) = serve();
    for (command, allowed, decision, message, policy) in [
        ("ls", true, "allow", "", None),
        ("forbidden x", false, "deny", "Do something else", Some("no-forbidden")),
        ("watched x", true, "watch", "", Some("watch-it")),
    ] {
        let answer = server.ask(command);
        assert_eq!(answer["allowed"], allowed, "{answer}");
        assert_eq!(answer["decision"], decision, "{answer}");
        assert_eq!(answer["message"], message, "{answer}");
        assert_eq!(answer["matched_policies"][0].as_str(), policy, "{answer}");
        let way_out = answer["suggestions"][0].as_str();
        let typed = "`rampart allow 'forbidden x'`, and a new run";
        assert_eq!(way_out, (!allowed).then_some(typed), "{answer}");
        assert!(answer["eval_duration_us"].is_u64(), "{answer}");
        assert!(answer["audit_id"].as_str().is_some_and(|id| !id.is_empty()), "{answer}");
    }
}

#[test]
fn one_connection_serves_many_requests_also_after_a_refusal() {
    let (_world, server) = serve();
    let mut client = server.over_tcp();
    for _ in 0..3 {
        assert_eq!(client.ask("ls")["allowed"], true);
        client.send(question("ls").replace("the-token", "wrong"));
        assert_eq!(client.answer().status, 401);
        client.send(question("ls").replace("/exec", "/nothing"));
        assert_eq!(client.answer().status, 404);
    }
}

#[test]
fn whoever_is_done_sending_is_answered_all_the_same() {
    let (_world, server) = serve();
    let long = "forbidden ".repeat(2_000);
    for command in ["forbidden", &long] {
        let mut client = server.over_unix();
        client.send(question(command));
        client.finish_sending();
        assert!(client.answer().body.contains("\"allowed\":false"));
        assert!(client.is_closed());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_world, server) = serve();
    let mut client = server.over_unix();
    let commands: Vec<String> = (0..200)
        .map(|n| if n % 3 == 0 { format!("forbidden {n}") } else { n.to_string() })
        .collect();
    client.send(commands.iter().map(|command| question(command)).collect::<String>());
    for command in commands {
        let answer = client.answer();
        assert_eq!(
            answer.body.contains("\"allowed\":false"),
            command.starts_with('f'),
            "{command}"
        );
    }
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let (_world, server) = serve();
    let request = question("forbidden x");
    let chunked =
        format!("{}Transfer-Encoding: chunked\r\n\r\n", head()) + &chunks(&body("forbidden x"), 7);
    for bytes in [request, chunked] {
        let mut client = server.over_tcp();
        for piece in bytes.as_bytes().chunks(11) {
            client.send(piece);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(client.answer().body.contains("\"allowed\":false"));
        assert_eq!(client.ask("ls")["allowed"], true);
    }
}

fn chunks(body: &str, size: usize) -> String {
    let chunk =
        |piece: &[u8]| format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
    body.as_bytes().chunks(size).map(chunk).collect::<String>() + "0\r\n\r\n"
}

#[test]
fn a_client_that_waits_for_leave_to_send_its_body_gets_it() {
    let (_world, server) = serve();
    let mut client = server.over_tcp();
    let body = body("ls");
    client.send(format!(
        "{}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        head(),
        body.len()
    ));
    assert_eq!(client.answer().status, 100);
    client.send(body);
    assert_eq!(client.answer().status, 200);
    client.send(format!("{}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", head(), LIMIT + 1));
    assert_eq!(client.answer().status, 413);
}

#[test]
fn the_connection_ends_where_the_client_wants_it() {
    let (_world, server) = serve();
    for request in [
        question("ls").replace("Host: x", "Connection: close"),
        question("ls").replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let mut client = server.over_tcp();
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("Connection: close"), "{}", answer.head);
        assert!(client.is_closed());
    }
}

#[test]
fn a_body_of_16_mebibytes_is_read_and_one_byte_more_is_not() {
    let (_world, server) = serve();
    let frame = body("").len();
    let whole = body(&"a".repeat(LIMIT - frame));
    assert_eq!(whole.len(), LIMIT);
    let mut client = server.over_unix();
    client.send(format!("{}Content-Length: {LIMIT}\r\n\r\n", head()));
    client.send(&whole);
    assert_eq!(client.answer().status, 200);

    // The refusal even reaches a client that sends everything before it reads.
    for length in [format!("Content-Length: {}", LIMIT + 1), "Transfer-Encoding: chunked".into()] {
        let mut client = server.over_tcp();
        client.send(format!("{}{length}\r\n\r\n", head()));
        client.try_send(chunks(&(whole.clone() + " "), 1 << 20));
        assert_eq!(client.answer().status, 413, "{length}");
    }
}

#[test]
fn connections_that_stall_do_not_hold_up_others() {
    let (_world, server) = serve();
    let request = question("ls");
    let mut stalled: Vec<_> = (0..300)
        .map(|n| {
            let mut client = server.over_unix();
            client.send(&request.as_bytes()[..n % request.len()]);
            client
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(server.ask("ls")["allowed"], true);
    }
    // And they can continue where they were; those that ran out of time are told so.
    for (n, client) in stalled.iter_mut().enumerate() {
        client.send(&request.as_bytes()[n % request.len()..]);
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn clients_that_connect_without_end_do_not_hold_up_a_kept_connection() {
    let (_world, server) = serve();
    let mut kept = server.over_unix();
    let stop = AtomicBool::new(false);
    let socket = &server.unix;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    Client::over_unix(socket).ask("ls");
                }
            });
        }
        for _ in 0..200 {
            assert_eq!(kept.ask("ls")["allowed"], true);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_request_that_is_not_finished_in_time_is_told_so() {
    let (_world, server) = serve();
    let mut client = server.over_tcp();
    client.send(head());
    // Ten seconds by the server's own clock, because a slow client needs that much.
    let start = Instant::now();
    assert_eq!(client.answer().status, 408);
    assert!(start.elapsed() > Duration::from_secs(9), "{:?}", start.elapsed());
    assert!(client.is_closed());
}

#[test]
fn large_bodies_that_stall_cannot_fill_the_memory() {
    let (_world, server) = serve();
    let part = vec![b' '; LIMIT - 1024];
    let mut statuses = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = server.over_unix();
        client.send(format!("{}Content-Length: {LIMIT}\r\n\r\n", head()));
        client.try_send(&part);
        clients.push(client);
        assert_eq!(server.ask("ls")["allowed"], true);
    }
    for mut client in clients {
        statuses.push(client.answer().status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.contains(&408), "{statuses:?}");
}

#[test]
fn who_asks_and_does_not_read_holds_up_nobody() {
    let (_world, server) = serve();
    let mut deaf = server.over_unix();
    let flood = question("ls").repeat(20_000);
    let flood = std::thread::spawn(move || deaf.try_send(flood));
    for _ in 0..100 {
        assert_eq!(server.ask("ls")["allowed"], true);
    }
    drop(server);
    flood.join().unwrap();
}

#[test]
fn a_refusal_says_what_a_person_may_type_and_a_guarded_process_may_not_type_it() {
    let (_world, server) = serve();
    let refused = server.ask("forbidden 'a b' *");
    assert_eq!(
        refused["suggestions"][0],
        r"`rampart allow 'forbidden '\''a b'\'' [*]'`, and a new run"
    );
    assert!(server.ask("ls")["suggestions"].is_null());
    for command in [
        "rampart allow 'forbidden 1'",
        "/usr/local/bin/rampart approve 7",
        "sh -c 'cd /; A=1 rampart rules remove 1'",
        "sudo rampart setup --remove",
        "rampart block ls",
    ] {
        let refused = server.ask(command);
        assert_eq!(refused["allowed"], false, "{command}");
        assert_eq!(refused["matched_policies"][0], "rampart-itself", "{command}");
        assert!(refused["suggestions"].is_null(), "{command}");
    }
    for command in ["rampart log", "rampart rules", "rampart setup", "echo rampart allow x"] {
        assert_eq!(server.ask(command)["allowed"], true, "{command}");
    }
}

#[test]
fn the_question_in_the_protocols_page_is_one() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, example) = page.split_once("```http\n").unwrap();
    let (example, _) = example.split_once("\n```").unwrap();
    let (head, body) = example.split_once("\n\n").unwrap();
    let head = head.replace('\n', "\r\n").replace("Bearer TOKEN", "Bearer the-token");
    let (_world, server) = serve();
    let mut client = server.over_unix();
    // The next one is understood only if the first is as long as it says.
    client.send(format!("{head}\r\n\r\n{body}{}", question("forbidden")));
    for verdict in ["\"allowed\":true", "\"allowed\":false"] {
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains(verdict), "{answer:?}");
    }
}

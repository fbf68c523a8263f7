//! Runs that are guarded by a policy server behind TLS. The commands are stubs that
//! leave a mark; the library is the real one.

use std::process::Command;
use std::time::Duration;

use scripted_server::{ClosedPort, Server, Transport};

use crate::embedded::find_server;
use crate::preload::wait_until_gone;
use crate::remote::{Authority, Manner, Proxy, Remote, SECRET, verdict, with_head};
use crate::server::{Client, body, question};
use crate::team::{Team, library};
use crate::world::{World, finished, stderr, stdout, wait_until};

#[test]
fn what_the_team_allows_runs_and_what_it_denies_does_not() {
    let team = Team::new();
    let script = "\"$stub\" good; \"$stub\" forbidden; echo \"$RAMPART_URL $RAMPART_TOKEN\"";
    let output = team.guard(&[], script);
    assert_eq!((team.marks("good"), team.marks("forbidden")), (1, 0), "{}", stderr(&output));
    assert!(stderr(&output).contains("Ask the team [team]"), "{}", stderr(&output));
    // The library gets the relay's URL and token, not the team's.
    assert!(stdout(&output).starts_with("unix://"), "{}", stdout(&output));
    assert!(!stdout(&output).contains(SECRET), "{}", stdout(&output));
    let questions = team.remote.questions();
    assert!(questions.iter().all(|question| question.starts_with("POST /v1/preflight/exec ")));
    assert!(questions.iter().all(|question| question.contains(SECRET)));
    wait_until_gone(&team.world);
}

#[test]
fn a_prefix_in_the_url_comes_before_the_path() {
    let team = Team::new();
    let url = format!("{}/team/a/", team.remote.url());
    team.guard_with(&url, &[], &[], "\"$stub\" good; true");
    assert_eq!(team.marks("good"), 1);
    assert!(team.remote.questions()[0].starts_with("POST /team/a/v1/preflight/exec HTTP/1.1\r\n"));
}

#[test]
fn each_answer_means_what_it_means_without_a_relay() {
    let team = Team::new();
    let say = Manner::Say;
    let long = format!("{{\"allowed\":true,\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"allowed\":true}";
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"allowed\":true}";
    let twice = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n{}", &with_head(200, "{}")[15..]);
    let until_end = format!("HTTP/1.0 200 OK\r\n\r\n{}", verdict(true));
    let moved = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    // The answer, whether the command runs with fail-open 1 and 0, and text on stderr.
    let table = [
        (say(with_head(200, &verdict(true))), true, true, ""),
        (say(with_head(200, &verdict(false))), false, false, "Ask the team"),
        (say(until_end.clone()), true, true, ""),
        (Manner::SayAndBreak(until_end), true, false, "HTTP 502"),
        (say(with_head(200, "{\"allowed\":true")), false, false, "blocked"),
        (say(with_head(200, "{}")), false, false, "blocked"),
        (say(with_head(200, &long)), false, false, "not a policy server to trust"),
        (say(broken.to_owned()), false, false, "not a policy server to trust"),
        (say(twice), false, false, "not a policy server to trust"),
        (say("SSH-2.0-OpenSSH_9.9\r\n".to_owned()), false, false, "not a policy server to trust"),
        (say(with_head(401, "{}")), false, false, "HTTP 401"),
        (say(with_head(403, "{}")), false, false, "HTTP 403"),
        (say(with_head(404, "no")), false, false, "HTTP 404"),
        (say(moved.to_owned()), false, false, "redirects"),
        (say(with_head(500, "{}")), true, false, "HTTP 500"),
        (say(with_head(503, "{}")), true, false, "HTTP 503"),
        (say(cut.to_owned()), true, false, "HTTP 502"),
        (say(String::new()), true, false, "HTTP 502"),
        (Manner::Never, true, false, "HTTP 504"),
    ];
    for (manner, open, closed, words) in table {
        team.remote.answers(manner.clone());
        for (flag, runs) in [("--fail-open=true", open), ("--fail-open=false", closed)] {
            let output = team.guard(&[flag], "\"$stub\" mark; true");
            assert_eq!(team.marks("mark"), usize::from(runs), "{manner:?} {}", stderr(&output));
            if !runs {
                assert!(stderr(&output).contains(words), "{manner:?} {}", stderr(&output));
            }
        }
    }
    // No redirect was followed, and there were only questions.
    assert!(team.remote.questions().iter().all(|question| question.contains("/v1/preflight/")));
}

#[test]
fn a_server_that_does_not_prove_who_it_is_is_said_and_nothing_is_run() {
    let team = Team::new();
    let stranger = Authority::new("a stranger");
    let plain = Server::scripted(Transport::Tcp, |exchange| {
        exchange.send(with_head(200, &verdict(true)));
    });
    let plain_url = plain.url.replace("http://127.0.0.1", "https://localhost");
    let url = team.remote.url();
    let by_number = url.replace("localhost", "127.0.0.1");
    let right = || team.authority.certify("localhost");
    for (config, url, words) in [
        (stranger.certify("localhost"), &url, "not trusted here"),
        (team.authority.certify_expired("localhost"), &url, "expired"),
        (team.authority.certify_as_ca("localhost"), &url, "a CA's own certificate"),
        (team.authority.certify("policy.example"), &url, "not valid for"),
        (right(), &by_number, "not valid for"),
        (right(), &plain_url, "corrupt message"),
    ] {
        team.remote.shows(config);
        for flag in ["--fail-open=true", "--fail-open=false"] {
            let output = team.guard_with(url, &[flag], &[], "echo ran");
            assert_eq!(output.status.code(), Some(1), "{words}: {}", stderr(&output));
            assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
            assert!(stderr(&output).contains("nothing was run"), "{}", stderr(&output));
            assert_eq!(stdout(&output), "");
        }
    }
    assert!(team.remote.questions().is_empty());
    assert!(team.world.private_directories().is_empty());
}

#[test]
fn who_takes_the_servers_place_later_is_refused_whatever_fail_open_says() {
    let team = Team::new();
    team.remote.answers(Manner::DecideAndClose);
    let waiting = team.waiting();
    let ask = |command: &str| waiting.ask(command, &waiting.token);
    assert!(ask("ls").body.contains("\"allowed\":true"));
    team.remote.shows(Authority::new("a stranger").certify("localhost"));
    let refused = ask("ls");
    assert_eq!(refused.status, 200);
    assert!(refused.body.contains("\"allowed\":false"), "{}", refused.body);
    assert!(refused.body.contains("not trusted here"), "{}", refused.body);
    team.remote.shows(team.authority.certify("localhost"));
    assert!(ask("ls").body.contains("\"allowed\":true"));
    waiting.end();
}

#[test]
fn a_server_that_is_not_there_is_warned_of_and_asked_once_it_is() {
    let team = Team::new();
    let port = ClosedPort::new();
    let url = format!("https://localhost:{}", port.number);
    for (flag, words, marks) in
        [("--fail-open=true", "runs unchecked", 1), ("--fail-open=false", "is refused", 0)]
    {
        let output = team.guard_with(&url, &[flag], &[], "\"$stub\" mark; true");
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert_eq!(team.marks("mark"), marks);
    }
    let waiting = team.waiting_for(&url);
    assert_eq!(waiting.ask("ls", &waiting.token).status, 502);
    let late = Remote::listen(port.open(), team.authority.certify("localhost"));
    assert_eq!(waiting.ask("ls", &waiting.token).status, 200);
    assert_eq!(late.handshakes(), 1);
    waiting.end();
}

#[test]
fn a_connection_that_the_server_has_closed_is_no_failure() {
    let team = Team::new();
    for manner in [Manner::DecideAndClose, Manner::DecideOnce] {
        team.remote.answers(manner.clone());
        let waiting = team.waiting();
        for round in 0..20 {
            let answer = waiting.ask("ls", &waiting.token);
            assert_eq!(answer.status, 200, "{manner:?} {round}: {}", answer.body);
        }
        waiting.end();
    }
}

#[test]
fn many_checks_take_one_handshake() {
    let team = Team::new();
    let waiting = team.waiting();
    let mut kept = Client::over_unix(&waiting.socket);
    for _ in 0..180 {
        kept.send(question("ls").replace(crate::server::TOKEN, &waiting.token));
        assert_eq!(kept.answer().status, 200);
    }
    for _ in 0..20 {
        assert_eq!(waiting.ask("ls", &waiting.token).status, 200);
    }
    assert_eq!(team.remote.questions().len(), 200);
    assert_eq!(team.remote.handshakes(), 1);
    waiting.end();
}

#[test]
fn children_that_ask_at_once_are_all_answered() {
    let team = Team::new();
    team.remote.answers(Manner::Late(Duration::from_millis(50)));
    let script = "for n in $(seq 64); do \"$stub\" good & done; wait";
    let output = team.guard_with(
        &team.remote.url(),
        &["--fail-open=false"],
        &[("RAMPART_TIMEOUT_MS", "10000")],
        script,
    );
    assert_eq!(team.marks("good"), 64, "{}", stderr(&output));
    assert!(team.remote.handshakes() <= 33, "{}", team.remote.handshakes());
    wait_until_gone(&team.world);
}

#[test]
fn with_few_descriptors_some_wait_and_all_are_answered() {
    let team = Team::new();
    team.remote.answers(Manner::Late(Duration::from_millis(20)));
    let script = format!(
        "ulimit -n 80; exec {} preload --url {} --ca ca.pem --fail-open=false -- \
         sh -c 'for n in $(seq 64); do \"$stub\" good & done; wait'",
        env!("CARGO_BIN_EXE_rampart"),
        team.remote.url()
    );
    let output = finished(
        Command::new("sh")
            .args(["-c", &script])
            .current_dir(team.world.path(""))
            .env("XDG_RUNTIME_DIR", team.world.runtime())
            .env("RAMPART_HOME", team.world.home())
            .env("RAMPART_LIBRARY", library())
            .env("RAMPART_TOKEN", SECRET)
            .env("RAMPART_TIMEOUT_MS", "10000")
            .env("stub", &team.stub),
    );
    assert_eq!(team.marks("good"), 64, "{}", stderr(&output));
}

#[test]
fn a_long_command_passes_whole() {
    let team = Team::new();
    let waiting = team.waiting();
    let long = "x".repeat(1024 * 1024);
    assert_eq!(waiting.ask(&long, &waiting.token).status, 200);
    assert!(team.remote.questions()[0].ends_with(&body(&long)));
    waiting.end();
}

#[test]
fn the_relay_answers_only_its_own_run_and_only_what_a_policy_server_does() {
    let team = Team::new();
    let waiting = team.waiting();
    assert_eq!(waiting.ask("ls", "wrong").status, 401);
    assert_eq!(waiting.ask("ls", SECRET).status, 401);
    let get = |path: &str| {
        let mut client = Client::over_unix(&waiting.socket);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.answer()
    };
    let health = get("/healthz");
    assert_eq!((health.status, &*health.body), (200, r#"{"status":"ok"}"#));
    assert_eq!(get("/").status, 404);
    assert_eq!(get("/v1/preflight/exec").status, 405);
    assert!(team.remote.questions().is_empty());
    waiting.end();
}

#[test]
fn sigterm_ends_the_relay_after_the_answers_under_way() {
    let team = Team::new();
    team.remote.answers(Manner::Late(Duration::from_millis(500)));
    let waiting = team.waiting();
    let relay = find_server(&waiting, "rampart-relay");
    let mut client = Client::over_unix(&waiting.socket);
    client.send(question("ls").replace(crate::server::TOKEN, &waiting.token));
    wait_until("the question", || !team.remote.questions().is_empty());
    assert!(Command::new("kill").arg(relay).status().unwrap().success());
    assert_eq!(client.answer().status, 200);
    wait_until_gone(&team.world);
    waiting.end();
}

#[test]
fn proxies_are_not_taken_from_the_environment() {
    let team = Team::new();
    let dead = "http://127.0.0.1:1";
    let variables = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"];
    let variables = variables.map(|name| (name, dead));
    team.guard_with(
        &team.remote.url(),
        &["--fail-open=false"],
        &variables,
        "\"$stub\" good; \"$stub\" forbidden; true",
    );
    assert_eq!((team.marks("good"), team.marks("forbidden")), (1, 0));
}

#[test]
fn a_proxy_that_is_named_carries_the_connection_and_sees_neither_command_nor_token() {
    let team = Team::new();
    let proxy = Proxy::start("HTTP/1.1 200 Connection established\r\n\r\n");
    let flags = ["--fail-open=false", "--proxy", proxy.url()];
    team.guard(&flags, "\"$stub\" good; \"$stub\" forbidden; true");
    assert_eq!((team.marks("good"), team.marks("forbidden")), (1, 0));
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    let target = format!("localhost:{}", team.remote.port);
    let expected = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert!(asked.iter().all(|request| *request == expected), "{asked:?}");
}

#[test]
fn a_proxy_that_opens_no_tunnel_is_unreachable_or_not_to_be_trusted() {
    let team = Team::new();
    for (answer, status, words) in [
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 0, "the proxy answers 502"),
        ("HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", 1, "the proxy answers 407"),
        ("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n", 1, "says more"),
        ("SSH-2.0-x\r\n\r\n", 1, "does not speak HTTP"),
    ] {
        let proxy = Proxy::start(answer);
        let output = team.guard(&["--proxy", proxy.url()], "true");
        assert_eq!(output.status.code(), Some(status), "{answer}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{answer}: {}", stderr(&output));
    }
    assert!(team.remote.questions().is_empty());
}

#[test]
fn what_cannot_be_used_for_a_relay_is_said_and_nothing_is_run() {
    let world = World::with_library();
    world.write("empty.pem", "");
    world.write("not.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    world.write("none.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let authority = Authority::new("the team");
    authority.file(&world);
    let url = "https://localhost:1";
    let table: &[(&[&str], i32, &str)] = &[
        (&["--url", url, "--ca", "no.pem"], 2, "no.pem: No such file"),
        (&["--url", url, "--ca", "empty.pem"], 2, "no certificate in it"),
        (&["--url", url, "--ca", "not.pem"], 2, "it is not PEM"),
        (&["--url", url, "--ca", "none.pem"], 2, "none.pem"),
        (&["--url", url, "--ca", "ca.pem", "--proxy", "proxy:3128"], 2, "http://HOST[:PORT]"),
        (&["--url", "https://me:pw@h", "--ca", "ca.pem"], 2, "user info"),
        (&["--url", "https://a..b", "--ca", "ca.pem"], 2, "no certificate can be for"),
        (&["--url", "https://no-such-host.invalid", "--ca", "ca.pem"], 1, "no-such-host.invalid"),
        (&["--url", "http://127.0.0.1:1", "--ca", "ca.pem"], 2, "for an https:// server"),
        (&["--ca", "ca.pem"], 2, "for an https:// server"),
        (&["--proxy", "http://127.0.0.1:1"], 2, "for an https:// server"),
        (&["--policy", "p.yaml", "--ca", "ca.pem"], 2, "cannot be used with"),
    ];
    for (flags, status, words) in table {
        let mut command = world.rampart(["preload"]);
        let output = finished(command.args(*flags).args(["--", "echo", "ran"]));
        assert_eq!(output.status.code(), Some(*status), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{flags:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    assert!(world.private_directories().is_empty());
}

#[test]
fn the_url_and_the_ca_can_come_from_the_environment() {
    let team = Team::new();
    let mut command = team.world.rampart(["preload", "--fail-open=false", "--", "sh", "-c"]);
    command
        .arg("\"$stub\" good; \"$stub\" forbidden; true")
        .env("RAMPART_LIBRARY", library())
        .env("RAMPART_URL", team.remote.url())
        .env("RAMPART_CA", team.world.path("ca.pem"))
        .env("RAMPART_TOKEN", SECRET)
        .env("stub", &team.stub);
    finished(&mut command);
    assert_eq!((team.marks("good"), team.marks("forbidden")), (1, 0));
    // An empty one counts as unset: this machine's CAs are trusted.
    command.env("RAMPART_CA", "");
    finished(command.env("SSL_CERT_FILE", team.world.path("ca.pem")));
    assert_eq!((team.marks("good"), team.marks("forbidden")), (1, 0));
    let nothing = team.world.write("nothing.pem", "");
    let output = finished(command.env("SSL_CERT_FILE", nothing));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("this machine trusts no CA"), "{}", stderr(&output));
    assert_eq!(team.marks("good"), 0);
}

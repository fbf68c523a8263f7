//! A `rampart serve` that speaks TLS itself.

use std::time::{Duration, Instant};

use crate::preload::wait_until_gone;
use crate::remote::Authority;
use crate::server::{Server, TOKEN, question};
use crate::team::Team;
use crate::world::{POLICY, World, stderr};

const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];

#[test]
fn a_run_is_guarded_over_tls_without_a_proxy_in_front() {
    let team = Team::new();
    team.authority.files(&team.world, "localhost");
    team.world.write(".rampart/policy.yaml", &POLICY.replace("forbidden*", "*stub forbidden*"));
    let server = Server::start(&team.world, &TLS);
    let url = format!("https://localhost:{}", server.tcp.port());
    let script = "\"$stub\" good; \"$stub\" forbidden; true";
    let token = [("RAMPART_TOKEN", TOKEN)];
    let output = team.guard_with(&url, &["--fail-open=false"], &token, script);
    assert_eq!((team.marks("good"), team.marks("forbidden")), (1, 0), "{}", stderr(&output));
    assert!(stderr(&output).contains("Do something else"), "{}", stderr(&output));
    wait_until_gone(&team.world);
    // Its Unix socket works as without TLS.
    assert_eq!(server.ask("ls")["allowed"], true);
}

#[test]
fn whoever_does_not_speak_tls_is_answered_nothing_and_holds_up_nobody() {
    let world = World::new();
    let authority = Authority::new("the team");
    authority.files(&world, "localhost");
    let server = Server::start(&world, &TLS);
    let mut silent = server.over_tcp();
    let mut plain = server.over_tcp();
    plain.send(question("ls"));
    assert!(!plain.rest().starts_with(b"HTTP"));
    assert_eq!(server.ask("ls")["allowed"], true);
    // The server's own time limit for a handshake.
    let start = Instant::now();
    assert!(silent.is_closed());
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn what_is_no_certificate_or_no_key_is_said_and_nothing_is_served() {
    let world = World::new();
    let authority = Authority::new("the team");
    authority.files(&world, "localhost");
    std::fs::rename(world.path("key.pem"), world.path("other.pem")).unwrap();
    authority.files(&world, "localhost");
    world.write("empty.pem", "");
    world.write("not.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let table: &[(&str, &str, &str)] = &[
        ("no.pem", "key.pem", "no.pem: No such file"),
        ("cert.pem", "no.pem", "no.pem: No such file"),
        ("empty.pem", "key.pem", "empty.pem: there is no certificate"),
        ("not.pem", "key.pem", "not.pem: it is not PEM"),
        ("cert.pem", "cert.pem", "cert.pem: there is no private key"),
        ("key.pem", "key.pem", "key.pem: there is no certificate"),
        ("cert.pem", "other.pem", "do not go together"),
    ];
    for (certificate, key, words) in table {
        let files = ["--tls-cert", certificate, "--tls-key", key];
        let output = world.run(["serve", "--port", "0"].iter().chain(&files));
        assert_eq!(output.status.code(), Some(2), "{files:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{files:?}: {}", stderr(&output));
        assert!(!world.home().exists());
    }
    let alone = world.run(["serve", "--port", "0", "--tls-cert", "cert.pem"]);
    assert_eq!(alone.status.code(), Some(2), "{}", stderr(&alone));
}

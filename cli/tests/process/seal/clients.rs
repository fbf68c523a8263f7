//! Large programs with their own helpers, sandboxes and servers in a sealed run. Skipped with a
//! message if they are not installed, or do not work without the seal either.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use scripted_server::Server;

use super::surroundings::as_nobody;
use super::{Sealed, text};
use crate::world::{finished, stderr, stdout, wait_until};

/// Answers like a Docker engine that is asked for its version.
fn engine(socket: &Path) -> Server {
    Server::at_socket(socket, None, |exchange| {
        while let Some(request) = exchange.request() {
            let body = if request.head.lines().next().unwrap().contains("/version") {
                r#"{"Version":"of-this-test","ApiVersion":"1.44","MinAPIVersion":"1.24"}"#
            } else {
                "OK"
            };
            let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Type: application/json";
            let length = body.len();
            let body = if request.head.starts_with("HEAD") { "" } else { body };
            exchange.send(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}"));
        }
    })
}

#[test]
fn dockers_client_reaches_its_engine_and_its_plug_ins_are_asked_about() {
    let sealed = Sealed::new();
    let policy = "version: \"1\"\ndefault_action: allow\npolicies:\n  - name: no-plug-in\n    \
        match: { tool: exec }\n    rules:\n      - action: deny\n        \
        when: { command_matches: [\"docker-forbidden --config*\"] }\n        \
        message: \"Do something else\"\n";
    sealed.0.write("p.yaml", policy);
    for name in ["permitted", "forbidden"] {
        let plug_in = format!(
            "#!/bin/sh\n[ \"$1\" = docker-cli-plugin-metadata ] || exec {}\n\
            echo '{{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"tests\",\"Version\":\"1\"}}'\n",
            sealed.0.path(&format!("bin/{name}")).display()
        );
        let path = sealed.0.write(&format!("docker/cli-plugins/docker-{name}"), &plug_in);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (socket, config) = (sealed.0.path("docker.sock"), sealed.0.path("docker"));
    let _engine = engine(&socket);
    let host = format!("unix://{}", socket.display());
    let docker = ["docker", "--config", text(&config), "-H", &host];
    let version = [&docker[..], &["version", "--format", "{{.Server.Version}}"]].concat();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", sealed.0.path("bin").display());
    let mut bare = sealed.0.command("env");
    let bare = bare.args(&version).env("PATH", &path).stderr(Stdio::null()).output().unwrap();
    if bare.stdout != b"of-this-test\n" {
        eprintln!("left out: docker does not do it here");
        return;
    }
    let run = |words: &[&str]| finished(sealed.command(&[], words).env("PATH", &path));
    let output = run(&version);
    assert_eq!(stdout(&output), "of-this-test\n", "{}", stderr(&output));
    let output = run(&[&docker[..], &["permitted"]].concat());
    assert!(sealed.ran("permitted"), "{} {}", stdout(&output), stderr(&output));
    let output = run(&[&docker[..], &["forbidden"]].concat());
    assert!(!output.status.success() && !sealed.ran("forbidden"), "{}", stderr(&output));
    assert!(stderr(&output).contains("Do something else"), "{}", stderr(&output));
}

#[test]
fn a_browser_renders_in_its_own_sandbox() {
    let sealed = Sealed::new();
    let page = "<script>document.write('rendered ' + (1 + 1))</script>";
    let page = format!("file://{}", sealed.0.write("page.html", page).display());
    let directory = format!("--user-data-dir={}", sealed.0.path("browser").display());
    let flags = "--headless --disable-gpu --disable-quic --no-first-run --disable-sync \
        --disable-background-networking --disable-component-update --dump-dom";
    let mut words = vec!["chromium", &directory];
    words.extend(flags.split_whitespace().chain([&*page]));
    let renders = |output: &Output| stdout(output).contains("rendered 2");
    // As an ordinary user: for root it would have no sandbox.
    let mut unsealed = as_nobody(&sealed, &["--seal=off"], &words);
    unsealed.env("PATH", "/usr/bin:/bin");
    if Command::new("chromium").arg("--version").output().is_err()
        || !renders(&finished(&mut unsealed))
    {
        eprintln!("left out: chromium does not do it here");
        return;
    }
    let output = finished(as_nobody(&sealed, &[], &words).env("PATH", "/usr/bin:/bin"));
    assert!(renders(&output), "{}", stderr(&output));
    // Its helpers were asked about like other programs.
    let is_helper = |line: &serde_json::Value| {
        let request = &line["request"];
        request["by"] == "kernel"
            && request["command"].as_str().is_some_and(|it| it.contains("--type="))
    };
    wait_until("the record of one", || sealed.0.audit().iter().any(is_helper));
}

//! To which address questions and the token are sent, and to which never.

use scripted_server::{Server, Transport};

use crate::support::{Compiler, Run, Sandbox, probe};

fn words(sandbox: &Sandbox) -> [String; 5] {
    let start = probe("start", Compiler::System).to_str().expect("text").to_owned();
    [start, "posix_spawn".into(), sandbox.text("bin/rm"), "rm".into(), "x".into()]
}

#[test]
fn a_valid_url_in_any_form_reaches_the_server() {
    let sandbox = Sandbox::new();
    let tcp = Server::judging(Transport::Tcp, |_| true);
    let unix = Server::allowing();
    let port = tcp.url.rsplit(':').next().expect("a port");
    let path = unix.url.strip_prefix("unix://").expect("a path");
    for (server, url, host, prefix) in [
        (&tcp, format!("http://127.0.0.1:{port}"), format!("127.0.0.1:{port}"), ""),
        (&tcp, format!("http://127.0.0.1:{port}///"), format!("127.0.0.1:{port}"), ""),
        (&tcp, format!("HTTP://localhost:{port}"), format!("localhost:{port}"), ""),
        (
            &tcp,
            format!("http://LocalHost:{port}/a/b%20c/"),
            format!("LocalHost:{port}"),
            "/a/b%20c",
        ),
        (&unix, format!("unix://{path}"), "localhost".to_owned(), ""),
        (&unix, format!("unix://{path}/"), "localhost".to_owned(), ""),
        (&unix, format!("UNIX://{path}"), "localhost".to_owned(), ""),
    ] {
        Run::guarded(&sandbox, &url, &words(&sandbox)).finish().success();
        assert_eq!(sandbox.take_marks(), ["rm x"], "{url}");
        let head = server.take_requests().swap_remove(0).head;
        let start = format!("POST {prefix}/v1/preflight/exec HTTP/1.1\r\nHost: {host}\r\n");
        assert!(head.starts_with(&start), "{url}: {head}");
        assert!(!head.contains("Authorization"), "no token, no header");
    }
}

#[test]
fn an_unsafe_url_is_refused_and_nobody_is_asked() {
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Tcp, |_| true);
    let address = server.url.strip_prefix("http://").expect("http").to_owned();
    let long = format!("unix:///{}", "x".repeat(107));
    for url in [
        &format!("http://user@{address}"),
        &format!("http://user:word@{address}"),
        &format!("http://{address}/?q"),
        &format!("http://{address}/#f"),
        &format!("http://{address}?q"),
        &format!(" http://{address}"),
        &format!("http://{address}/a b"),
        &format!("http://{address}/\\"),
        &format!("http:\\\\{address}"),
        &format!("http://{address}\n"),
        &format!("https://{address}"),
        &format!("ftp://{address}"),
        &format!("//{address}"),
        &address,
        "http://",
        "http://:80",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:port",
        "http://[::1",
        "http://[::g]:80",
        "http://h:1:2",
        "unix://relative.sock",
        "unix://",
        &long,
        "é",
    ] {
        for (mode, runs) in [("enforce", 0), ("monitor", 1), ("disabled", 1)] {
            let finished = Run::guarded(&sandbox, url, &words(&sandbox))
                .env("RAMPART_MODE", mode)
                .env("RAMPART_FAIL_OPEN", "1")
                .finish();
            assert_eq!(sandbox.take_marks().len(), runs, "{url:?} {mode}: {finished:#?}");
            let notice = "rampart: blocked rm: the policy server's URL ";
            let says = finished.stderr.starts_with(notice);
            assert_eq!(says, mode == "enforce", "{url:?} {mode}: {finished:#?}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_token_goes_out_as_a_bearer_token_or_not_at_all() {
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Tcp, |_| true);
    let long = "t".repeat(3000);
    for token in ["abc", "a-b_c~d+e/f==", &long] {
        Run::guarded(&sandbox, &server.url, &words(&sandbox))
            .env("RAMPART_TOKEN", token)
            .finish()
            .success();
        assert_eq!(sandbox.take_marks(), ["rm x"]);
        let question = server.take_requests().swap_remove(0);
        let line = format!("\r\nAuthorization: Bearer {token}\r\n");
        assert_eq!(question.head.matches(&line).count(), 1);
        assert_eq!(question.head.matches("uthorization").count(), 1);
        assert!(!String::from_utf8_lossy(&question.body).contains(token));
    }
    let asked = server.connections();
    let too_long = "t".repeat(60_000);
    for token in ["x y", "a\r\nX: y", "a\u{7f}", "é", " ", &too_long] {
        let finished = Run::guarded(&sandbox, &server.url, &words(&sandbox))
            .env("RAMPART_TOKEN", token)
            .env("RAMPART_FAIL_OPEN", "1")
            .finish();
        assert_eq!(sandbox.take_marks(), [""; 0], "{finished:#?}");
        assert!(!finished.stderr.contains(token) || token == " ", "{finished:#?}");
    }
    assert_eq!(server.connections(), asked);
}

#[test]
fn proxy_variables_and_configuration_files_of_http_clients_are_ignored() {
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Tcp, |_| true);
    let trap = Server::judging(Transport::Tcp, |_| false);
    sandbox.file("home/.netrc", "machine 127.0.0.1 login l password p\n");
    sandbox.file("home/.curlrc", format!("proxy = {}\n", trap.url));
    let mut run = Run::guarded(&sandbox, &server.url, &words(&sandbox));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        run = run.env(name, &trap.url);
    }
    run.finish().success();
    assert_eq!(sandbox.take_marks(), ["rm x"]);
    assert_eq!((trap.connections(), server.connections()), (0, 1));
    assert!(!server.take_requests()[0].head.contains("Authorization"));
}

#[test]
fn a_host_name_is_looked_up_by_the_first_process_only() {
    let sandbox = Sandbox::new();
    let server = Server::judging(Transport::Tcp, |_| true);
    let address = server.url.strip_prefix("http://").expect("http");
    // The name cannot be resolved: the processes reach the server by the inherited address only.
    let url = "http://policy.invalid:1";
    let finished =
        Run::guarded(&sandbox, url, &["sh", "-c", "sh -c 'env -i /bin/true; tool x'; true"])
            .env("RAMPART_ADDRESS", address)
            .finish()
            .success();
    assert_eq!(sandbox.take_marks(), ["tool x"], "{finished:#?}");
    let questions = server.take_requests();
    assert_eq!(questions.len(), 4);
    assert!(questions.iter().all(|it| it.head.contains("\r\nHost: policy.invalid:1\r\n")));
}

#[test]
fn a_host_name_that_means_nothing_is_a_server_that_cannot_be_reached() {
    let sandbox = Sandbox::new();
    for (fail_open, runs) in [("1", 1), ("0", 0)] {
        Run::guarded(&sandbox, "http://policy.invalid:1", &words(&sandbox))
            .env("RAMPART_FAIL_OPEN", fail_open)
            .finish();
        assert_eq!(sandbox.take_marks().len(), runs, "fail-open {fail_open}");
    }
}

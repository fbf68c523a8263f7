use super::*;
use std::cell::Cell;

type Line<'q> = Question<'q, core::iter::Empty<&'q [u8]>>;

const ASKER: Asker<'static> =
    Asker { agent: b"my \"agent\"", session: b"s-1", token: Some(b"secret"), ask_ms: None };

fn request_of(
    url: &str,
    asker: &Asker<'_>,
    cwd: Option<&[u8]>,
    coverage: Option<Coverage>,
) -> String {
    let mut memory = [0; 1024];
    let url = Url::parse(url.as_bytes()).expect("a URL");
    let preamble = Preamble::new(&url, asker, &mut Arena::new(&mut memory)).expect("a preamble");
    let arguments: [&[u8]; 2] = [b"-rf", b"a b"];
    let arguments = arguments.into_iter();
    let command = Command::Program { name: b"rm", other_name: None, arguments };
    let mut wire = Vec::new();
    Question { command, cwd, coverage, ..Question::about_line(b"", None) }
        .write(&preamble, &mut wire)
        .expect("a request");
    String::from_utf8(wire).expect("UTF-8")
}

#[test]
fn a_request_is_what_the_protocol_says() {
    let body = r#"{"agent":"my \"agent\"","session":"s-1","params":{"command":"rm -rf 'a b'","form":"argv"},"cwd":"/tmp","enforce":true}"#;
    assert_eq!(
        request_of("http://127.0.0.1:19090/base/", &ASKER, Some(b"/tmp"), None),
        format!(
            "POST /base/v1/preflight/exec HTTP/1.1\r\nHost: 127.0.0.1:19090\r\n\
             Authorization: Bearer secret\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    );
}

#[test]
fn the_time_for_a_persons_decision_is_sent() {
    let asker = Asker { ask_ms: Some(300_000), ..ASKER };
    let request = request_of("http://127.0.0.1", &asker, None, None);
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["ask_ms"], 300_000);
    assert_eq!(body["agent"], "my \"agent\"");
}

#[test]
fn without_a_token_there_is_no_authorization() {
    let asker = Asker { token: None, ..ASKER };
    let request = request_of("unix:///run/s.sock", &asker, None, None);
    assert!(!request.contains("Authorization"), "{request}");
    assert!(request.starts_with("POST /v1/preflight/exec HTTP/1.1\r\nHost: localhost\r\n"));
}

#[test]
fn the_coverage_is_sent_if_it_is_known() {
    for coverage in Coverage::ALL.map(Some).into_iter().chain([None]) {
        let request = request_of("http://127.0.0.1", &ASKER, None, coverage);
        let body = request.split_once("\r\n\r\n").map(|(_, body)| body).expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let word = body["params"].get("coverage").map(|word| word.as_str().expect("text"));
        assert_eq!(word, coverage.map(Coverage::word));
        assert_eq!(body["params"]["command"], "rm -rf 'a b'");
    }
}

#[test]
fn the_number_of_missed_checks_is_sent_unless_it_is_zero() {
    for missed in [0, 1, u32::MAX] {
        let mut memory = [0; 1024];
        let url = Url::parse(b"http://127.0.0.1").expect("a URL");
        let preamble =
            Preamble::new(&url, &ASKER, &mut Arena::new(&mut memory)).expect("a preamble");
        let mut wire = Vec::new();
        let question = Question { missed, ..Line::about_line(b"ls", None) };
        question.write(&preamble, &mut wire).expect("a request");
        let wire = String::from_utf8(wire).expect("UTF-8");
        let body = wire.split_once("\r\n\r\n").map(|(_, body)| body).expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            body.get("missed").and_then(serde_json::Value::as_u64),
            (missed > 0).then_some(missed.into())
        );
    }
}

#[test]
fn pipes_are_sent_by_their_numbers() {
    let mut memory = [0; 1024];
    let url = Url::parse(b"http://127.0.0.1").expect("a URL");
    let preamble = Preamble::new(&url, &ASKER, &mut Arena::new(&mut memory)).expect("a preamble");
    for (stdin, stdout) in [(0, 0), (7, 0), (0, u64::MAX), (1, 2)] {
        let pipes = Pipes { stdin: NonZeroU64::new(stdin), stdout: NonZeroU64::new(stdout) };
        let mut wire = Vec::new();
        let question = Question { pipes, ..Line::about_line(b"sh", None) };
        question.write(&preamble, &mut wire).expect("a request");
        let wire = String::from_utf8(wire).expect("UTF-8");
        let body = wire.split_once("\r\n\r\n").map(|(_, body)| body).expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        for (name, number) in [("stdin", stdin), ("stdout", stdout)] {
            let told = body["params"].get(name).and_then(serde_json::Value::as_str);
            let expected = format!("pipe:[{number}]");
            assert_eq!(told, (number > 0).then_some(&*expected));
        }
    }
}

#[test]
fn who_asks_says_its_number_and_its_parents_if_it_knows_them() {
    let mut memory = [0; 1024];
    let url = Url::parse(b"http://127.0.0.1").expect("a URL");
    let preamble = Preamble::new(&url, &ASKER, &mut Arena::new(&mut memory)).expect("a preamble");
    for (id, parent, told) in [
        (0, 0, "\"form\":\"line\"},"),
        (7, 0, "\"form\":\"line\",\"pid\":7},"),
        (u32::MAX, 1, "\"form\":\"line\",\"pid\":4294967295,\"parent\":1},"),
    ] {
        let process = Process { id, parent };
        let mut wire = Vec::new();
        let question = Question { process, ..Line::about_line(b"sh", None) };
        question.write(&preamble, &mut wire).expect("a request");
        let wire = String::from_utf8(wire).expect("UTF-8");
        assert!(wire.contains(told), "{wire}");
    }
}

#[test]
fn a_request_says_whether_it_is_about_arguments_or_a_line_and_what_argv0_is() {
    let mut memory = [0; 1024];
    let url = Url::parse(b"http://127.0.0.1").expect("a URL");
    let preamble = Preamble::new(&url, &ASKER, &mut Arena::new(&mut memory)).expect("a preamble");
    let program = |other_name| Question {
        command: Command::Program {
            name: b"/bin/busybox",
            other_name,
            arguments: [&b"x"[..]].into_iter(),
        },
        cwd: None,
        coverage: None,
        missed: 0,
        pipes: Pipes::default(),
        process: Process::default(),
    };
    let params = |wire: Vec<u8>| {
        let text = String::from_utf8(wire).expect("UTF-8");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str::<serde_json::Value>(body).expect("JSON")["params"].clone()
    };
    for (other_name, expected) in [
        (None, serde_json::json!({"command": "/bin/busybox x", "form": "argv"})),
        (
            Some(&b"r\"m\xff"[..]),
            serde_json::json!({"command": "/bin/busybox x", "form": "argv", "argv0": "r\"m\u{ff}"}),
        ),
    ] {
        let mut wire = Vec::new();
        program(other_name).write(&preamble, &mut wire).expect("a request");
        assert_eq!(params(wire), expected);
    }
    let mut wire = Vec::new();
    Line::about_line(b"rm x", None).write(&preamble, &mut wire).expect("a request");
    assert_eq!(params(wire), serde_json::json!({"command": "rm x", "form": "line"}));
}

#[test]
fn a_token_that_would_break_the_head_is_unusable() {
    for token in [&b"a b"[..], b"a\r\nX: y", b"\x00", b"\xc3\xa9"] {
        let mut memory = [0; 1024];
        let url = Url::parse(b"http://127.0.0.1").expect("a URL");
        let asker = Asker { token: Some(token), ..ASKER };
        let made = Preamble::new(&url, &asker, &mut Arena::new(&mut memory));
        assert_eq!(made.map(|_| ()), Err(PreambleError::Token), "{token:?}");
    }
}

#[test]
fn a_preamble_that_does_not_fit_is_an_error() {
    let mut memory = [0; 100];
    let url = Url::parse(b"http://127.0.0.1").expect("a URL");
    let made = Preamble::new(&url, &ASKER, &mut Arena::new(&mut memory));
    assert_eq!(made.map(|_| ()), Err(PreambleError::TooLong));
}

#[test]
fn arguments_that_change_while_they_are_read_are_an_error() {
    for (first, second) in [(&b"aa"[..], &b"a"[..]), (b"a", b"aa"), (b"a", b"'")] {
        let mut memory = [0; 1024];
        let url = Url::parse(b"http://127.0.0.1").expect("a URL");
        let preamble =
            Preamble::new(&url, &ASKER, &mut Arena::new(&mut memory)).expect("a preamble");
        let passes = Cell::new(0);
        let arguments = std::iter::once(()).map(|()| {
            passes.set(passes.get() + 1);
            if passes.get() == 1 { first } else { second }
        });
        let command = Command::Program { name: b"x", other_name: None, arguments };
        let question = Question { command, ..Question::about_line(b"", None) };
        let sent = question.write(&preamble, &mut Vec::new());
        assert_eq!(sent, Err(SendError::Changed));
    }
}

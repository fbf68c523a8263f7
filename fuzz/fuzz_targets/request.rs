//! The request for a command, against `httparse`, `serde_json` and `shlex`.
//!
//! An input holds texts with NULs between them: agent, session, token, working directory, the path
//! of the program, `argv[0]`, and the arguments. An empty token or directory means none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rampart_core::arena::Arena;
use rampart_core::command::truthful_name;
use rampart_core::request::{Asker, Command, Pipes, Preamble, PreambleError, Process, Question};
use rampart_core::url::Url;
use rampart_fuzz::wire::Wire;
use serde_json::{Value, json};

fuzz_target!(|input: &[u8]| check(input));

const URL: &[u8] = b"http://127.0.0.1:19090/base";

/// The server reads back what was asked, and nothing more.
fn check(input: &[u8]) {
    let mut texts = input.split(|byte| *byte == 0);
    let mut next = || texts.next().unwrap_or_default();
    let (agent, session, token, cwd, path) = (next(), next(), next(), next(), next());
    let argv0 = texts.next();
    let arguments: Vec<&[u8]> = texts.collect();
    let token = Some(token).filter(|token| !token.is_empty());
    let cwd = Some(cwd).filter(|cwd| !cwd.is_empty());

    let mut memory = vec![0; 1024 + 6 * input.len()];
    let url = Url::parse(URL).expect("a URL");
    let asker = Asker { agent, session, token, ask_ms: None };
    let preamble = match Preamble::new(&url, &asker, &mut Arena::new(&mut memory)) {
        Ok(preamble) => preamble,
        Err(error) => {
            assert_eq!(error, PreambleError::Token);
            assert!(token.is_some_and(|token| !token.iter().all(u8::is_ascii_graphic)));
            return;
        }
    };
    let envelope = |params: Value| {
        let mut body = json!({
            "agent": text(agent),
            "session": text(session),
            "params": params,
            "enforce": true,
        });
        if let Some(cwd) = cwd {
            body["cwd"] = Value::from(text(cwd));
        }
        body
    };

    let name = name_of(path, argv0);
    let other_name = argv0.filter(|argv0| *argv0 != name);
    let command = Command::Program { name, other_name, arguments: arguments.iter().copied() };
    let body = body_of(
        &Question { command, cwd, coverage: None, missed: 0, pipes: Pipes::default(), process: Process::default() },
        &preamble,
        token,
    );
    let line = body["params"]["command"].as_str().expect("a command").to_owned();
    let mut params = json!({ "command": line, "form": "argv" });
    if let Some(other_name) = other_name {
        params["argv0"] = Value::from(text(other_name));
    }
    assert_eq!(body, envelope(params));
    let words: Vec<String> = std::iter::once(name).chain(arguments).map(text).collect();
    assert_eq!(shlex::split(&line), Some(words), "{line}");

    let line: Question<'_, std::iter::Empty<&[u8]>> = Question::about_line(path, cwd);
    let body = body_of(&line, &preamble, token);
    assert_eq!(body, envelope(json!({ "command": text(path), "form": "line" })));
}

fn name_of<'a>(path: &'a [u8], argv0: Option<&'a [u8]>) -> &'a [u8] {
    let name = truthful_name(path, argv0);
    let beneath = path.strip_suffix(name).is_some_and(|parent| parent.ends_with(b"/"));
    assert!(name == path || (beneath && !name.contains(&b'/') && Some(name) == argv0));
    name
}

/// Writes the request, and reads it as a server would.
fn body_of<'q>(
    question: &Question<'q, impl Iterator<Item = &'q [u8]> + Clone>,
    preamble: &Preamble<'_>,
    token: Option<&[u8]>,
) -> Value {
    let mut wire = Wire::default();
    question.write(preamble, &mut wire).expect("a sink without an end");
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut head = httparse::Request::new(&mut headers);
    let length = head.parse(&wire.0).expect("a head").unwrap();
    let body = &wire.0[length..];
    assert_eq!((head.method, head.path), (Some("POST"), Some("/base/v1/preflight/exec")));
    assert_eq!(question.body_length(preamble), body.len());

    let length = body.len().to_string();
    let bearer = token.map(|token| [b"Bearer ", token].concat());
    let mut expected = vec![("Host", &b"127.0.0.1:19090"[..])];
    expected.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    expected.push(("Content-Type", b"application/json"));
    expected.push(("Content-Length", length.as_bytes()));
    let found: Vec<_> = head.headers.iter().map(|header| (header.name, header.value)).collect();
    assert_eq!(found, expected);

    assert!(!body.iter().any(u8::is_ascii_control), "a byte that should be escaped");
    serde_json::from_slice(body).expect("JSON")
}

/// Bytes as in the protocol: if they are not UTF-8, each byte becomes a character.
fn text(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks.fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
        text
    })
}

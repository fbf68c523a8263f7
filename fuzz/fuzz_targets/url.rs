//! The reader of `RAMPART_URL`, against the `url` crate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rampart_core::arena::Arena;
use rampart_core::request::{Asker, Preamble, Question};
use rampart_core::url::{LONGEST_SOCKET_PATH, Server, Url, parse_address};
use rampart_fuzz::wire::Wire;
use std::net::IpAddr;

fuzz_target!(|text: &[u8]| check(text));

/// An accepted URL is safe and leads where the other parser says; a plain one is accepted.
fn check(text: &[u8]) {
    if let Some(address) = parse_address(text) {
        assert_eq!(parse_address(address.to_string().as_bytes()), Some(address));
    }
    let theirs = std::str::from_utf8(text).ok().and_then(|text| url::Url::parse(text).ok());
    let Ok(ours) = Url::parse(text) else {
        assert!(!theirs.is_some_and(|theirs| is_plain(text, &theirs)), "a plain URL is refused");
        return;
    };
    assert!(ours.authority.iter().chain(ours.prefix).all(u8::is_ascii_graphic));
    assert!(!ours.authority.iter().any(|byte| b"@/?#\\".contains(byte)));
    assert!(!ours.prefix.iter().any(|byte| b"?#\\".contains(byte)));
    assert!(ours.prefix.is_empty() || ours.prefix.starts_with(b"/"));
    assert!(!ours.prefix.ends_with(b"/"));
    if let Server::Unix(name) | Server::Abstract(name) = ours.server {
        assert!(name.starts_with(b"/") || matches!(ours.server, Server::Abstract(_)));
        assert!(!name.is_empty() && name.len() <= LONGEST_SOCKET_PATH);
        assert!(name.iter().all(u8::is_ascii_graphic));
    } else if let Some(theirs) = theirs {
        agree(&ours, &theirs);
    }
    check_head(&ours);
}

fn is_plain(text: &[u8], theirs: &url::Url) -> bool {
    let plain =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-/:".contains(byte);
    text.strip_prefix(b"http://").is_some_and(|rest| {
        rest.iter().all(plain) && !rest.starts_with(b"/") && !rest.starts_with(b":")
    }) && theirs.port() != Some(0)
}

fn agree(ours: &Url<'_>, theirs: &url::Url) {
    assert_eq!(theirs.scheme(), "http");
    assert_eq!((theirs.username(), theirs.password()), ("", None));
    assert_eq!((theirs.query(), theirs.fragment()), (None, None));
    let (port, their_host) = (theirs.port_or_known_default(), theirs.host());
    match ours.server {
        Server::Address(address) => {
            assert_eq!(Some(address.port()), port);
            let same = match their_host {
                Some(url::Host::Ipv4(ip)) => address.ip() == IpAddr::V4(ip),
                Some(url::Host::Ipv6(ip)) => address.ip() == IpAddr::V6(ip),
                Some(url::Host::Domain(name)) => name == "localhost" && address.ip().is_loopback(),
                None => false,
            };
            assert!(same, "{address} is not {their_host:?}");
        }
        Server::Name { host, port: our_port } => {
            assert_eq!(Some(our_port), port);
            // Old forms of addresses (`127.1`, `0x7f.1`) are left to the resolver, which reads them
            // the same.
            if let Some(url::Host::Domain(name)) = their_host {
                assert!(host.eq_ignore_ascii_case(name.as_bytes()), "not {name}");
            }
        }
        Server::Unix(_) | Server::Abstract(_) => unreachable!("looked at before"),
    }
}

/// The request for the URL has one head with the right lines.
fn check_head(url: &Url<'_>) {
    let mut memory = vec![0; 8192 + 2 * (url.authority.len() + url.prefix.len())];
    let asker = Asker { agent: b"a", session: b"s", token: None, ask_ms: None };
    let preamble = Preamble::new(url, &asker, &mut Arena::new(&mut memory)).expect("room enough");
    let mut wire = Wire::default();
    let question: Question<'_, std::iter::Empty<&[u8]>> = Question::about_line(b"ls", None);
    question.write(&preamble, &mut wire).expect("a sink without an end");
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(&wire.0).expect("a head");
    assert!(parsed.is_complete());
    let path = [url.prefix, b"/v1/preflight/exec"].concat();
    assert_eq!(head.path.map(str::as_bytes), Some(&path[..]));
    let names: Vec<&str> = head.headers.iter().map(|header| header.name).collect();
    assert_eq!(names, ["Host", "Content-Type", "Content-Length"]);
    assert_eq!(head.headers[0].value, url.authority);
}

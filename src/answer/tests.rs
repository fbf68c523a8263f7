use super::*;

const YES: &str = r#"{"allowed":true}"#;
const NO: &str = r#"{"allowed":false,"message":"m","matched_policies":["p"]}"#;
const CUT: Outcome = Outcome::Unreachable(Unreachable::Cut);

/// Reads `wire` in pieces of several sizes; the result must be the same.
fn read(wire: &[u8]) -> (Outcome, bool) {
    let mut ends = [1, 2, 3, 7, 64, usize::MAX].into_iter().map(|size| {
        let mut reader = Reader::default();
        let early = wire.chunks(size).find_map(|piece| reader.feed(piece));
        early.unwrap_or_else(|| reader.closed())
    });
    let first = ends.next().expect("an end");
    let mut reusable = first.reusable;
    for end in ends {
        assert_eq!(end.outcome, first.outcome, "{}", String::from_utf8_lossy(wire));
        reusable = end.reusable;
    }
    (first.outcome, reusable)
}

fn counted(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_complete_answer_is_a_verdict_and_says_whether_the_connection_stays_usable() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (wire, outcome, reusable) in [
        (counted(YES), Outcome::Allowed, true),
        (counted(NO), Outcome::Denied, true),
        (counted(YES).replace("\r\n", "\n"), Outcome::Allowed, true),
        (counted(YES).replace("OK", "OK\r\nConnection: close"), Outcome::Allowed, false),
        (counted(YES).replace("OK", "OK\r\nconnection: x, Close"), Outcome::Allowed, false),
        (counted(YES).replace("1.1", "1.0"), Outcome::Allowed, false),
        (counted(YES).replace(" OK", ""), Outcome::Allowed, true),
        (counted(YES) + "HTTP", Outcome::Allowed, false),
        (format!("HTTP/1.1 200 OK\r\n\r\n{YES}"), Outcome::Allowed, false),
        (format!("HTTP/1.1 100 Continue\r\n\r\n{}", counted(YES)), Outcome::Allowed, true),
        (format!("{chunked}10\r\n{YES}\r\n0\r\n\r\n"), Outcome::Allowed, true),
        (
            format!("{chunked}1;a=b\r\n{{\r\nF\r\n{}\r\n000\r\nX: y\r\n\r\n", &YES[1..]),
            Outcome::Allowed,
            true,
        ),
        (
            counted(YES).replace("OK", &format!("OK\r\nX-Long: {}", "v".repeat(5000))),
            Outcome::Allowed,
            true,
        ),
    ] {
        assert_eq!(read(wire.as_bytes()), (outcome, reusable), "{wire}");
    }
}

#[test]
fn a_pending_decision_is_known_before_the_answer() {
    let held = |wire: &str| {
        let mut reader = Reader::default();
        assert_eq!(reader.feed(wire.as_bytes()), None);
        reader.is_held()
    };
    assert!(!held("HTTP/1.1 100 Continue\r\n\r\n"));
    assert!(!held("HTTP/1.1 102 Processing\r\n"));
    assert!(held("HTTP/1.1 102 Processing\r\n\r\n"));
    assert!(held("HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n"));
    let wire = format!("HTTP/1.1 102 Processing\r\n\r\n{}", counted(NO));
    assert_eq!(read(wire.as_bytes()), (Outcome::Denied, true));
    assert_eq!(read(b"HTTP/1.1 102 Processing\r\n\r\n"), (CUT, false));
}

#[test]
fn other_statuses_are_told_apart() {
    let server_error = |status| Outcome::Unreachable(Unreachable::ServerError(status));
    for (status, outcome) in [
        ("500", server_error(500)),
        ("503", server_error(503)),
        ("599", server_error(599)),
        ("101", Outcome::Status(101)),
        ("201", Outcome::Status(201)),
        ("204", Outcome::Status(204)),
        ("302", Outcome::Status(302)),
        ("401", Outcome::Status(401)),
        ("404", Outcome::Status(404)),
        ("600", Outcome::Status(600)),
    ] {
        let wire = counted(YES).replace("200", status);
        assert_eq!(read(wire.as_bytes()), (outcome, false), "{wire}");
    }
}

#[test]
fn an_incomplete_answer_is_no_verdict() {
    let whole = counted(YES);
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{YES}\r\n0\r\n\r\n");
    for wire in [whole.as_bytes(), chunked.as_bytes()] {
        for length in 0..wire.len() {
            assert_eq!(read(&wire[..length]).0, CUT, "{length}");
        }
    }
}

#[test]
fn a_malformed_answer_is_garbled() {
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(7000));
    let long_body = format!("{}{}", " ".repeat(70_000), YES);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{long_body}");
    let length = |text: &str| counted(YES).replace("Content-Length: 16", text);
    for wire in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "\r\n".to_owned(),
        "HTTP/2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 20 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
        "HTTP/1.1200 OK\r\n\r\n".to_owned(),
        counted("nonsense"),
        counted("[]"),
        counted(""),
        counted(&long_body),
        endless,
        many_headers,
        counted(YES).replace("OK", "OK\r\nno colon"),
        counted(YES).replace("OK", "OK\r\n folded: x"),
        counted(YES).replace("OK", "OK\r\nX : y"),
        counted(YES).replace("OK", &format!("OK\r\n{}", "x".repeat(200))),
        counted(YES).replace("OK", &format!("OK\r\n {}", "x".repeat(200))),
        length("Content-Length: 16\r\nContent-Length: 16"),
        length("Content-Length: 16\r\nTransfer-Encoding: chunked"),
        length("Transfer-Encoding: gzip"),
        length("Transfer-Encoding: gzip, chunked"),
        length("Content-Length: -1"),
        length("Content-Length: 16, 16"),
        length("Content-Length: 99999999999999999999999"),
        length("Content-Length: 15"),
        format!("{chunked}\r\n"),
        format!("{chunked}x\r\n"),
        format!("{chunked}10\r\n{YES}\r\n{}1\r\n\r\n", "0".repeat(200)),
        format!("{chunked}-10\r\n{YES}\r\n0\r\n\r\n"),
        format!("{chunked}ffffffffffffffffff\r\n{YES}"),
        format!("{chunked}f\r\n{YES}\r\n0\r\n\r\n"),
        format!("{chunked}10\r\n{YES}x\r\n0\r\n\r\n"),
    ] {
        let (outcome, reusable) = read(wire.as_bytes());
        assert!(matches!(outcome, Outcome::Garbled(_)), "{outcome:?} for {wire:.200}");
        assert!(!reusable);
    }
}

#[test]
fn httparse_reads_every_head_that_is_read_here() {
    // Mutations of a good answer: whatever is a verdict here must parse there.
    let good = counted(YES).replace("OK", "OK\r\nDate: x\r\nConnection: keep-alive");
    for position in 0..good.len() {
        for replacement in *b"\r\n :;,0a\x00\xff" {
            let mut wire = good.clone().into_bytes();
            wire[position] = replacement;
            let mut reader = Reader::default();
            let Some(end) = reader.feed(&wire) else { continue };
            if !matches!(end.outcome, Outcome::Allowed | Outcome::Denied) {
                continue;
            }
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut theirs = httparse::Response::new(&mut headers);
            if let Ok(status) = theirs.parse(&wire) {
                assert!(status.is_complete());
                assert_eq!(theirs.code, Some(200));
            } else {
                // Odd bytes inside a header's value or the reason phrase do not matter here.
                let head = String::from_utf8_lossy(&wire);
                let odd = head.contains(['\0', '\r', '\u{fffd}']);
                assert!(odd, "{head}");
            }
        }
    }
}

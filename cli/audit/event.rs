//! A line of the audit: an event in the Go command's schema `rampart.audit.v1`.
//!
//! An event's hash covers the previous event's hash and the event's own line with an empty `hash`.
//! The Go command verifies it by encoding what it read again, so a line has to be byte for byte
//! what Go's `encoding/json` writes: members in this order, sorted map keys, no trailing zeros in
//! fractions of seconds, `<`, `>` and `&` escaped. Additions of this project are in `request`,
//! which may hold anything.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use crate::terminal::Local;

/// The name of the schema.
const SCHEMA: &str = "rampart.audit.v1";
/// The prefix of a hash.
const HASH_PREFIX: &str = "sha256:";
/// What stands in a message before a refused pipeline, which ends with a backquote.
pub const PIPED: &str = " It is piped: `";
/// The end of a line before its hash is known.
const OPEN_END: &str = r#""hash":""}"#;

/// One line. It owns its strings where it was read; a line to be written borrows them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[serde(bound(
    serialize = "S: Serialize + AsRef<str>, R: Serialize",
    deserialize = "S: Deserialize<'de> + Default, R: Deserialize<'de> + Default"
))]
pub struct Event<S = String, R = BTreeMap<String, Value>> {
    pub schema_version: S,
    pub id: S,
    /// RFC 3339, in UTC.
    pub timestamp: S,
    pub agent: S,
    pub session: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host<S>>,
    /// `exec` for a decision about a command, `server` for an event of the server's own.
    pub tool: S,
    pub request: R,
    pub decision: Verdict<S>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub compacted_fields: BTreeMap<String, Compaction>,
    pub prev_hash: S,
    pub hash: S,
}

/// The machine, by Go's names (`GOOS`, `GOARCH`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "S: Deserialize<'de> + Default"))]
pub struct Host<S = String> {
    pub hostname: S,
    pub os: S,
    pub arch: S,
}

/// What was decided.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[serde(bound(
    serialize = "S: Serialize + AsRef<str>",
    deserialize = "S: Deserialize<'de> + Default"
))]
pub struct Verdict<S = String> {
    pub action: S,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matched_policies: Vec<S>,
    pub evaluation_time_us: u64,
    #[serde(skip_serializing_if = "is_empty")]
    pub message: S,
}

fn is_empty(text: &impl AsRef<str>) -> bool {
    text.as_ref().is_empty()
}

/// How a member was shortened, because the Go command limits the length of a line.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    pub original_json_bytes: usize,
    pub sha256: String,
    pub disposition: String,
}

impl Event {
    /// An event for a command that was not asked about, to try rules on.
    pub fn of_command(command: &str) -> Self {
        let mut event = Self {
            schema_version: SCHEMA.into(),
            timestamp: timestamp(SystemTime::now()),
            agent: "preload".into(),
            ..Self::default()
        };
        event.request.insert("command".into(), command.into());
        event
    }

    /// A string of the request.
    pub fn asked(&self, name: &str) -> Option<&str> {
        self.request.get(name)?.as_str()
    }

    /// A number of the request.
    pub fn number(&self, name: &str) -> Option<i32> {
        self.request.get(name)?.as_i64()?.try_into().ok()
    }

    /// The command line; empty if the event has none.
    pub fn command(&self) -> &str {
        self.asked("command").unwrap_or_default()
    }

    /// The command in the line that was refused, if the line has others.
    pub fn part(&self) -> Option<&str> {
        self.asked("part")
    }

    /// What a rule would be written for: the pipeline that was refused, otherwise the command in the
    /// line that was, otherwise the line. `None` if its end was left out or a secret in it masked: a
    /// rule would not match it.
    pub fn typed(&self) -> Option<&str> {
        let pipeline = self.decision.message.split_once(PIPED).map(|(_, line)| line);
        let line = pipeline.and_then(|line| line.strip_suffix('`'));
        let line = line.or(self.part()).unwrap_or(self.command());
        let is_cut = pipeline.is_some() && line.ends_with('…');
        (!is_cut && !line.contains("***")).then_some(line)
    }

    /// Whether it refuses, or would have if it had been enforced. A question that a person answered
    /// is recorded with the answer.
    pub fn is_refusal(&self) -> bool {
        matches!(&*self.decision.action, "deny" | "ask")
    }

    /// How many programs it says ran unchecked.
    pub fn unchecked(&self) -> u64 {
        self.request.get("missed").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Its time, if it can be parsed.
    pub fn time(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.timestamp).ok()
    }

    /// Its local time.
    pub fn local(&self) -> Local {
        Local::of(self.time().unwrap_or(UNIX_EPOCH))
    }

    /// The event as one line of JSON.
    pub fn json(&self) -> String {
        // As below, serialising an event cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether this is a decision rather than an event of the server's own.
    pub fn is_decision(&self) -> bool {
        self.tool != "server"
    }
}

impl<'a, R: Serialize> Event<&'a str, R> {
    /// Appends the event's line to `out`, after the line with the hash `previous`. Returns its
    /// hash.
    pub fn chain(mut self, previous: &'a str, out: &mut Vec<u8>) -> String {
        self.schema_version = SCHEMA;
        self.prev_hash = previous;
        self.hash = "";
        let begin = out.len();
        // Writing to a vector and serialising an event cannot fail.
        let _ = self.serialize(&mut Serializer::with_formatter(&mut *out, AsGo));
        let hash = hash(previous, &out[begin..]);
        // Replaces `"}` at the end.
        out.truncate(out.len() - 2);
        out.extend_from_slice(hash.as_bytes());
        out.extend_from_slice(b"\"}\n");
        hash
    }
}

/// The hash of a line in which the hash is still empty.
fn hash(previous: &str, open: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(previous.as_bytes());
    context.update(open);
    hex(HASH_PREFIX, context.finish().as_ref())
}

/// The hash of bytes, in hexadecimal.
pub fn fingerprint(bytes: &[u8]) -> String {
    hex(HASH_PREFIX, digest(&SHA256, bytes).as_ref())
}

fn hex(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + 2 * bytes.len());
    text.push_str(prefix);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// Whether a line, without its newline, has the hash that it states.
pub fn is_intact(line: &[u8], event: &Event) -> bool {
    let end = format!(r#""hash":"{}"}}"#, event.hash);
    line.strip_suffix(end.as_bytes()).is_some_and(|begin| {
        hash(&event.prev_hash, &[begin, OPEN_END.as_bytes()].concat()) == event.hash
    })
}

/// A time as Go writes it: to the millisecond, without trailing zeros.
pub fn timestamp(time: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_millis(time).to_string();
    let shorter = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    // Do not trim zeros of the seconds.
    let seconds = "2026-01-02T03:04:05".len();
    text.truncate(shorter.len().max(seconds));
    text.push('Z');
    text
}

/// Escapes strings as Go's `encoding/json` does, for HTML too.
struct AsGo;

impl Formatter for AsGo {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        // Nearly no string has any of them; testing bytes is faster (0xe2 begins U+2028 and
        // U+2029), and without an early exit the compiler tests many at a time.
        let may_be = |byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
        if !fragment.bytes().fold(false, |found, byte| found | may_be(byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(special) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            if let Some(c) = after.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Event, is_intact, timestamp};

    fn chain(command: &str, previous: &str, out: &mut Vec<u8>) -> String {
        let request = BTreeMap::from([("command", command)]);
        let timestamp = timestamp(UNIX_EPOCH);
        let event =
            Event { id: "run-1", timestamp: timestamp.as_str(), request, ..Event::default() };
        event.chain(previous, out)
    }

    #[test]
    fn a_time_is_without_zeros_at_the_end_of_its_fraction() {
        for (millis, text) in [
            (1_767_323_040_000, "2026-01-02T03:04:00Z"),
            (1_767_323_040_120, "2026-01-02T03:04:00.12Z"),
            (1_767_323_040_007, "2026-01-02T03:04:00.007Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_line_is_what_gos_encoder_writes_and_says_its_own_hash() {
        let mut out = Vec::new();
        let first = chain("a <b> && \"c\" \u{2028}\u{7f}\u{1}\né", "", &mut out);
        let second = chain("ls", &first, &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // The line that Go writes for the same event.
        let go = concat!(
            r#"{"schema_version":"rampart.audit.v1","id":"run-1","#,
            r#""timestamp":"1970-01-01T00:00:00Z","agent":"","session":"","tool":"","#,
            r#""request":{"command":"a \u003cb\u003e \u0026\u0026 \"c\" \u2028"#,
            "\u{7f}",
            r#"\u0001\né"},"decision":{"action":"","evaluation_time_us":0},"prev_hash":"","#,
            r#""hash":"sha256:7f2b283f01922e2bc3efeffdf9e854ff18660eae137cc0162a8fe979b6456292"}"#,
        );
        assert_eq!(lines[0], go);
        for (line, previous) in lines.iter().zip(["", first.as_str()]) {
            let read: Event = serde_json::from_str(line).unwrap();
            assert_eq!(read.prev_hash, previous);
            assert!(is_intact(line.as_bytes(), &read));
            let changed = line.replacen("run-1", "run-2", 1);
            assert!(!is_intact(changed.as_bytes(), &serde_json::from_str(&changed).unwrap()));
        }
        assert_ne!(first, second);
    }
}

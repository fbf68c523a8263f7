//! Writes JSON objects. Nearly all strings here need no escapes, and are copied whole.

/// An object that is being written.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Object<'a> {
    /// Begins an object.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    /// Adds a string.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        string(value, self.out);
    }

    /// Adds a string, or null.
    pub fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.word(name, "null"),
        }
    }

    /// Adds a list of strings.
    pub fn texts(&mut self, name: &'static str, values: &[String]) {
        self.name(name);
        self.out.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            string(value, self.out);
        }
        self.out.push(b']');
    }

    /// Adds a number.
    pub fn number(&mut self, name: &'static str, value: impl itoa::Integer) {
        self.word(name, itoa::Buffer::new().format(value));
    }

    /// Adds `true` or `false`.
    pub fn flag(&mut self, name: &'static str, value: bool) {
        self.word(name, if value { "true" } else { "false" });
    }

    /// Adds what stands for itself in JSON.
    pub fn word(&mut self, name: &'static str, word: &str) {
        self.name(name);
        self.out.extend_from_slice(word.as_bytes());
    }

    /// Ends the object, which has at least one member.
    pub fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        self.out.reserve(name.len() + 4);
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Without a way out in the middle, the compiler looks at many bytes at once.
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A string always serialises, and a vector takes every byte.
        let _ = serde_json::to_writer(out, text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Object;

    #[test]
    fn what_is_written_is_what_a_parser_reads() {
        let every: String = (0..0x180).filter_map(char::from_u32).collect();
        let texts =
            [String::new(), "plain".into(), "\"".into(), "\\".into(), "\u{1f}\u{7f}".into()];
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        object.text("every", &every);
        object.texts("texts", &texts);
        object.texts("none", &[]);
        object.optional_text("there", Some("x"));
        object.optional_text("missing", None);
        object.number("number", -7);
        object.flag("yes", true);
        object.flag("no", false);
        object.end();
        let read: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            read,
            json!({
                "every": every, "texts": texts, "none": [], "there": "x", "missing": null,
                "number": -7, "yes": true, "no": false
            })
        );
    }
}

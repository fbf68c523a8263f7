//! An answer's body as `serde_json` reads it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// The verdict in `body`, if that is one object with exactly one boolean `allowed`.
#[must_use]
pub fn verdict(body: &[u8]) -> Option<bool> {
    match serde_json::from_slice(body) {
        Ok(Value::Object { allowed }) => match allowed[..] {
            [Value::Boolean(allowed)] => Some(allowed),
            _ => None,
        },
        _ => None,
    }
}

/// A JSON value, reduced to what makes a verdict. Unlike `serde_json::Value` it notices duplicate
/// keys.
enum Value {
    Boolean(bool),
    Object { allowed: Vec<Value> },
    Other,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(Value::Boolean(boolean))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<Value>()?.is_some() {}
        Ok(Value::Other)
    }

    // Numbers that fit none of the above come here as maps with one key (`arbitrary_precision`).
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut allowed = Vec::new();
        while let Some((key, value)) = members.next_entry::<String, Value>()? {
            if key == "allowed" {
                allowed.push(value);
            }
        }
        Ok(Value::Object { allowed })
    }
}

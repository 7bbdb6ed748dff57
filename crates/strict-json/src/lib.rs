#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

use std::fmt;

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value, map::Entry};

/// Reads one JSON document. Refuses duplicate names at any depth, and text after the document.
///
/// # Errors
/// As `serde_json`, with line and column. Nesting is limited to 128 levels.
pub fn from_slice(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    read(serde_json::Deserializer::from_slice(bytes), Duplicates::Refused)
}

/// Reads one JSON document as [`from_slice`] does, from a text that is Unicode already.
///
/// # Errors
/// As [`from_slice`].
pub fn from_str(text: &str) -> Result<Value, serde_json::Error> {
    read(serde_json::Deserializer::from_str(text), Duplicates::Refused)
}

/// Reads one JSON document. An object with a duplicate name is read as `null`, so that the rest of the document can be
/// used.
///
/// # Errors
/// As `serde_json`, with line and column. Nesting is limited to 128 levels.
pub fn from_slice_with_gaps(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    read(serde_json::Deserializer::from_slice(bytes), Duplicates::Null)
}

fn read<'de>(
    mut reader: serde_json::Deserializer<impl serde_json::de::Read<'de>>,
    duplicates: Duplicates,
) -> Result<Value, serde_json::Error> {
    let value = StrictSeed(duplicates).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads one JSON document as [`from_slice`] does, but accepts texts that escape half of a UTF-16 surrogate pair
/// (RFC 8259 §8.2). Such a text is no Unicode: it becomes null, and its member is left out if it is a name.
///
/// # Errors
/// As [`from_slice`].
pub fn from_slice_of_any_utf16(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    match without_lone_surrogates(bytes) {
        None => from_slice(bytes),
        Some(replaced) => from_slice(&replaced).map(without_replaced),
    }
}

/// Stands for half of a surrogate pair while a document is read. Documents seldom hold it otherwise; where one that has
/// half a pair does, those texts become null too.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Returns the document with each escape of half a surrogate pair replaced. `None` if there is none.
fn without_lone_surrogates(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.contains(&b'\\') {
        return None;
    }
    let mut replaced = Vec::new();
    let (mut rest, mut found) = (bytes, false);
    while let Some((&byte, after)) = rest.split_first() {
        let escape_bytes = match (byte, surrogate(rest)) {
            (_, Some(Surrogate::High)) if surrogate(rest.get(6..)?) == Some(Surrogate::Low) => 12,
            (_, Some(_)) => {
                replaced.extend_from_slice(b"\\ufffd");
                (rest, found) = (rest.get(6..)?, true);
                continue;
            }
            (b'\\', None) if !after.is_empty() => 2,
            _ => 1,
        };
        let (taken, left) = rest.split_at_checked(escape_bytes)?;
        replaced.extend_from_slice(taken);
        rest = left;
    }
    found.then_some(replaced)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surrogate {
    High,
    Low,
}

/// Returns which half of a surrogate pair the text begins with, as an escape.
fn surrogate(text: &[u8]) -> Option<Surrogate> {
    let digits = std::str::from_utf8(text.strip_prefix(b"\\u")?.get(..4)?).ok()?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Surrogate::High),
        0xDC00..=0xDFFF => Some(Surrogate::Low),
        _ => None,
    }
}

/// Replaces each text that holds the replacement by null, and leaves out each member with such a name.
fn without_replaced(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(REPLACEMENT) => Value::Null,
        Value::Array(items) => Value::Array(items.into_iter().map(without_replaced).collect()),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !name.contains(REPLACEMENT));
            Value::Object(kept.map(|(name, value)| (name, without_replaced(value))).collect())
        }
        other => other,
    }
}

/// A JSON value without duplicate names, for deserializers other than `serde_json`. That deserializer must
/// limit the nesting.
#[derive(Debug)]
pub struct Document(pub Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: de::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        StrictSeed(Duplicates::Refused).deserialize(reader).map(Self)
    }
}

/// What an object with a duplicate name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    /// An error.
    Refused,
    /// The value `null`.
    Null,
}

#[derive(Clone, Copy)]
struct StrictSeed(Duplicates);

impl<'de> DeserializeSeed<'de> for StrictSeed {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without duplicate names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut has_duplicate = false;
        while let Some(name) = entries.next_key::<String>()? {
            match map.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(entries.next_value_seed(self)?);
                }
                Entry::Occupied(entry) if self.0 == Duplicates::Refused => {
                    return Err(de::Error::custom(format!("the name {:?} is given twice", entry.key())));
                }
                Entry::Occupied(_) => {
                    has_duplicate = true;
                    entries.next_value_seed(self)?;
                }
            }
        }
        Ok(if has_duplicate { Value::Null } else { Value::Object(map) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_duplicates_reads_as_serde_json_reads_it() {
        let text = br#"{"a":[1,-2,2.5,"x",null,true],"b":{"a":{}}}"#;
        let expected = serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(from_slice(text).unwrap(), expected);
        assert_eq!(from_str(str::from_utf8(text).unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_name_given_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            for error in [from_slice(text.as_bytes()).unwrap_err(), from_str(text).unwrap_err()] {
                assert!(error.to_string().contains("given twice"), "{error}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_unicode_is_null_and_harms_no_other() {
        let text = br#"{"a":"x\ud800","b":"\ud83d\ude00","c":["\udc00","\\ud800"],"\ud800":1,"d":"ok"}"#;
        assert!(from_slice(text).is_err());
        let expected = serde_json::json!({"a": null, "b": "\u{1f600}", "c": [null, "\\ud800"], "d": "ok"});
        assert_eq!(from_slice_of_any_utf16(text).unwrap(), expected);
    }

    #[test]
    fn two_texts_that_are_no_unicode_are_never_taken_for_another() {
        let text = br#"{"a":"\ud800","b":"\ufffd","\ud800":1,"\udfff":2}"#;
        let read = from_slice_of_any_utf16(text);
        // The names become equal, which is refused like any duplicate.
        assert!(read.is_err());
        assert!(from_slice_of_any_utf16(br#"{"a":"\ud8"#).is_err());
    }

    #[test]
    fn an_object_with_a_name_given_twice_may_be_left_out_of_the_rest() {
        let read = from_slice_with_gaps(br#"{"keys":[{"a":1,"a":2},{"b":1}]}"#).unwrap();
        assert_eq!(read, serde_json::json!({"keys": [null, {"b": 1}]}));
        assert_eq!(from_slice_with_gaps(br#"{"a":1,"a":1}"#).unwrap(), Value::Null);
        assert!(from_slice_with_gaps(b"{} {}").is_err());
    }

    #[test]
    fn text_after_the_document_is_refused() {
        assert!(from_slice(b"{} {}").is_err());
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        assert!(from_slice("[".repeat(100_000).as_bytes()).is_err());
    }
}

//! Encodings: how a claim's value is written into a key. A value is used as a whole or refused; nothing of it is
//! ever left out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::escape::{self, MAX_PLAIN_BYTES, is_plain_between};
use crate::advice::Advice;
use diagnostics::nearest;

/// How a value is written into a key.
///
/// Every encoding is injective. What two encodings write differs, whatever the values, except that a plain value is
/// written alike without a filter and by `escape`: the output of every other filter begins with `_`, as no bare
/// value and no escaped one does, and with a tag of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// The value itself, from an alphabet without special characters.
    Bare,
    /// The value with escapes for what is not plain, or its hash.
    Escape,
    /// `_b64_` and base64url without padding (RFC 4648 §5).
    Base64Url,
    /// `_hex_` and lower-case hexadecimal.
    Hex,
    /// `_sha256_` and the hash in lower-case hexadecimal.
    Sha256,
    /// A JSON integer in decimal.
    Integer,
}

/// The maximum length of a value for `base64url` and `hex`. COS keys have at most 850 bytes (docs 436/13324).
pub(crate) const MAX_ENCODED_BYTES: usize = 256;

pub(super) const FILTERS: [(&str, Encoding); 5] = [
    ("escape", Encoding::Escape),
    ("base64url", Encoding::Base64Url),
    ("hex", Encoding::Hex),
    ("sha256", Encoding::Sha256),
    ("integer", Encoding::Integer),
];

/// Why a value cannot be written into a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("is missing")]
    Missing,
    #[error("is not a JSON integer of zero or more")]
    NotAnInteger,
    #[error("is {0}, not a JSON string")]
    NotAString(&'static str),
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_PLAIN_BYTES} bytes")]
    TooLongBare,
    #[error(
        "is longer than {MAX_ENCODED_BYTES} bytes; a template can take such values with the filter `sha256`"
    )]
    TooLong,
    #[error("holds {}, which is not one of A-Z a-z 0-9 . _ -", visible(*.0))]
    Character(char),
    #[error("does not begin with a letter or digit")]
    Beginning,
    #[error("ends with `.`")]
    End,
    #[error("holds `..`")]
    Dots,
}

impl Encoding {
    /// Parses the name of a filter.
    pub(super) fn of_filter(filter: &str) -> Result<Self, Advice> {
        if let Some((_, encoding)) = FILTERS.iter().find(|(name, _)| *name == filter) {
            return Ok(*encoding);
        }
        let names = FILTERS.map(|(name, _)| name);
        let help = match nearest(filter, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names.join(", ")),
        };
        Err(Advice::new(format!("unknown filter `{filter}`"), help))
    }

    /// Returns the name of the filter. `None` if a value is written without one.
    pub(super) fn filter(self) -> Option<&'static str> {
        FILTERS.iter().find(|(_, encoding)| *encoding == self).map(|(name, _)| *name)
    }

    /// Writes a claim's value.
    pub(super) fn write(self, value: &Value) -> Result<String, Unwritable> {
        match (self, value) {
            (Self::Integer, Value::Number(number)) if number.is_u64() => Ok(number.to_string()),
            (Self::Integer, _) => Err(Unwritable::NotAnInteger),
            (_, Value::String(text)) => self.write_text(text),
            (_, other) => Err(Unwritable::NotAString(type_name(other))),
        }
    }

    /// Writes a text.
    pub(super) fn write_text(self, text: &str) -> Result<String, Unwritable> {
        match self {
            Self::Integer => Err(Unwritable::NotAnInteger),
            _ if text.is_empty() => Err(Unwritable::Empty),
            Self::Bare => check_bare(text).map(|()| text.to_owned()),
            Self::Escape => Ok(escape::escape(text)),
            Self::Base64Url | Self::Hex if text.len() > MAX_ENCODED_BYTES => Err(Unwritable::TooLong),
            Self::Base64Url => Ok(format!("_b64_{}", URL_SAFE_NO_PAD.encode(text))),
            Self::Hex => Ok(format!("_hex_{}", hex::encode(text))),
            Self::Sha256 => Ok(format!("_sha256_{}", hex::encode(Sha256::digest(text)))),
        }
    }

    /// Whether it takes a text.
    pub(crate) fn takes(self, text: &str) -> bool {
        self.write_text(text).is_ok()
    }

    /// Whether it writes plain values as they are.
    pub(crate) fn keeps_plain_values(self) -> bool {
        matches!(self, Self::Bare | Self::Escape)
    }

    /// Whether equal outputs of the two encodings come from equal values.
    pub(crate) fn agrees_with(self, other: Self) -> bool {
        self == other || self.keeps_plain_values() && other.keeps_plain_values()
    }

    /// Returns what every output begins with.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Bare | Self::Escape | Self::Integer => "",
            Self::Base64Url => "_b64_",
            Self::Hex => "_hex_",
            Self::Sha256 => "_sha256_",
        }
    }

    /// Whether some value renders to `text` under this encoding.
    pub(crate) fn can_yield(self, text: &str) -> bool {
        match self {
            Self::Bare => check_bare(text).is_ok(),
            Self::Escape => escape::is_output(text),
            Self::Base64Url => text
                .strip_prefix("_b64_")
                .is_some_and(|rest| !rest.is_empty() && URL_SAFE_NO_PAD.decode(rest).is_ok()),
            Self::Hex => text.strip_prefix("_hex_").is_some_and(|rest| {
                !rest.is_empty() && rest == rest.to_ascii_lowercase() && hex::decode(rest).is_ok()
            }),
            Self::Sha256 => text.strip_prefix("_sha256_").is_some_and(|rest| rest.len() == 64),
            Self::Integer => text.parse::<u64>().is_ok_and(|number| number.to_string() == text),
        }
    }

    /// Returns a claim's value that renders to `text`, if the encoding can be reversed.
    pub(crate) fn decode(self, text: &str) -> Option<Value> {
        if !self.can_yield(text) {
            return None;
        }
        let decoded = match self {
            Self::Bare => return Some(Value::from(text)),
            Self::Escape => return escape::unescape(text).map(Value::from),
            Self::Integer => return text.parse::<u64>().ok().map(Value::from),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text.strip_prefix("_b64_")?).ok()?,
            Self::Hex => hex::decode(text.strip_prefix("_hex_")?).ok()?,
            Self::Sha256 => return None,
        };
        String::from_utf8(decoded).ok().map(Value::from)
    }

    /// Returns the maximum length of an output, in bytes.
    pub(crate) fn max_len(self) -> usize {
        match self {
            Self::Bare | Self::Escape => MAX_PLAIN_BYTES,
            Self::Base64Url => self.tag().len() + MAX_ENCODED_BYTES.div_ceil(3) * 4,
            Self::Hex => self.tag().len() + MAX_ENCODED_BYTES * 2,
            Self::Sha256 => self.tag().len() + 64,
            Self::Integer => 20,
        }
    }

    /// Returns a text as long as the longest output. Where a template URL-encodes values, none grows more.
    pub(crate) fn longest(self) -> String {
        let unit = if self == Self::Escape { "!00" } else { "v" };
        unit.chars().cycle().take(self.max_len()).collect()
    }
}

fn check_bare(text: &str) -> Result<(), Unwritable> {
    if text.is_empty() {
        return Err(Unwritable::Empty);
    }
    if text.len() > MAX_PLAIN_BYTES {
        return Err(Unwritable::TooLongBare);
    }
    if let Some(other) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
        return Err(Unwritable::Character(other));
    }
    // What `escape` would escape is refused here, and nothing else: each value that is written bare is written
    // alike by `escape`.
    let mut previous = None;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        if !is_plain_between(previous, byte, next) {
            return Err(match (previous, next) {
                (None, _) => Unwritable::Beginning,
                (Some(b'.'), _) => Unwritable::Dots,
                (Some(_), _) => Unwritable::End,
            });
        }
        previous = Some(byte);
    }
    Ok(())
}

fn visible(c: char) -> String {
    if c.is_ascii_graphic() { format!("`{c}`") } else { format!("U+{:04X}", u32::from(c)) }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_alphabet_is_exactly_the_documented_one() {
        let is_letter_or_digit = |c: char| c.is_ascii_alphanumeric();
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            assert_eq!(check_bare(&c.to_string()).is_ok(), is_letter_or_digit(c), "{c:?} alone");
            let inside = is_letter_or_digit(c) || "._-".contains(c);
            assert_eq!(check_bare(&format!("a{c}b")).is_ok(), inside, "{c:?} inside");
            assert_eq!(check_bare(&format!("{c}b")).is_ok(), is_letter_or_digit(c), "{c:?} at the beginning");
            assert_eq!(check_bare(&format!("a{c}")).is_ok(), inside && c != '.', "{c:?} at the end");
        }
        assert!(check_bare("a..b").is_err());
        assert!(check_bare(&"a".repeat(128)).is_ok());
        assert!(check_bare(&"a".repeat(129)).is_err());
    }

    #[test]
    fn a_value_is_written_alike_bare_and_by_escape_or_not_bare_at_all() {
        let pieces = ["", "a", "B", "0", ".", "-", "_", "..", "!", "|"];
        for a in pieces {
            for b in pieces {
                for c in pieces.iter().filter(|c| !(a.is_empty() && b.is_empty() && c.is_empty())) {
                    let text = format!("{a}{b}{c}");
                    let escaped = Encoding::Escape.write_text(&text).unwrap();
                    match Encoding::Bare.write_text(&text) {
                        Ok(bare) => assert_eq!(bare, escaped),
                        Err(_) => assert!(escaped.contains('!'), "{text}: {escaped}"),
                    }
                }
            }
        }
    }

    #[test]
    fn no_output_of_one_encoding_is_one_of_another_except_a_plain_value() {
        let all = [Encoding::Bare, Encoding::Escape, Encoding::Base64Url, Encoding::Hex, Encoding::Sha256];
        for value in ["alice", "auth0|12", "_b64_YQ", "_hex_61", &"ü".repeat(100)] {
            for encoding in all {
                let Ok(text) = encoding.write_text(value) else { continue };
                for other in all {
                    let is_plain = encoding.keeps_plain_values() && other.keeps_plain_values();
                    let expected = encoding == other || is_plain && !text.contains('!');
                    assert_eq!(other.can_yield(&text), expected, "{text} {encoding:?} {other:?}");
                }
                assert!(text.len() <= encoding.max_len());
            }
        }
    }

    #[test]
    fn an_encoding_yields_its_canonical_form_only() {
        for (encoding, text, expected) in [
            (Encoding::Hex, "_hex_4a".to_owned(), true),
            (Encoding::Hex, "_hex_4A".to_owned(), false),
            (Encoding::Hex, "_hex_".to_owned(), false),
            (Encoding::Base64Url, "_b64_".to_owned(), false),
            (Encoding::Sha256, format!("_sha256_{}", "a".repeat(64)), true),
            (Encoding::Sha256, format!("_sha256_{}", "a".repeat(32)), false),
            (Encoding::Integer, "7".to_owned(), true),
            (Encoding::Integer, "07".to_owned(), false),
            (Encoding::Integer, "+7".to_owned(), false),
            (Encoding::Integer, "-7".to_owned(), false),
        ] {
            assert_eq!(encoding.can_yield(&text), expected, "{text}");
        }
    }

    #[test]
    fn every_output_is_decoded_to_its_value() {
        for value in ["alice", "auth0|12", "用户", "_hex_61"] {
            for encoding in [Encoding::Bare, Encoding::Escape, Encoding::Base64Url, Encoding::Hex] {
                if let Ok(text) = encoding.write_text(value) {
                    assert_eq!(encoding.decode(&text), Some(Value::from(value)), "{encoding:?}");
                }
            }
        }
    }
}

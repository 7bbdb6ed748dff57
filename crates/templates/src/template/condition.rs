//! Conditions of a template: known keys, and values of the type that the operator compares.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::Number;

use super::{Operand, TemplateString};
use crate::advice::Advice;
use cam::{Comparison, Operator};
use diagnostics::nearest;

/// The condition keys of COS (docs 436/46205). Another key is accepted unless it looks like a misspelling.
const KEYS: [&str; 21] = [
    "cos:content-type",
    "cos:content-length",
    "cos:x-cos-storage-class",
    "cos:x-cos-acl",
    "cos:x-cos-grant-read",
    "cos:x-cos-grant-read-acp",
    "cos:x-cos-grant-write-acp",
    "cos:x-cos-grant-full-control",
    "cos:x-cos-forbid-overwrite",
    "cos:prefix",
    "cos:delimiter",
    "cos:versionid",
    "cos:response-content-type",
    "cos:secure-transport",
    "cos:tls-version",
    "qcs:ip",
    "qcs:vpc",
    "vpc:requester_vpc",
    "qcs:current_time",
    "qcs:request_tag",
    "tls-version",
];

/// Checks that a template may name a key.
pub(crate) fn check_key(key: &str) -> Result<(), Advice> {
    if KEYS.contains(&key) || key.starts_with("qcs:request_tag/") {
        return Ok(());
    }
    let is_plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_:/".contains(&b));
    match nearest(key, KEYS) {
        Some(near) => {
            Err(Advice::new(format!("unknown condition key `{key}`"), format!("did you mean `{near}`?")))
        }
        None if is_plain && (key.starts_with("cos:") || key.starts_with("qcs:")) => Ok(()),
        None => Err(Advice::new(
            format!("`{key}` is not a condition key"),
            format!("known: {}; all lower case", KEYS.join(", ")),
        )),
    }
}

/// Reads the values of a key. Each must have the type that the operator compares.
pub(crate) fn operands(
    operator: Operator,
    value: &toml::Value,
    home: &TemplateString,
) -> Result<Vec<Operand>, Advice> {
    let kind = ValueKind::of(operator.comparison);
    let values = match value {
        toml::Value::Array(list) if list.is_empty() => {
            return Err(Advice::new("a condition without a value", "give one"));
        }
        toml::Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    values
        .iter()
        .map(|value| match kind.read(value, home)? {
            Some(operand) => Ok(operand),
            None => Err(Advice::new(
                format!("{operator} compares {}, and {value} is none", kind.plural()),
                format!("write it like {}", kind.example()),
            )),
        })
        .collect()
}

/// The type of values that a comparison compares.
#[derive(Debug, Clone, Copy)]
enum ValueKind {
    Number,
    Boolean,
    Address,
    Time,
    Text,
}

impl ValueKind {
    fn of(comparison: Comparison) -> Self {
        use Comparison as C;
        match comparison {
            C::NumericEqual
            | C::NumericNotEqual
            | C::NumericLessThan
            | C::NumericLessThanEqual
            | C::NumericGreaterThan
            | C::NumericGreaterThanEqual => Self::Number,
            C::BoolEqual | C::NullEqual => Self::Boolean,
            C::IpEqual | C::IpNotEqual => Self::Address,
            C::DateEqual
            | C::DateNotEqual
            | C::DateLessThan
            | C::DateLessThanEqual
            | C::DateGreaterThan
            | C::DateGreaterThanEqual => Self::Time,
            C::StringEqual
            | C::StringNotEqual
            | C::StringEqualIgnoreCase
            | C::StringNotEqualIgnoreCase
            | C::StringLike
            | C::StringNotLike => Self::Text,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Number => "numbers",
            Self::Boolean => "booleans",
            Self::Address => "addresses",
            Self::Time => "times",
            Self::Text => "strings",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Number => "10485760",
            Self::Boolean => "true",
            Self::Address => "\"10.0.0.0/8\"",
            Self::Time => "\"2030-01-01T00:00:00Z\"",
            Self::Text => "\"image/*\"",
        }
    }

    /// Reads one value. `None` if it has another type.
    fn read(self, value: &toml::Value, home: &TemplateString) -> Result<Option<Operand>, Advice> {
        Ok(match (self, value) {
            (Self::Number, toml::Value::Integer(number)) => Some(Operand::Number((*number).into())),
            // Such as 1.2, a version of TLS.
            (Self::Number, toml::Value::Float(number)) => Number::from_f64(*number).map(Operand::Number),
            (Self::Boolean, toml::Value::Boolean(flag)) => Some(literal(&flag.to_string())),
            (Self::Text, toml::Value::String(text)) => Some(pattern(text, home)?),
            (_, toml::Value::String(text)) if self.is_literal(text) => Some(literal(text)),
            _ => None,
        })
    }

    fn is_literal(self, text: &str) -> bool {
        match self {
            Self::Number | Self::Text => false,
            Self::Boolean => matches!(text, "true" | "false"),
            Self::Address => text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok(),
            Self::Time => text.parse::<Timestamp>().is_ok(),
        }
    }
}

fn pattern(text: &str, home: &TemplateString) -> Result<Operand, Advice> {
    if text.contains('?') {
        return Err(Advice::new(
            format!("the value `{text}` holds `?`"),
            "leave it out: it may be read as a wildcard",
        ));
    }
    TemplateString::parse(text, Some(home)).map(Operand::Text)
}

/// Makes an operand of a value that has no variable, as none of `$`, `{` and `}` can be in it.
fn literal(text: &str) -> Operand {
    Operand::Text(TemplateString::parse(text, None).unwrap_or_default())
}

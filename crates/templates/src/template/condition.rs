//! Conditions of a template: known keys, and values of the kind that the operator compares.

use super::Operand;
use crate::text::Text;
use cam::{Comparison, Operator};
use diagnostics::nearest;

/// Condition keys COS knows (docs 436/46205); an unlisted one passes unless it looks like a slip.
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

/// Whether a template may name a key.
///
/// # Errors
/// What is wrong, and the mend.
pub(crate) fn check_key(key: &str) -> Result<(), (String, String)> {
    if KEYS.contains(&key) || key.starts_with("qcs:request_tag/") {
        return Ok(());
    }
    let plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_:/".contains(&b));
    match nearest(key, KEYS) {
        Some(near) => Err((format!("unknown condition key `{key}`"), format!("did you mean `{near}`?"))),
        None if plain && (key.starts_with("cos:") || key.starts_with("qcs:")) => Ok(()),
        None => Err((
            format!("`{key}` is not a condition key"),
            format!("known: {}; all lower case", KEYS.join(", ")),
        )),
    }
}

/// The values of one key, checked against what the operator compares.
///
/// # Errors
/// What is wrong, and the mend.
pub(crate) fn operands(
    operator: Operator,
    value: &toml::Value,
    home: &Text,
) -> Result<Vec<Operand>, (String, String)> {
    use Comparison as C;
    let list = match value {
        toml::Value::Array(list) if !list.is_empty() => list.as_slice(),
        toml::Value::Array(_) => {
            return Err(("a condition without a value".to_owned(), "give one".to_owned()));
        }
        one => std::slice::from_ref(one),
    };
    let wrong = |kind: &str, like: &str| {
        (format!("{operator} compares {kind}, and {value} is none"), format!("write it like {like}"))
    };
    list.iter()
        .map(|value| match (operator.comparison, value) {
            (
                C::NumericEqual
                | C::NumericNotEqual
                | C::NumericLessThan
                | C::NumericLessThanEqual
                | C::NumericGreaterThan
                | C::NumericGreaterThanEqual,
                value,
            ) => match value {
                toml::Value::Integer(number) => Ok(Operand::Number((*number).into())),
                // Such as 1.2, a version of TLS.
                toml::Value::Float(number) => serde_json::Number::from_f64(*number)
                    .map(Operand::Number)
                    .ok_or_else(|| wrong("numbers", "10485760")),
                _ => Err(wrong("numbers", "10485760")),
            },
            (C::BoolEqual, value) => match value {
                toml::Value::Boolean(flag) => Ok(literal(&flag.to_string())),
                toml::Value::String(text) if text == "true" || text == "false" => Ok(literal(text)),
                _ => Err(wrong("booleans", "true")),
            },
            (C::IpEqual | C::IpNotEqual, value) => match value {
                toml::Value::String(text)
                    if text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok() =>
                {
                    Ok(literal(text))
                }
                _ => Err(wrong("addresses", "\"10.0.0.0/8\"")),
            },
            (
                C::DateEqual
                | C::DateNotEqual
                | C::DateLessThan
                | C::DateLessThanEqual
                | C::DateGreaterThan
                | C::DateGreaterThanEqual,
                value,
            ) => match value {
                toml::Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => Ok(literal(text)),
                _ => Err(wrong("times", "\"2030-01-01T00:00:00Z\"")),
            },
            (
                C::StringEqual
                | C::StringNotEqual
                | C::StringEqualIgnoreCase
                | C::StringNotEqualIgnoreCase
                | C::StringLike
                | C::StringNotLike,
                toml::Value::String(text),
            ) => {
                if text.contains('?') {
                    return Err((
                        format!("the value `{text}` holds `?`"),
                        "leave it out: it may be read as a wildcard".to_owned(),
                    ));
                }
                Text::parse(text, Some(home)).map(Operand::Text)
            }
            _ => Err(wrong("strings", "\"image/*\"")),
        })
        .collect()
}

fn literal(text: &str) -> Operand {
    Operand::Text(Text::parse(text, None).unwrap_or_default())
}

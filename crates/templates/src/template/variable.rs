//! Variables of a template, and how a claim's value becomes part of a key. A value is used as a whole or
//! refused; it is never stripped or escaped.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{advice::Advice, identity::Identity};
use diagnostics::nearest;

/// The claim that a variable reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClaimRef {
    /// `${sub}`: the token's subject.
    Sub,
    /// `${iss}`: the issuer.
    Iss,
    /// `${claim.a.b}`: a claim, by its path through nested objects.
    Path(Vec<String>),
}

/// How a value is written into a key.
///
/// Every encoding is injective. The output of a filter begins with a tag that no bare value and no other filter
/// can begin with, as a bare value never begins with `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// The value itself, from an alphabet without special characters.
    Bare,
    /// `_b64_` and base64url without padding (RFC 4648 §5).
    Base64Url,
    /// `_hex_` and lower-case hexadecimal.
    Hex,
    /// `_sha256_` and the hash in lower-case hexadecimal.
    Sha256,
    /// A JSON integer in decimal.
    Integer,
}

/// A variable, `${claim|filter}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) claim: ClaimRef,
    pub(crate) encoding: Encoding,
}

/// An identity has no usable value for a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token's `{claim}` {why}")]
pub struct Unrenderable {
    /// The claim, as a template writes it.
    pub claim: String,
    /// What is wrong with its value.
    pub why: String,
}

/// The maximum length of a value that is written bare.
pub(crate) const MAX_BARE_BYTES: usize = 128;
/// The maximum length of a value for `base64url` and `hex`. COS keys have at most 850 bytes (docs 436/13324).
pub(crate) const MAX_ENCODED_BYTES: usize = 256;

const FILTERS: [(&str, Encoding); 4] = [
    ("base64url", Encoding::Base64Url),
    ("hex", Encoding::Hex),
    ("sha256", Encoding::Sha256),
    ("integer", Encoding::Integer),
];

impl fmt::Display for ClaimRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sub => f.write_str("sub"),
            Self::Iss => f.write_str("iss"),
            Self::Path(path) => write!(f, "claim.{}", path.join(".")),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match FILTERS.iter().find(|(_, encoding)| *encoding == self.encoding) {
            Some((filter, _)) => write!(f, "${{{}|{filter}}}", self.claim),
            None => write!(f, "${{{}}}", self.claim),
        }
    }
}

impl ClaimRef {
    /// Parses `sub`, `iss` or `claim.<path>`.
    pub(crate) fn parse(text: &str) -> Result<Self, Advice> {
        match text.split_once('.') {
            None if text == "sub" => Ok(Self::Sub),
            None if text == "iss" => Ok(Self::Iss),
            Some(("claim", path)) if path.split('.').all(is_claim_name) => {
                Ok(Self::Path(path.split('.').map(str::to_owned).collect()))
            }
            Some(("claim", path)) => Err(Advice::new(
                format!("`claim.{path}` is not the path of a claim"),
                "write ${claim.name} or ${claim.outer.inner}, names of letters, digits, `_` and `-`",
            )),
            _ => Err(Advice::new(
                format!("unknown variable `{text}`"),
                match nearest(text, ["sub", "iss", "home"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: sub, iss, home, claim.<path>; perhaps `claim.{text}`?"),
                },
            )),
        }
    }

    fn value<'a>(&self, identity: &'a Identity) -> Option<Cow<'a, Value>> {
        match self {
            Self::Sub => Some(Cow::Owned(Value::from(identity.subject()))),
            Self::Iss => Some(Cow::Owned(Value::from(identity.issuer()))),
            Self::Path(path) => identity.claim(path).map(Cow::Borrowed),
        }
    }
}

fn is_claim_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn parse_filter(filter: &str) -> Result<Encoding, Advice> {
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

impl Variable {
    /// Parses the text between `${` and `}`.
    pub(crate) fn parse(text: &str) -> Result<Self, Advice> {
        let (claim, encoding) = match text.split_once('|') {
            None => (text, Encoding::Bare),
            Some((claim, filter)) => (claim, parse_filter(filter)?),
        };
        let claim = ClaimRef::parse(claim)?;
        if encoding == Encoding::Integer && !matches!(claim, ClaimRef::Path(_)) {
            return Err(Advice::new(
                format!("`{claim}` is always a string, so `integer` does not fit it"),
                "drop the filter",
            ));
        }
        Ok(Self { claim, encoding })
    }

    /// Renders this variable for an identity.
    ///
    /// # Errors
    /// When the claim is missing, has another type, or cannot be written under the encoding.
    pub(crate) fn render(&self, identity: &Identity) -> Result<String, Unrenderable> {
        self.render_value(self.claim.value(identity).as_deref())
            .map_err(|why| Unrenderable { claim: self.claim.to_string(), why: why.to_string() })
    }

    fn render_value(&self, value: Option<&Value>) -> Result<String, Unwritable> {
        let text = match (self.encoding, value) {
            (_, None) => return Err(Unwritable::Missing),
            (Encoding::Integer, Some(Value::Number(number))) if number.is_u64() => {
                return Ok(number.to_string());
            }
            (Encoding::Integer, Some(_)) => return Err(Unwritable::NotAnInteger),
            (_, Some(Value::String(text))) => text,
            (_, Some(other)) => return Err(Unwritable::NotAString(type_name(other))),
        };
        match self.encoding {
            Encoding::Bare => check_bare(text)
                .map(|()| text.clone())
                .map_err(|fault| Unwritable::NotBare { fault: Box::new(fault), claim: self.claim.clone() }),
            _ if text.is_empty() => Err(Unwritable::Empty),
            Encoding::Base64Url | Encoding::Hex if text.len() > MAX_ENCODED_BYTES => Err(Unwritable::TooLong),
            Encoding::Base64Url => Ok(format!("_b64_{}", URL_SAFE_NO_PAD.encode(text))),
            Encoding::Hex => Ok(format!("_hex_{}", hex::encode(text))),
            Encoding::Sha256 | Encoding::Integer => {
                Ok(format!("_sha256_{}", hex::encode(Sha256::digest(text))))
            }
        }
    }
}

/// Why a value cannot be written into a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unwritable {
    #[error("is missing")]
    Missing,
    #[error("is not a JSON integer of zero or more")]
    NotAnInteger,
    #[error("is {0}, not a JSON string")]
    NotAString(&'static str),
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_BARE_BYTES} bytes")]
    TooLongBare,
    #[error(
        "is longer than {MAX_ENCODED_BYTES} bytes; a template can take such values with the filter `sha256`"
    )]
    TooLong,
    #[error("holds {}, which is not one of A-Z a-z 0-9 . _ -", visible(*.0))]
    Character(char),
    #[error("does not begin and end with a letter or digit")]
    Ends,
    #[error("holds `..`")]
    Dots,
    #[error("{fault}; a template can take such values with a filter, as in `${{{claim}|base64url}}`")]
    NotBare { fault: Box<Self>, claim: ClaimRef },
}

impl Encoding {
    /// Returns what every output begins with.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Bare | Self::Integer => "",
            Self::Base64Url => "_b64_",
            Self::Hex => "_hex_",
            Self::Sha256 => "_sha256_",
        }
    }

    /// Whether some value renders to `text` under this encoding.
    pub(crate) fn can_yield(self, text: &str) -> bool {
        match self {
            Self::Bare => check_bare(text).is_ok(),
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
            Self::Bare => MAX_BARE_BYTES,
            Self::Base64Url => self.tag().len() + MAX_ENCODED_BYTES.div_ceil(3) * 4,
            Self::Hex => self.tag().len() + MAX_ENCODED_BYTES * 2,
            Self::Sha256 => self.tag().len() + 64,
            Self::Integer => 20,
        }
    }
}

fn check_bare(text: &str) -> Result<(), Unwritable> {
    let (first, last) = (text.bytes().next(), text.bytes().next_back());
    let (Some(first), Some(last)) = (first, last) else {
        return Err(Unwritable::Empty);
    };
    if text.len() > MAX_BARE_BYTES {
        return Err(Unwritable::TooLongBare);
    }
    if let Some(other) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
        return Err(Unwritable::Character(other));
    }
    if !first.is_ascii_alphanumeric() || !last.is_ascii_alphanumeric() {
        return Err(Unwritable::Ends);
    }
    if text.contains("..") { Err(Unwritable::Dots) } else { Ok(()) }
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
        let allowed = |c: char| c.is_ascii_alphanumeric();
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            assert_eq!(check_bare(&c.to_string()).is_ok(), allowed(c), "{c:?} alone");
            let inside = allowed(c) || "._-".contains(c);
            assert_eq!(check_bare(&format!("a{c}b")).is_ok(), inside, "{c:?} inside");
            assert_eq!(check_bare(&format!("a{c}")).is_ok(), allowed(c), "{c:?} at the end");
        }
        assert!(check_bare("a..b").is_err());
        assert!(check_bare(&"a".repeat(128)).is_ok());
        assert!(check_bare(&"a".repeat(129)).is_err());
    }

    #[test]
    fn no_output_of_one_encoding_is_an_output_of_another() {
        let identity = Identity::for_tests("https://id.example/", "alice", &[]);
        for filter in ["", "|base64url", "|hex", "|sha256"] {
            let variable = Variable::parse(&format!("sub{filter}")).unwrap();
            let text = variable.render(&identity).unwrap();
            for encoding in [Encoding::Bare, Encoding::Base64Url, Encoding::Hex, Encoding::Sha256] {
                assert_eq!(encoding.can_yield(&text), encoding == variable.encoding, "{text} {encoding:?}");
            }
            assert!(text.len() <= variable.encoding.max_len());
        }
    }

    #[test]
    fn a_claim_is_found_by_its_path_and_must_be_a_string() {
        let identity = Identity::for_tests(
            "i",
            "s",
            &[("org", serde_json::json!({"team": "red", "id": 7, "list": ["x"]}))],
        );
        let render = |text: &str| Variable::parse(text).unwrap().render(&identity).map_err(|e| e.to_string());
        assert_eq!(render("claim.org.team"), Ok("red".to_owned()));
        assert_eq!(render("claim.org.id|integer"), Ok("7".to_owned()));
        assert_eq!(
            render("claim.org.id"),
            Err("the token's `claim.org.id` is a number, not a JSON string".into())
        );
        assert_eq!(
            render("claim.org.list"),
            Err("the token's `claim.org.list` is a list, not a JSON string".into())
        );
        assert_eq!(render("claim.nope"), Err("the token's `claim.nope` is missing".into()));
    }

    #[test]
    fn a_refusal_names_the_filter_that_would_take_the_value() {
        let identity = Identity::for_tests("i", "auth0|123", &[]);
        let error = Variable::parse("sub").unwrap().render(&identity).unwrap_err().to_string();
        assert!(error.contains("`|`") && error.contains("${sub|base64url}"), "{error}");
    }

    #[test]
    fn the_nearest_name_is_suggested_for_a_misspelt_variable_or_filter() {
        assert_eq!(Variable::parse("sbu").unwrap_err().help, "did you mean `sub`?");
        assert_eq!(Variable::parse("sub|base64").unwrap_err().help, "did you mean `base64url`?");
        assert!(Variable::parse("tenant").unwrap_err().help.contains("claim.tenant"));
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
    fn a_value_of_the_maximum_length_is_accepted_and_one_byte_more_is_not() {
        for (filter, max) in [("", 128), ("|base64url", 256), ("|hex", 256)] {
            let variable = Variable::parse(&format!("sub{filter}")).unwrap();
            let render = |length: usize| variable.render(&Identity::for_tests("i", &"a".repeat(length), &[]));
            assert!(render(max).unwrap().len() <= variable.encoding.max_len(), "{filter}");
            assert!(render(max + 1).unwrap_err().to_string().contains("is longer than"), "{filter}");
        }
        let long = Identity::for_tests("i", &"a".repeat(5000), &[]);
        let hash = Variable::parse("sub|sha256").unwrap();
        assert_eq!(hash.render(&long).unwrap().len(), hash.encoding.max_len());
    }

    #[test]
    fn empty_and_negative_claims_are_refused() {
        let identity = Identity::for_tests(
            "i",
            "s",
            &[("empty", "".into()), ("negative", (-7).into()), ("half", 0.5.into())],
        );
        for text in ["claim.empty", "claim.empty|hex", "claim.empty|base64url", "claim.empty|sha256"] {
            let error = Variable::parse(text).unwrap().render(&identity).unwrap_err().to_string();
            assert!(error.contains("is empty"), "{text}: {error}");
        }
        for text in ["claim.negative|integer", "claim.half|integer", "claim.empty|integer"] {
            assert!(Variable::parse(text).unwrap().render(&identity).is_err(), "{text}");
        }
    }
}

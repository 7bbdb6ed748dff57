//! Variables of a template, and how a claim's value becomes part of a key: refused or taken whole,
//! never stripped or escaped.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::identity::Identity;
use diagnostics::nearest;

/// What a variable reads from the identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// `${sub}`: the token's subject.
    Sub,
    /// `${iss}`: the issuer.
    Iss,
    /// `${claim.a.b}`: a claim, by the path to it.
    Claim(Vec<String>),
}

/// How a value is written into a key. Each is injective; each filter's output begins with a tag that no
/// bare value and no other filter can begin with (a bare value never begins with `_`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Encoding {
    /// As it is, from an alphabet with nothing special in it.
    Bare,
    /// `_b64_` and base64url without padding (RFC 4648 §5).
    Base64Url,
    /// `_hex_` and lower-case hexadecimal.
    Hex,
    /// `_sha256_` and the lower-case hexadecimal hash.
    Sha256,
    /// A JSON integer, in decimal.
    Integer,
}

/// `${subject|filter}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// What it reads.
    pub subject: Subject,
    /// How that is written.
    pub encoding: Encoding,
}

/// Why an identity has no value for a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token's `{claim}` {why}")]
pub struct Unrenderable {
    /// The claim, as a template writes it.
    pub claim: String,
    /// What is wrong with its value.
    pub why: String,
}

/// The longest value that is written bare.
pub(super) const LONGEST_BARE: usize = 128;
/// The longest value that base64url or hex takes: COS keys end at 850 bytes (docs 436/13324).
pub(super) const LONGEST_ENCODED: usize = 256;

const FILTERS: [(&str, Encoding); 4] = [
    ("base64url", Encoding::Base64Url),
    ("hex", Encoding::Hex),
    ("sha256", Encoding::Sha256),
    ("integer", Encoding::Integer),
];

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sub => f.write_str("sub"),
            Self::Iss => f.write_str("iss"),
            Self::Claim(path) => write!(f, "claim.{}", path.join(".")),
        }
    }
}

impl std::fmt::Display for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match FILTERS.iter().find(|(_, encoding)| *encoding == self.encoding) {
            Some((filter, _)) => write!(f, "${{{}|{filter}}}", self.subject),
            None => write!(f, "${{{}}}", self.subject),
        }
    }
}

impl Subject {
    /// Reads `sub`, `iss` or `claim.<path>`.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub(super) fn parse(text: &str) -> Result<Self, (String, String)> {
        match text.split_once('.') {
            None if text == "sub" => Ok(Self::Sub),
            None if text == "iss" => Ok(Self::Iss),
            Some(("claim", path)) if path.split('.').all(is_name) => {
                Ok(Self::Claim(path.split('.').map(str::to_owned).collect()))
            }
            Some(("claim", path)) => Err((
                format!("`claim.{path}` is not the path of a claim"),
                "write ${claim.name} or ${claim.outer.inner}, names of letters, digits, `_` and `-`"
                    .to_owned(),
            )),
            _ => Err((
                format!("unknown variable `{text}`"),
                match nearest(text, ["sub", "iss", "home"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: sub, iss, home, claim.<path>; perhaps `claim.{text}`?"),
                },
            )),
        }
    }

    fn value<'a>(&self, identity: &'a Identity) -> Option<std::borrow::Cow<'a, Value>> {
        use std::borrow::Cow;
        match self {
            Self::Sub => Some(Cow::Owned(Value::from(identity.subject()))),
            Self::Iss => Some(Cow::Owned(Value::from(identity.issuer()))),
            Self::Claim(path) => identity.claim(path).map(Cow::Borrowed),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

impl Variable {
    /// Reads what stands between `${` and `}`.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub(super) fn parse(text: &str) -> Result<Self, (String, String)> {
        let (subject, encoding) = match text.split_once('|') {
            None => (text, Encoding::Bare),
            Some((subject, filter)) => {
                let known = FILTERS.iter().find(|(name, _)| *name == filter);
                let (_, encoding) = known.ok_or_else(|| {
                    let help = match nearest(filter, FILTERS.map(|(name, _)| name)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("known: {}", FILTERS.map(|(name, _)| name).join(", ")),
                    };
                    (format!("unknown filter `{filter}`"), help)
                })?;
                (subject, *encoding)
            }
        };
        let subject = Subject::parse(subject)?;
        if encoding == Encoding::Integer && !matches!(subject, Subject::Claim(_)) {
            return Err((
                format!("`{subject}` is always a string, so `integer` does not fit it"),
                "drop the filter".to_owned(),
            ));
        }
        Ok(Self { subject, encoding })
    }

    /// This variable's text for one identity.
    ///
    /// # Errors
    /// When the claim is missing, of another type, or not writable under the encoding.
    pub(super) fn render(&self, identity: &Identity) -> Result<String, Unrenderable> {
        let wrong = |why: String| Unrenderable { claim: self.subject.to_string(), why };
        let value = self.subject.value(identity).ok_or_else(|| wrong("is missing".to_owned()))?;
        let text = match (self.encoding, value.as_ref()) {
            (Encoding::Integer, Value::Number(number)) if number.is_u64() => {
                return Ok(number.to_string());
            }
            (Encoding::Integer, _) => {
                return Err(wrong("is not a JSON integer of zero or more".to_owned()));
            }
            (_, Value::String(text)) => text,
            (_, other) => return Err(wrong(format!("is {}, not a JSON string", kind(other)))),
        };
        match self.encoding {
            Encoding::Bare => match bare_fault(text) {
                None => Ok(text.clone()),
                Some(fault) => Err(wrong(format!(
                    "{fault}; a template can take such values with a filter, as in `${{{}|base64url}}`",
                    self.subject
                ))),
            },
            _ if text.is_empty() => Err(wrong("is empty".to_owned())),
            Encoding::Base64Url | Encoding::Hex if text.len() > LONGEST_ENCODED => Err(wrong(format!(
                "is longer than {LONGEST_ENCODED} bytes; a template can take such values with the filter `sha256`"
            ))),
            Encoding::Base64Url => Ok(format!("_b64_{}", URL_SAFE_NO_PAD.encode(text))),
            Encoding::Hex => Ok(format!("_hex_{}", hex::encode(text))),
            Encoding::Sha256 | Encoding::Integer => {
                Ok(format!("_sha256_{}", hex::encode(Sha256::digest(text))))
            }
        }
    }
}

impl Encoding {
    /// What every output begins with.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Bare | Self::Integer => "",
            Self::Base64Url => "_b64_",
            Self::Hex => "_hex_",
            Self::Sha256 => "_sha256_",
        }
    }

    /// Whether some value renders to `text` under this encoding.
    pub(super) fn can_yield(self, text: &str) -> bool {
        match self {
            Self::Bare => bare_fault(text).is_none(),
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

    /// A claim's value that renders to `text`, where one can be told.
    pub(super) fn value_of(self, text: &str) -> Option<Value> {
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

    /// The longest text this encoding yields, in bytes.
    pub(super) fn longest(self) -> usize {
        match self {
            Self::Bare => LONGEST_BARE,
            Self::Base64Url => self.tag().len() + LONGEST_ENCODED.div_ceil(3) * 4,
            Self::Hex => self.tag().len() + LONGEST_ENCODED * 2,
            Self::Sha256 => self.tag().len() + 64,
            Self::Integer => 20,
        }
    }
}

/// Why a value cannot be written bare, if it cannot.
fn bare_fault(text: &str) -> Option<String> {
    let (first, last) = (text.bytes().next(), text.bytes().next_back());
    let (Some(first), Some(last)) = (first, last) else {
        return Some("is empty".to_owned());
    };
    if text.len() > LONGEST_BARE {
        return Some(format!("is longer than {LONGEST_BARE} bytes"));
    }
    if let Some(other) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c)) {
        return Some(format!("holds {}, which is not one of A-Z a-z 0-9 . _ -", shown(other)));
    }
    if !first.is_ascii_alphanumeric() || !last.is_ascii_alphanumeric() {
        return Some("does not begin and end with a letter or digit".to_owned());
    }
    text.contains("..").then(|| "holds `..`".to_owned())
}

fn shown(c: char) -> String {
    if c.is_ascii_graphic() { format!("`{c}`") } else { format!("U+{:04X}", u32::from(c)) }
}

fn kind(value: &Value) -> &'static str {
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
            assert_eq!(bare_fault(&c.to_string()).is_none(), allowed(c), "{c:?} alone");
            let inside = allowed(c) || "._-".contains(c);
            assert_eq!(bare_fault(&format!("a{c}b")).is_none(), inside, "{c:?} inside");
            assert_eq!(bare_fault(&format!("a{c}")).is_none(), allowed(c), "{c:?} at the end");
        }
        assert!(bare_fault("a..b").is_some());
        assert!(bare_fault(&"a".repeat(128)).is_none());
        assert!(bare_fault(&"a".repeat(129)).is_some());
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
            assert!(text.len() <= variable.encoding.longest());
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
    fn misspelt_variables_and_filters_are_told_the_nearest() {
        assert_eq!(Variable::parse("sbu").unwrap_err().1, "did you mean `sub`?");
        assert_eq!(Variable::parse("sub|base64").unwrap_err().1, "did you mean `base64url`?");
        assert!(Variable::parse("tenant").unwrap_err().1.contains("claim.tenant"));
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
    fn the_longest_value_is_taken_and_one_byte_more_is_not() {
        for (filter, most) in [("", 128), ("|base64url", 256), ("|hex", 256)] {
            let variable = Variable::parse(&format!("sub{filter}")).unwrap();
            let of = |length: usize| variable.render(&Identity::for_tests("i", &"a".repeat(length), &[]));
            assert!(of(most).unwrap().len() <= variable.encoding.longest(), "{filter}");
            assert!(of(most + 1).unwrap_err().to_string().contains("is longer than"), "{filter}");
        }
        let long = Identity::for_tests("i", &"a".repeat(5000), &[]);
        let hash = Variable::parse("sub|sha256").unwrap();
        assert_eq!(hash.render(&long).unwrap().len(), hash.encoding.longest());
    }

    #[test]
    fn empty_and_negative_claims_are_refused() {
        let identity = Identity::for_tests(
            "i",
            "s",
            &[("none", "".into()), ("debt", (-7).into()), ("half", 0.5.into())],
        );
        for text in ["claim.none", "claim.none|hex", "claim.none|base64url", "claim.none|sha256"] {
            let error = Variable::parse(text).unwrap().render(&identity).unwrap_err().to_string();
            assert!(error.contains("is empty"), "{text}: {error}");
        }
        for text in ["claim.debt|integer", "claim.half|integer", "claim.none|integer"] {
            assert!(Variable::parse(text).unwrap().render(&identity).is_err(), "{text}");
        }
    }
}

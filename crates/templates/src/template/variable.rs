//! Variables of a template: which claim each reads, and how its value is written into a key.

use std::fmt;

use serde_json::Value;

use super::encoding::{Encoding, Unwritable};
use crate::{
    advice::Advice,
    claim_path::{self, split_once_unquoted},
    identity::Identity,
};
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

impl fmt::Display for ClaimRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sub => f.write_str("sub"),
            Self::Iss => f.write_str("iss"),
            Self::Path(path) => write!(f, "claim.{}", claim_path::written(path)),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encoding.filter() {
            Some(filter) => write!(f, "${{{}|{filter}}}", self.claim),
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
            Some(("claim", path)) => claim_path::parse(path).map(Self::Path),
            _ => Err(Advice::new(
                format!("unknown variable `{text}`"),
                match nearest(text, ["sub", "iss", "home"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: sub, iss, home, claim.<path>; perhaps `{}`?", claim_named(text)),
                },
            )),
        }
    }

    /// Returns the claim's value as an encoding takes it. The subject is the same user as a text and as an integer, so
    /// `escape`, which takes everything, takes both; elsewhere the template says which it is.
    fn value(&self, identity: &Identity, encoding: Encoding) -> Option<Value> {
        match self {
            Self::Sub if identity.has_integer_subject() && encoding != Encoding::Escape => {
                identity.subject().parse::<u64>().ok().map(Value::from)
            }
            Self::Sub => Some(Value::from(identity.subject())),
            Self::Iss => Some(Value::from(identity.issuer())),
            Self::Path(path) => identity.claim(path),
        }
    }
}

/// Guesses the claim that a text without `claim.` means: a path, else a name that needs quotes.
fn claim_named(text: &str) -> ClaimRef {
    ClaimRef::Path(claim_path::parse(text).unwrap_or_else(|_| vec![text.to_owned()]))
}

impl Variable {
    /// Parses the text between `${` and `}`.
    pub(crate) fn parse(text: &str) -> Result<Self, Advice> {
        let (claim, encoding) = match split_once_unquoted(text, '|') {
            None => (text, Encoding::Bare),
            Some((claim, filter)) => (claim, Encoding::of_filter(filter)?),
        };
        let claim = ClaimRef::parse(claim)?;
        if encoding == Encoding::Integer && claim == ClaimRef::Iss {
            return Err(Advice::new(
                "`iss` is always a string, so `integer` does not fit it",
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
        let value = self.claim.value(identity, self.encoding).ok_or(Unwritable::Missing);
        value
            .and_then(|value| self.encoding.write(&value))
            .map_err(|fault| Unrenderable { claim: self.claim.to_string(), why: self.explain(&fault) })
    }

    /// Describes a fault, and names the filter that takes the value if there is one.
    fn explain(&self, fault: &Unwritable) -> String {
        match fault {
            Unwritable::NotAString(_) if self.claim == ClaimRef::Sub => {
                format!("{fault}; a template can take both with a filter, as in `${{sub|escape}}`")
            }
            Unwritable::Missing
            | Unwritable::NotAnInteger
            | Unwritable::NotAString(_)
            | Unwritable::Empty
            | Unwritable::TooLong => fault.to_string(),
            Unwritable::TooLongBare
            | Unwritable::Character(_)
            | Unwritable::Beginning
            | Unwritable::End
            | Unwritable::Dots => format!(
                "{fault}; a template can take such values with a filter, as in `${{{}|escape}}`",
                self.claim
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(error.contains("`|`") && error.contains("${sub|escape}"), "{error}");
    }

    #[test]
    fn the_nearest_name_is_suggested_for_a_misspelt_variable_or_filter() {
        assert_eq!(Variable::parse("sbu").unwrap_err().help, "did you mean `sub`?");
        assert_eq!(Variable::parse("sub|base64").unwrap_err().help, "did you mean `base64url`?");
        assert!(Variable::parse("tenant").unwrap_err().help.contains("claim.tenant"));
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
        for filter in ["sha256", "escape"] {
            let variable = Variable::parse(&format!("sub|{filter}")).unwrap();
            assert_eq!(variable.render(&long).unwrap().len(), "_sha256_".len() + 64);
        }
    }

    #[test]
    fn empty_and_negative_claims_are_refused() {
        let identity = Identity::for_tests(
            "i",
            "s",
            &[("empty", "".into()), ("negative", (-7).into()), ("half", 0.5.into())],
        );
        for text in [
            "claim.empty",
            "claim.empty|escape",
            "claim.empty|hex",
            "claim.empty|base64url",
            "claim.empty|sha256",
        ] {
            let error = Variable::parse(text).unwrap().render(&identity).unwrap_err().to_string();
            assert!(error.contains("is empty"), "{text}: {error}");
        }
        for text in ["claim.negative|integer", "claim.half|integer", "claim.empty|integer"] {
            assert!(Variable::parse(text).unwrap().render(&identity).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_with_other_characters_stands_in_quotes() {
        let names = ["custom:tenant", "https://hasura.io/jwt/claims", "a|b}c.d${e"];
        let claims = names.map(|name| (name, serde_json::json!({"x-hasura-org": "red"})));
        let identity = Identity::for_tests("i", "s", &claims);
        for name in names {
            let text = format!("claim.\"{name}\".x-hasura-org|escape");
            let variable = Variable::parse(&text).unwrap();
            assert_eq!(variable.render(&identity).unwrap(), "red", "{name}");
            assert_eq!(variable.to_string(), format!("${{{text}}}"));
        }
        assert!(Variable::parse("claim.custom:tenant").unwrap_err().help.contains("in quotes"));
        assert!(Variable::parse("custom:tenant").unwrap_err().help.contains("`claim.\"custom:tenant\"`"));
    }
}

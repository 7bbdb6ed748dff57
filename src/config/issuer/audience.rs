//! For whom an issuer's tokens are meant.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::config::context::Context;
use diagnostics::{Diagnostic, nearest};

/// The claims that may name the audience. Cognito's access tokens have `client_id`, those of Clerk and some of
/// Keycloak `azp`, those of Okta `cid`, those of Entra v1 `appid`.
const AUDIENCE_CLAIMS: [&str; 5] = ["aud", "client_id", "azp", "cid", "appid"];

/// What a key of the configuration says instead of a value where tokens do not have the claim.
pub(super) const ABSENT: &str = "absent";

/// The key `audience` as written.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawAudience {
    List(Vec<String>),
    Word(String),
}

/// For whom an issuer's tokens are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// A claim must contain one of these values; never empty.
    OneOf {
        /// The name of the claim.
        claim: String,
        /// The accepted values.
        values: Vec<String>,
    },
    /// Tokens have no `aud`; all tokens of the issuer are for one app.
    Absent,
}

impl Audience {
    pub(super) fn check(
        audience: Option<&Spanned<RawAudience>>,
        claim: Option<&Spanned<String>>,
        section: &Range<usize>,
        context: &Context<'_>,
    ) -> Result<Self, Diagnostic> {
        let Some(audience) = audience else {
            return Err(context.problem(
                section.clone(),
                "audience is missing",
                "name the audience that your tokens carry, as in audience = [\"app\"]; if they carry none, and this key and issuer belong to one app only, write audience = \"absent\"",
            ));
        };
        let values = match audience.get_ref() {
            RawAudience::Word(word) if word == ABSENT => return Self::absent(claim, context),
            RawAudience::Word(word) => {
                return Err(context.problem(
                    audience.span(),
                    format!("audience is the text `{word}`"),
                    format!(
                        "write a list, [\"{word}\"]; the only text is \"absent\", for tokens without `aud`"
                    ),
                ));
            }
            RawAudience::List(values) => values,
        };
        if values.is_empty() || values.iter().any(|one| one.trim().is_empty()) {
            return Err(context.problem(
                audience.span(),
                "audience is empty",
                "name the audience your tokens carry in `aud`; without one, tokens meant for other services would be accepted",
            ));
        }
        let claim = claim.map_or(Ok("aud"), |claim| known_claim(claim, context))?;
        Ok(Self::OneOf { claim: claim.to_owned(), values: values.clone() })
    }

    fn absent(claim: Option<&Spanned<String>>, context: &Context<'_>) -> Result<Self, Diagnostic> {
        claim.map_or(Ok(Self::Absent), |claim| {
            Err(context.problem(
                claim.span(),
                "audience_claim names a claim, and audience says that there is none",
                "list the values of the claim in audience, or remove audience_claim",
            ))
        })
    }
}

fn known_claim<'a>(claim: &'a Spanned<String>, context: &Context<'_>) -> Result<&'a str, Diagnostic> {
    let name = claim.get_ref();
    if AUDIENCE_CLAIMS.contains(&name.as_str()) {
        return Ok(name);
    }
    let help = match nearest(name, AUDIENCE_CLAIMS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", AUDIENCE_CLAIMS.join(", ")),
    };
    Err(context.problem(claim.span(), format!("`{name}` is not a claim that names the audience"), help))
}

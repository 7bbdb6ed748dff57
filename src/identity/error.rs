//! Why a token is not accepted.

use std::time::Duration;

use serde::Serialize;
use templates::identity::NoSubject;

/// The error for a token that identifies no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token is invalid. The reason is for the log, never for the caller.
    #[error("the token was rejected: {}", .0.reason)]
    Rejected(RejectedToken),
    /// The token is valid but has no usable id of its user.
    #[error(transparent)]
    NoSubject(#[from] NoSubject),
    /// The token cannot be checked: the issuer's keys are not available now.
    #[error("the issuer's keys are not available")]
    KeysUnavailable {
        /// The time until they may be fetched again.
        retry_after: Duration,
    },
    /// The token cannot be checked: its key may be newer than the issuer's key set, which may not be fetched now.
    #[error(
        "no key of the issuer fits the token, and its key set may be fetched again only in {retry_after:?}"
    )]
    KeyNotFetched {
        /// The time until the key set may be fetched again.
        retry_after: Duration,
    },
}

/// An invalid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedToken {
    /// Why it is invalid.
    pub reason: Rejection,
    /// What it says, beside what the configuration wants; `None` if it could not be read so far.
    pub comparison: Option<Box<Comparison>>,
}

/// What a token says, and what the configuration wants. All texts are single lines without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What the token says. It is not verified.
    pub token: String,
    /// What the configuration wants.
    pub configured: String,
    /// Which line to change, or what else to do.
    pub help: String,
}

impl AuthError {
    /// Adds what token and configuration say, if the token is invalid.
    pub(super) fn compared(self, comparison: impl FnOnce(Rejection) -> Comparison) -> Self {
        match self {
            Self::Rejected(RejectedToken { reason, .. }) => {
                Self::Rejected(RejectedToken { reason, comparison: Some(Box::new(comparison(reason))) })
            }
            other => other,
        }
    }

    /// Returns what token and configuration say, if the token is invalid.
    pub(crate) fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Rejected(rejected) => rejected.comparison.as_deref(),
            Self::NoSubject(_) | Self::KeysUnavailable { .. } | Self::KeyNotFetched { .. } => None,
        }
    }
}

impl From<Rejection> for AuthError {
    fn from(reason: Rejection) -> Self {
        Self::Rejected(RejectedToken { reason, comparison: None })
    }
}

/// The reason why a token is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The request has no bearer token.
    #[error("no bearer token")]
    Missing,
    /// The header `Authorization` has a text without a scheme.
    #[error("no `Bearer ` before the token")]
    NoScheme,
    /// The token has no dots, as tokens have that only their issuer can read.
    #[error("not a JWT: an opaque token")]
    Opaque,
    /// The token is encrypted (RFC 7516): it has five parts.
    #[error("an encrypted JWT (JWE)")]
    Encrypted,
    /// A part of the token has padding, which RFC 7515 §2 excludes.
    #[error("base64url with padding")]
    Padded,
    /// The token is not three base64url parts, or has a JSON part with duplicate names.
    #[error("malformed")]
    Malformed,
    /// The header brings its own key, or has a member that must be understood.
    #[error("a header that is refused")]
    RefusedHeader,
    /// The issuer does not sign with this algorithm.
    #[error("algorithm not allowed")]
    Algorithm,
    /// The header's `typ` is not the required one.
    #[error("wrong typ")]
    Type,
    /// `iss` is missing, mistyped or unknown.
    #[error("unknown issuer")]
    Issuer,
    /// The claim `tid` is not the tenant in `iss`.
    #[error("another tenant than in the issuer")]
    Tenant,
    /// No key of the issuer has this `kid`.
    #[error("unknown key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("bad signature")]
    Signature,
    /// `aud` is missing, mistyped or another audience.
    #[error("wrong audience")]
    Audience,
    /// `exp` is missing or mistyped.
    #[error("no expiry")]
    Expiry,
    /// `exp` is a text.
    #[error("`exp` is a text, not a number")]
    ExpiryText,
    /// `exp` is so late that it is in milliseconds.
    #[error("`exp` is in milliseconds, not seconds")]
    ExpiryMilliseconds,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` has not come yet.
    #[error("not yet valid")]
    NotYetValid,
}

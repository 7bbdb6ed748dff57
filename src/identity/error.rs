//! Why a token is not accepted.

use std::time::Duration;

use templates::identity::NoSubject;

/// The error for a token that identifies no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token is invalid. The cause is for the log, never for the caller.
    #[error("the token was rejected: {0}")]
    Rejected(#[from] Rejection),
    /// The token is valid but has no usable `sub`.
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

/// The reason why a token is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The request has no bearer token.
    #[error("no bearer token")]
    Missing,
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
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` has not come yet.
    #[error("not yet valid")]
    NotYetValid,
}

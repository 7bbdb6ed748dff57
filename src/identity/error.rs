//! Why a token leads to nobody.

use templates::identity::NoSubject;

/// Why a token leads to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not to be believed. The cause is for the log, never for the asker.
    #[error("the token was rejected: {0}")]
    Rejected(#[from] Rejection),
    /// It is to be believed, and speaks of nobody.
    #[error(transparent)]
    NoSubject(#[from] NoSubject),
    /// It may be good: the issuer's keys cannot be had now.
    #[error("the issuer's keys cannot be had")]
    KeysUnavailable,
}

/// The cause of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no bearer token.
    #[error("no bearer token")]
    Missing,
    /// Not three base64url parts of JSON objects without duplicates.
    #[error("malformed")]
    Malformed,
    /// A header that brings its own key or must be understood.
    #[error("a header that is refused")]
    RefusedHeader,
    /// An algorithm the issuer does not sign with.
    #[error("algorithm not allowed")]
    Algorithm,
    /// The header's `typ`.
    #[error("wrong typ")]
    Type,
    /// `iss` is missing, mistyped or unknown.
    #[error("unknown issuer")]
    Issuer,
    /// No key of the issuer has this `kid`.
    #[error("unknown key")]
    UnknownKey,
    /// The signature does not hold.
    #[error("bad signature")]
    Signature,
    /// `aud` is missing, mistyped or somebody else's.
    #[error("wrong audience")]
    Audience,
    /// `exp` is missing or mistyped.
    #[error("no expiry")]
    Expiry,
    /// It was good once.
    #[error("expired")]
    Expired,
    /// It will be good later.
    #[error("not yet valid")]
    NotYetValid,
}

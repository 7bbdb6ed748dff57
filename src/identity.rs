//! Verifies bearer tokens: a valid token becomes an [`Identity`](templates::identity::Identity).
//!
//! Knows tokens, keys and issuers, and fetches key sets from the network. Does not know what an identity may
//! do.

mod error;
mod jwks;
mod key;
mod key_set;
mod metrics;
mod token;
mod verifier;

use serde_json::{Map, Value};

pub use self::{
    error::{AuthError, Rejection},
    jwks::KeySetStatus,
    key::KeyFault,
    verifier::{IssuerStatus, Verifier},
};

/// Returns the claims of a token whose signature is not verified. For display to the token's holder only, never
/// to grant anything.
///
/// # Errors
/// When the text does not parse as a token.
pub fn unverified_claims(token: &str) -> Result<Map<String, Value>, Rejection> {
    token::UnverifiedToken::parse(token).map(|token| token.claims)
}

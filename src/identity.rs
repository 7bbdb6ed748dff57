//! A bearer token becomes an [`Identity`], or nobody.
//!
//! Knows tokens, keys and issuers; asks the network for nothing but key sets. What an identity may do is
//! not its business.

mod error;
mod jwks;
mod key;
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

/// The claims that a token says, whoever signed it: to be shown to the person who holds it, never to grant
/// anything.
///
/// # Errors
/// When it does not read as a token.
pub fn unverified_claims(token: &str) -> Result<Map<String, Value>, Rejection> {
    token::UnverifiedToken::parse(token).map(|token| token.claims)
}

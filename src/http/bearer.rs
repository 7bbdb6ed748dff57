//! The bearer token of a request.

use std::sync::Arc;

use actix_web::{HttpRequest, http::header::AUTHORIZATION};

use super::{Api, refusal::Refusal};
use crate::identity::{AuthError, Rejection};
use templates::{ClaimNames, identity::Identity};

/// A rejected token larger than this is refused for its size: a proxy may have cut it.
const OVERSIZED_TOKEN_BYTES: usize = 8 * 1024;

/// The identity that the request's bearer token names, with these claims.
///
/// # Errors
/// If there is no token, or it is not valid.
pub(super) async fn identity(
    api: &Api,
    request: &HttpRequest,
    claims: &ClaimNames,
) -> Result<Arc<Identity>, Refusal> {
    let token = token(request).map_err(AuthError::from)?;
    api.verifier.verify(token, claims).await.map_err(|error| match error {
        AuthError::Rejected(_) if token.len() > OVERSIZED_TOKEN_BYTES => Refusal::TokenTooLarge,
        other => other.into(),
    })
}

/// One `Authorization: Bearer <token>` (RFC 6750 §2.1); the scheme is case-insensitive. Bytes, because only a token that
/// is new needs to be looked at as text.
fn token(request: &HttpRequest) -> Result<&[u8], Rejection> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let only = headers.next().filter(|_| headers.next().is_none());
    let value = only.ok_or(Rejection::Missing)?.as_bytes();
    let Some(end) = memchr::memchr(b' ', value) else { return Err(without_scheme(value)) };
    let (scheme, token) = value.split_at(end);
    let token = token.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Rejection::Missing)
    }
}

/// Why a header with one word has no token: the word may be a token without its scheme.
fn without_scheme(value: &[u8]) -> Rejection {
    if memchr::memchr_iter(b'.', value).count() == 2 { Rejection::NoScheme } else { Rejection::Missing }
}

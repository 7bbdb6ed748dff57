//! From a request to who asks.

use actix_web::{HttpRequest, http::header};

use super::{Api, refusal::Refusal};
use crate::identity::{AuthError, Rejection};
use templates::identity::Identity;

/// A failed token larger than this is told that it is large: most likely something cut it on its way.
const LARGE: usize = 8 * 1024;

/// The identity that the request's bearer token speaks of.
///
/// # Errors
/// When there is none, or it is not to be believed.
pub(super) async fn identity(api: &Api, request: &HttpRequest) -> Result<std::sync::Arc<Identity>, Refusal> {
    let token = token(request).ok_or(AuthError::Rejected(Rejection::Missing))?;
    api.verifier.verify(token).await.map_err(|error| match error {
        AuthError::Rejected(_) if token.len() > LARGE => Refusal::TokenTooLarge,
        other => other.into(),
    })
}

/// RFC 6750 §2.1: one `Authorization: Bearer <token>`; the scheme's case does not matter.
fn token(request: &HttpRequest) -> Option<&str> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let only = headers.next().filter(|_| headers.next().is_none())?;
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

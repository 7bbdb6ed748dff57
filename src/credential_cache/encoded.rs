//! The encoded response body of one credential, and its session token, which is most of it and in memory once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A form in which clients read a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseShape {
    /// `/v1`: the STS SDK JSON and more.
    V1,
    /// `/v1?format=sts3`: STS's own answer.
    Sts3,
    /// `/sts`: the STS SDK JSON.
    StsSdk,
    /// `/sign`: cossign's envelope.
    Cossign,
    /// `/getKeyAndCredentials`: the STS SDK JSON with bucket, region and an object key.
    ObjectKey,
}

/// The body of the shape that was requested first, and the session token. Nearly all clients of a user read one shape;
/// bodies of other shapes are encoded each time. The memory is wiped when it is freed.
pub(super) struct EncodedBody(Mutex<Kept>);

struct Kept {
    /// A part of the body, once there is one.
    token: Bytes,
    body: Option<(ResponseShape, Bytes)>,
}

impl EncodedBody {
    pub(super) fn new(token: &SecretString) -> Self {
        Self(Mutex::new(Kept { token: wiped(token.expose_secret().as_bytes()), body: None }))
    }

    /// Returns a copy of the session token.
    pub(super) fn token(&self) -> SecretString {
        let token = self.kept().token.clone();
        // It is made of a text.
        str::from_utf8(&token).unwrap_or_default().into()
    }

    /// Returns the length of the session token.
    pub(super) fn token_bytes(&self) -> usize {
        self.kept().token.len()
    }

    /// Returns the body of a shape, encoded by `encode` unless it is kept.
    pub(super) fn get_or_encode(&self, shape: ResponseShape, encode: impl FnOnce() -> Vec<u8>) -> Bytes {
        if let Some((_, body)) = self.kept().body.as_ref().filter(|(kept, _)| *kept == shape) {
            return body.clone();
        }
        let body = wiped(&Zeroizing::new(encode()));
        self.kept().keep(shape, &body);
        body
    }

    /// A poisoned lock is usable: what is kept is consistent after each call.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Keeps the first body, and the token as a part of it. A token that JSON writes otherwise stays as it is.
    fn keep(&mut self, shape: ResponseShape, body: &Bytes) {
        if self.body.is_some() {
            return;
        }
        // The token is most of the body, so that a search as for long texts would take longer to prepare.
        let is_token_at = |at: &usize| body.get(*at..).is_some_and(|rest| rest.starts_with(&self.token));
        if let Some(at) = (0..body.len()).find(is_token_at) {
            self.token = body.slice(at..at + self.token.len());
        }
        self.body = Some((shape, body.clone()));
    }
}

/// A copy without spare room.
fn wiped(secret: &[u8]) -> Bytes {
    Bytes::from_owner(Zeroizing::new(Box::<[u8]>::from(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_shape_is_kept_and_others_are_encoded_each_time() {
        let body = EncodedBody::new(&"token".into());
        let encoded = |shape, text: &str| body.get_or_encode(shape, || text.into());
        assert_eq!(encoded(ResponseShape::V1, "first"), "first");
        assert_eq!(encoded(ResponseShape::V1, "again"), "first");
        assert_eq!(encoded(ResponseShape::StsSdk, "other"), "other");
        assert_eq!(encoded(ResponseShape::StsSdk, "new"), "new");
        assert_eq!(encoded(ResponseShape::V1, "again"), "first");
    }

    #[test]
    fn the_token_shares_the_memory_of_the_first_body_that_has_it() {
        let body = EncodedBody::new(&"token".into());
        let first = body.get_or_encode(ResponseShape::V1, || b"a token and more".to_vec());
        let other = body.get_or_encode(ResponseShape::Sts3, || b"another token".to_vec());
        assert_eq!(body.token().expose_secret(), "token");
        let kept = body.kept().token.as_ptr_range();
        assert!(first.as_ptr_range().start < kept.start && kept.end < first.as_ptr_range().end);
        assert!(!other.as_ptr_range().contains(&kept.start));
    }

    #[test]
    fn a_token_that_the_body_writes_otherwise_is_kept_beside_it() {
        let body = EncodedBody::new(&"a\"b".into());
        body.get_or_encode(ResponseShape::V1, || br#"{"token":"a\"b"}"#.to_vec());
        assert_eq!(body.token().expose_secret(), "a\"b");
    }
}

//! The texts of one credential and its encoded response body, in memory once: the body has the texts in it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::sts::TemporaryCredential;

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

/// The texts of a credential, and the body of the shape that was requested first. Nearly all clients of a user read one
/// shape; bodies of other shapes are encoded each time. The memory is wiped when it is freed.
pub(super) struct EncodedBody(Mutex<Kept>);

struct Kept {
    /// The body, once there is one, and behind it the texts that it does not have.
    memory: Bytes,
    /// Shape and length of the body.
    body: Option<(ResponseShape, u32)>,
    /// Where the texts begin and end: secret id, secret key, token, request id.
    places: [(u32, u32); TEXTS],
}

/// The number of texts.
const TEXTS: usize = 4;

impl EncodedBody {
    pub(super) fn new(credential: &TemporaryCredential) -> Self {
        let TemporaryCredential { secret_id, secret_key, token, request_id, .. } = credential;
        let texts = [secret_id, secret_key.expose_secret(), token.expose_secret(), request_id];
        Self(Mutex::new(Kept::new(None, texts)))
    }

    /// Returns a copy of the credential, which expires then.
    pub(super) fn credential(&self, expires_at: Timestamp) -> TemporaryCredential {
        let kept = self.kept();
        let [secret_id, secret_key, token, request_id] = kept.texts();
        TemporaryCredential {
            secret_id: secret_id.to_owned(),
            secret_key: secret_key.into(),
            token: token.into(),
            expires_at,
            request_id: request_id.to_owned(),
        }
    }

    /// Returns a copy of the secret id.
    pub(super) fn secret_id(&self) -> Box<str> {
        let kept = self.kept();
        let [secret_id, ..] = kept.texts();
        secret_id.into()
    }

    /// Returns the length of all texts together.
    pub(super) fn text_bytes(&self) -> usize {
        self.kept().places.iter().map(|(start, end)| (end - start) as usize).sum()
    }

    /// Returns the body of a shape, encoded by `encode` unless it is kept.
    pub(super) fn get_or_encode(&self, shape: ResponseShape, encode: impl FnOnce() -> Vec<u8>) -> Bytes {
        if let Some(body) = self.kept().body_of(shape) {
            return body;
        }
        let body = Zeroizing::new(encode());
        let mut kept = self.kept();
        if kept.body.is_none() {
            *kept = Kept::new(Some((shape, &body)), kept.texts());
        }
        kept.body_of(shape).unwrap_or_else(|| Bytes::from_owner(body))
    }

    /// A poisoned lock is usable: what is kept is consistent after each call.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Copies a body, and the texts that it does not have, into memory without spare room.
    fn new(encoded: Option<(ResponseShape, &[u8])>, texts: [&str; TEXTS]) -> Self {
        let body = encoded.map_or(&[][..], |(_, body)| body);
        let missing: Vec<&str> = texts.into_iter().filter(|text| find(body, text).is_none()).collect();
        let missing_bytes: usize = missing.iter().map(|text| 1 + text.len()).sum();
        let mut memory = Vec::with_capacity(body.len() + missing_bytes);
        memory.extend_from_slice(body);
        for text in missing {
            memory.push(b'"');
            memory.extend_from_slice(text.as_bytes());
        }
        let places = texts.map(|text| {
            let start = find(&memory, text).unwrap_or_default();
            (narrow(start), narrow(start + text.len()))
        });
        let body = encoded.map(|(shape, body)| (shape, narrow(body.len())));
        Self { memory: Bytes::from_owner(Zeroizing::new(memory)), body, places }
    }

    fn body_of(&self, shape: ResponseShape) -> Option<Bytes> {
        let (_, length) = self.body.filter(|(kept, _)| *kept == shape)?;
        Some(self.memory.slice(..length as usize))
    }

    fn texts(&self) -> [&str; TEXTS] {
        self.places.map(|(start, end)| {
            let text = self.memory.get(start as usize..end as usize).unwrap_or_default();
            str::from_utf8(text).unwrap_or_default()
        })
    }
}

/// Returns where a text begins that stands behind a quote.
fn find(memory: &[u8], text: &str) -> Option<usize> {
    let mut behind_quotes = memchr::memchr_iter(b'"', memory).map(|quote| quote + 1);
    behind_quotes.find(|at| memory.get(*at..).is_some_and(|rest| rest.starts_with(text.as_bytes())))
}

/// No answer of STS is as long as 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(token: &str) -> TemporaryCredential {
        TemporaryCredential {
            secret_id: "AKID".to_owned(),
            secret_key: "secret".into(),
            token: token.into(),
            expires_at: Timestamp::UNIX_EPOCH,
            request_id: "id".to_owned(),
        }
    }

    /// The texts as they are read, and the memory that they are read from.
    fn kept(body: &EncodedBody) -> ([String; TEXTS], String) {
        let kept = body.kept();
        (kept.texts().map(str::to_owned), str::from_utf8(&kept.memory).unwrap().to_owned())
    }

    #[test]
    fn the_first_shape_is_kept_and_others_are_encoded_each_time() {
        let body = EncodedBody::new(&credential("token"));
        let encoded = |shape, text: &str| body.get_or_encode(shape, || text.into());
        assert_eq!(encoded(ResponseShape::V1, "first"), "first");
        assert_eq!(encoded(ResponseShape::V1, "again"), "first");
        assert_eq!(encoded(ResponseShape::StsSdk, "other"), "other");
        assert_eq!(encoded(ResponseShape::StsSdk, "new"), "new");
        assert_eq!(encoded(ResponseShape::V1, "again"), "first");
    }

    #[test]
    fn the_texts_are_those_of_the_credential_before_and_after_a_body_is_kept() {
        for token in ["token", "a\"b", "\\", "", "AKID", "AKIDsecretid"] {
            let body = EncodedBody::new(&credential(token));
            let texts = ["AKID", "secret", token, "id"].map(str::to_owned);
            assert_eq!(kept(&body).0, texts);
            let json = serde_json::json!({"id": "AKID", "key": "secret", "token": token, "request": "id"});
            let encoded = body.get_or_encode(ResponseShape::V1, || json.to_string().into());
            assert_eq!(encoded, json.to_string());
            assert_eq!(kept(&body).0, texts);
            assert_eq!(body.text_bytes(), texts.concat().len());
        }
    }

    #[test]
    fn a_text_is_in_memory_once_unless_the_body_writes_it_otherwise() {
        let body = EncodedBody::new(&credential("token"));
        let json = r#"{"a":"AKID","b":"secret","c":"token","d":"id"}"#;
        body.get_or_encode(ResponseShape::V1, || json.into());
        assert_eq!(kept(&body).1, json);
        let without = EncodedBody::new(&credential("to\"ken"));
        without.get_or_encode(ResponseShape::V1, || br#"{"a":"AKID","b":"secret"}"#.to_vec());
        assert_eq!(kept(&without).1, r#"{"a":"AKID","b":"secret"}"to"ken"id"#);
    }
}

//! How a key is written for each kind of client (`docs/tencent.md`, "What client apps read").
//!
//! The part that is the same for everyone who gets the key is encoded once; what differs from answer to
//! answer is put behind it.

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::credential_cache::Key;

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `/v1`: the STS SDK JSON and more.
    V1,
    /// `/v1?format=sts3`: STS's own answer.
    Sts3,
    /// `/sts`: the STS SDK JSON.
    StsSdk,
    /// `/sign`: cossign's envelope.
    Cossign,
    /// `/getKeyAndCredentials`: the STS SDK JSON with bucket, region and a key.
    Keyed,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credentials<'a> {
    tmp_secret_id: &'a str,
    tmp_secret_key: &'a str,
    session_token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StsSdk<'a> {
    credentials: Credentials<'a>,
    start_time: i64,
    expired_time: i64,
    expiration: String,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Located<'a> {
    #[serde(flatten)]
    sts: StsSdk<'a>,
    bucket: &'a str,
    region: &'a str,
}

#[derive(Serialize)]
struct V1<'a> {
    #[serde(flatten)]
    located: Located<'a>,
    prefix: &'a str,
    #[serde(rename = "grantId")]
    grant_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sts3Credentials<'a> {
    token: &'a str,
    tmp_secret_id: &'a str,
    tmp_secret_key: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sts3Response<'a> {
    credentials: Sts3Credentials<'a>,
    expired_time: i64,
    expiration: String,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Sts3<'a> {
    #[serde(rename = "Response")]
    response: Sts3Response<'a>,
    #[serde(rename = "grantId")]
    grant_id: String,
}

#[derive(Serialize)]
struct Cossign<'a> {
    code: u32,
    message: &'a str,
    #[serde(rename = "codeDesc")]
    code_desc: &'a str,
    data: CossignData<'a>,
}

#[derive(Serialize)]
struct CossignData<'a> {
    credentials: Credentials<'a>,
    #[serde(rename = "expiredTime")]
    expired_time: i64,
}

/// What stands behind the encoded part of a `/v1` answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    server_time: i64,
    refresh_at: i64,
}

/// The body of an answer; `object_key` is for [`Shape::Keyed`].
pub(super) fn body(key: &Key, shape: Shape, object_key: Option<&str>, now: Timestamp) -> Bytes {
    let shared = key.encoded(shape as usize, |key| encode(key, shape));
    match (shape, object_key) {
        (Shape::V1 | Shape::Sts3, _) => {
            let times = Times { server_time: now.as_second(), refresh_at: key.refresh_at(now).as_second() };
            joined(&shared, &json(&times))
        }
        (Shape::Keyed, Some(object_key)) => joined(&shared, &json(&serde_json::json!({"key": object_key}))),
        (Shape::StsSdk | Shape::Cossign | Shape::Keyed, _) => shared,
    }
}

/// Two JSON objects as one, wiped when it has been sent.
fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut whole = Vec::with_capacity(first.len() + second.len());
    whole.extend_from_slice(first.strip_suffix(b"}").unwrap_or(first));
    whole.push(b',');
    whole.extend_from_slice(second.strip_prefix(b"{").unwrap_or(second));
    Bytes::from_owner(zeroize::Zeroizing::new(whole))
}

fn encode(key: &Key, shape: Shape) -> Vec<u8> {
    match shape {
        Shape::V1 => json(&V1 {
            located: located(key),
            prefix: key.grant().home(),
            grant_id: key.grant().id().to_string(),
        }),
        Shape::Sts3 => {
            let credential = key.credential();
            json(&Sts3 {
                response: Sts3Response {
                    credentials: Sts3Credentials {
                        token: credential.token.expose_secret(),
                        tmp_secret_id: &credential.secret_id,
                        tmp_secret_key: credential.secret_key.expose_secret(),
                    },
                    expired_time: credential.expires_at.as_second(),
                    expiration: credential.expires_at.to_string(),
                    request_id: &credential.request_id,
                },
                grant_id: key.grant().id().to_string(),
            })
        }
        Shape::StsSdk => json(&sts_sdk(key)),
        Shape::Cossign => json(&Cossign {
            code: 0,
            message: "",
            code_desc: "Success",
            data: CossignData {
                credentials: credentials(key),
                expired_time: key.credential().expires_at.as_second(),
            },
        }),
        Shape::Keyed => json(&located(key)),
    }
}

fn credentials(key: &Key) -> Credentials<'_> {
    let credential = key.credential();
    Credentials {
        tmp_secret_id: &credential.secret_id,
        tmp_secret_key: credential.secret_key.expose_secret(),
        session_token: credential.token.expose_secret(),
    }
}

fn sts_sdk(key: &Key) -> StsSdk<'_> {
    let expires = key.credential().expires_at;
    let duration = i64::try_from(key.grant().duration().as_secs()).unwrap_or_default();
    StsSdk {
        credentials: credentials(key),
        start_time: expires.as_second() - duration,
        expired_time: expires.as_second(),
        expiration: expires.to_string(),
        request_id: &key.credential().request_id,
    }
}

fn located(key: &Key) -> Located<'_> {
    let bucket = key.grant().bucket();
    Located { sts: sts_sdk(key), bucket: &bucket.name, region: &bucket.region }
}

/// Strings and numbers in structs always serialize.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

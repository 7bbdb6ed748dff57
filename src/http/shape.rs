//! Response bodies: how a credential is written for each kind of client (`docs/understand/tencent.md`, "What client apps
//! read").
//!
//! The part that does not change between answers is encoded once for each credential, and sent from there; the rest
//! follows it.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    credential_cache::{CachedCredential, ResponseShape},
    sts::TemporaryCredential,
};
use templates::Grant;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credentials<'a> {
    tmp_secret_id: &'a str,
    tmp_secret_key: &'a str,
    session_token: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StsSdk<'a> {
    credentials: Credentials<'a>,
    start_time: i64,
    expired_time: i64,
    expiration: String,
    request_id: &'a str,
}

/// What is appended to the STS SDK JSON in a `/v1` answer.
#[derive(Serialize, ToSchema)]
pub(super) struct V1<'a> {
    bucket: &'a str,
    region: &'a str,
    prefix: &'a str,
    #[serde(rename = "grantId")]
    grant_id: &'a str,
    #[serde(flatten)]
    #[schema(inline)]
    times: Times,
}

/// What is appended to the STS SDK JSON for [`ResponseShape::ObjectKey`].
#[derive(Serialize, ToSchema)]
pub(super) struct ObjectKey<'a> {
    bucket: &'a str,
    region: &'a str,
    /// The key of the object to upload.
    key: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sts3Credentials<'a> {
    token: &'a str,
    tmp_secret_id: &'a str,
    tmp_secret_key: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sts3Response<'a> {
    credentials: Sts3Credentials<'a>,
    expired_time: i64,
    expiration: String,
    request_id: &'a str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Sts3<'a> {
    #[serde(rename = "Response")]
    response: Sts3Response<'a>,
    #[serde(rename = "grantId")]
    grant_id: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Cossign<'a> {
    code: u32,
    message: &'a str,
    #[serde(rename = "codeDesc")]
    code_desc: &'a str,
    data: CossignData<'a>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CossignData<'a> {
    credentials: Credentials<'a>,
    #[serde(rename = "expiredTime")]
    expired_time: i64,
}

/// What is appended to a `/v1` answer last.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Times {
    server_time: i64,
    refresh_at: i64,
}

/// The body of an answer: two buffers, so that the first, which holds the secrets, is not copied.
pub(super) struct Body {
    shared: Bytes,
    rest: Bytes,
}

impl V1<'_> {
    /// Its JSON. Joined rather than serialized: nearly every hit has one. No text needs an escape: a template whose
    /// bucket, region or home has a quote, a backslash or a control character is refused.
    fn json(&self) -> Vec<u8> {
        let Self { bucket, region, prefix, grant_id, times } = self;
        let (server_time, refresh_at) = (times.server_time.to_string(), times.refresh_at.to_string());
        let parts = [
            r#"{"bucket":""#,
            bucket,
            r#"","region":""#,
            region,
            r#"","prefix":""#,
            prefix,
            r#"","grantId":""#,
            grant_id,
            r#"","serverTime":"#,
            &server_time,
            r#","refreshAt":"#,
            &refresh_at,
            "}",
        ];
        parts.concat().into()
    }
}

impl Body {
    /// A JSON object, with the members of another one behind its own.
    fn joined(shared: &Bytes, rest: Vec<u8>) -> Self {
        Self { shared: shared.slice(..shared.len().saturating_sub(1)), rest: after_members(rest) }
    }
}

/// Makes the beginning of an object a comma.
fn after_members(mut object: Vec<u8>) -> Bytes {
    if let Some(brace) = object.first_mut() {
        *brace = b',';
    }
    object.into()
}

impl MessageBody for Body {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized((self.shared.len() + self.rest.len()) as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let body = &mut *self;
        let next = if body.shared.is_empty() { &mut body.rest } else { &mut body.shared };
        Poll::Ready(Some(mem::take(next)).filter(|part| !part.is_empty()).map(Ok))
    }
}

/// Returns the body of an answer; `object_key` is for [`ResponseShape::ObjectKey`].
pub(super) fn body(
    cached: &CachedCredential,
    shape: ResponseShape,
    object_key: Option<&str>,
    now: Timestamp,
) -> Body {
    let encoded = encoded_shape(shape);
    let shared = cached.encoded(encoded, |cached| encode(cached, encoded));
    let times = || Times { server_time: now.as_second(), refresh_at: cached.refresh_at(now).as_second() };
    let (grant, bucket) = (cached.grant(), cached.grant().bucket());
    let (bucket, region) = (bucket.name.as_str(), bucket.region.as_str());
    match (shape, object_key) {
        (ResponseShape::V1, _) => {
            let grant_id = grant.id();
            let rest =
                V1 { bucket, region, prefix: grant.home(), grant_id: grant_id.as_str(), times: times() };
            Body::joined(&shared, rest.json())
        }
        (ResponseShape::Sts3, _) => Body::joined(&shared, json(&times())),
        (ResponseShape::ObjectKey, Some(key)) => {
            Body::joined(&shared, json(&ObjectKey { bucket, region, key }))
        }
        (ResponseShape::StsSdk | ResponseShape::Cossign | ResponseShape::ObjectKey, _) => {
            Body { shared, rest: Bytes::new() }
        }
    }
}

/// Returns the shape that is encoded once for a credential: what a shape adds to it belongs to the grant or to the request.
fn encoded_shape(shape: ResponseShape) -> ResponseShape {
    match shape {
        ResponseShape::V1 | ResponseShape::StsSdk | ResponseShape::ObjectKey => ResponseShape::StsSdk,
        ResponseShape::Sts3 | ResponseShape::Cossign => shape,
    }
}

fn encode(cached: &CachedCredential, shape: ResponseShape) -> Vec<u8> {
    let (credential, grant) = (&cached.credential(), cached.grant());
    match shape {
        ResponseShape::Sts3 => json(&Sts3 {
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
            grant_id: grant.id().to_string(),
        }),
        ResponseShape::V1 | ResponseShape::StsSdk | ResponseShape::ObjectKey => {
            json(&sts_sdk(credential, grant))
        }
        ResponseShape::Cossign => json(&Cossign {
            code: 0,
            message: "",
            code_desc: "Success",
            data: CossignData {
                credentials: credentials(credential),
                expired_time: credential.expires_at.as_second(),
            },
        }),
    }
}

fn credentials(credential: &TemporaryCredential) -> Credentials<'_> {
    Credentials {
        tmp_secret_id: &credential.secret_id,
        tmp_secret_key: credential.secret_key.expose_secret(),
        session_token: credential.token.expose_secret(),
    }
}

fn sts_sdk<'a>(credential: &'a TemporaryCredential, grant: &Grant) -> StsSdk<'a> {
    let expires_at = credential.expires_at;
    let duration = i64::try_from(grant.duration().as_secs()).unwrap_or_default();
    StsSdk {
        credentials: credentials(credential),
        start_time: expires_at.as_second() - duration,
        expired_time: expires_at.as_second(),
        expiration: expires_at.to_string(),
        request_id: &credential.request_id,
    }
}

/// Cannot fail: structs of strings and numbers always serialize.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_what_would_be_serialized() {
        let times = Times { server_time: 1_764_324_000, refresh_at: 1_764_325_500 };
        let (bucket, region, prefix) = ("examplebucket-1250000000", "ap-guangzhou", "users/auth0!7C12/");
        let v1 = V1 { bucket, region, prefix, grant_id: "abcdefghijklmnop", times };
        assert_eq!(v1.json(), json(&v1));
    }
}

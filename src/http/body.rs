//! Reading a request's body: small, in time, and strict JSON.

use std::time::Duration;

use actix_web::web;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The largest body read.
const LARGEST: usize = 16 * 1024;
/// The longest a body may take to arrive.
const SLOWEST: Duration = Duration::from_secs(5);

/// The body as a value; `written` shows how it is written.
///
/// # Errors
/// When it is too large, too slow, not JSON, or not of the shape wanted.
pub(super) async fn json<T: DeserializeOwned>(payload: web::Payload, written: &str) -> Result<T, Refusal> {
    let read = tokio::time::timeout(SLOWEST, payload.to_bytes_limited(LARGEST));
    let bytes = match read.await {
        Err(_) => return Err(Refusal::BodyTooSlow),
        Ok(Err(_)) => return Err(Refusal::BodyTooLarge(LARGEST)),
        Ok(Ok(Err(error))) => {
            return Err(Refusal::BadRequest(format!("the body cannot be read: {error}")));
        }
        Ok(Ok(Ok(bytes))) => bytes,
    };
    let value = strict_json::from_slice(&bytes)
        .map_err(|error| Refusal::BadRequest(format!("the body is not JSON: {error}")))?;
    serde_json::from_value(value).map_err(|error| {
        Refusal::BadRequest(format!("the body is not what this route takes: {error}; send {written}"))
    })
}

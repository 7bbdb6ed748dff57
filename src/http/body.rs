//! Reading a request's body: bounded in size and time, strict JSON.

use std::time::Duration;

use actix_web::web;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

const MAX_BODY_BYTES: usize = 16 * 1024;
/// Longest time in which a body must arrive.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The body as a value; `example` shows what to send.
///
/// # Errors
/// If it is too large, too slow, not JSON, or not a `T`.
pub(super) async fn json<T: DeserializeOwned>(payload: web::Payload, example: &str) -> Result<T, Refusal> {
    let read = tokio::time::timeout(BODY_READ_TIMEOUT, payload.to_bytes_limited(MAX_BODY_BYTES));
    let bytes = match read.await {
        Err(_) => return Err(Refusal::BodyTooSlow),
        Ok(Err(_)) => return Err(Refusal::BodyTooLarge(MAX_BODY_BYTES)),
        Ok(Ok(Err(error))) => {
            return Err(Refusal::BadRequest(format!("the body cannot be read: {error}")));
        }
        Ok(Ok(Ok(bytes))) => bytes,
    };
    let value = strict_json::from_slice(&bytes)
        .map_err(|error| Refusal::BadRequest(format!("the body is not JSON: {error}")))?;
    serde_json::from_value(value).map_err(|error| {
        Refusal::BadRequest(format!("the body is not what this route accepts: {error}; send {example}"))
    })
}

//! Reading a request's body: bounded in size and time, strict JSON.

use std::time::Duration;

use actix_web::web;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::refusal::Refusal;
use crate::connections::overdue;

const MAX_BODY_BYTES: usize = 16 * 1024;
/// Longest time in which a body must arrive.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The body as a value; `example` shows what to send.
///
/// # Errors
/// If it is too large, too slow, not JSON, or not a `T`.
pub(super) async fn json<T: DeserializeOwned>(payload: web::Payload, example: &str) -> Result<T, Refusal> {
    let read = tokio::select! {
        biased;
        read = payload.to_bytes_limited(MAX_BODY_BYTES) => read,
        () = overdue(Instant::now() + BODY_READ_TIMEOUT) => return Err(Refusal::BodyTooSlow),
    };
    let bytes = match read {
        Err(_) => return Err(Refusal::BodyTooLarge(MAX_BODY_BYTES)),
        Ok(Err(error)) => return Err(Refusal::BadRequest(format!("the body cannot be read: {error}"))),
        Ok(Ok(bytes)) => bytes,
    };
    let value = strict_json::from_slice(&bytes)
        .map_err(|error| Refusal::BadRequest(format!("the body is not JSON: {error}")))?;
    serde_json::from_value(value).map_err(|error| {
        Refusal::BadRequest(format!("the body is not what this route accepts: {error}; send {example}"))
    })
}

//! Reading a request's body: bounded in size and time, strict JSON.

use std::time::Duration;

use actix_web::web;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::refusal::Refusal;
use crate::connections::overdue;
use templates::Scope;

const MAX_BODY_BYTES: usize = 16 * 1024;
/// What an item of a scope looks like.
const SCOPE_ITEM: &str = r#"{"action":…,"bucket":…,"region":…,"prefix":…}"#;
/// Longest time in which a body must arrive.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The body as a value.
///
/// # Errors
/// If it is too large, too slow, or not JSON.
async fn json(payload: web::Payload) -> Result<Value, Refusal> {
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
    strict_json::from_slice(&bytes)
        .map_err(|error| Refusal::BadRequest(format!("the body is not JSON: {error}")))
}

/// The body as an object with the members of a `T`; `example` shows what to send.
///
/// # Errors
/// If the body cannot be read, or is no such object.
pub(super) async fn object<T: DeserializeOwned>(payload: web::Payload, example: &str) -> Result<T, Refusal> {
    let value = json(payload).await?;
    if !value.is_object() {
        return Err(unexpected(&format!("it is not an object; send {example}")));
    }
    serde_json::from_value(value).map_err(|error| unexpected(&format!("{error}; send {example}")))
}

/// The body as a list.
///
/// # Errors
/// If the body cannot be read, or is no list.
pub(super) async fn list(payload: web::Payload) -> Result<Vec<Value>, Refusal> {
    match json(payload).await? {
        Value::Array(items) => Ok(items),
        _ => Err(unexpected("it is not a list; send […], a list of scope items")),
    }
}

/// The items of a scope. Each is an object: serde would take its members in a list, too.
///
/// # Errors
/// If one is not.
pub(super) fn scope(items: Vec<Value>) -> Result<Vec<Scope>, Refusal> {
    let read = items.into_iter().enumerate().map(|(index, item)| {
        if !item.is_object() {
            return Err(unexpected(&format!("scope item {index} is not an object; send {SCOPE_ITEM}")));
        }
        serde_json::from_value(item)
            .map_err(|error| unexpected(&format!("scope item {index}: {error}; send {SCOPE_ITEM}")))
    });
    read.collect()
}

fn unexpected(what: &str) -> Refusal {
    Refusal::BadRequest(format!("the body is not what this route accepts: {what}"))
}

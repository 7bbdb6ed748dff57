//! Complete responses for connections that reach no handler.

use actix_web::http::StatusCode;
use bytes::Bytes;
use serde_json::json;

use super::refusal::{Refusal, whole_seconds};
use crate::connections::PreparedAnswers;

/// Returns the responses to connections above the limits, to clients that are too slow, and to what is no HTTP/1.1.
pub(crate) fn prepared_answers() -> PreparedAnswers {
    PreparedAnswers {
        overloaded: response(&Refusal::Overloaded),
        head_timeout: response(&Refusal::HeadTooSlow),
        unencoded_target: response(&Refusal::UnencodedTarget),
        malformed: response(&Refusal::Malformed),
        head_too_large: response(&Refusal::HeadTooLarge),
    }
}

/// Without a request id: there is no request.
fn response(refusal: &Refusal) -> Bytes {
    let problem = refusal.problem();
    let body = json!({
        "type": problem.uri(),
        "title": problem.title,
        "status": problem.status,
        "detail": refusal.detail(),
    });
    let (status, body) = (problem.status, body.to_string());
    let reason =
        StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let retry_after = refusal
        .retry_after()
        .map(|delay| format!("retry-after: {}\r\n", whole_seconds(delay)))
        .unwrap_or_default();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         {retry_after}cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n{body}"
    )
    .into()
}

//! What the span of a call to STS says, in the words of OpenTelemetry's conventions for HTTP clients.

use super::{TemporaryCredential, metrics, response::Failure};
use crate::telemetry::Span;
use templates::Grant;

/// The call came to an end; `made` is how many were before it, for the same key.
pub(super) fn end(
    mut span: Span,
    host: &str,
    grant: &Grant,
    made: u32,
    outcome: &Result<TemporaryCredential, Failure>,
) {
    span.set("http.request.method", "POST");
    span.set("server.address", host.to_owned());
    if made > 0 {
        span.set("http.request.resend_count", i64::from(made));
    }
    span.set("cosbroker.template", grant.template_name().to_owned());
    span.set("cosbroker.grant_id", grant.id().to_string());
    let failure = outcome.as_ref().err();
    span.set("cosbroker.sts.outcome", metrics::outcome(failure.map(|failure| failure.class)));
    match outcome {
        Ok(key) => span.set("cosbroker.sts.request_id", key.request_id.clone()),
        // The code and the request id, as in the log.
        Err(failure) => span.set_failed(failure.code, failure.detail.clone()),
    }
}

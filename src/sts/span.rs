//! The span of a call to STS, with the attributes of OpenTelemetry's conventions for HTTP clients.

use super::{TemporaryCredential, failure::Failure, metrics};
use crate::telemetry::Span;
use templates::Grant;

/// Ends the span of a call. `attempts_before` counts the earlier calls for the same temporary key.
pub(super) fn end(
    mut span: Span,
    host: &str,
    grant: &Grant,
    attempts_before: u32,
    outcome: &Result<TemporaryCredential, Failure>,
) {
    span.set("http.request.method", "POST");
    span.set("server.address", host.to_owned());
    if attempts_before > 0 {
        span.set("http.request.resend_count", i64::from(attempts_before));
    }
    span.set("cosbroker.template", grant.template_name().to_owned());
    span.set("cosbroker.grant_id", grant.id().to_string());
    let failure = outcome.as_ref().err();
    span.set("cosbroker.sts.outcome", metrics::outcome(failure.map(|failure| failure.class)));
    match outcome {
        Ok(credential) => span.set("cosbroker.sts.request_id", credential.request_id.clone()),
        // The code and the request id, as in the log.
        Err(failure) => span.set_failed(failure.code, failure.detail.clone()),
    }
}

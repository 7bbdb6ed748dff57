//! Attributes of a request's span, by OpenTelemetry's conventions for HTTP servers.
//!
//! Never a path, a query, an address or a token: a route, a template and random ids.

use actix_web::{
    HttpRequest,
    http::{Method, StatusCode},
};

use super::{observe::Ended, outcome::RequestOutcome};
use crate::telemetry::Span;

/// Ends the span of a request.
pub(super) fn end(mut span: Span, ended: &Ended<'_>) {
    if let Some(status) = ended.status {
        describe_answer(&mut span, &ended.call.request, status);
    }
    if let Some(template) = ended.template.as_deref() {
        span.set("cosbroker.template", template.to_owned());
    }
    span.set("cosbroker.request_id", ended.call.context().request_id.to_string());
    if let Some(label) = ended.label() {
        span.set("cosbroker.outcome", label.name());
    }
    let mut error_type = "internal";
    match ended.outcome {
        RequestOutcome::Served { credential, .. } => {
            span.set("cosbroker.grant_id", credential.grant().id().to_string());
        }
        RequestOutcome::Refused(refusal) => {
            error_type = refusal.problem().name;
            span.set("cosbroker.refusal", error_type);
        }
        RequestOutcome::Answered | RequestOutcome::Abandoned { .. } => {}
    }
    // For a server's span, an error of the client is no error.
    if ended.status.is_some_and(|status| status.is_server_error()) {
        span.set_failed(error_type, "");
    }
}

fn describe_answer(span: &mut Span, request: &HttpRequest, status: StatusCode) {
    let method = known_method(request.method());
    let name = method.unwrap_or("HTTP");
    match request.match_pattern() {
        Some(route) => {
            span.rename(format!("{name} {route}"));
            span.set("http.route", route);
        }
        None => span.rename(name),
    }
    span.set("http.request.method", method.unwrap_or("_OTHER"));
    span.set("http.response.status_code", i64::from(status.as_u16()));
}

/// A method of the standard; a client can send any other word.
fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

//! What the span of a request says, in the words of OpenTelemetry's conventions for HTTP servers.
//!
//! Never a path, a query, an address or a token: a route, a template and random ids.

use actix_web::{body::MessageBody, dev::ServiceResponse, http::Method};

use crate::{
    credential_cache::{Key, Outcome},
    telemetry::Span,
};

/// Of which template the ask is, if there is one of that name.
pub(super) fn of_template(span: &mut Span, template: Option<&str>) {
    if let Some(template) = template {
        span.set("cosbroker.template", template.to_owned());
    }
}

/// Which key was handed out.
pub(super) fn of_key(span: &mut Span, key: &Key) {
    of_template(span, Some(key.grant().template_name()));
    span.set("cosbroker.grant_id", key.grant().id().to_string());
}

/// The request is answered.
pub(super) fn end(
    mut span: Span,
    response: &ServiceResponse<impl MessageBody>,
    request_id: &str,
    outcome: Option<Outcome>,
    refusal: Option<&'static str>,
) {
    let (request, status) = (response.request(), response.status());
    let (method, named) = method(request.method());
    match request.match_pattern() {
        Some(route) => {
            span.rename(format!("{named} {route}"));
            span.set("http.route", route);
        }
        None => span.rename(named),
    }
    span.set("http.request.method", method);
    span.set("http.response.status_code", i64::from(status.as_u16()));
    span.set("cosbroker.request_id", request_id.to_owned());
    if let Some(outcome) = outcome {
        span.set("cosbroker.outcome", outcome.name());
    }
    if let Some(refusal) = refusal {
        span.set("cosbroker.refusal", refusal);
    }
    // To a server, what the client did wrong is no error.
    if status.is_server_error() {
        span.set_failed(refusal.unwrap_or("internal"), "");
    }
}

/// A method as an attribute and in a name; what a client makes up is neither.
fn method(method: &Method) -> (&'static str, &'static str) {
    const KNOWN: [&str; 7] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.map_or(("_OTHER", "HTTP"), |name| (name, name))
}

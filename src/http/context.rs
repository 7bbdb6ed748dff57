//! The context of a request: its id, its client, and its trace if it has one.

use actix_web::{HttpRequest, http::header::HeaderName};

use super::{
    Api,
    client_address::{client, is_trusted, peer},
};
use crate::{
    request::RequestContext,
    telemetry::{Span, TraceContext},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns a request's context, and its span if it is sampled. `tracestate` and `baggage` are ignored: they belong to
/// the app, and STS does not need them.
pub(super) fn begin(api: &Api, request: &HttpRequest) -> (RequestContext, Option<Box<Span>>) {
    let random = api.entropy.bytes();
    let (trace, span) = api.tracer.start_request(random, traceparent(request), || {
        peer(request).is_some_and(|peer| is_trusted(peer, &api.trusted_proxies))
    });
    let client = client(request, &api.trusted_proxies);
    (RequestContext { request_id: random.into(), client, trace }, span)
}

/// The trace that the caller names. Several headers count as none.
fn traceparent(request: &HttpRequest) -> Option<TraceContext> {
    let mut headers = request.headers().get_all(TRACEPARENT);
    let only = headers.next().filter(|_| headers.next().is_none())?;
    TraceContext::parse(only.as_bytes())
}

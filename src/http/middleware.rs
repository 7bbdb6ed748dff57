//! Middleware around every request: its id and trace, the headers of every answer, and the observation of how it
//! ended.

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
    web,
};

use super::{
    Api,
    client_address::{client, is_trusted, peer},
    cors::cors,
    observe::Observer,
    route::Route,
    state::RequestState,
};
use crate::{
    request::RequestContext,
    telemetry::{Span, TraceContext},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request its context, adds the headers of every answer, which no handler sets, and observes the outcome.
pub(super) async fn request_context(
    api: web::Data<Api>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = api.clock.monotonic();
    let (context, span) = begin(&api, &request);
    let state = RequestState::new(context, Route::of(request.path()), span);
    tracing::debug!(
        request_id = %context.request_id,
        trace_id = context.trace.map(|trace| tracing::field::display(trace.trace_id())),
        method = %request.method(),
        path = request.path(),
        client = ?context.client,
        "request"
    );
    request.extensions_mut().insert(state.clone());
    let observer = Observer::start(web::Data::clone(&api), state, started);
    let mut response = cors(&api.cors, request, next).await?;
    observer.finish(&response);
    if api.is_draining() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_bytes(&context.request_id.digits()) {
        headers.append(X_REQUEST_ID, value);
    }
    headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The request's context, and its span if it is sampled. `tracestate` and `baggage` are ignored: they belong to
/// the app, and STS does not need them.
fn begin(api: &Api, request: &ServiceRequest) -> (RequestContext, Option<Box<Span>>) {
    let random = api.entropy.bytes();
    let (trace, span) = api.tracer.start_request(random, traceparent(request), || {
        peer(request).is_some_and(|peer| is_trusted(peer, &api.trusted_proxies))
    });
    let client = client(request, &api.trusted_proxies);
    (RequestContext { request_id: random.into(), client, trace }, span)
}

/// The trace that the caller names. Several headers count as none.
fn traceparent(request: &ServiceRequest) -> Option<TraceContext> {
    let mut headers = request.headers().get_all(TRACEPARENT);
    let only = headers.next().filter(|_| headers.next().is_none())?;
    TraceContext::parse(only.as_bytes())
}

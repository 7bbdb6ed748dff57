//! What stands around every request: its id, its trace, the headers every answer carries, who sent it, how it
//! ended and how long that took.

use std::{
    cell::{Cell, RefCell},
    future::{Ready, ready},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    middleware::Next,
    web,
};
use ipnet::IpNet;

use super::{Api, span};
use crate::{
    audit::RequestContext,
    credential_cache::Outcome,
    telemetry::{Span, TraceContext},
};

/// One request and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct RequestState(Rc<Told>);

#[derive(Debug)]
struct Told {
    context: RequestContext,
    ending: Cell<Ending>,
    /// Only of a request that is sampled.
    span: RefCell<Option<Box<Span>>>,
}

/// How a request ended, as far as a handler said.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Open,
    Served(Outcome),
    Refused(&'static str),
}

impl RequestState {
    pub(super) fn new(context: RequestContext, span: Option<Box<Span>>) -> Self {
        Self(Rc::new(Told { context, ending: Cell::new(Ending::Open), span: RefCell::new(span) }))
    }

    /// The name of the request: in the answer, the log and, where there is one, the problem.
    pub(super) fn id(&self) -> &str {
        &self.0.context.request_id
    }

    /// Its name and who sent it.
    pub(super) fn context(&self) -> &RequestContext {
        &self.0.context
    }

    /// Its trace's name, for the log.
    pub(super) fn trace_id(&self) -> Option<impl tracing::Value> {
        self.0.context.trace.map(|trace| tracing::field::display(trace.trace_id()))
    }

    /// Tells its span something, if it has one.
    pub(super) fn tell(&self, something: impl FnOnce(&mut Span)) {
        if let Some(span) = self.0.span.borrow_mut().as_deref_mut() {
            something(span);
        }
    }

    /// A key was handed out.
    pub(super) fn served(&self, outcome: Outcome) {
        self.0.ending.set(Ending::Served(outcome));
    }

    /// It was refused; the name is that of the table in `refusal.rs`.
    pub(super) fn refused(&self, name: &'static str) {
        self.0.ending.set(Ending::Refused(name));
    }
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl FromRequest for RequestState {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        let unknown = || RequestContext { request_id: "unknown".into(), ..RequestContext::default() };
        ready(Ok(known.unwrap_or_else(|| Self::new(unknown(), None))))
    }
}

/// Names the request, and puts on the answer what every answer carries.
pub(super) async fn surround(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let api = request.app_data::<web::Data<Api>>().map(|api| Arc::clone(api));
    let began = api.as_ref().map(|api| api.clock.monotonic());
    let (context, span) = api.as_ref().map(|api| context(api, &request)).unwrap_or_default();
    let state = RequestState::new(context, span);
    tracing::debug!(request_id = state.id(), trace_id = state.trace_id(), method = %request.method(), path = request.path(), client = ?state.context().client, "request");
    request.extensions_mut().insert(state.clone());
    let mut response = next.call(request).await?;
    if let (Some(api), Some(began)) = (&api, began) {
        let outcome = count(api, &response, &state, api.clock.monotonic().saturating_sub(began));
        if let Some(span) = state.0.span.take() {
            let refusal = match state.0.ending.get() {
                Ending::Refused(name) => Some(name),
                Ending::Open | Ending::Served(_) => None,
            };
            span::end(*span, &response, state.id(), outcome, refusal);
        }
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(state.id()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Its name, who sent it and its trace; the span, where it is sampled. `tracestate` and `baggage` are left alone:
/// they are the app's own words, and nobody behind us needs them.
fn context(api: &Api, request: &ServiceRequest) -> (RequestContext, Option<Box<Span>>) {
    let random = api.entropy.bytes();
    let peer_is_trusted =
        || peer(request).is_some_and(|peer| api.trusted_proxies.iter().any(|net| net.contains(&peer)));
    let (trace, span) = api.tracer.start_request(random, traceparent(request), peer_is_trusted);
    let client = client(request, &api.trusted_proxies);
    (RequestContext { request_id: hex::encode(random).into(), client, trace }, span)
}

/// Where the request stands in a trace of its sender's; several headers are none.
fn traceparent(request: &ServiceRequest) -> Option<TraceContext> {
    let mut headers = request.headers().get_all(TRACEPARENT);
    let only = headers.next().filter(|_| headers.next().is_none())?;
    TraceContext::parse(only.as_bytes())
}

fn count(
    api: &Api,
    response: &ServiceResponse<impl MessageBody>,
    state: &RequestState,
    took: Duration,
) -> Option<Outcome> {
    let outcome = match state.0.ending.get() {
        Ending::Served(outcome) => Some(outcome),
        Ending::Refused(name) => {
            api.metrics.refused(name);
            Some(Outcome::Refused)
        }
        // By something around the handlers, such as CORS.
        Ending::Open if !response.status().is_success() => Some(Outcome::Refused),
        Ending::Open => None,
    };
    api.metrics.answered(response.request().path(), outcome, took);
    outcome
}

/// The other end of the connection. Where one listener takes both families, an IPv4 peer comes as
/// `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2), which no IPv4 network holds.
fn peer(request: &ServiceRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// Who sent a request: the peer, or the last address in `X-Forwarded-For` that a trusted proxy vouches
/// for.
fn client(request: &ServiceRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer(request)?;
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    Some(last_untrusted(peer, &hops, trusted))
}

/// Walks from the peer backwards as long as each hop is a trusted proxy; a client can write what it likes
/// to the left of that.
fn last_untrusted(peer: IpAddr, hops: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut address = peer;
    for hop in hops.iter().rev() {
        match hop.parse::<IpAddr>() {
            Ok(next) if is_trusted(&address) => address = next.to_canonical(),
            _ => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_counts_only_as_far_as_proxies_are_trusted() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let from =
            |peer: &str, hops: &[&str]| last_untrusted(peer.parse().unwrap(), hops, &trusted).to_string();
        assert_eq!(from("1.2.3.4", &["6.6.6.6"]), "1.2.3.4");
        assert_eq!(from("10.0.0.1", &["6.6.6.6", "1.2.3.4"]), "1.2.3.4");
        assert_eq!(from("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"]), "1.2.3.4");
        assert_eq!(from("10.0.0.1", &["1.2.3.4", "::ffff:10.0.0.2"]), "1.2.3.4");
        assert_eq!(from("10.0.0.1", &["junk"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }
}

//! What stands around every request: its id, the headers every answer carries, who sent it, how it ended and
//! how long that took.

use std::{
    cell::Cell,
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

use super::Api;
use crate::{audit::Origin, broker::Outcome};

/// One request and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Exchange(Rc<Told>);

#[derive(Debug)]
struct Told {
    origin: Origin,
    ending: Cell<Ending>,
}

/// How a request ended, as far as a handler said.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Open,
    Served(Outcome),
    Refused(&'static str),
}

impl Exchange {
    pub(super) fn new(origin: Origin) -> Self {
        Self(Rc::new(Told { origin, ending: Cell::new(Ending::Open) }))
    }

    /// The name of the request: in the answer, the log and, where there is one, the problem.
    pub(super) fn id(&self) -> &str {
        &self.0.origin.request_id
    }

    /// Its name and who sent it.
    pub(super) fn origin(&self) -> &Origin {
        &self.0.origin
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

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl FromRequest for Exchange {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        let unknown = || Origin { request_id: "unknown".into(), client: None };
        ready(Ok(known.unwrap_or_else(|| Self::new(unknown()))))
    }
}

/// Names the request, and puts on the answer what every answer carries.
pub(super) async fn surround(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let api = request.app_data::<web::Data<Api>>().map(|api| Arc::clone(api));
    let began = api.as_ref().map(|api| api.clock.monotonic());
    let request_id: Arc<str> = api.as_ref().map_or_else(String::new, |api| api.entropy.name()).into();
    let client = api.as_ref().and_then(|api| client(&request, &api.trusted_proxies));
    tracing::debug!(request_id = &*request_id, method = %request.method(), path = request.path(), ?client, "request");
    let exchange = Exchange::new(Origin { request_id, client });
    request.extensions_mut().insert(exchange.clone());
    let mut response = next.call(request).await?;
    if let (Some(api), Some(began)) = (&api, began) {
        count(api, &response, &exchange, api.clock.monotonic().saturating_sub(began));
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(exchange.id()) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn count(api: &Api, response: &ServiceResponse<impl MessageBody>, exchange: &Exchange, took: Duration) {
    let outcome = match exchange.0.ending.get() {
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
}

/// Who sent a request: the peer, or the last address in `X-Forwarded-For` that a trusted proxy vouches
/// for.
fn client(request: &ServiceRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
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
        match hop.parse() {
            Ok(next) if is_trusted(&address) => address = next,
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
        assert_eq!(from("10.0.0.1", &["junk"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }
}

//! The operators' listener: what the other rooms count and hold, for those who watch.
//!
//! Reads the others, and when told to has the templates loaded anew, or a person served no more; on any
//! address but loopback it asks for a bearer token.

mod api;
mod keys;

use std::sync::Arc;

use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{Server, ServiceRequest, ServiceResponse},
    http::{
        header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
        uri::Authority,
    },
    middleware::{self, Next},
    web,
};
use hmac::{Hmac, KeyInit, Mac};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    registry::Registry,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{audit::Audit, broker::Broker, clock::Clock, figures::Sheet, policy::TemplateStore};

/// What the operators' listener shows.
#[derive(Debug)]
pub struct Operators {
    registry: Registry,
    broker: Broker,
    templates: Arc<TemplateStore>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    token: Option<SecretString>,
    issuers: Vec<String>,
}

impl Operators {
    /// Shows what the rooms have put into the registry, and this process beside them.
    pub fn new(
        mut registry: Registry,
        broker: Broker,
        templates: Arc<TemplateStore>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        token: Option<SecretString>,
        issuers: Vec<String>,
    ) -> Self {
        let started = clock.now().as_second();
        registry.register_collector(Box::new(Process { started }));
        Self { registry, broker, templates, audit, clock, token, issuers }
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Compares keyed hashes, so that neither length nor content shows in the time it takes.
    fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = authorization.and_then(|header| header.strip_prefix(b"Bearer ")).unwrap_or_default();
        let tag = |text: &[u8]| {
            Hmac::<Sha256>::new_from_slice(b"cosbroker operators").map(|mac| mac.chain_update(text))
        };
        match (tag(token.expose_secret().as_bytes()), tag(given)) {
            (Ok(wanted), Ok(given)) => wanted.verify(&given.finalize().into_bytes()).is_ok(),
            _ => false,
        }
    }
}

/// This process: which program, and since when.
#[derive(Debug)]
struct Process {
    started: i64,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut sheet = Sheet::new(encoder);
        sheet.info("cosbroker_build", "The program that runs", [[("version", env!("CARGO_PKG_VERSION"))]])?;
        sheet.gauge("process_start_time_seconds", "When this process started", self.started)
    }
}

/// Starts the operators' listener.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(operators: Operators, listener: std::net::TcpListener) -> std::io::Result<Server> {
    let operators = web::Data::new(operators);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::clone(&operators))
            .wrap(middleware::from_fn(guard))
            .route("/metrics", web::get().to(metrics))
            .configure(api::routes)
            .configure(keys::routes)
            .default_service(web::to(nothing))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let operators = request.app_data::<web::Data<Operators>>();
    let (admitted, open) =
        operators.map_or((false, false), |operators| (operators.admits(header), operators.token.is_none()));
    if open && !is_for_this_machine(request.headers()) {
        let refused = HttpResponse::Forbidden().body(
            "without a token, this listener answers to an IP address or localhost only; set admin.token_file\n",
        );
        return Ok(request.into_response(refused).map_into_right_body());
    }
    if admitted {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let refused = HttpResponse::Unauthorized()
        .insert_header((WWW_AUTHENTICATE, "Bearer realm=\"cosbroker operators\""))
        .body("send `Authorization: Bearer <token>` with the token of [admin]\n");
    Ok(request.into_response(refused).map_into_right_body())
}

/// A page can have its own name lead to loopback, and is then of the same origin as what listens there; the
/// `Host` of what it sends is still that name.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).is_some_and(|authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok()
    })
}

async fn metrics(operators: web::Data<Operators>) -> HttpResponse {
    match operators.metrics() {
        Ok(text) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn nothing() -> HttpResponse {
    HttpResponse::NotFound().body("see /metrics, /api/templates, /api/keys and /api/revoked\n")
}

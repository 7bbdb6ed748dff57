//! The operators' listener: what the other rooms count and hold, for those who watch.
//!
//! Reads the others, and has the templates loaded anew when told to; on any address but loopback it asks for
//! a bearer token.

mod api;

use std::sync::Arc;

use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{Server, ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, WWW_AUTHENTICATE},
    middleware::{self, Next},
    web,
};
use hmac::{Hmac, KeyInit, Mac};
use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge, registry::Registry};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{broker::Broker, clock::Clock, policy::TemplateStore, sts::TencentSts};

/// What the operators' listener shows.
#[derive(Debug)]
pub struct Operators {
    registry: Registry,
    broker: Broker,
    sts: Arc<TencentSts>,
    templates: Arc<TemplateStore>,
    clock: Arc<dyn Clock>,
    gauges: Gauges,
    token: Option<SecretString>,
}

/// Figures that are read when they are asked for.
#[derive(Debug, Default)]
struct Gauges {
    quota_available: Gauge,
    resting: Gauge,
    entries: Gauge,
    bytes: Gauge,
    in_flight: Gauge,
}

impl Operators {
    /// Gathers every room's figures.
    pub fn new(
        broker: Broker,
        sts: Arc<TencentSts>,
        templates: Arc<TemplateStore>,
        clock: Arc<dyn Clock>,
        token: Option<SecretString>,
    ) -> Self {
        let mut registry = Registry::default();
        let gauges = Gauges::default();
        broker.register(&mut registry);
        sts.register(&mut registry);
        templates.register(&mut registry);
        for (name, help, gauge) in [
            (
                "cosbroker_sts_quota_available",
                "STS calls that may still be made in the present second",
                &gauges.quota_available,
            ),
            ("cosbroker_sts_resting", "1 while STS is left alone after repeated failures", &gauges.resting),
            ("cosbroker_cache_entries", "Keys in memory", &gauges.entries),
            ("cosbroker_cache_bytes", "Memory that keys take, as weighed", &gauges.bytes),
            ("cosbroker_flights", "Calls for a key under way", &gauges.in_flight),
        ] {
            registry.register(name, help, gauge.clone());
        }
        Self { registry, broker, sts, templates, clock, gauges, token }
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        use crate::sts::Sts;
        let (entries, bytes, in_flight) = self.broker.size();
        let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.gauges.quota_available.set(self.sts.quota_available().into());
        self.gauges.resting.set(self.sts.is_resting().into());
        self.gauges.entries.set(shown(entries));
        self.gauges.bytes.set(shown(bytes));
        self.gauges.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
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
    let header = request.headers().get(AUTHORIZATION).map(actix_web::http::header::HeaderValue::as_bytes);
    let admitted =
        request.app_data::<web::Data<Operators>>().is_some_and(|operators| operators.admits(header));
    if admitted {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let refused = HttpResponse::Unauthorized()
        .insert_header((WWW_AUTHENTICATE, "Bearer realm=\"cosbroker operators\""))
        .body("send `Authorization: Bearer <token>` with the token of [admin]\n");
    Ok(request.into_response(refused).map_into_right_body())
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
    HttpResponse::NotFound().body("see /metrics and /api/templates\n")
}

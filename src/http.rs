//! The public API: routes, handlers, errors and the observation of every request.
//!
//! It has no rules of its own: `identity` says who the caller is, `templates` what they may do, and
//! `credential_cache` has the credential. How a request ended is an `outcome`, which `observe` tells to metrics,
//! audit log, trace and log. Status codes stand in `problem`.

mod bearer;
mod body;
mod call;
mod client_address;
mod context;
mod cors;
mod dropin;
mod health;
mod metrics;
mod observe;
mod openapi;
mod outcome;
mod prepared;
mod problem;
mod query;
mod recent_refusals;
mod refusal;
mod route;
mod shape;
mod span;
mod tls;
mod v1;

use std::sync::Arc;

use actix_web::{App, HttpResponse, Resource, Route, guard, web};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use self::{call::Call, refusal::Refusal};
pub use self::{
    cors::{CorsPolicy, PreflightRefused},
    metrics::{Metrics, TemplateCounts},
    openapi::document as openapi_document,
    outcome::OutcomeLabel,
    problem::ProblemType,
    recent_refusals::{RecentRefusal, RecentRefusals},
};
pub(crate) use self::{
    health::Readiness,
    prepared::prepared_answers,
    query::query,
    tls::{CertificateMetrics, ListenerTls},
};
use crate::{
    audit::Audit,
    config,
    connections::{self, Server},
    credential_cache::CredentialCache,
    identity::Verifier,
    reload::TemplateStore,
    telemetry::Tracer,
};
use diagnostics::Diagnostic;
use runtime::{clock::Clock, entropy::Entropy};

/// Dependencies of the handlers.
#[derive(Debug)]
pub struct Api {
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// The templates that serve.
    pub templates: Arc<TemplateStore>,
    /// Serves credentials.
    pub cache: CredentialCache,
    /// Records refusals, and served credentials if configured.
    pub audit: Audit,
    /// Decides which requests are traced.
    pub tracer: Tracer,
    /// Time source.
    pub clock: Arc<dyn Clock>,
    /// Source of request ids and object names.
    pub entropy: Arc<dyn Entropy>,
    /// Which pages may call.
    pub cors: CorsPolicy,
    /// Peers whose `X-Forwarded-For` and sampling decision are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Metrics of requests.
    pub metrics: Metrics,
    /// The latest refusals, for operators.
    pub recent: RecentRefusals,
    /// Cancelled when the process begins to drain before it stops.
    pub shutdown: CancellationToken,
}

impl Api {
    fn is_draining(&self) -> bool {
        self.shutdown.is_cancelled()
    }
}

/// Prepares the public listener, which serves until `closing` is cancelled; `max_connections` is what the machine
/// allows of the configured number.
pub(crate) fn serve(
    api: Api,
    listener: std::net::TcpListener,
    config: &config::Server,
    tls: Option<&ListenerTls>,
    max_connections: usize,
    closing: CancellationToken,
) -> Server {
    let api = web::Data::new(api);
    let settings = connections::Settings {
        name: "public",
        workers: config.workers(),
        max_connections,
        max_connections_per_address: config.max_connections_per_address(),
        exempt: config.trusted_proxies().to_vec(),
        tls: tls.map(ListenerTls::server),
        handshake_timeout: config.tls_handshake_timeout(),
        shutdown_timeout: config.shutdown_timeout(),
        answers: prepared_answers(),
    };
    Server::new(listener, settings, closing, move || {
        App::new().app_data(web::Data::clone(&api)).configure(routes)
    })
}

/// Checks that the certificate and key of a listener can be used.
///
/// # Errors
/// If they are not PEM, or do not belong together.
pub fn check_tls(tls: &config::Tls) -> Result<(), Diagnostic> {
    ListenerTls::new("", tls).map(|_| ())
}

/// Returns everything that the pages of an origin may not do of what they need: a method, and headers separated by commas.
pub fn page_refusals(
    config: &config::Server,
    origin: &str,
    method: &str,
    headers: &str,
) -> Vec<PreflightRefused> {
    let policy = CorsPolicy::new(config.cors_origins(), config.cors_headers());
    policy.refusals(origin.as_bytes(), method.as_bytes(), headers.as_bytes()).collect()
}

/// Handlers of GET answer HEAD too (RFC 9110 §9.1); the server leaves the body out.
fn routes(services: &mut web::ServiceConfig) {
    for path in ["/v1/credentials", "/v1/credentials/{template}"] {
        services.service(
            resource(path, "GET, HEAD, POST")
                .route(get_or_head().to(v1::get))
                .route(web::post().to(v1::post)),
        );
    }
    for path in ["/v1/explain", "/v1/explain/{template}"] {
        services.service(resource(path, GET_OR_HEAD).route(get_or_head().to(v1::explained)));
    }
    services
        .service(resource("/healthz", GET_OR_HEAD).route(get_or_head().to(health::healthz)))
        .service(resource("/readyz", GET_OR_HEAD).route(get_or_head().to(health::readyz)))
        .service(resource("/sign", GET_OR_HEAD).route(get_or_head().to(dropin::sign)))
        .service(
            resource("/sts", "GET, HEAD, POST")
                .route(get_or_head().to(dropin::sts))
                .route(web::post().to(dropin::sts_scoped)),
        )
        .service(
            resource("/getKeyAndCredentials", GET_OR_HEAD)
                .route(get_or_head().to(dropin::key_and_credentials)),
        )
        .service(resource("/openapi.json", GET_OR_HEAD).route(get_or_head().to(health::openapi)))
        .default_service(web::to(no_route));
}

/// Value of `Allow` where a resource can only be read.
pub(crate) const GET_OR_HEAD: &str = "GET, HEAD";

/// Returns a route for requests that read.
pub(crate) fn get_or_head() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A resource that refuses all methods but those of its routes.
fn resource(path: &str, allowed: &'static str) -> Resource {
    web::resource(path.to_owned()).default_service(web::to(move |call: Call| async move {
        without_handler(&call, Refusal::MethodNotAllowed(allowed))
    }))
}

async fn no_route(call: Call) -> HttpResponse {
    without_handler(&call, Refusal::NoRoute)
}

/// Answers a preflight, which any path may get, and refuses all else that no handler takes.
fn without_handler(call: &Call, refusal: Refusal) -> HttpResponse {
    match cors::preflight(&call.api.cors, &call.request) {
        None => call.refuse(refusal),
        Some(Ok(answer)) => call.answer(answer),
        Some(Err(refused)) => call.refuse(Refusal::Preflight(refused)),
    }
}

//! The public API: requests in, answers out, errors to status codes.
//!
//! No rules of its own: who asks is `identity`'s word, what they may do `policy`'s, the key `cache`'s.

mod ask;
mod bearer;
mod body;
mod context;
mod dropin;
mod health;
mod metrics;
mod query;
mod recent;
mod refusal;
mod shape;
mod span;
mod tls;
mod v1;

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::{App, HttpResponse, HttpServer, dev::Server, guard, middleware, web};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::query::query;
use self::{
    context::RequestState,
    refusal::{Form, Refusal},
};
pub use self::{
    metrics::Metrics,
    recent::{RecentRefusals, Refused},
};
use crate::{
    audit::Audit, config, credential_cache::CredentialCache, identity::Verifier, reload::TemplateStore,
    telemetry::Tracer,
};
use runtime::{clock::Clock, entropy::Entropy};

/// What the handlers need.
#[derive(Debug)]
pub struct Api {
    /// Who asks.
    pub verifier: Arc<Verifier>,
    /// What they may do.
    pub templates: Arc<TemplateStore>,
    /// Their key.
    pub cache: CredentialCache,
    /// Told of every refusal.
    pub audit: Audit,
    /// Says which requests are traced.
    pub tracer: Tracer,
    /// For what an answer says of time.
    pub clock: Arc<dyn Clock>,
    /// For names of requests and objects.
    pub entropy: Arc<dyn Entropy>,
    /// Peers whose `X-Forwarded-For` is believed, and what they say of sampling.
    pub trusted_proxies: Vec<IpNet>,
    /// What is counted of requests.
    pub metrics: Metrics,
    /// The last refusals.
    pub recent: RecentRefusals,
    /// Cancelled when the process is about to stop.
    pub shutdown: CancellationToken,
}

impl Api {
    fn is_draining(&self) -> bool {
        self.shutdown.is_cancelled()
    }
}

/// How long a client may take to send a request's head; RFC 9110 §15.5.9.
const SLOWEST_HEAD: std::time::Duration = std::time::Duration::from_secs(10);

/// Starts the public listener.
///
/// # Errors
/// When the socket or the certificate cannot be used.
pub fn serve(api: Api, listener: std::net::TcpListener, config: &config::Server) -> std::io::Result<Server> {
    let api = web::Data::new(api);
    let origins = config.cors_origins().to_vec();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::clone(&api))
            .wrap(middleware::Condition::new(!origins.is_empty(), cors(&origins)))
            .wrap(middleware::from_fn(context::surround))
            .configure(routes)
    })
    .client_request_timeout(SLOWEST_HEAD)
    .keep_alive(std::time::Duration::from_mins(1))
    .max_connections(config.max_connections())
    .shutdown_timeout(
        config.shutdown_timeout().as_secs() + u64::from(config.shutdown_timeout().subsec_nanos() > 0),
    )
    .disable_signals();
    let server = match config.workers() {
        Some(workers) => server.workers(workers),
        None => server,
    };
    let server = match config.tls() {
        Some(tls) => server.listen_rustls_0_23(listener, tls::server(tls)?)?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

/// Whether a certificate and key can be served with.
///
/// # Errors
/// When they are not PEM, or do not belong together.
pub fn check_tls(tls: &config::Tls) -> std::io::Result<()> {
    tls::server(tls).map(|_| ())
}

fn routes(services: &mut web::ServiceConfig) {
    let wrong_method = |allowed: &'static str, form: Form| {
        web::to(move |state: RequestState| async move { Refusal::Method(allowed).response(form, &state) })
    };
    let resource = |path: &str, allowed: &'static str, form: Form| {
        web::resource(path.to_owned()).default_service(wrong_method(allowed, form))
    };
    let problem = |path| resource(path, "GET", Form::Problem);
    let envelope = |path| resource(path, "GET", Form::Envelope);
    for path in ["/v1/credentials", "/v1/credentials/{template}"] {
        services.service(
            resource(path, "GET, POST", Form::Problem)
                .route(web::get().to(v1::get))
                .route(web::post().to(v1::post)),
        );
    }
    for path in ["/v1/explain", "/v1/explain/{template}"] {
        services.service(problem(path).route(web::get().to(v1::explained)));
    }
    for (path, handler) in [("/healthz", web::to(health::healthz)), ("/readyz", web::to(health::readyz))] {
        services.service(
            resource(path, "GET, HEAD", Form::Problem)
                .route(handler.guard(guard::Any(guard::Get()).or(guard::Head()))),
        );
    }
    services
        .service(envelope("/sign").route(web::get().to(dropin::sign)))
        .service(
            resource("/sts", "GET, POST", Form::Envelope)
                .route(web::get().to(dropin::sts))
                .route(web::post().to(dropin::sts_scoped)),
        )
        .service(envelope("/getKeyAndCredentials").route(web::get().to(dropin::key_and_credentials)))
        .service(problem("/openapi.json").route(web::get().to(health::openapi)))
        .default_service(web::to(nothing));
}

async fn nothing(state: RequestState) -> HttpResponse {
    Refusal::NoRoute.response(Form::Problem, &state)
}

/// Exact origins only, no credentials: a token travels in a header that scripts set themselves.
fn cors(origins: &[String]) -> Cors {
    origins
        .iter()
        .fold(Cors::default(), |cors, origin| cors.allowed_origin(origin))
        .allowed_methods(["GET", "POST"])
        .allowed_headers(["authorization", "content-type", "traceparent", "tracestate"])
        .expose_headers(["cache-status", "x-request-id", "retry-after", "www-authenticate"])
        .max_age(600)
}

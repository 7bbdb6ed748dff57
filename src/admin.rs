//! The operators' listener: what the other rooms count and hold, for those who watch.
//!
//! Reads the others, and when told to has the templates loaded anew, or a person served no more; on any
//! address but loopback it asks for a bearer token.

mod advise;
mod api;
mod auth;
mod history;
mod keys;
mod page;
mod status;

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    App, Error, HttpResponse, HttpServer, Resource,
    body::MessageBody,
    cookie::Cookie,
    dev::{Server, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ACCEPT, ALLOW, AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    web,
};
use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    metrics::counter::Counter,
    registry::Registry,
};
use secrecy::SecretString;

pub use self::history::EVERY as SAMPLED_EVERY;
use self::{
    auth::{AdminAuth, Outside},
    history::History,
};
use crate::{
    audit::Audit,
    canary::Canary,
    credential_cache::CredentialCache,
    http::{self, RecentRefusals},
    identity::Verifier,
    metrics::MetricsWriter,
    reload::TemplateStore,
    sts::TencentSts,
};
use runtime::clock::Clock;

/// The rooms that operators look into.
#[derive(Debug)]
pub struct Services {
    /// The living keys.
    pub cache: CredentialCache,
    /// What serves.
    pub templates: Arc<TemplateStore>,
    /// Who is believed.
    pub verifier: Arc<Verifier>,
    /// Where keys come from.
    pub sts: Arc<TencentSts>,
    /// What is counted of requests.
    pub requests: http::Metrics,
    /// The last refusals.
    pub recent: RecentRefusals,
    /// Whether COS keeps users apart, where that is tried out.
    pub canary: Option<Arc<Canary>>,
    /// Told of what operators do.
    pub audit: Audit,
    /// For what is said of time.
    pub clock: Arc<dyn Clock>,
}

/// What the operators' listener shows.
#[derive(Debug)]
pub struct AdminState {
    registry: Registry,
    services: Services,
    auth: AdminAuth,
    issuers: Vec<String>,
    history: History,
    /// Times that a wrong token was shown.
    turned_away: Counter,
    started_at: Timestamp,
}

impl AdminState {
    /// Shows what the rooms have put into the registry, and this process beside them; to who shows the token,
    /// if there is one.
    pub fn new(mut registry: Registry, services: Services, token: Option<SecretString>) -> Self {
        let started_at = services.clock.now();
        registry.register_collector(Box::new(Process { started: started_at.as_second() }));
        let turned_away = Counter::default();
        registry.register(
            "cosbroker_admin_auth_failures",
            "Times that a wrong token was shown to the operators' listener",
            turned_away.clone(),
        );
        let issuers = services.verifier.snapshot().iter().map(|issuer| issuer.name.to_string()).collect();
        let (auth, history) = (AdminAuth::new(token), History::default());
        Self { registry, services, auth, issuers, history, turned_away, started_at }
    }

    /// Counts a wrong token, and names who showed it: the first, and every hundredth, as somebody may guess fast.
    fn turn_away(&self, client: Option<IpAddr>) {
        let times = self.turned_away.inc() + 1;
        if times % 100 == 1 {
            let client = client.map(tracing::field::display);
            tracing::warn!(client, times, "a wrong token was shown to the operators' listener");
        }
    }

    /// Remembers for an hour how things stand now. To be called every [`SAMPLED_EVERY`].
    pub fn look(&self) {
        self.history.note(self.sample());
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// This process: which program, and since when.
#[derive(Debug)]
struct Process {
    started: i64,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut sheet = MetricsWriter::new(encoder);
        sheet.info("cosbroker_build", "The program that runs", [[("version", env!("CARGO_PKG_VERSION"))]])?;
        sheet.gauge("process_start_time_seconds", "When this process started", self.started)
    }
}

/// Starts the operators' listener.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(operators: Arc<AdminState>, listener: std::net::TcpListener) -> std::io::Result<Server> {
    let operators = web::Data::from(operators);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::clone(&operators))
            .wrap(middleware::from_fn(guard))
            .service(
                taking("GET, HEAD", "/metrics").route(web::get().to(metrics)).route(web::head().to(metrics)),
            )
            .configure(advise::routes)
            .configure(api::routes)
            .configure(keys::routes)
            .configure(page::routes)
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
    let cookie = request.cookie(auth::COOKIE);
    let admitted = request.app_data::<web::Data<AdminState>>().map_or(Err(Outside::Unknown), |operators| {
        let now = operators.services.clock.now();
        let admitted = operators.auth.admits(request.headers(), cookie.as_ref().map(Cookie::value), now);
        if admitted == Err(Outside::Unknown) && request.headers().contains_key(AUTHORIZATION) {
            operators.turn_away(api::client(request.request()));
        }
        admitted
    });
    let refused = match admitted {
        Ok(()) => return Ok(next.call(request).await?.map_into_left_body()),
        Err(Outside::ByName) => HttpResponse::Forbidden().body(
            "without a token, this listener answers to an IP address or localhost only; set admin.token_file\n",
        ),
        Err(Outside::Unknown) if page::OUTSIDE.contains(&request.path()) => {
            return Ok(next.call(request).await?.map_into_left_body());
        }
        Err(Outside::Unknown) if is_a_person(&request) => page::outside(None),
        Err(Outside::Unknown) => HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "Bearer realm=\"cosbroker operators\""))
            .body("send `Authorization: Bearer <token>` with the token of [admin]\n"),
    };
    Ok(request.into_response(refused).map_into_right_body())
}

/// A place that tells who comes by another method what it takes.
fn taking(methods: &'static str, path: &str) -> Resource {
    let refused = move || async move {
        HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, methods))
            .body(format!("this takes no such method; send {}\n", methods.replace(", ", " or ")))
    };
    web::resource(path.to_owned()).default_service(web::to(refused))
}

/// Whether a browser asks for a page.
fn is_a_person(request: &ServiceRequest) -> bool {
    let accepted = request.headers().get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    request.method() == Method::GET && accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

async fn metrics(operators: web::Data<AdminState>) -> HttpResponse {
    match operators.metrics() {
        Ok(text) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn nothing() -> HttpResponse {
    HttpResponse::NotFound()
        .body("see /, /metrics, /api/status, /api/templates, /api/keys, /api/revoked and /api/advise\n")
}

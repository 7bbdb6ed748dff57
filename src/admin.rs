//! The operators' listener: metrics, status, active keys and revocation, as JSON and as a page.
//!
//! It reads the other modules, and on request reloads the templates or revokes a user. On any address but loopback it
//! requires a bearer token: the operator's, or the viewer's, with which nothing can be changed.

mod alarms;
mod api;
mod auth;
mod error;
mod exposition;
mod fleet;
mod history;
mod keys;
mod login_attempts;
mod openapi;
mod page;
mod process;
mod status;
mod template_history;

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    App, Error, HttpRequest, HttpResponse, Resource, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{ACCEPT, ALLOW, AUTHORIZATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    web,
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use prometheus_client::{encoding::text::encode, metrics::counter::Counter, registry::Registry};
use tokio_util::sync::CancellationToken;

pub(crate) use self::history::SAMPLE_INTERVAL;
pub use self::openapi::document as openapi_document;
use self::{
    alarms::AlarmStarts,
    auth::{AdminAuth, AuthFailure, Now},
    error::AdminError,
    exposition::Format,
    history::History,
    process::ProcessMetrics,
    template_history::TemplateHistory,
};
use crate::{
    audit::Audit,
    canary::Canary,
    config::{AdminTokens, Role},
    connections::{self, Server},
    credential_cache::CredentialCache,
    http::{self, GET_OR_HEAD, RecentRefusals, get_or_head, prepared_answers},
    identity::Verifier,
    reload::TemplateStore,
    replicas::Replicas,
    sts::TencentSts,
};
use runtime::{clock::Clock, entropy::Entropy};

/// The services that the operators' listener reads and controls.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) cache: CredentialCache,
    pub(crate) templates: Arc<TemplateStore>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) sts: Arc<TencentSts>,
    pub(crate) requests: http::Metrics,
    pub(crate) recent: RecentRefusals,
    /// None if no canary is configured.
    pub(crate) canary: Option<Arc<Canary>>,
    /// None if nothing is shared with other replicas.
    pub(crate) replicas: Option<Arc<Replicas>>,
    pub(crate) audit: Audit,
    /// Cancelled when the service is told to stop.
    pub(crate) stopping: CancellationToken,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// The state of the operators' listener.
#[derive(Debug)]
pub(crate) struct AdminState {
    registry: Registry,
    services: Services,
    auth: AdminAuth,
    issuers: Vec<String>,
    history: History,
    templates: TemplateHistory,
    alarm_starts: AlarmStarts,
    auth_failures: Counter,
    started_at: Timestamp,
    uses_tls: bool,
}

impl AdminState {
    /// Returns the state for a registry of metrics and, if access needs one, the tokens.
    pub(crate) fn new(
        mut registry: Registry,
        services: Services,
        tokens: Option<AdminTokens>,
        uses_tls: bool,
    ) -> Self {
        let started_at = services.clock.now();
        registry.register_collector(Box::new(ProcessMetrics { started_at: started_at.as_second() }));
        let auth_failures = Counter::default();
        registry.register(
            "cosbroker_admin_auth_failures",
            "Requests to the operators' listener with a wrong token, or held up after wrong ones",
            auth_failures.clone(),
        );
        let issuers = services.verifier.snapshot().iter().map(|issuer| issuer.name.to_string()).collect();
        Self {
            registry,
            services,
            auth: AdminAuth::new(tokens),
            issuers,
            history: History::default(),
            templates: TemplateHistory::default(),
            alarm_starts: AlarmStarts::default(),
            auth_failures,
            started_at,
            uses_tls,
        }
    }

    /// Counts a wrong token, and logs the client of the first and of every hundredth: guesses may come fast.
    fn count_failed_login(&self, client: Option<IpAddr>) {
        let failures = self.auth_failures.inc() + 1;
        if failures % 100 == 1 {
            let client = client.map(tracing::field::display);
            tracing::warn!(client, failures, "a wrong token was sent to the operators' listener");
        }
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Connections to the operators' listener. The reserve of file descriptors has room for 32 of them.
const MAX_CONNECTIONS: usize = 256;
/// The time in which a TLS handshake must be done.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long running requests of operators may take when the service stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Prepares the operators' listener, which serves until `closing` is cancelled. Without `tls` it speaks plain HTTP.
pub(crate) fn serve(
    state: Arc<AdminState>,
    listener: std::net::TcpListener,
    tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
    closing: CancellationToken,
) -> Server {
    let state = web::Data::from(state);
    let settings = connections::Settings {
        name: "operators",
        workers: Some(1),
        max_connections: MAX_CONNECTIONS,
        max_connections_per_address: MAX_CONNECTIONS,
        exempt: Vec::new(),
        tls,
        handshake_timeout: TLS_HANDSHAKE_TIMEOUT,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
        answers: prepared_answers(),
    };
    Server::new(listener, settings, closing, move || {
        App::new()
            .app_data(web::Data::clone(&state))
            .wrap(middleware::from_fn(authenticate))
            .service(resource_allowing(GET_OR_HEAD, "/metrics").route(get_or_head().to(metrics)))
            .service(
                resource_allowing(GET_OR_HEAD, "/openapi.json")
                    .route(get_or_head().to(openapi::document_handler)),
            )
            .configure(api::routes)
            .configure(keys::routes)
            .configure(page::routes)
            .default_service(web::to(not_found))
    })
}

/// Passes on an authenticated request; otherwise responds with the login page, or with a refusal for programs.
async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let refused = match checked(&request) {
        Ok(Role::Viewer) if !may_be_sent_by_viewer(&request) => AdminError::new(
            StatusCode::FORBIDDEN,
            "the viewer's token of [admin] changes nothing; use the operator's",
        )
        .error_response(),
        Ok(Role::Viewer | Role::Operator) => {
            let response = next.call(request).await?.map_into_left_body();
            log_refused(&response);
            return Ok(response);
        }
        Err(AuthFailure::InvalidToken) if page::PUBLIC_PATHS.contains(&request.path()) => {
            return Ok(next.call(request).await?.map_into_left_body());
        }
        Err(AuthFailure::HostNotLoopback) => HttpResponse::Forbidden().body(
            "without a token, this listener answers to an IP address or localhost only; set admin.token_file\n",
        ),
        Err(AuthFailure::MustWait(wait)) => must_wait(wait),
        Err(AuthFailure::InvalidToken) if accepts_html(&request) => page::login_page(request.headers(), None),
        Err(AuthFailure::InvalidToken) => HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "Bearer realm=\"cosbroker operators\""))
            .body("send `Authorization: Bearer <token>` with a token of [admin]\n"),
    };
    Ok(request.into_response(refused).map_into_right_body())
}

/// Logs a request of an operator that was answered with an error of theirs, such as a wrong method.
fn log_refused(response: &ServiceResponse<impl MessageBody>) {
    let status = response.status();
    if status.is_client_error() {
        let request = response.request();
        let client = client(request).map(tracing::field::display);
        let (method, path, status) = (request.method().as_str(), request.path(), status.as_u16());
        tracing::info!(client, method, path, status, "an operator's request was refused");
    }
}

fn checked(request: &ServiceRequest) -> Result<Role, AuthFailure> {
    let state = request.app_data::<web::Data<AdminState>>().ok_or(AuthFailure::InvalidToken)?;
    let client = client(request.request());
    let now = Now::of(&*state.services.clock);
    let checked = state.auth.check(request.headers(), request.cookie(auth::COOKIE_NAME), client, now);
    let is_wrong_token = match checked {
        Ok(_) | Err(AuthFailure::HostNotLoopback) => false,
        Err(AuthFailure::MustWait(_)) => true,
        Err(AuthFailure::InvalidToken) => request.headers().contains_key(AUTHORIZATION),
    };
    if is_wrong_token {
        state.count_failed_login(client);
    }
    checked
}

/// Whether a request changes nothing but its own session.
fn may_be_sent_by_viewer(request: &ServiceRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) || page::changes_nothing(request.path())
}

/// Returns whole seconds after which a wait is over.
fn seconds_to_wait(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

/// Responds to a client whose address sent too many wrong tokens.
fn must_wait(wait: Duration) -> HttpResponse {
    let seconds = seconds_to_wait(wait);
    HttpResponse::TooManyRequests()
        .insert_header((RETRY_AFTER, seconds))
        .body(format!("too many wrong tokens came from this address; try again in {seconds} s\n"))
}

/// Returns the address of the operator's client.
fn client(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// Returns a resource that responds to other methods than the given ones with 405 and `Allow`.
fn resource_allowing(methods: &'static str, path: &str) -> Resource {
    web::resource(path.to_owned())
        .default_service(web::to(move || std::future::ready(method_not_allowed(methods))))
}

fn method_not_allowed(methods: &'static str) -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, methods))
        .body(format!("the method is not allowed here; send {}\n", methods.replace(", ", " or ")))
}

/// Returns whether the request comes from a browser that opens a page.
fn accepts_html(request: &ServiceRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    request.method() == Method::GET && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Handles `GET /metrics`.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "state",
    summary = "Metrics",
    description = "For Prometheus, as OpenMetrics or, where `Accept` names only `text/plain`, in the older text format. docs/reference/metrics.md lists them.",
    responses((status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text")),
)]
async fn metrics(state: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::of(accept.unwrap_or_default());
    match state.metrics() {
        Ok(metrics) => HttpResponse::Ok()
            .insert_header((VARY, "accept"))
            .content_type(format.content_type())
            .body(format.of_open_metrics(metrics)),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound()
        .body("see /, /openapi.json, /metrics, /api/status, /api/templates, /api/keys, /api/revoked and /api/advise\n")
}

//! A call: one request on its way through a handler, which authenticates the caller, gets a credential and
//! responds, in this order.
//!
//! Every handler takes one and ends it, so that every answer has the same headers, and every observer hears how the
//! request ended.

use std::{
    cell::{OnceCell, RefCell},
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    error::ErrorInternalServerError,
    http::{
        ConnectionType, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    },
    web,
};

use super::{
    Api, bearer, context, observe::observe, outcome::RequestOutcome, refusal::Refusal, route::Route, shape,
};
use crate::{
    credential_cache::{CacheOutcome, ResponseShape, ServedCredential},
    request::RequestContext,
    telemetry::Span,
};
use templates::{Grant, TemplateSet, identity::Identity};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The service, a request, and the state of the request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) api: web::Data<Api>,
    pub(super) request: HttpRequest,
    context: RequestContext,
    route: Route,
    /// On the monotonic clock.
    started: Duration,
    caller: OnceCell<Arc<Identity>>,
    progress: RefCell<Progress>,
    /// Only if the request is sampled.
    span: RefCell<Option<Box<Span>>>,
}

/// How far the handler is.
#[derive(Debug, Default)]
enum Progress {
    #[default]
    Handling,
    /// It waits for the credential of this grant.
    Waiting(Arc<Grant>),
}

/// A credential, and how to write it.
#[derive(Debug)]
pub(super) struct CredentialResponse {
    pub(super) served: ServedCredential,
    pub(super) shape: ResponseShape,
    /// Key of the object that the client may upload, for [`ResponseShape::ObjectKey`].
    pub(super) object_key: Option<String>,
}

impl FromRequest for Call {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let api = request.app_data::<web::Data<Api>>().cloned();
        let api = api.ok_or_else(|| ErrorInternalServerError("the application has no data"));
        ready(api.map(|api| Self::begin(api, request.clone())))
    }
}

impl Call {
    fn begin(api: web::Data<Api>, request: HttpRequest) -> Self {
        let started = api.clock.monotonic();
        let (context, span) = context::begin(&api, &request);
        tracing::debug!(
            request_id = %context.request_id,
            trace_id = context.trace.map(|trace| tracing::field::display(trace.trace_id())),
            method = %request.method(),
            path = request.path(),
            client = ?context.client,
            "request"
        );
        Self {
            route: Route::of(request.path()),
            api,
            request,
            context,
            started,
            caller: OnceCell::new(),
            progress: RefCell::default(),
            span: RefCell::new(span),
        }
    }

    /// Returns the user whom the request's token names, if they may send a request now, and the templates for the
    /// request. Comes before anything else of the request is read.
    ///
    /// # Errors
    /// If the token is not valid, or the user is revoked or rate limited.
    pub(super) async fn authenticate(&self) -> Result<(&Identity, Arc<TemplateSet>), Refusal> {
        let templates = self.api.templates.current();
        let caller = bearer::identity(&self.api, &self.request, templates.claims()).await?;
        let caller = self.caller.get_or_init(|| caller);
        self.api.cache.admit(caller)?;
        Ok((caller, templates))
    }

    pub(super) fn context(&self) -> &RequestContext {
        &self.context
    }

    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// When it began, on the monotonic clock.
    pub(super) fn started(&self) -> Duration {
        self.started
    }

    /// The user whom the request's token names, once it is verified.
    pub(super) fn caller(&self) -> Option<&Identity> {
        self.caller.get().map(AsRef::as_ref)
    }

    /// Name of the template in the request's path.
    pub(super) fn template(&self) -> Option<&str> {
        self.request.match_info().get("template")
    }

    /// Takes the span, if the request is sampled.
    pub(super) fn take_span(&self) -> Option<Box<Span>> {
        self.span.take()
    }

    /// Returns a credential for a grant. If the client disconnects while it waits, the request counts as refused.
    ///
    /// # Errors
    /// Why there is no credential.
    pub(super) async fn credential(
        &self,
        grant: &Arc<Grant>,
        requested_ttl: Option<Duration>,
    ) -> Result<ServedCredential, Refusal> {
        self.progress.replace(Progress::Waiting(Arc::clone(grant)));
        Ok(self.api.cache.credential_for(grant, requested_ttl, &self.context).await?)
    }

    /// Ends the request with a credential, or with the reason why there is none.
    pub(super) fn respond(&self, result: Result<CredentialResponse, Refusal>) -> HttpResponse {
        let CredentialResponse { served, shape, object_key } = match result {
            Ok(response) => response,
            Err(refusal) => return self.refuse(refusal),
        };
        let ServedCredential { credential, how } = served;
        let now = self.api.clock.now();
        let ttl = credential.ttl(now);
        let body = shape::body(&credential, shape, object_key.as_deref(), now);
        let mut response = HttpResponse::with_body(StatusCode::OK, body).map_into_boxed_body();
        let headers = response.headers_mut();
        if let Ok(status) = HeaderValue::try_from(cache_status(how, ttl)) {
            headers.append(CACHE_STATUS, status);
        }
        headers.append(CONTENT_TYPE, JSON);
        self.end(&RequestOutcome::Served { credential, how, ttl }, response)
    }

    /// Ends the request with an answer that holds no credential.
    pub(super) fn answer(&self, response: HttpResponse) -> HttpResponse {
        self.end(&RequestOutcome::Answered, response)
    }

    /// Ends the request with a refusal.
    pub(super) fn refuse(&self, refusal: Refusal) -> HttpResponse {
        let response = refusal.response(self.route.error_form(), self.context.request_id);
        self.end(&RequestOutcome::Refused(refusal), response)
    }

    /// Adds the headers of every answer, which no handler sets, and observes the outcome.
    fn end(&self, outcome: &RequestOutcome, mut response: HttpResponse) -> HttpResponse {
        self.progress.take();
        observe(self, outcome, Some(response.status()));
        if self.api.is_draining() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_bytes(&self.context.request_id.digits()) {
            headers.append(X_REQUEST_ID, value);
        }
        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.api.cors.allow(&self.request, headers);
        response
    }
}

/// A call that is dropped before it ends: its client disconnected.
impl Drop for Call {
    fn drop(&mut self) {
        if let Progress::Waiting(grant) = self.progress.take() {
            observe(self, &RequestOutcome::Abandoned { grant }, None);
        }
    }
}

/// Value of the `Cache-Status` header (RFC 9211). Joined rather than formatted: every hit has one.
fn cache_status(how: CacheOutcome, ttl: Duration) -> String {
    let before_ttl = match how {
        CacheOutcome::Hit | CacheOutcome::Refreshed => "cosbroker; hit; ttl=",
        CacheOutcome::Stale => "cosbroker; fwd=stale; ttl=",
        CacheOutcome::Coalesced => "cosbroker; fwd=miss; collapsed; ttl=",
        CacheOutcome::Shared => "cosbroker; fwd=miss; detail=shared; ttl=",
        CacheOutcome::Fetched => "cosbroker; fwd=miss; stored; ttl=",
    };
    [before_ttl, &ttl.as_secs().to_string()].concat()
}

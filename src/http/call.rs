//! A call: one request on its way through a handler, which authenticates the caller, gets a credential and
//! responds, in this order.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    error::ErrorInternalServerError,
    http::header::{CONTENT_TYPE, HeaderName, HeaderValue},
    web,
};

use super::{Api, bearer, outcome::RequestOutcome, refusal::Refusal, shape, state::RequestState};
use crate::credential_cache::{CacheOutcome, ResponseShape, ServedCredential};
use templates::{Grant, identity::Identity};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The service, a request, and the state of the request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) api: web::Data<Api>,
    pub(super) request: HttpRequest,
    state: RequestState,
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
        let state = request.extensions().get::<RequestState>().cloned();
        ready(match (api, state) {
            (Some(api), Some(state)) => Ok(Self { api, request: request.clone(), state }),
            _ => Err(ErrorInternalServerError("the request did not pass the middleware")),
        })
    }
}

impl Call {
    /// Returns the user whom the request's token names, if they may send a request now. Comes before anything
    /// else of the request is read.
    ///
    /// # Errors
    /// If the token is not valid, or the user is revoked or rate limited.
    pub(super) async fn authenticate(&self) -> Result<&Identity, Refusal> {
        let caller = bearer::identity(&self.api, &self.request).await?;
        let caller = self.state.authenticated(caller);
        self.api.cache.admit(caller)?;
        Ok(caller)
    }

    /// Name of the template in the request's path.
    pub(super) fn template(&self) -> Option<&str> {
        self.request.match_info().get("template")
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
        self.state.waits_for(grant);
        Ok(self.api.cache.credential_for(grant, requested_ttl, self.state.context()).await?)
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
        let response = HttpResponse::Ok()
            .append_header((CACHE_STATUS, cache_status(how, ttl)))
            .append_header((CONTENT_TYPE, JSON))
            .body(shape::body(&credential, shape, object_key.as_deref(), now));
        self.state.end(RequestOutcome::Served { credential, how, ttl });
        response
    }

    /// Ends the request with a refusal.
    pub(super) fn refuse(&self, refusal: Refusal) -> HttpResponse {
        let response = refusal.response(self.state.route().error_form(), self.state.id());
        self.state.end(RequestOutcome::Refused(refusal));
        response
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

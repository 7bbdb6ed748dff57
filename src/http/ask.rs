//! One ask, from request to key: the way that every route takes.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header};

use super::{
    Api, bearer,
    refusal::{Form, Refusal},
    shape::{self, Shape},
};
use crate::{
    broker::{Outcome, Served},
    policy::{Grant, Scope},
};

/// What a request asks for.
#[derive(Debug, Default)]
pub(super) struct Ask {
    /// The default template if none.
    pub(super) template: Option<String>,
    /// A narrower key.
    pub(super) scope: Option<Vec<Scope>>,
    /// At least this much life.
    pub(super) min_remaining: Option<Duration>,
}

/// A key for whoever sent the request.
pub(super) async fn key(api: &Api, request: &HttpRequest, ask: &Ask) -> Result<Served, Refusal> {
    let served = granted(api, request, ask).await;
    if served.is_err() {
        let named = ask.template.as_deref().or(api.templates.default_name());
        let known = named.filter(|name| api.templates.names().any(|known| known == *name));
        api.broker.count_refused(known.unwrap_or_default());
    }
    served
}

async fn granted(api: &Api, request: &HttpRequest, ask: &Ask) -> Result<Served, Refusal> {
    let grant = grant(api, request, ask).await?;
    Ok(api.broker.key_for(&grant, ask.min_remaining).await?)
}

/// What whoever sent the request may do; counts against how often they may ask.
pub(super) async fn grant(api: &Api, request: &HttpRequest, ask: &Ask) -> Result<Arc<Grant>, Refusal> {
    let identity = bearer::identity(api, request).await?;
    api.broker.admit(&identity)?;
    let name = ask.template.as_deref();
    Ok(match &ask.scope {
        None => api.templates.grant(name, &identity)?,
        Some(scope) => api.templates.narrowed(name, &identity, scope)?,
    })
}

/// The answer to an ask.
pub(super) fn answer(
    api: &Api,
    outcome: Result<Served, Refusal>,
    shape: Shape,
    object_key: impl FnOnce(&Grant) -> Option<String>,
    form: Form,
    request_id: &str,
) -> HttpResponse {
    match outcome {
        Err(refusal) => refusal.response(form, request_id),
        Ok(Served { key, outcome }) => {
            let now = api.clock.now();
            let ttl = key.remaining(now).as_secs();
            let object_key = object_key(key.grant());
            tracing::debug!(request_id, grant = %key.grant().id(), ?outcome, ttl, "answered");
            HttpResponse::Ok()
                .insert_header(("Cache-Status", cache_status(outcome, ttl)))
                .content_type(header::ContentType::json())
                .body(shape::body(&key, shape, object_key.as_deref(), now))
        }
    }
}

/// RFC 9211.
fn cache_status(outcome: Outcome, ttl: u64) -> String {
    match outcome {
        Outcome::Hit | Outcome::Refreshed => format!("cosbroker; hit; ttl={ttl}"),
        Outcome::Stale => format!("cosbroker; fwd=stale; ttl={ttl}"),
        Outcome::Coalesced => format!("cosbroker; fwd=miss; collapsed; ttl={ttl}"),
        Outcome::Fetched | Outcome::Refused => format!("cosbroker; fwd=miss; stored; ttl={ttl}"),
    }
}

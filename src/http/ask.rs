//! One ask, from request to answer: the way that every route takes.

use std::{future::Future, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, http::header};

use super::{
    Api, bearer,
    context::Exchange,
    refusal::{Form, Refusal},
    shape::{self, Shape},
};
use crate::{
    broker::{Outcome, Served},
    identity::Identity,
};

/// A key to be answered with.
pub(super) struct Answered {
    pub(super) served: Served,
    pub(super) shape: Shape,
    /// Where the client is to put its object, for [`Shape::Keyed`].
    pub(super) object_key: Option<String>,
}

/// Who sent the request, if they may ask now. Comes before anything else of a request is read.
pub(super) async fn admitted(api: &Api, request: &HttpRequest) -> Result<Arc<Identity>, Refusal> {
    let asker = bearer::identity(api, request).await?;
    api.broker.admit(&asker)?;
    Ok(asker)
}

/// The answer to an ask for a key of this template (the default one if none is named), counted once.
pub(super) async fn answer(
    api: &Api,
    template: Option<&str>,
    form: Form,
    exchange: &Exchange,
    ask: impl Future<Output = Result<Answered, Refusal>>,
) -> HttpResponse {
    match ask.await {
        Err(refusal) => {
            let templates = api.templates.current();
            let named = template.or(templates.default_name());
            let known = named.filter(|name| templates.names().any(|known| known == *name));
            api.broker.count_refused(known.unwrap_or_default());
            refusal.response(form, exchange)
        }
        Ok(Answered { served: Served { key, outcome }, shape, object_key }) => {
            let now = api.clock.now();
            let ttl = key.remaining(now).as_secs();
            exchange.served(outcome);
            tracing::debug!(request_id = exchange.id(), grantId = %key.grant().id(), ?outcome, ttl, "answered");
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

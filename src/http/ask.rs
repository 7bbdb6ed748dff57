//! One ask, from request to answer: the way that every route takes.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::header};

use super::{
    Api, bearer,
    context::RequestState,
    recent,
    refusal::{Form, Refusal},
    shape::{self, Shape},
    span,
};
use crate::{
    audit::{Event, Refused},
    credential_cache::{Outcome, Served},
};
use diagnostics::to_single_line;
use templates::identity::Identity;

/// A key to be answered with.
pub(super) struct Answered {
    pub(super) served: Served,
    pub(super) shape: Shape,
    /// Where the client is to put its object, for [`Shape::Keyed`].
    pub(super) object_key: Option<String>,
}

/// An ask that is refused, and whose it is, if a verified token says.
pub(super) struct RefusedAsk {
    refusal: Refusal,
    caller: Option<Arc<Identity>>,
}

/// What `ask` makes of the person who sent the request, if they may ask now. Finding that out comes before
/// anything else of a request is read.
pub(super) async fn authenticate_then<T>(
    api: &Api,
    request: &HttpRequest,
    ask: impl AsyncFnOnce(&Identity) -> Result<T, Refusal>,
) -> Result<T, RefusedAsk> {
    let stranger = |refusal| RefusedAsk { refusal, caller: None };
    let caller = bearer::identity(api, request).await.map_err(stranger)?;
    let outcome = match api.cache.admit(&caller) {
        Ok(()) => ask(&caller).await,
        Err(error) => Err(error.into()),
    };
    outcome.map_err(|refusal| RefusedAsk { refusal, caller: Some(caller) })
}

/// The answer to a refused ask of this template (the default one if none is named), and its audit line.
pub(super) fn refused(
    api: &Api,
    template: Option<&str>,
    form: Form,
    state: &RequestState,
    RefusedAsk { refusal, caller }: RefusedAsk,
) -> HttpResponse {
    let (status, outcome) = refusal.name();
    let cause = to_single_line(&refusal.to_string());
    let context = state.context().clone();
    let principal = caller.as_ref().map(|caller| caller.principal());
    let template = known(api, template);
    state.tell(|span| span::of_template(span, template.as_deref()));
    api.recent.note(recent::Refused {
        at: api.clock.now(),
        status,
        outcome,
        cause: cause.clone(),
        request_id: context.request_id.to_string(),
        client: context.client,
        issuer: principal.map(|principal| principal.issuer().to_owned()),
        subject: principal.map(|principal| principal.subject().to_owned()),
        template: template.clone(),
    });
    let principal = principal.map(|principal| principal.clone().into());
    api.audit.record(Event::Refusal(Refused { outcome, status, cause, context, principal, template }));
    refusal.response(form, state)
}

/// The template an ask is of, if there is one of that name.
fn known(api: &Api, template: Option<&str>) -> Option<String> {
    let templates = api.templates.current();
    let named = template.or(templates.default_name())?;
    templates.names().any(|known| known == named).then(|| named.to_owned())
}

/// The answer to an ask for a key of this template (the default one if none is named), counted once.
pub(super) async fn answer(
    api: &Api,
    request: &HttpRequest,
    template: Option<&str>,
    form: Form,
    state: &RequestState,
    ask: impl AsyncFnOnce(&Identity) -> Result<Answered, Refusal>,
) -> HttpResponse {
    match authenticate_then(api, request, ask).await {
        Err(refusal) => {
            api.cache.count_refused(&known(api, template).unwrap_or_default());
            refused(api, template, form, state, refusal)
        }
        Ok(Answered { served: Served { key, outcome }, shape, object_key }) => {
            let now = api.clock.now();
            let ttl = key.remaining(now).as_secs();
            state.served(outcome);
            state.tell(|span| span::of_key(span, &key));
            tracing::debug!(request_id = state.id(), trace_id = state.trace_id(), grantId = %key.grant().id(), ?outcome, ttl, "answered");
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

//! The operators' API: status, templates, reload and advice, as JSON.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde_json::json;

use super::{
    AdminState,
    auth::is_cross_site,
    client,
    error::AdminError,
    openapi::{RefusalBody, Refused, ReloadBody, StatusBody},
    resource_allowing,
};
use crate::{
    credential_cache::{NoAdvice, WhatIf},
    http::{GET_OR_HEAD, get_or_head, query},
    reload::{Reload, ReloadCause},
};

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(resource_allowing(GET_OR_HEAD, "/api/status").route(get_or_head().to(status)))
        .service(
            resource_allowing(GET_OR_HEAD, "/api/refusals/{request_id}").route(get_or_head().to(refusal)),
        )
        .service(resource_allowing(GET_OR_HEAD, "/api/templates").route(get_or_head().to(templates)))
        .service(resource_allowing("POST", "/api/reload").route(web::post().to(reload)))
        .service(resource_allowing(GET_OR_HEAD, "/api/advise").route(get_or_head().to(advise)));
}

/// Handles `GET /api/status`: what the page shows.
#[utoipa::path(
    get,
    path = "/api/status",
    operation_id = "status",
    tag = "state",
    summary = "The state of the service",
    description = "What the operators' page shows.",
    responses((status = 200, description = "The state.", body = StatusBody)),
)]
pub(super) async fn status(state: web::Data<AdminState>) -> Result<HttpResponse, AdminError> {
    Ok(uncached_json(web::block(move || state.status()).await?))
}

/// Handles `GET /api/refusals/{request_id}`: why a request was refused, and what its token says, while it is kept.
#[utoipa::path(
    get,
    path = "/api/refusals/{request_id}",
    operation_id = "refusal",
    tag = "state",
    summary = "Why a request was refused",
    description = "The cause and, for an invalid token, what it says beside what the configuration wants. The last 20 refusals of each kind are kept.",
    params(("request_id" = String, Path, description = "The `X-Request-Id` of the refused request.")),
    responses(
        (status = 200, description = "The refusal.", body = RefusalBody),
        (status = 404, description = "No refusal of this request is kept.", body = Refused),
    ),
)]
pub(super) async fn refusal(
    state: web::Data<AdminState>,
    request_id: web::Path<String>,
) -> Result<HttpResponse, AdminError> {
    let refused = state.services.recent.of_request(&request_id).ok_or_else(|| {
        let problem =
            "no refusal of this request is kept; the last 20 of each kind are, see `refusals` in /api/status";
        AdminError::new(StatusCode::NOT_FOUND, problem)
    })?;
    Ok(uncached_json(refused))
}

/// Handles `GET /api/templates`: the active templates, and what their shadow templates would change.
#[utoipa::path(
    get,
    path = "/api/templates",
    operation_id = "templates",
    tag = "templates",
    summary = "The active templates",
    description = "The version of the active set, each template, and what its shadow template would change.",
    responses((status = 200, description = "The templates.", body = serde_json::Value)),
)]
pub(super) async fn templates(state: web::Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok().json(state.services.templates.status())
}

/// Handles `POST /api/reload`: 200 if the folder is active, 409 if it is refused and the last good set stays active.
#[utoipa::path(
    post,
    path = "/api/reload",
    operation_id = "reload",
    tag = "templates",
    summary = "Load the templates again",
    description = "Loads the folder of templates now. Changes are found without it, within seconds.",
    responses(
        (status = 200, description = "The folder is active.", body = ReloadBody),
        (status = 403, description = "A page of another site sent the request.", body = Refused),
        (status = 409, description = "The folder is refused, and the last good set stays active.", body = Refused),
    ),
)]
pub(super) async fn reload(
    state: web::Data<AdminState>,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    refuse_cross_site(&request)?;
    let services = &state.services;
    let cause = ReloadCause::Api { client: client(&request) };
    let reload = services.templates.request_reload(&services.audit, cause, &services.clock).await?;
    Ok(match &*reload {
        Reload::Loaded(changes) => {
            let changes: serde_json::Map<_, _> =
                changes.iter().map(|(template, change)| (template.clone(), change.as_str().into())).collect();
            HttpResponse::Ok().json(json!({"outcome": "loaded", "changes": changes}))
        }
        Reload::Unchanged => HttpResponse::Ok().json(json!({"outcome": "unchanged", "changes": {}})),
        Reload::Refused(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            HttpResponse::Conflict().json(json!({"outcome": "refused", "problems": problems}))
        }
    })
}

/// Handles `GET /api/advise?lifetime=&min_remaining=&max_bytes=`.
#[utoipa::path(
    get,
    path = "/api/advise",
    operation_id = "advise",
    tag = "templates",
    summary = "What other settings would have given",
    description = "Replays the recorded requests under other settings of lifetimes and cache.",
    params(
        ("lifetime" = Option<String>, Query, description = "The lifetime of every template's keys, such as `1h`."),
        ("min_remaining" = Option<String>, Query, description = "The value of `cache.min_remaining`, such as `5m`."),
        ("max_bytes" = Option<String>, Query, description = "The value of `cache.max_bytes`, such as `64MiB`."),
    ),
    responses(
        (status = 200, description = "The advice, with the figures it is based on.", body = serde_json::Value),
        (status = 400, description = "A parameter or the body is wrong.", body = Refused),
        (status = 409, description = "Too little is recorded for an answer, or recording is off.", body = Refused),
    ),
)]
pub(super) async fn advise(
    state: web::Data<AdminState>,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let what_if: WhatIf = query(&request).map_err(|problem| {
        AdminError::bad_request(format!(
            "{problem}; it may hold lifetime and min_remaining, like 1h, and max_bytes, like 64MiB"
        ))
    })?;
    // A replay takes time in proportion to the recorded requests: not on the listener's only thread.
    let advice = web::block(move || state.services.cache.advice(&what_if)).await?;
    Ok(uncached_json(advice.map_err(|missing| AdminError::new(advice_status(&missing), missing))?))
}

/// Returns 400 if the parameters must change, 409 if too little is recorded for an answer.
fn advice_status(missing: &NoAdvice) -> StatusCode {
    match missing {
        NoAdvice::BeyondSts { .. } | NoAdvice::NeverEnough { .. } => StatusCode::BAD_REQUEST,
        NoAdvice::Off | NoAdvice::TooFew { .. } | NoAdvice::TooShort { .. } => StatusCode::CONFLICT,
    }
}

/// Returns a JSON response that must not be cached.
pub(super) fn uncached_json(body: impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// Refuses a request that changes something and was sent by a page of another site.
pub(super) fn refuse_cross_site(request: &HttpRequest) -> Result<(), AdminError> {
    if is_cross_site(request.headers()) {
        let problem = "a page of another site sent this request; send it from a shell";
        return Err(AdminError::new(StatusCode::FORBIDDEN, problem));
    }
    Ok(())
}

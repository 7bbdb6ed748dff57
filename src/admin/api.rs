//! What operators and their scripts ask over HTTP, as JSON.

use std::net::IpAddr;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde_json::json;

use super::{AdminState, auth::is_from_a_page_elsewhere, taking};
use crate::reload::{Reload, ReloadCause};

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(taking("GET", "/api/status").route(web::get().to(status)))
        .service(taking("GET", "/api/templates").route(web::get().to(templates)))
        .service(taking("POST", "/api/reload").route(web::post().to(reload)));
}

/// `GET /api/status`: what the page shows.
async fn status(operators: web::Data<AdminState>) -> HttpResponse {
    match web::block(move || operators.status()).await {
        Ok(status) => HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(status),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `GET /api/templates`: what serves, since when, and what its shadows would change.
async fn templates(operators: web::Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok().json(operators.services.templates.status())
}

/// `POST /api/reload`: 200 when the folder serves, 409 when it cannot and the last good set goes on.
async fn reload(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    if let Some(response) = refused_elsewhere(&request) {
        return response;
    }
    let now = operators.services.clock.now();
    let (store, audit) = (operators.services.templates.clone(), operators.services.audit.clone());
    let cause = ReloadCause::Api { client: client(&request) };
    let reload = web::block(move || store.reload(&audit, cause, now));
    match reload.await {
        Ok(Reload::Loaded(changes)) => {
            let changes: serde_json::Map<_, _> =
                changes.into_iter().map(|(template, change)| (template, change.into())).collect();
            HttpResponse::Ok().json(json!({"outcome": "loaded", "changes": changes}))
        }
        Ok(Reload::Unchanged) => HttpResponse::Ok().json(json!({"outcome": "unchanged", "changes": {}})),
        Ok(Reload::Refused(problems)) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            HttpResponse::Conflict().json(json!({"outcome": "refused", "problems": problems}))
        }
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Who says it, for the audit log.
pub(super) fn client(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// No, and why.
pub(super) fn refused(status: StatusCode, problem: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"outcome": "refused", "problems": [problem]}))
}

/// The answer to a request that changes something and was sent by a page of another site.
pub(super) fn refused_elsewhere(request: &HttpRequest) -> Option<HttpResponse> {
    let problem = "a page of another site asked for this; call it from a shell";
    is_from_a_page_elsewhere(request.headers()).then(|| refused(StatusCode::FORBIDDEN, problem))
}

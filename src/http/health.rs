//! Whether this process lives, whether it could serve a new user, and what its API is.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Api;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// `GET /readyz`: a new user could be served, as far as is known. Keys that STS refuses do not count: every
/// replica has the same ones, and users with a living key are still served.
pub(super) async fn readyz(api: web::Data<Api>) -> HttpResponse {
    let keys = api.verifier.is_ready();
    let sts = !api.cache.is_circuit_open();
    let draining = api.is_draining();
    let ready = keys && sts && !draining;
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "templates": true,
        "issuerKeys": keys,
        "sts": sts,
        "draining": draining,
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

/// `GET /openapi.json`
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(include_str!("openapi.json"))
}

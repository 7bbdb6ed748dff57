//! Liveness, readiness and the description of the API.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Api;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// `GET /readyz`: a user without a cached credential could be served. Readiness ignores rejected source
/// credentials: every replica has the same ones, so removing one would not help.
pub(super) async fn readyz(api: web::Data<Api>) -> HttpResponse {
    let issuer_keys = api.verifier.is_ready();
    let sts = !api.cache.is_circuit_open();
    let draining = api.is_draining();
    let ready = issuer_keys && sts && !draining;
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "templates": true,
        "issuerKeys": issuer_keys,
        "sts": sts,
        "draining": draining,
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

/// `GET /openapi.json`: the description of the API.
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(include_str!("openapi.json"))
}

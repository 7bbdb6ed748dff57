//! Liveness, readiness and the description of the API.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use crate::{credential_cache::CredentialCache, identity::Verifier};

const READY: &str = "ready";

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
pub(crate) struct Readiness {
    /// `ready` or `not ready`.
    status: &'static str,
    /// A proved set of templates serves. Always true: without one, the service does not start.
    templates: bool,
    /// The keys of every issuer are available.
    issuer_keys: bool,
    /// The circuit to STS is not open.
    sts: bool,
    /// The process is stopping.
    draining: bool,
}

/// `GET /healthz`: the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "service",
    summary = "Liveness",
    description = "Answers as long as the process does. `HEAD` works as well.",
    responses((status = 200, description = "The process answers.", body = Health, example = json!({"status": "ok"}))),
    security(()),
)]
pub(super) async fn healthz(call: Call) -> HttpResponse {
    call.answer(HttpResponse::Ok().json(Health { status: "ok" }))
}

/// `GET /readyz`: a user without a cached credential could be served. Readiness ignores rejected source
/// credentials: every replica has the same ones, so removing one would not help.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "service",
    summary = "Readiness",
    description = "Whether a user without a cached key could be served now. `HEAD` works as well.",
    responses(
        (
            status = 200,
            description = "A new user could be served.",
            body = Readiness,
            example = json!({"status": "ready", "templates": true, "issuerKeys": true, "sts": true, "draining": false}),
        ),
        (
            status = 503,
            description = "A new user could not be served; the members say why. Users with a cached key still are.",
            body = Readiness,
            example = json!({"status": "not ready", "templates": true, "issuerKeys": true, "sts": false, "draining": false}),
        ),
    ),
    security(()),
)]
pub(super) async fn readyz(call: Call) -> HttpResponse {
    let api = &call.api;
    let body = Readiness::of(&api.verifier, &api.cache, api.is_draining());
    let mut response = if body.is_ready() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    call.answer(response.json(body))
}

impl Readiness {
    /// Returns whether a user without a cached credential could be served, and what keeps them from it.
    pub(crate) fn of(verifier: &Verifier, cache: &CredentialCache, draining: bool) -> Self {
        let (issuer_keys, sts) = (verifier.is_ready(), !cache.is_circuit_open());
        let status = if issuer_keys && sts && !draining { READY } else { "not ready" };
        Self { status, templates: true, issuer_keys, sts, draining }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.status == READY
    }
}

/// `GET /openapi.json`: the description of the API.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "service",
    summary = "This document",
    description = "The OpenAPI description of this API.",
    responses((status = 200, description = "The description, OpenAPI 3.1.", body = serde_json::Value)),
    security(()),
)]
pub(super) async fn openapi(call: Call) -> HttpResponse {
    call.answer(HttpResponse::Ok().content_type("application/json").body(super::openapi::DOCUMENT))
}

//! What other settings would have given, as asked over HTTP.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use super::{AdminState, api::refused, keys::told, taking};
use crate::{
    credential_cache::{NoAdvice, WhatIf},
    http::query,
};

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services.service(taking("GET", "/api/advise").route(web::get().to(advise)));
}

/// `GET /api/advise?lifetime=&min_remaining=&max_bytes=`
async fn advise(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    let what_if: WhatIf = match query(&request) {
        Ok(what_if) => what_if,
        Err(problem) => {
            let may_hold = "it may hold lifetime and min_remaining, like 1h, and max_bytes, like 64MiB";
            return refused(StatusCode::BAD_REQUEST, &format!("{problem}; {may_hold}"));
        }
    };
    let cache = operators.services.cache.clone();
    // A replay takes as long as there are asks: not on the thread that answers everybody.
    match web::block(move || cache.advice(&what_if)).await {
        Ok(Ok(advice)) => told(advice),
        Ok(Err(missing)) => refused(status(&missing), &missing.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Whether it is the question that must change, or what is recorded.
fn status(missing: &NoAdvice) -> StatusCode {
    match missing {
        NoAdvice::BeyondSts { .. } | NoAdvice::NeverEnough { .. } => StatusCode::BAD_REQUEST,
        NoAdvice::Off | NoAdvice::TooFew { .. } | NoAdvice::TooShort { .. } => StatusCode::CONFLICT,
    }
}

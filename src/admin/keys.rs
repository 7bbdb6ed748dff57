//! Who holds living keys, and who is given none from now on.

use std::net::IpAddr;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    AdminState,
    api::{client, refused, refused_elsewhere},
    taking,
};
use crate::{
    credential_cache::{KeyFilter, Revocation},
    http::query,
};
use diagnostics::{nearest, printable};

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(taking("GET", "/api/keys").route(web::get().to(keys)))
        .service(taking("GET", "/api/revoked").route(web::get().to(revoked)))
        .service(taking("POST", "/api/revoke").route(web::post().to(revoke)))
        .service(taking("POST", "/api/restore").route(web::post().to(restore)));
}

/// Somebody, as an operator names them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// May be left out where one is configured.
    pub(super) issuer: Option<String>,
    pub(super) subject: String,
}

/// `GET /api/keys?issuer=&subject=&prefix=&limit=`
async fn keys(operators: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    match query::<KeyFilter>(&request) {
        Ok(filter) => {
            let cache = operators.services.cache.clone();
            // Looks at every key: not on the thread that answers everybody.
            match web::block(move || cache.active_credentials(&filter)).await {
                Ok(keys) => told(keys),
                Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            }
        }
        Err(problem) => refused(
            StatusCode::BAD_REQUEST,
            &format!("{problem}; it may hold issuer, subject, prefix and limit, a number"),
        ),
    }
}

/// `GET /api/revoked`
async fn revoked(operators: web::Data<AdminState>) -> HttpResponse {
    told(json!({"revoked": operators.services.cache.revoked()}))
}

/// `POST /api/revoke` with `{"issuer","subject"}`
async fn revoke(operators: web::Data<AdminState>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let client = client(&request);
    changed(&operators, &request, &body, move |operators, named| operators.revoke(named, client)).await
}

/// `POST /api/restore` with `{"issuer","subject"}`
async fn restore(operators: web::Data<AdminState>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let client = client(&request);
    changed(&operators, &request, &body, move |operators, named| operators.restore(named, client)).await
}

pub(super) type Refused = (StatusCode, String);

async fn changed(
    operators: &web::Data<AdminState>,
    request: &HttpRequest,
    body: &[u8],
    change: impl FnOnce(&AdminState, Named) -> Result<Revocation, Refused> + Send + 'static,
) -> HttpResponse {
    if let Some(response) = refused_elsewhere(request) {
        return response;
    }
    let named = match named(body) {
        Ok(named) => named,
        Err(problem) => return refused(StatusCode::BAD_REQUEST, &problem),
    };
    let operators = operators.clone();
    match web::block(move || change(&operators, named)).await {
        Ok(Ok(revocation)) => told(revocation),
        Ok(Err((status, problem))) => refused(status, &problem),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn named(body: &[u8]) -> Result<Named, String> {
    strict_json::from_slice(body).and_then(serde_json::from_value::<Named>).map_err(|error| {
        format!(
            "the body cannot be read: {error}; send {{\"issuer\":\"…\",\"subject\":\"…\"}}, as `iss` and `sub` of their tokens"
        )
    })
}

/// An answer that is true now.
pub(super) fn told(answer: impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(answer)
}

impl AdminState {
    /// Serves somebody no more. Writes a file: not for a thread that serves.
    pub(super) fn revoke(&self, named: Named, client: Option<IpAddr>) -> Result<Revocation, Refused> {
        let issuer = self.issuer(named.issuer)?;
        if named.subject.is_empty() {
            let problem = "the subject is empty; nobody's token says that";
            return Err((StatusCode::BAD_REQUEST, problem.to_owned()));
        }
        if !self.issuers.contains(&issuer) {
            return Err((StatusCode::BAD_REQUEST, self.coverage(&issuer)));
        }
        let revoked = self.services.cache.revoke(&issuer, &named.subject, client);
        revoked.map_err(|error| (StatusCode::CONFLICT, error.to_string()))
    }

    /// Serves somebody again; of an issuer that is not configured any more, too. Writes a file as well.
    pub(super) fn restore(&self, named: Named, client: Option<IpAddr>) -> Result<Revocation, Refused> {
        let issuer = self.issuer(named.issuer)?;
        self.services.cache.restore(&issuer, &named.subject, client).ok_or_else(|| {
            let who = format!("`{}` of {}", printable(&named.subject), printable(&issuer));
            (
                StatusCode::NOT_FOUND,
                format!("{who} is not revoked; `cosbroker keys revoked` and /api/revoked list who is"),
            )
        })
    }

    /// The issuer that is meant.
    pub(super) fn issuer(&self, named: Option<String>) -> Result<String, Refused> {
        match (named, self.issuers.as_slice()) {
            (Some(named), _) => Ok(named),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                let known = self.issuers.join(", ");
                Err((StatusCode::BAD_REQUEST, format!("there are several issuers; name one of: {known}")))
            }
        }
    }

    /// A revocation under a misspelt issuer would stop nobody.
    fn coverage(&self, issuer: &str) -> String {
        let configured = self.issuers.iter().map(String::as_str);
        let help = match nearest(issuer, configured) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("configured: {}", self.issuers.join(", ")),
        };
        format!("no issuer `{}` is configured; {help}", printable(issuer))
    }
}

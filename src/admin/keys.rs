//! The operators' API for active keys and revocation.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    AdminState,
    api::{refuse_cross_site, uncached_json},
    client,
    error::AdminError,
    openapi::{KeysBody, Refused, RevocationBody, RevokedBody},
    resource_allowing,
};
use crate::{
    credential_cache::{KeyFilter, Revocation},
    http::{GET_OR_HEAD, get_or_head, query},
};
use diagnostics::{nearest, printable};

pub(super) fn routes(services: &mut web::ServiceConfig) {
    services
        .service(resource_allowing(GET_OR_HEAD, "/api/keys").route(get_or_head().to(keys)))
        .service(resource_allowing(GET_OR_HEAD, "/api/revoked").route(get_or_head().to(revoked)))
        .service(resource_allowing("POST", "/api/revoke").route(web::post().to(revoke)))
        .service(resource_allowing("POST", "/api/restore").route(web::post().to(restore)));
}

/// A user, as an operator names them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedUser {
    /// May be omitted if only one issuer is configured.
    pub(super) issuer: Option<String>,
    /// The `sub` of the user's tokens.
    pub(super) subject: String,
}

/// Handles `GET /api/keys?issuer=&subject=&prefix=&limit=`.
#[utoipa::path(
    get,
    path = "/api/keys",
    operation_id = "keys",
    tag = "keys",
    summary = "Active keys",
    description = "Who holds which key, and until when. Secrets are not in it.",
    params(
        ("issuer" = Option<String>, Query, description = "Exactly this issuer."),
        ("subject" = Option<String>, Query, description = "Exactly this subject."),
        ("prefix" = Option<String>, Query, description = "Folders that begin with this."),
        ("limit" = Option<usize>, Query, description = "How many are listed: 1000 if absent, at most 10,000."),
    ),
    responses(
        (status = 200, description = "The keys.", body = KeysBody),
        (status = 400, description = "A parameter or the body is wrong.", body = Refused),
    ),
)]
pub(super) async fn keys(
    state: web::Data<AdminState>,
    request: HttpRequest,
) -> Result<HttpResponse, AdminError> {
    let filter = query::<KeyFilter>(&request).map_err(|problem| {
        AdminError::bad_request(format!("{problem}; it may hold issuer, subject, prefix and limit, a number"))
    })?;
    // It filters all active keys: not on the listener's only thread.
    let keys = web::block(move || state.services.cache.active_credentials(&filter)).await?;
    Ok(uncached_json(keys))
}

/// Handles `GET /api/revoked`.
#[utoipa::path(
    get,
    path = "/api/revoked",
    operation_id = "revoked",
    tag = "keys",
    summary = "Revoked users",
    description = "The users who get no more keys.",
    responses((status = 200, description = "The users.", body = RevokedBody)),
)]
pub(super) async fn revoked(state: web::Data<AdminState>) -> HttpResponse {
    uncached_json(json!({"revoked": state.services.cache.revoked()}))
}

/// Handles `POST /api/revoke` with `{"issuer","subject"}`.
#[utoipa::path(
    post,
    path = "/api/revoke",
    operation_id = "revoke",
    tag = "keys",
    summary = "Revoke a user",
    description = "The user gets no more keys. Their active keys work until they expire; the answer says when.",
    request_body = NamedUser,
    responses(
        (status = 200, description = "The user is revoked.", body = RevocationBody),
        (status = 400, description = "A parameter or the body is wrong.", body = Refused),
        (status = 403, description = "A page of another site sent the request.", body = Refused),
        (status = 409, description = "No more users can be revoked.", body = Refused),
    ),
)]
pub(super) async fn revoke(
    state: web::Data<AdminState>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, AdminError> {
    change_user(state, &request, &body, AdminState::revoke).await
}

/// Handles `POST /api/restore` with `{"issuer","subject"}`.
#[utoipa::path(
    post,
    path = "/api/restore",
    operation_id = "restore",
    tag = "keys",
    summary = "Restore a revoked user",
    description = "The user gets keys again.",
    request_body = NamedUser,
    responses(
        (status = 200, description = "The user is restored.", body = RevocationBody),
        (status = 400, description = "A parameter or the body is wrong.", body = Refused),
        (status = 403, description = "A page of another site sent the request.", body = Refused),
        (status = 404, description = "The user is not revoked.", body = Refused),
    ),
)]
pub(super) async fn restore(
    state: web::Data<AdminState>,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, AdminError> {
    change_user(state, &request, &body, AdminState::restore).await
}

/// Revokes or restores the user that a request names.
async fn change_user(
    state: web::Data<AdminState>,
    request: &HttpRequest,
    body: &[u8],
    change: fn(&AdminState, NamedUser, Option<IpAddr>) -> Result<Revocation, AdminError>,
) -> Result<HttpResponse, AdminError> {
    refuse_cross_site(request)?;
    let (user, client) = (parse_user(body)?, client(request));
    Ok(uncached_json(web::block(move || change(&state, user, client)).await??))
}

fn parse_user(body: &[u8]) -> Result<NamedUser, AdminError> {
    strict_json::from_slice(body).and_then(serde_json::from_value).map_err(|error| {
        AdminError::bad_request(format!(
            "the body cannot be read: {error}; send {{\"issuer\":\"…\",\"subject\":\"…\"}}, the `iss` and `sub` of the user's tokens"
        ))
    })
}

impl AdminState {
    /// Revokes a user. Writes a file: not for the listener's thread.
    pub(super) fn revoke(&self, user: NamedUser, client: Option<IpAddr>) -> Result<Revocation, AdminError> {
        let issuer = self.issuer(user.issuer)?;
        if user.subject.is_empty() {
            return Err(AdminError::bad_request("the subject is empty; give the `sub` of the user's tokens"));
        }
        if !self.issuers.contains(&issuer) {
            return Err(self.unknown_issuer(&issuer));
        }
        let revoked = self.services.cache.revoke(&issuer, &user.subject, client);
        revoked.map_err(|error| AdminError::new(StatusCode::CONFLICT, error))
    }

    /// Restores a revoked user, whose issuer may no longer be configured. Writes a file: not for the listener's thread.
    pub(super) fn restore(&self, user: NamedUser, client: Option<IpAddr>) -> Result<Revocation, AdminError> {
        let issuer = self.issuer(user.issuer)?;
        self.services.cache.restore(&issuer, &user.subject, client).ok_or_else(|| {
            let (subject, issuer) = (printable(&user.subject), printable(&issuer));
            AdminError::new(
                StatusCode::NOT_FOUND,
                format!(
                    "`{subject}` of {issuer} is not revoked; `cosbroker keys revoked` and /api/revoked list the revoked users"
                ),
            )
        })
    }

    /// Returns the named issuer, or the only configured one.
    pub(super) fn issuer(&self, named: Option<String>) -> Result<String, AdminError> {
        match (named, self.issuers.as_slice()) {
            (Some(named), _) => Ok(named),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                let configured = self.issuers.join(", ");
                Err(AdminError::bad_request(format!("there are several issuers; name one of: {configured}")))
            }
        }
    }

    /// Refuses an issuer that is not configured: under a misspelt one, a revocation would have no effect.
    fn unknown_issuer(&self, issuer: &str) -> AdminError {
        let configured = self.issuers.iter().map(String::as_str);
        let help = match nearest(issuer, configured) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("configured: {}", self.issuers.join(", ")),
        };
        AdminError::bad_request(format!("no issuer `{}` is configured; {help}", printable(issuer)))
    }
}

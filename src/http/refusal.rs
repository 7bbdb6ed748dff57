//! Every way to say no, in one table: status, name, words, and when to come back.
//!
//! What a refusal says to an app's user is decided here and nowhere else: never a key, a token, a path, or
//! what Tencent says of the operator's keys.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

use super::context::RequestState;
use crate::{
    credential_cache::CredentialError,
    identity::{AuthError, Rejection},
    sts::StsError,
};
use diagnostics::one_line;
use templates::{NoGrant, ScopeRefused};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The `Authorization` header alone is larger than any sound token, and no good one.
    #[error("the token is too large")]
    TokenTooLarge,
    #[error(transparent)]
    Grant(#[from] NoGrant),
    #[error(transparent)]
    Ask(#[from] CredentialError),
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("there is nothing here")]
    NoRoute,
    #[error("this route takes {0}")]
    Method(&'static str),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// One row of the table.
struct Row {
    status: StatusCode,
    /// The last part of the problem's `type`; stable.
    name: &'static str,
    title: &'static str,
    /// The drop-in routes' `code` and `codeDesc`; stable.
    code: (u32, &'static str),
    detail: String,
    retry_after: Option<Duration>,
}

/// Which body a route's errors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 9457.
    Problem,
    /// The vendor's demo servers.
    Envelope,
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a> {
    code: u32,
    #[serde(rename = "codeDesc")]
    code_desc: &'a str,
    message: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

impl Refusal {
    fn row(&self) -> Row {
        let row = |status, name, title, code, detail: &str| Row {
            status,
            name,
            title,
            code,
            detail: detail.to_owned(),
            retry_after: None,
        };
        let later = |mut row: Row, after: Duration| {
            row.retry_after = Some(after);
            row
        };
        let said = self.to_string();
        match self {
            // One body for every cause: what is wrong with a token is nobody's business but the log's.
            Self::Auth(AuthError::Rejected(_)) => row(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "Not authenticated",
                (10001, "Unauthenticated"),
                "Send `Authorization: Bearer <token>` with a valid, unexpired token of this app's issuer; sign in again if need be.",
            ),
            Self::Auth(AuthError::NoSubject(_)) => row(
                StatusCode::UNPROCESSABLE_ENTITY,
                "identity-not-renderable",
                "Identity cannot be used",
                (10004, "IdentityNotRenderable"),
                &said,
            ),
            Self::Auth(AuthError::KeysUnavailable) => later(
                row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "identity-unavailable",
                    "Tokens cannot be checked now",
                    (10008, "IdentityUnavailable"),
                    "The issuer's keys cannot be fetched at the moment; your token may be good. Try again later.",
                ),
                Duration::from_secs(30),
            ),
            Self::TokenTooLarge => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "token-too-large",
                "Token too large",
                (10001, "TokenTooLarge"),
                "The bearer token is larger than any this service accepts.",
            ),
            Self::Grant(no_grant) => Self::grant_row(no_grant, &said),
            Self::Ask(CredentialError::Revoked) => row(
                StatusCode::FORBIDDEN,
                "revoked",
                "Access revoked",
                (10003, "Revoked"),
                "No keys are given to this user any more, and signing in again does not change that. Ask the operator of this app.",
            ),
            Self::Ask(CredentialError::TooMany { retry_after }) => later(
                row(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate-limited",
                    "Too many asks",
                    (10006, "TooManyRequests"),
                    "This user asks too often. Keep the key until its `refreshAt`, and wait for Retry-After now.",
                ),
                *retry_after,
            ),
            Self::Ask(CredentialError::TooManyScopes { retry_after }) => later(
                row(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too-many-scopes",
                    "Too many scopes",
                    (10006, "TooManyRequests"),
                    "This user holds keys for as many different scopes as one may. Use one of those, ask for a wider one, or wait for Retry-After.",
                ),
                *retry_after,
            ),
            Self::Ask(CredentialError::TooMuchLife { .. }) => row(
                StatusCode::BAD_REQUEST,
                "min-remaining-too-long",
                "min_remaining is too long",
                (10002, "InvalidParameter"),
                &format!("{said}; ask for less"),
            ),
            Self::Ask(CredentialError::Sts(StsError::Refused { .. })) => row(
                StatusCode::INTERNAL_SERVER_ERROR,
                "misconfigured",
                "This template cannot be served",
                (10009, "InternalError"),
                "The operator of this service must mend its configuration. Quote the request id.",
            ),
            Self::Ask(CredentialError::Sts(error)) => later(
                row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "credentials-unavailable",
                    "No key can be had now",
                    (10007, "ServiceUnavailable"),
                    "No new key can be issued at the moment. Wait for Retry-After, then ask again.",
                ),
                error.retry_after(),
            ),
            Self::BadRequest(_) => {
                row(StatusCode::BAD_REQUEST, "bad-request", "Bad request", (10002, "InvalidParameter"), &said)
            }
            Self::BodyTooLarge(_) => row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "Body too large",
                (10002, "BodyTooLarge"),
                &said,
            ),
            Self::BodyTooSlow => row(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "Body too slow",
                (10002, "BodyTooSlow"),
                &said,
            ),
            Self::NoRoute => row(
                StatusCode::NOT_FOUND,
                "no-such-route",
                "No such route",
                (10005, "NotFound"),
                "There is nothing here; the routes are listed in /openapi.json.",
            ),
            Self::Method(_) => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                (10002, "MethodNotAllowed"),
                &said,
            ),
            Self::Internal(_) => row(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                (10009, "InternalError"),
                "Something is wrong with this service, not with your request. Quote the request id.",
            ),
        }
    }

    fn grant_row(no_grant: &NoGrant, said: &str) -> Row {
        let (status, name, title, code, detail) = match no_grant {
            NoGrant::UnknownTemplate(_) | NoGrant::NoDefault => (
                StatusCode::NOT_FOUND,
                "no-such-template",
                "No such template",
                (10005, "TemplateNotFound"),
                format!("{said}; ask the operator for its name, as in /v1/credentials/{{template}}"),
            ),
            NoGrant::Requirement(_) => (
                StatusCode::FORBIDDEN,
                "requirement-not-met",
                "Not allowed",
                (10003, "Forbidden"),
                said.to_owned(),
            ),
            NoGrant::Unrenderable(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "identity-not-renderable",
                "Identity cannot be used",
                (10004, "IdentityNotRenderable"),
                said.to_owned(),
            ),
            NoGrant::Scope(ScopeRefused::Item { .. }) => (
                StatusCode::FORBIDDEN,
                "scope-not-allowed",
                "Scope not allowed",
                (10000, "ScopeNotAllowed"),
                said.to_owned(),
            ),
            NoGrant::Scope(ScopeRefused::Count(_) | ScopeRefused::Size(_)) => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "Bad request",
                (10002, "InvalidParameter"),
                said.to_owned(),
            ),
            NoGrant::Unconfined(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                (10009, "InternalError"),
                "The policy for this request failed its last check and was not sent. Quote the request id."
                    .to_owned(),
            ),
        };
        Row { status, name, title, code, detail, retry_after: None }
    }

    /// Its status, and the last part of the problem's `type`.
    pub(super) fn name(&self) -> (u16, &'static str) {
        let row = self.row();
        (row.status.as_u16(), row.name)
    }

    /// The response, and a line in the log where somebody must act.
    pub(super) fn response(&self, form: Form, state: &RequestState) -> HttpResponse {
        let mut row = self.row();
        state.refused(row.name);
        let (request_id, trace_id) = (state.id(), state.trace_id());
        row.detail = one_line(&row.detail);
        let cause = one_line(&self.to_string());
        if row.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(request_id, trace_id, cause, "refused for a fault of this service");
        } else {
            tracing::info!(request_id, trace_id, status = row.status.as_u16(), cause, "refused");
        }
        let mut response = HttpResponse::build(row.status);
        if row.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3: no error code where the request held no token at all.
            let missing = matches!(self, Self::Auth(AuthError::Rejected(Rejection::Missing)));
            let challenge = if missing {
                "Bearer realm=\"cosbroker\""
            } else {
                "Bearer realm=\"cosbroker\", error=\"invalid_token\""
            };
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Self::Method(allowed) = self {
            response.insert_header((header::ALLOW, *allowed));
        }
        if let Some(after) = row.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        match form {
            Form::Problem => response.content_type("application/problem+json").json(Problem {
                r#type: format!("urn:cosbroker:problem:{}", row.name),
                title: row.title,
                status: row.status.as_u16(),
                detail: &row.detail,
                request_id,
            }),
            Form::Envelope => response.json(Envelope {
                code: row.code.0,
                code_desc: row.code.1,
                message: &row.detail,
                request_id,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::metrics::FAILINGS;

    #[test]
    fn nothing_of_the_operators_keys_reaches_an_app_user() {
        let detail = "AuthFailure.SecretIdNotFound, request r-1".to_owned();
        for error in [
            StsError::SourceCredentialsRejected { detail: detail.clone() },
            StsError::Unavailable { detail: detail.clone() },
            StsError::Throttled { detail: detail.clone() },
            StsError::Refused { template: "secret-template".to_owned(), detail },
        ] {
            let row = Refusal::Ask(CredentialError::Sts(error)).row();
            assert!(row.status.is_server_error());
            for word in ["AuthFailure", "SecretId", "r-1", "secret-template", "STS"] {
                assert!(!row.detail.contains(word), "{}", row.detail);
            }
        }
    }

    #[test]
    fn every_401_has_one_body_whatever_the_cause() {
        let detail = |rejection| Refusal::Auth(AuthError::Rejected(rejection)).row().detail;
        let causes = [Rejection::Malformed, Rejection::Signature, Rejection::Expired, Rejection::UnknownKey];
        for cause in causes {
            assert_eq!(detail(cause), detail(Rejection::Missing));
        }
    }

    #[test]
    fn every_row_of_the_table() {
        use templates::{ItemRefused, Unconfined, VerifierFault, identity::Identity};
        let unrenderable = || templates::Unrenderable { claim: "sub".to_owned(), why: "is odd".to_owned() };
        let no_subject = Identity::from_claims("i".into(), serde_json::Map::new()).unwrap_err();
        let item = ScopeRefused::Item { index: 0, why: ItemRefused::Prefix("/".to_owned()) };
        let unconfined = Unconfined { template: "t".to_owned(), fault: VerifierFault::AllowsNothing };
        let (template, detail) = (String::new(), String::new());
        let refused = CredentialError::Sts(StsError::Refused { template, detail });
        let busy = CredentialError::Sts(StsError::Busy { retry_after: Duration::from_secs(1) });
        for (refusal, status, name, code) in [
            (Refusal::Auth(no_subject.into()), 422, "identity-not-renderable", 10004),
            (Refusal::Auth(AuthError::KeysUnavailable), 503, "identity-unavailable", 10008),
            (Refusal::Grant(NoGrant::Requirement("role".to_owned())), 403, "requirement-not-met", 10003),
            (Refusal::Ask(CredentialError::Revoked), 403, "revoked", 10003),
            (Refusal::Grant(unrenderable().into()), 422, "identity-not-renderable", 10004),
            (Refusal::Grant(item.into()), 403, "scope-not-allowed", 10000),
            (Refusal::Grant(ScopeRefused::Count(0).into()), 400, "bad-request", 10002),
            (Refusal::Grant(unconfined.into()), 500, "internal", 10009),
            (Refusal::BodyTooSlow, 408, "body-too-slow", 10002),
            (Refusal::Ask(refused), 500, "misconfigured", 10009),
            (Refusal::Ask(busy), 503, "credentials-unavailable", 10007),
        ] {
            let row = refusal.row();
            assert_eq!((row.status.as_u16(), row.name, row.code.0), (status, name, code), "{refusal}");
            assert_eq!(row.status.is_server_error(), FAILINGS.contains(&row.name), "{refusal}");
        }
    }

    #[test]
    fn retry_after_is_whole_seconds_rounded_up_and_never_none() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let refusal =
                Refusal::Ask(CredentialError::TooMany { retry_after: Duration::from_millis(millis) });
            let response = refusal
                .response(Form::Problem, &RequestState::new(crate::audit::RequestContext::default(), None));
            assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), expected, "{millis} ms");
        }
    }
}

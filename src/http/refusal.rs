//! Refusals: why a request gets no answer, which problem type that is, and the response.
//!
//! The text for app users is decided here and nowhere else. It never holds a key, a token, a path, or what
//! Tencent says about the source credentials.

use std::{borrow::Cow, time::Duration};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cors::PreflightRefused,
    problem::{self, ProblemType},
    query::QueryError,
};
use crate::{
    credential_cache::CredentialError,
    identity::{AuthError, Comparison, RejectedToken, Rejection},
    request::RequestId,
    sts::StsError,
};
use diagnostics::to_single_line;
use templates::{NoGrant, ScopeRefused};

/// `Retry-After` of a connection above the limits: by then those that are served have made room.
const OVERLOADED_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request is refused. `Display` is for operators; [`Refusal::detail`] is for app users.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The `Authorization` header is larger than any valid token.
    #[error("the token is too large")]
    TokenTooLarge,
    #[error(transparent)]
    Grant(#[from] NoGrant),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("the head of the request did not arrive in time")]
    HeadTooSlow,
    #[error(
        "the request's path or query has characters beyond ASCII; percent-encode them as UTF-8, such as `%E7%85%A7` for `照`"
    )]
    UnencodedTarget,
    #[error("the request is no HTTP/1.1")]
    Malformed,
    #[error("the head of the request is larger than this service reads")]
    HeadTooLarge,
    /// The connection is above the limits; its request is not read.
    #[error("there are too many connections")]
    Overloaded,
    #[error("there is no such route")]
    NoRoute,
    /// With the methods that the route has.
    #[error("this route accepts {0}")]
    MethodNotAllowed(&'static str),
    #[error(transparent)]
    Preflight(PreflightRefused),
}

/// The body of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Problem details (RFC 9457).
    Problem,
    /// The envelope of the vendor's demo servers.
    Envelope,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    code: u32,
    code_desc: &'a str,
    message: &'a str,
    request_id: String,
}

impl Refusal {
    /// The query lacks a parameter.
    pub(super) fn missing_parameter(name: &str) -> Self {
        Self::BadRequest(format!("the query parameter `{name}` is missing"))
    }

    /// Its row in the table of problem types.
    pub(super) fn problem(&self) -> &'static ProblemType {
        match self {
            Self::Auth(error) => match error {
                AuthError::Rejected(_) => problem::UNAUTHENTICATED,
                AuthError::NoSubject(_) => problem::IDENTITY_NOT_RENDERABLE,
                AuthError::KeysUnavailable { .. } => problem::IDENTITY_UNAVAILABLE,
                AuthError::KeyNotFetched { .. } => problem::TOKEN_KEY_UNKNOWN,
            },
            Self::TokenTooLarge => problem::TOKEN_TOO_LARGE,
            Self::Grant(error) => match error {
                NoGrant::UnknownTemplate(_) | NoGrant::NoDefault => problem::NO_SUCH_TEMPLATE,
                NoGrant::Requirement(_) => problem::REQUIREMENT_NOT_MET,
                NoGrant::Unrenderable(_) => problem::IDENTITY_NOT_RENDERABLE,
                NoGrant::Scope(ScopeRefused::Item { .. }) => problem::SCOPE_NOT_ALLOWED,
                NoGrant::Scope(ScopeRefused::Count(_) | ScopeRefused::Size(_)) => problem::BAD_REQUEST,
                NoGrant::Unconfined(_) => problem::INTERNAL,
            },
            Self::Credential(error) => match error {
                CredentialError::Revoked => problem::REVOKED,
                CredentialError::RateLimited { .. } => problem::RATE_LIMITED,
                CredentialError::TooManyScopes { .. } => problem::TOO_MANY_SCOPES,
                CredentialError::TtlTooLong { .. } => problem::MIN_REMAINING_TOO_LONG,
                CredentialError::Sts(StsError::RequestRejected { .. }) => problem::MISCONFIGURED,
                CredentialError::Sts(_) => problem::CREDENTIALS_UNAVAILABLE,
            },
            Self::Query(_) | Self::BadRequest(_) | Self::UnencodedTarget | Self::Malformed => {
                problem::BAD_REQUEST
            }
            Self::HeadTooLarge => problem::HEAD_TOO_LARGE,
            Self::BodyTooLarge(_) => problem::BODY_TOO_LARGE,
            Self::BodyTooSlow => problem::BODY_TOO_SLOW,
            Self::HeadTooSlow => problem::HEAD_TOO_SLOW,
            Self::Overloaded => problem::OVERLOADED,
            Self::NoRoute => problem::NO_SUCH_ROUTE,
            Self::MethodNotAllowed(_) => problem::METHOD_NOT_ALLOWED,
            Self::Preflight(_) => problem::PREFLIGHT_REFUSED,
        }
    }

    /// What the token says, and what the configuration wants, if the token is invalid. For operators.
    pub(super) fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Auth(error) => error.comparison(),
            _ => None,
        }
    }

    /// Whether the request reached no handler.
    pub(super) fn is_routing_error(&self) -> bool {
        matches!(self, Self::NoRoute | Self::MethodNotAllowed(_) | Self::Preflight(_))
    }

    /// What the app's user or developer reads.
    pub(super) fn detail(&self) -> Cow<'static, str> {
        match self {
            // One text for every cause: what is wrong with a token is for the log only.
            Self::Auth(AuthError::Rejected(_)) => "Send `Authorization: Bearer <token>` with a valid, unexpired token of this app's issuer; sign in again if necessary.".into(),
            Self::Auth(AuthError::KeysUnavailable { .. }) => "The issuer's keys cannot be fetched at the moment, so the token cannot be checked. Wait for Retry-After, then try again.".into(),
            Self::Auth(AuthError::KeyNotFetched { .. }) => "The token's key is not known yet: the issuer may have changed its keys, which are fetched again soon. Wait for Retry-After, then try again with the same token.".into(),
            Self::TokenTooLarge => "The bearer token is larger than this service accepts.".into(),
            Self::Grant(error) => grant_detail(error),
            Self::Credential(error) => credential_detail(error),
            Self::Overloaded => "This service has as many connections as it can serve. Wait for Retry-After, then try again.".into(),
            Self::Malformed => "The request is malformed (RFC 9112): a client or a proxy sends a line, a header, a length or a chunk that HTTP does not allow.".into(),
            Self::NoRoute => "There is no such route; /openapi.json lists the routes.".into(),
            Self::Auth(AuthError::NoSubject(_))
            | Self::Query(_)
            | Self::BadRequest(_)
            | Self::BodyTooLarge(_)
            | Self::BodyTooSlow
            | Self::HeadTooSlow
            | Self::UnencodedTarget
            | Self::HeadTooLarge
            | Self::MethodNotAllowed(_)
            | Self::Preflight(_) => self.to_string().into(),
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded => Some(OVERLOADED_RETRY_AFTER),
            Self::Auth(
                AuthError::KeysUnavailable { retry_after } | AuthError::KeyNotFetched { retry_after },
            )
            | Self::Credential(
                CredentialError::RateLimited { retry_after } | CredentialError::TooManyScopes { retry_after },
            ) => Some(*retry_after),
            Self::Credential(CredentialError::Sts(StsError::RequestRejected { .. })) => None,
            Self::Credential(CredentialError::Sts(error)) => Some(error.retry_after()),
            _ => None,
        }
    }

    /// The response.
    pub(super) fn response(&self, form: Form, request_id: RequestId) -> HttpResponse {
        let problem = self.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(challenge) = self.challenge() {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            response.insert_header((header::ALLOW, *allowed));
        }
        if let Some(retry_after) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, whole_seconds(retry_after).to_string()));
        }
        let detail = to_single_line(&self.detail());
        let request_id = request_id.to_string();
        match form {
            Form::Problem => response.content_type("application/problem+json").json(Problem {
                r#type: problem.uri(),
                title: problem.title,
                status: problem.status,
                detail: &detail,
                request_id,
            }),
            Form::Envelope => response.json(Envelope {
                code: problem.code,
                code_desc: problem.code_desc,
                message: &detail,
                request_id,
            }),
        }
    }

    /// Value of `WWW-Authenticate`. Without an error code if the request has no token (RFC 6750 §3).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Auth(AuthError::Rejected(RejectedToken { reason: Rejection::Missing, .. })) => {
                Some("Bearer realm=\"cosbroker\"")
            }
            Self::Auth(AuthError::Rejected(_)) => Some("Bearer realm=\"cosbroker\", error=\"invalid_token\""),
            _ => None,
        }
    }
}

fn grant_detail(error: &NoGrant) -> Cow<'static, str> {
    match error {
        NoGrant::UnknownTemplate(_) | NoGrant::NoDefault => {
            format!("{error}; ask the operator for its name, as in /v1/credentials/{{template}}").into()
        }
        NoGrant::Unconfined(_) => {
            "The policy for this request failed its last check and was not sent. Quote the request id.".into()
        }
        NoGrant::Requirement(_) | NoGrant::Unrenderable(_) | NoGrant::Scope(_) => error.to_string().into(),
    }
}

fn credential_detail(error: &CredentialError) -> Cow<'static, str> {
    match error {
        CredentialError::Revoked => "This user gets no keys any more, and signing in again does not change that. Contact the operator of this app.".into(),
        CredentialError::RateLimited { .. } => "This user sends too many requests. Keep the key until its `refreshAt`, and wait for Retry-After now.".into(),
        CredentialError::TooManyScopes { .. } => "This user holds keys for the maximum number of scopes. Use one of them, request a wider scope, or wait for Retry-After.".into(),
        CredentialError::TtlTooLong { .. } => format!("{error}; send a smaller min_remaining").into(),
        CredentialError::Sts(StsError::RequestRejected { .. }) => "The operator of this service must fix its configuration. Quote the request id.".into(),
        CredentialError::Sts(_) => "No new key can be issued at the moment. Wait for Retry-After, then try again.".into(),
    }
}

/// At least one, and rounded up.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use templates::{ItemRefused, PrefixFault, Unconfined, Unrenderable, VerifierFault, identity::Identity};

    #[test]
    fn app_users_learn_nothing_about_the_source_credentials() {
        let detail = "AuthFailure.SecretIdNotFound, request r-1".to_owned();
        let retry_after = Duration::from_secs(1);
        for error in [
            StsError::SourceCredentialsRejected { detail: detail.clone() },
            StsError::Unavailable { detail: detail.clone(), retry_after },
            StsError::Throttled { detail: detail.clone(), retry_after },
            StsError::RequestRejected { template: "secret-template".to_owned(), detail },
        ] {
            let refusal = Refusal::from(CredentialError::Sts(error));
            assert!(refusal.problem().is_server_error());
            for word in ["AuthFailure", "SecretId", "r-1", "secret-template", "STS"] {
                assert!(!refusal.detail().contains(word), "{}", refusal.detail());
            }
        }
    }

    #[test]
    fn every_401_has_one_body_whatever_the_cause() {
        let missing = Refusal::Auth(Rejection::Missing.into()).detail();
        for cause in [Rejection::Malformed, Rejection::Signature, Rejection::Expired, Rejection::UnknownKey] {
            assert_eq!(Refusal::Auth(cause.into()).detail(), missing);
        }
    }

    /// A refusal of every kind, and its problem type.
    fn every_refusal() -> Vec<(Refusal, u16, &'static str, u32)> {
        let no_subject = Identity::from_claims("i".into(), serde_json::Map::new()).unwrap_err();
        let unrenderable = Unrenderable { claim: "sub".to_owned(), why: "is odd".to_owned() };
        let item = ScopeRefused::Item {
            index: 0,
            why: ItemRefused::Prefix { prefix: String::new(), fault: PrefixFault::LeadingSlash },
        };
        let unconfined = Unconfined { template: "t".to_owned(), fault: VerifierFault::BrokenEscape };
        let retry_after = Duration::from_secs(1);
        let rejected = StsError::RequestRejected { template: String::new(), detail: String::new() };
        let (requested, max) = (Duration::from_secs(2), Duration::from_secs(1));
        vec![
            (Refusal::Auth(Rejection::Missing.into()), 401, "unauthenticated", 10001),
            (Refusal::Auth(no_subject.into()), 422, "identity-not-renderable", 10004),
            (AuthError::KeysUnavailable { retry_after }.into(), 503, "identity-unavailable", 10008),
            (AuthError::KeyNotFetched { retry_after }.into(), 503, "token-key-unknown", 10008),
            (Refusal::Malformed, 400, "bad-request", 10002),
            (Refusal::HeadTooLarge, 431, "head-too-large", 10002),
            (Refusal::TokenTooLarge, 431, "token-too-large", 10001),
            (NoGrant::NoDefault.into(), 404, "no-such-template", 10005),
            (NoGrant::Requirement("role".to_owned()).into(), 403, "requirement-not-met", 10003),
            (NoGrant::from(unrenderable).into(), 422, "identity-not-renderable", 10004),
            (NoGrant::from(item).into(), 403, "scope-not-allowed", 10000),
            (NoGrant::from(ScopeRefused::Count(0)).into(), 400, "bad-request", 10002),
            (NoGrant::from(unconfined).into(), 500, "internal", 10009),
            (CredentialError::Revoked.into(), 403, "revoked", 10003),
            (CredentialError::RateLimited { retry_after }.into(), 429, "rate-limited", 10006),
            (CredentialError::TooManyScopes { retry_after }.into(), 429, "too-many-scopes", 10006),
            (CredentialError::TtlTooLong { requested, max }.into(), 400, "min-remaining-too-long", 10002),
            (CredentialError::Sts(rejected).into(), 500, "misconfigured", 10009),
            (
                CredentialError::Sts(StsError::QuotaExhausted { retry_after }).into(),
                503,
                "credentials-unavailable",
                10007,
            ),
            (Refusal::Preflight(PreflightRefused::Method("PUT".to_owned())), 403, "preflight-refused", 10003),
            (Refusal::missing_parameter("action"), 400, "bad-request", 10002),
            (Refusal::BodyTooLarge(1), 413, "body-too-large", 10002),
            (Refusal::BodyTooSlow, 408, "body-too-slow", 10002),
            (Refusal::UnencodedTarget, 400, "bad-request", 10002),
            (Refusal::HeadTooSlow, 408, "head-too-slow", 10002),
            (Refusal::Overloaded, 503, "overloaded", 10007),
            (Refusal::NoRoute, 404, "no-such-route", 10005),
            (Refusal::MethodNotAllowed("GET"), 405, "method-not-allowed", 10002),
        ]
    }

    #[test]
    fn every_refusal_has_a_problem_type_and_every_problem_type_a_refusal() {
        let mut unused = ProblemType::ALL.to_vec();
        for (refusal, status, name, code) in every_refusal() {
            let problem = refusal.problem();
            assert_eq!((problem.status, problem.name, problem.code), (status, name, code), "{refusal}");
            assert!(ProblemType::ALL.contains(&problem), "{refusal}");
            assert!(!refusal.detail().is_empty(), "{refusal}");
            let response = refusal.response(Form::Problem, RequestId::from([0; 16]));
            assert_eq!(response.status().as_u16(), status, "{refusal}");
            unused.retain(|row| *row != problem);
        }
        assert_eq!(unused, [] as [&ProblemType; 0]);
    }

    #[test]
    fn retry_after_is_whole_seconds_rounded_up_and_at_least_one() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let retry_after = Duration::from_millis(millis);
            let refusal = Refusal::from(CredentialError::RateLimited { retry_after });
            let response = refusal.response(Form::Problem, RequestId::from([0; 16]));
            assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), expected, "{millis} ms");
        }
    }
}

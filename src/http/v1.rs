//! `/v1`: the broker's own API.
#![expect(unused_qualifications, reason = "utoipa's macros write qualified names")]

use std::{net::IpAddr, str::FromStr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    body,
    call::{Call, CredentialResponse},
    openapi::{self, CredentialsBody, ExplanationBody, ScopeItem},
    query::query,
    refusal::Refusal,
};
use crate::credential_cache::ResponseShape;
use diagnostics::HumanDuration;
use templates::{Explanation, Question, explain};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CredentialsQuery {
    /// `sts3` for the JSON of the STS API itself. Without it, the answer is the STS SDK JSON.
    #[param(required = false, pattern = "^sts3$", example = "sts3")]
    format: Option<String>,
    /// The lifetime that the key must still have, for a long upload, such as `20m`. It must be shorter than the
    /// template's `duration`.
    #[param(required = false, pattern = "^([0-9]+(h|m|s|ms))+$", example = "20m")]
    min_remaining: Option<String>,
}

/// What a scope looks like here; `POST /sts` takes the bare list.
const SCOPE_BODY: &str = r#"{"scope":[…]}; POST /sts takes the bare list"#;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScopeBody {
    #[schema(value_type = Vec<ScopeItem>, min_items = 1)]
    scope: Vec<Value>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// The action as CAM writes it; `PutObject` is short for `name/cos:PutObject`.
    #[param(required = true, example = "name/cos:PutObject")]
    action: Option<String>,
    /// The object's key or, for a list, the prefix; without a leading slash.
    #[param(required = true, example = "users/alice/photo.jpg")]
    key: Option<String>,
    /// The request's `Content-Length`, if it has one.
    #[param(value_type = Option<u64>, example = 5_000_000)]
    size: Option<String>,
    /// The request's `Content-Type`, if it has one.
    #[param(required = false, example = "image/jpeg")]
    content_type: Option<String>,
    /// The address that the request comes from.
    #[param(required = false, example = "203.0.113.7")]
    ip: Option<String>,
    /// The request's `x-cos-acl`, if it has one.
    #[param(required = false, example = "private")]
    acl: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Explained<'a> {
    #[serde(flatten)]
    #[schema(value_type = ExplanationBody)]
    explanation: Explanation,
    template: &'a str,
    bucket: &'a str,
    region: &'a str,
    /// The user's folder in the bucket.
    prefix: &'a str,
    /// Names the grant: the same id is in the key's answer, the audit log and the STS session name.
    #[serde(rename = "grantId")]
    grant_id: String,
    /// The server's time, in seconds since 1970.
    #[serde(rename = "serverTime")]
    server_time: i64,
}

/// `GET /v1/credentials[/{template}]`: a credential of the whole template.
#[utoipa::path(
    get,
    path = "/v1/credentials",
    operation_id = "getCredentials",
    tag = "v1",
    summary = "A temporary key",
    description = "Returns a key for everything that the template grants this user, from the cache if it holds one.",
    params(CredentialsQuery),
    responses((
        status = 200,
        description = "The key. Send it no further than the device of this user.",
        body = CredentialsBody,
        headers(
            ("Cache-Status" = String, description = "RFC 9211: `cosbroker; hit; ttl=1799`, `cosbroker; fwd=miss; stored; ttl=1800` or `cosbroker; fwd=stale; ttl=90`."),
        ),
        example = json!(openapi::credentials_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn get(call: Call) -> HttpResponse {
    let result = credential(&call).await;
    call.respond(result)
}

async fn credential(call: &Call) -> Result<CredentialResponse, Refusal> {
    let (caller, templates) = call.authenticate().await?;
    let Options { shape, requested_ttl } = options(&call.request)?;
    let grant = templates.grant(call.template(), caller)?;
    let served = call.credential(&grant, requested_ttl).await?;
    Ok(CredentialResponse { served, shape, object_key: None })
}

/// `POST /v1/credentials[/{template}]` with `{"scope":[…]}`: a credential of a narrower scope.
#[utoipa::path(
    post,
    path = "/v1/credentials",
    operation_id = "postCredentials",
    tag = "v1",
    summary = "A temporary key of a narrower scope",
    description = "Returns a key for a part of what the template grants this user. A scope item outside the template refuses the whole request.",
    params(CredentialsQuery),
    request_body(
        content = ScopeBody,
        content_type = "application/json",
        description = "The scope, at most 16 KiB of JSON in which no name is given twice.",
        example = json!({"scope": [openapi::scope_item_example()]}),
    ),
    responses((
        status = 200,
        description = "The key. Send it no further than the device of this user.",
        body = CredentialsBody,
        headers(
            ("Cache-Status" = String, description = "RFC 9211, as for `GET`."),
        ),
        example = json!(openapi::credentials_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn post(call: Call, payload: web::Payload) -> HttpResponse {
    let result = scoped_credential(&call, payload).await;
    call.respond(result)
}

async fn scoped_credential(call: &Call, payload: web::Payload) -> Result<CredentialResponse, Refusal> {
    let (caller, templates) = call.authenticate().await?;
    let Options { shape, requested_ttl } = options(&call.request)?;
    let ScopeBody { scope } = body::object(payload, SCOPE_BODY).await?;
    let scope = body::scope(scope)?;
    let grant = templates.narrowed(call.template(), caller, &scope)?;
    let served = call.credential(&grant, requested_ttl).await?;
    Ok(CredentialResponse { served, shape, object_key: None })
}

/// `GET /v1/explain[/{template}]?action=&key=`: whether the caller's credential allows an action, and why.
#[utoipa::path(
    get,
    path = "/v1/explain",
    operation_id = "explain",
    tag = "v1",
    summary = "Whether a key allows a request",
    description = "Says whether the caller's key allows an action on an object and, if not, which statement or condition denies it.",
    params(ExplainQuery),
    responses((
        status = 200,
        description = "The decision and its reason.",
        body = Explained<'static>,
        example = json!(openapi::explanation_example()),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn explained(call: Call) -> HttpResponse {
    match explanation(&call).await {
        Ok(response) => call.answer(response),
        Err(refusal) => call.refuse(refusal),
    }
}

async fn explanation(call: &Call) -> Result<HttpResponse, Refusal> {
    let (caller, templates) = call.authenticate().await?;
    let query: ExplainQuery = query(&call.request)?;
    let action = query.action.ok_or_else(|| Refusal::missing_parameter("action"))?;
    let key = query.key.ok_or_else(|| Refusal::missing_parameter("key"))?;
    let size = parsed(query.size, "size", "bytes, a whole number such as 5000000")?;
    let ip: Option<IpAddr> = parsed(query.ip, "ip", "a numeric address such as 203.0.113.7")?;
    let grant = templates.grant(call.template(), caller)?;
    let question = Question {
        action: &action,
        key: &key,
        size,
        content_type: query.content_type.as_deref(),
        ip,
        acl: query.acl.as_deref(),
        more: &[],
    };
    Ok(HttpResponse::Ok().json(Explained {
        explanation: explain(&grant, &question),
        template: grant.template_name(),
        bucket: &grant.bucket().name,
        region: &grant.bucket().region,
        prefix: grant.home(),
        grant_id: grant.id().to_string(),
        server_time: call.api.clock.now().as_second(),
    }))
}

/// Parses a value of the query.
fn parsed<T: FromStr>(value: Option<String>, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
    let Some(text) = value else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Refusal::BadRequest(format!("{name} `{}` cannot be read; give {expected}", text.escape_default()))
    })
}

/// Options of a request for a credential.
struct Options {
    shape: ResponseShape,
    requested_ttl: Option<Duration>,
}

fn options(request: &HttpRequest) -> Result<Options, Refusal> {
    let CredentialsQuery { format, min_remaining } = query(request)?;
    let shape = match format.as_deref() {
        None => ResponseShape::V1,
        Some("sts3") => ResponseShape::Sts3,
        Some(other) => {
            return Err(Refusal::BadRequest(format!(
                "format `{}` is unknown; give `sts3`, or leave it out for the STS SDK JSON",
                other.escape_default()
            )));
        }
    };
    let requested_ttl = min_remaining
        .map(HumanDuration::try_from)
        .transpose()
        .map_err(|error| Refusal::BadRequest(format!("min_remaining: {error}")))?;
    Ok(Options { shape, requested_ttl: requested_ttl.map(|duration| duration.0) })
}

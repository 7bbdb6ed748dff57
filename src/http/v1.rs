//! `/v1`: the broker's own API.

use std::{net::IpAddr, str::FromStr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::{
    body,
    call::{Call, CredentialResponse},
    query::query,
    refusal::Refusal,
};
use crate::credential_cache::ResponseShape;
use diagnostics::HumanDuration;
use templates::{Explanation, Question, Scope, explain};

#[derive(Debug, Deserialize)]
struct CredentialsQuery {
    format: Option<String>,
    min_remaining: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeBody {
    scope: Vec<Scope>,
}

#[derive(Deserialize)]
struct ExplainQuery {
    action: Option<String>,
    key: Option<String>,
    size: Option<String>,
    content_type: Option<String>,
    ip: Option<String>,
    acl: Option<String>,
}

#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    explanation: Explanation,
    template: &'a str,
    bucket: &'a str,
    region: &'a str,
    prefix: &'a str,
    #[serde(rename = "grantId")]
    grant_id: String,
    #[serde(rename = "serverTime")]
    server_time: i64,
}

/// `GET /v1/credentials[/{template}]`: a credential of the whole template.
pub(super) async fn get(call: Call) -> HttpResponse {
    let result = credential(&call).await;
    call.respond(result)
}

async fn credential(call: &Call) -> Result<CredentialResponse, Refusal> {
    let caller = call.authenticate().await?;
    let Options { shape, requested_ttl } = options(&call.request)?;
    let grant = call.api.templates.current().grant(call.template(), caller)?;
    let served = call.credential(&grant, requested_ttl).await?;
    Ok(CredentialResponse { served, shape, object_key: None })
}

/// `POST /v1/credentials[/{template}]` with `{"scope":[…]}`: a credential of a narrower scope.
pub(super) async fn post(call: Call, payload: web::Payload) -> HttpResponse {
    let result = scoped_credential(&call, payload).await;
    call.respond(result)
}

async fn scoped_credential(call: &Call, payload: web::Payload) -> Result<CredentialResponse, Refusal> {
    let caller = call.authenticate().await?;
    let Options { shape, requested_ttl } = options(&call.request)?;
    let ScopeBody { scope } = body::json(payload, r#"{"scope":[…]}"#).await?;
    let grant = call.api.templates.current().narrowed(call.template(), caller, &scope)?;
    let served = call.credential(&grant, requested_ttl).await?;
    Ok(CredentialResponse { served, shape, object_key: None })
}

/// `GET /v1/explain[/{template}]?action=&key=`: whether the caller's credential allows an action, and why.
pub(super) async fn explained(call: Call) -> HttpResponse {
    match explanation(&call).await {
        Ok(response) => response,
        Err(refusal) => call.refuse(refusal),
    }
}

async fn explanation(call: &Call) -> Result<HttpResponse, Refusal> {
    let caller = call.authenticate().await?;
    let query: ExplainQuery = query(&call.request)?;
    let action = query.action.ok_or_else(|| Refusal::missing_parameter("action"))?;
    let key = query.key.ok_or_else(|| Refusal::missing_parameter("key"))?;
    let size = parsed(query.size, "size", "bytes, a whole number such as 5000000")?;
    let ip: Option<IpAddr> = parsed(query.ip, "ip", "a numeric address such as 203.0.113.7")?;
    let grant = call.api.templates.current().grant(call.template(), caller)?;
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

//! `/v1`: the broker's own API.

use std::{net::IpAddr, str::FromStr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::{
    Api,
    ask::{self, Answered},
    body,
    context::RequestState,
    query::query,
    refusal::{Form, Refusal},
    shape::Shape,
};
use diagnostics::HumanDuration;
use templates::{Explanation, Question, Scope, explain, identity::Identity};

#[derive(Debug, Deserialize)]
struct Options {
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

/// `GET /v1/credentials[/{template}]`
pub(super) async fn get(api: web::Data<Api>, request: HttpRequest, state: RequestState) -> HttpResponse {
    let template = template(&request);
    let ask = async |caller: &Identity| {
        let (shape, min_remaining) = options(&request)?;
        let grant = api.templates.current().grant(template, caller)?;
        let served = api.cache.credential_for(&grant, min_remaining, state.context()).await?;
        Ok(Answered { served, shape, object_key: None })
    };
    ask::answer(&api, &request, template, Form::Problem, &state, ask).await
}

/// `POST /v1/credentials[/{template}]` with `{"scope":[…]}`
pub(super) async fn post(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
    state: RequestState,
) -> HttpResponse {
    let template = template(&request);
    let ask = async |caller: &Identity| {
        let (shape, min_remaining) = options(&request)?;
        let ScopeBody { scope } = body::json(payload, r#"{"scope":[…]}"#).await?;
        let grant = api.templates.current().narrowed(template, caller, &scope)?;
        let served = api.cache.credential_for(&grant, min_remaining, state.context()).await?;
        Ok(Answered { served, shape, object_key: None })
    };
    ask::answer(&api, &request, template, Form::Problem, &state, ask).await
}

/// `GET /v1/explain[/{template}]?action=&key=`
pub(super) async fn explained(
    api: web::Data<Api>,
    request: HttpRequest,
    state: RequestState,
) -> HttpResponse {
    match ask::authenticate_then(&api, &request, async |caller| explanation(&api, &request, caller)).await {
        Ok(response) => response,
        Err(refused) => ask::refused(&api, template(&request), Form::Problem, &state, refused),
    }
}

fn explanation(api: &Api, request: &HttpRequest, caller: &Identity) -> Result<HttpResponse, Refusal> {
    let query: ExplainQuery = query(request).map_err(Refusal::BadRequest)?;
    let missing = |name: &str| Refusal::BadRequest(format!("the query parameter `{name}` is missing"));
    let action = query.action.ok_or_else(|| missing("action"))?;
    let key = query.key.ok_or_else(|| missing("key"))?;
    let size = read(query.size, "size", "bytes, a whole number such as 5000000")?;
    let ip: Option<IpAddr> = read(query.ip, "ip", "a numeric address such as 203.0.113.7")?;
    let grant = api.templates.current().grant(template(request), caller)?;
    let question = Question {
        action: &action,
        key: &key,
        size,
        content_type: query.content_type.as_deref(),
        ip,
        acl: query.acl.as_deref(),
        more: &[],
    };
    let explanation = explain(&grant, &question);
    Ok(HttpResponse::Ok().json(Explained {
        explanation,
        template: grant.template_name(),
        bucket: &grant.bucket().name,
        region: &grant.bucket().region,
        prefix: grant.home(),
        grant_id: grant.id().to_string(),
        server_time: api.clock.now().as_second(),
    }))
}

/// A value of the query, or which one cannot be read.
fn read<T: FromStr>(value: Option<String>, name: &str, wanted: &str) -> Result<Option<T>, Refusal> {
    let read = value.map(|text| {
        text.parse().map_err(|_| {
            Refusal::BadRequest(format!("{name} `{}` cannot be read; give {wanted}", text.escape_default()))
        })
    });
    read.transpose()
}

fn template(request: &HttpRequest) -> Option<&str> {
    request.match_info().get("template")
}

fn options(request: &HttpRequest) -> Result<(Shape, Option<Duration>), Refusal> {
    let Options { format, min_remaining } = query(request).map_err(Refusal::BadRequest)?;
    let shape = match format.as_deref() {
        None => Shape::V1,
        Some("sts3") => Shape::Sts3,
        Some(other) => {
            return Err(Refusal::BadRequest(format!(
                "format `{}` is unknown; give `sts3`, or leave it out for the STS SDK JSON",
                other.escape_default()
            )));
        }
    };
    let wanted = min_remaining.map(HumanDuration::try_from).transpose();
    let wanted = wanted.map_err(|fault| Refusal::BadRequest(format!("min_remaining: {fault}")))?;
    Ok((shape, wanted.map(|span| span.0)))
}

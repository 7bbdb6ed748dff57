//! The middleware before the emulators, which injects the fault of each request.

use std::time::SystemTime;

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{DATE, HeaderValue, HttpDate, TryIntoHeaderValue},
    },
    middleware::Next,
    web,
};
use futures::StreamExt;

use super::{
    registry::FaultRegistry,
    response,
    rule::{FaultKind, Target},
    truncate::{Connection, TruncatedBody},
};
use crate::{
    clock::MovableClock,
    cos,
    injected::{self, RequestFault},
};

/// Injects a fault into a request or its response, if one is set for it.
pub(crate) async fn inject_faults(
    registry: web::Data<FaultRegistry>,
    clock: web::Data<MovableClock>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match choose_fault(&registry, &mut request).await? {
        None => next.call(request).await?.map_into_boxed_body(),
        Some((target, kind)) => inject(target, kind, &registry, request, next).await?,
    };
    if let Some(date) = date(response.request(), &clock) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

async fn choose_fault(
    registry: &FaultRegistry,
    request: &mut ServiceRequest,
) -> Result<Option<(Target, FaultKind)>, Error> {
    let (target, action) = if cos::names_bucket(request.request()) {
        (Target::Cos, cos::action_of(request.request()).map(ToOwned::to_owned))
    } else if request.path() == "/" && request.method() == Method::POST {
        (Target::Sts, sts_action(request).await?)
    } else {
        return Ok(None);
    };
    let kind = registry.choose(target, action.as_deref());
    if let Some(kind) = kind {
        tracing::info!(?target, action, fault = ?kind, "a fault is injected");
    }
    Ok(kind.map(|kind| (target, kind)))
}

/// Returns the action of an STS call: in a header with TC3, in a field of the form with the older signature.
async fn sts_action(request: &mut ServiceRequest) -> Result<Option<String>, Error> {
    if let Some(action) = request.headers().get("x-tc-action") {
        return Ok(action.to_str().ok().map(ToOwned::to_owned));
    }
    let body = request.extract::<web::Bytes>().await?;
    let action = url::form_urlencoded::parse(&body)
        .find(|(name, _)| name == "Action")
        .map(|(_, action)| action.into_owned());
    request.set_payload(Payload::from(body));
    Ok(action)
}

async fn inject(
    target: Target,
    kind: FaultKind,
    registry: &FaultRegistry,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = match kind {
        FaultKind::Throttle => response::throttled(target, &registry.request_id()),
        FaultKind::Error(status) => response::service_error(target, status, &registry.request_id()),
        FaultKind::Html(status) => response::gateway_page(status),
        FaultKind::Reset => {
            let response = reset(request.request());
            return Ok(request.into_response(response));
        }
        FaultKind::Truncated => {
            return truncate(target, next.call(request).await?.map_into_boxed_body()).await;
        }
        FaultKind::Latency(delay) => {
            actix_web::rt::time::sleep(delay).await;
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        FaultKind::Skew(by) => {
            RequestFault::ClockSkew(by).attach(&request);
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        FaultKind::Lifetime(ttl) => {
            RequestFault::CredentialTtl(ttl).attach(&request);
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
    };
    // A response before the whole request is read would close the connection while the client still sends.
    let mut payload = request.take_payload();
    while let Some(Ok(_)) = payload.next().await {}
    Ok(request.into_response(response))
}

/// Returns a response that resets the connection before its head is sent.
fn reset(request: &HttpRequest) -> HttpResponse {
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.reset_when_closed();
    }
    HttpResponse::Ok().body(TruncatedBody::before_head())
}

/// Truncates a response: STS's JSON ends in the middle, but HTTP is complete; of COS's body less is sent than
/// announced. A response that has no body (RFC 9110 §6.4.1) is lost as a whole, except to `HEAD`.
async fn truncate(target: Target, response: ServiceResponse) -> Result<ServiceResponse, Error> {
    if response.request().method() == Method::HEAD {
        return Ok(response);
    }
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status()) {
        let lost = reset(response.request());
        return Ok(response.into_response(lost));
    }
    if target == Target::Cos {
        return Ok(response.map_body(|_, body| BoxBody::new(TruncatedBody::half_of(body))));
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let mut body =
        actix_web::body::to_bytes(body).await.map_err(actix_web::error::ErrorInternalServerError)?;
    body.truncate(body.len() / 2);
    Ok(ServiceResponse::new(request, head.set_body(BoxBody::new(body))))
}

/// Returns the header `Date` by the sandbox's clock. Clients correct their own clock by it.
fn date(request: &HttpRequest, clock: &MovableClock) -> Option<HeaderValue> {
    let now = SystemTime::try_from(injected::now(request, clock)).ok()?;
    HttpDate::from(now).try_into_value().ok()
}

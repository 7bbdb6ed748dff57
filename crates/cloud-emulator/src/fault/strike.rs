//! Stands before the emulators: finds out what a request asks of whom, and does with it what was decided.

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
    Faults, Struck, answer,
    cut::{Connection, CutShort},
    rule::{Kind, Target},
};
use crate::{MovableClock, cos};

/// Every request of the cloud goes through here.
pub(crate) async fn strike(
    faults: web::Data<Faults>,
    clock: web::Data<MovableClock>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = match decided(&faults, &mut request).await? {
        None => next.call(request).await?.map_into_boxed_body(),
        Some((target, kind)) => struck(target, kind, &faults, request, next).await?,
    };
    if let Some(date) = date(response.request(), &clock) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

async fn decided(faults: &Faults, request: &mut ServiceRequest) -> Result<Option<(Target, Kind)>, Error> {
    let (target, action) = if let Some(action) = cos::action_of(request.request()) {
        (Target::Cos, Some(action.to_owned()))
    } else if request.path() == "/" && request.method() == Method::POST {
        (Target::Sts, sts_action(request).await?)
    } else {
        return Ok(None);
    };
    let kind = faults.strike(target, action.as_deref());
    if let Some(kind) = kind {
        tracing::info!(?target, action, fault = ?kind, "a fault on demand strikes");
    }
    Ok(kind.map(|kind| (target, kind)))
}

/// A header names it under the newer signature, a field of the form under the older one.
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

async fn struck(
    target: Target,
    kind: Kind,
    faults: &Faults,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let name = || faults.entropy.hex_id();
    let answer = match kind {
        Kind::Throttle => answer::throttled(target, &name()),
        Kind::Error(status) => answer::failed(target, status, &name()),
        Kind::Html(status) => answer::page(status),
        Kind::Reset => reset(request.request()),
        Kind::Latency(delay) => {
            actix_web::rt::time::sleep(delay).await;
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        Kind::Skew(by) => {
            request.extensions_mut().insert(Struck::Skew(by));
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        Kind::Lifetime(lasts) => {
            request.extensions_mut().insert(Struck::Lifetime(lasts));
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        Kind::Truncated => {
            return cut(target, next.call(request).await?.map_into_boxed_body()).await;
        }
    };
    // An answer before the request is read would end the connection under a client that still writes.
    if kind != Kind::Reset {
        let mut payload = request.take_payload();
        while let Some(Ok(_)) = payload.next().await {}
    }
    Ok(request.into_response(answer))
}

/// No answer: the connection ends before its head.
fn reset(request: &HttpRequest) -> HttpResponse {
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.end_with_a_reset();
    }
    HttpResponse::Ok().body(CutShort::before_its_head())
}

/// STS's JSON ends in the middle and is whole to HTTP; of COS's answer less comes than was announced. Where HTTP
/// has no room for a body (RFC 9110 §6.4.1), none can be cut: of those the whole answer is lost, but for that to HEAD.
async fn cut(target: Target, response: ServiceResponse) -> Result<ServiceResponse, Error> {
    if response.request().method() == Method::HEAD {
        return Ok(response);
    }
    if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status()) {
        let lost = reset(response.request());
        return Ok(response.into_response(lost));
    }
    if target == Target::Cos {
        return Ok(response.map_body(|_, body| BoxBody::new(CutShort::of(body))));
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let mut body =
        actix_web::body::to_bytes(body).await.map_err(actix_web::error::ErrorInternalServerError)?;
    body.truncate(body.len() / 2);
    Ok(ServiceResponse::new(request, head.set_body(BoxBody::new(body))))
}

/// Clients correct their own clock by this header, so it goes by the sandbox's.
fn date(request: &HttpRequest, clock: &MovableClock) -> Option<HeaderValue> {
    let now = std::time::SystemTime::try_from(super::now(request, clock)).ok()?;
    HttpDate::from(now).try_into_value().ok()
}

//! What stands in the place of an emulator's answer.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ContentType},
};
use serde_json::json;

use super::rule::Target;
use crate::cos;

/// Too many requests: STS says so with HTTP 200 (`docs/tencent.md`), COS with 503.
pub(super) fn throttled(target: Target, request_id: &str) -> HttpResponse {
    match target {
        Target::Sts => HttpResponse::Ok().json(json!({"Response": {
            "Error": {"Code": "RequestLimitExceeded", "Message": "a fault on demand: too many requests"},
            "RequestId": request_id,
        }})),
        Target::Cos => cos::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "a fault on demand: reduce your request rate",
            "",
            request_id,
        ),
    }
}

/// The service fails: before STS stands a gateway that says nothing, COS answers in its own words.
pub(super) fn failed(target: Target, status: StatusCode, request_id: &str) -> HttpResponse {
    match target {
        Target::Sts => HttpResponse::build(status).finish(),
        Target::Cos => {
            let code = if status == StatusCode::SERVICE_UNAVAILABLE {
                "ServiceUnavailable"
            } else {
                "InternalError"
            };
            cos::error(status, code, "a fault on demand: the service fails", "", request_id)
        }
    }
}

/// What a gateway shows when nobody is behind it.
pub(super) fn page(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::html()).body(format!(
        "<html>\n<head><title>{status}</title></head>\n<body>\n<center><h1>{status}</h1></center>\n<hr><center>a fault on demand</center>\n</body>\n</html>\n"
    ))
}

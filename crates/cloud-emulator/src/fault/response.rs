//! Responses in place of an emulator's response.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ContentType},
};
use serde_json::json;

use super::rule::Target;
use crate::cos;

/// Too many requests: HTTP 200 with an error code from STS (`docs/understand/tencent.md`), 503 from COS.
pub(super) fn throttled(target: Target, request_id: &str) -> HttpResponse {
    match target {
        Target::Sts => HttpResponse::Ok().json(json!({"Response": {
            "Error": {"Code": "RequestLimitExceeded", "Message": "an injected fault: too many requests"},
            "RequestId": request_id,
        }})),
        Target::Cos => cos::error_response(
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "an injected fault: reduce your request rate",
            None,
            request_id,
        ),
    }
}

/// A failure of the service: an empty response of the gateway before STS, an XML error from COS.
pub(super) fn service_error(target: Target, status: StatusCode, request_id: &str) -> HttpResponse {
    match target {
        Target::Sts => HttpResponse::build(status).finish(),
        Target::Cos => {
            let code = if status == StatusCode::SERVICE_UNAVAILABLE {
                "ServiceUnavailable"
            } else {
                "InternalError"
            };
            cos::error_response(status, code, "an injected fault: the service fails", None, request_id)
        }
    }
}

/// The HTML page of a gateway whose backend does not answer.
pub(super) fn gateway_page(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::html()).body(format!(
        "<html>\n<head><title>{status}</title></head>\n<body>\n<center><h1>{status}</h1></center>\n<hr><center>an injected fault</center>\n</body>\n</html>\n"
    ))
}

//! Responses as COS writes them: XML, common headers, times.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use jiff::Timestamp;
use serde::Serialize;

/// Returns a response with an XML body.
pub(super) fn xml(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match quick_xml::se::to_string(body) {
        Ok(text) => HttpResponse::build(status)
            .content_type("application/xml")
            .body(format!("<?xml version='1.0' encoding='utf-8' ?>\n{text}")),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// Adds the headers that every response of COS has.
pub(super) fn with_common_headers(mut response: HttpResponse, request_id: &str) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("tencent-cos"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-cos-request-id"), id);
    }
    response
}

/// Formats a time for an HTTP header (RFC 9110 §5.6.7).
pub(super) fn http_date(at: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}

/// Formats a time for COS's XML.
pub(super) fn iso8601(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

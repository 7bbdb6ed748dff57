//! CORS: pages of any origin may use the emulated cloud.

use actix_cors::Cors;
use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderValue},
    middleware::Next,
};

/// Allows web pages of any origin. Nothing in the sandbox is secret, and a bucket that browsers upload to allows
/// them as well.
pub(crate) fn allow_any_origin() -> Cors {
    Cors::default()
        .allow_any_origin()
        .allow_any_method()
        .allow_any_header()
        .expose_any_header()
        .send_wildcard()
        .max_age(600)
}

/// Removes the headers of CORS from the response to a request without `Origin`, which is none of CORS, and puts the
/// names of exposed headers in order, so that the same response is written in the same way.
pub(crate) async fn tidy_cors_headers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let has_origin = request.headers().contains_key(header::ORIGIN);
    let mut response = next.call(request).await?;
    tidy(response.headers_mut(), has_origin);
    Ok(response)
}

fn tidy(headers: &mut HeaderMap, has_origin: bool) {
    let exposed = headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS).next();
    if !has_origin {
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        return;
    }
    let mut names: Vec<&str> = exposed
        .as_ref()
        .and_then(|names| names.to_str().ok())
        .into_iter()
        .flat_map(|names| names.split(',').map(str::trim))
        .collect();
    names.sort_unstable();
    if let Ok(names) = HeaderValue::from_str(&names.join(", "))
        && !names.is_empty()
    {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
}

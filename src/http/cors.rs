//! CORS: which web pages may call the public API from a browser (Fetch Standard, "CORS protocol").
//!
//! Exact origins only, and no credentials: scripts set the token's header themselves. It decides by the headers of a
//! request; which routes there are it does not know.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
            ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
        },
    },
};

/// The methods of the API's routes.
const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
/// The request headers that the API reads.
const HEADERS: [&str; 4] = ["authorization", "content-type", "traceparent", "tracestate"];
/// The response headers that a script may read.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("cache-status, retry-after, www-authenticate, x-request-id");
/// How long browsers may cache the answer to a preflight, in seconds.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");
/// A cache must not give one origin the answer to another. Answers are not stored, but proxies may be told otherwise.
const PREFLIGHT_VARIES: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// Which pages may call, and with which headers.
#[derive(Debug)]
pub struct CorsPolicy {
    origins: Vec<String>,
    headers: Vec<String>,
}

/// Why a preflight is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightRefused {
    /// The page's origin.
    #[error("pages of the origin `{}` may not call this API; server.cors_origins lists those that may", .0.escape_default())]
    Origin(String),
    /// The method of the request that is to come.
    #[error("pages may not send {}; the API has {}", .0.escape_default(), METHODS.join(", "))]
    Method(String),
    /// A header of that request.
    #[error("pages may not send the header `{}`; server.cors_headers lists those that are allowed besides {}", .0.escape_default(), HEADERS.join(", "))]
    Header(String),
}

impl CorsPolicy {
    /// Allows these origins, and these headers besides the ones that the API reads.
    pub fn new(origins: &[String], more_headers: &[String]) -> Self {
        let mut headers: Vec<String> = HEADERS.map(str::to_owned).into();
        headers.extend(more_headers.iter().filter(|more| !HEADERS.contains(&more.as_str())).cloned());
        Self { origins: origins.to_vec(), headers }
    }

    fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin)
    }

    /// Checks what a preflight asks for: a comma-separated list of headers in any case.
    fn check(&self, origin: &[u8], method: &[u8], headers: &[u8]) -> Result<(), PreflightRefused> {
        self.refusals(origin, method, headers).next().map_or(Ok(()), Err)
    }

    /// Returns everything that a page may not do of what a preflight asks for.
    pub(super) fn refusals(
        &self,
        origin: &[u8],
        method: &[u8],
        headers: &[u8],
    ) -> impl Iterator<Item = PreflightRefused> {
        let origin = (!self.allows_origin(origin)).then(|| PreflightRefused::Origin(text(origin)));
        let has_method = METHODS.iter().any(|allowed| allowed.as_bytes() == method);
        let method = (!has_method).then(|| PreflightRefused::Method(text(method)));
        let wanted =
            headers.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        let headers = wanted
            .filter(|name| !self.headers.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(name)))
            .map(|name| PreflightRefused::Header(text(name)));
        origin.into_iter().chain(method).chain(headers)
    }

    /// Lets the page that sent a request read its answer, if it may call.
    pub(super) fn allow(&self, request: &HttpRequest, answer: &mut HeaderMap) {
        let origin = only(request.headers(), &ORIGIN).filter(|origin| self.allows_origin(origin.as_bytes()));
        let Some(origin) = origin else { return };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        if !answer.contains_key(VARY) {
            answer.insert(VARY, HeaderValue::from_static("origin"));
        }
    }

    /// The answer to a preflight that is allowed.
    fn preflight_answer(&self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS.join(", ")))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, self.headers.join(", ")))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS))
            .insert_header((VARY, PREFLIGHT_VARIES))
            .finish()
    }
}

/// Answers a request if it is a preflight: `OPTIONS` with the method that is to come.
pub(super) fn preflight(
    policy: &CorsPolicy,
    request: &HttpRequest,
) -> Option<Result<HttpResponse, PreflightRefused>> {
    let headers = request.headers();
    let origin = only(headers, &ORIGIN).filter(|_| request.method() == Method::OPTIONS)?;
    let method = only(headers, &ACCESS_CONTROL_REQUEST_METHOD)?;
    let wanted: Vec<&[u8]> =
        headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).map(HeaderValue::as_bytes).collect();
    let checked = policy.check(origin.as_bytes(), method.as_bytes(), &wanted.join(&b','));
    Some(checked.map(|()| policy.preflight_answer()))
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name);
    values.next().filter(|_| values.next().is_none())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_is_allowed_by_origin_method_and_headers() {
        let policy = CorsPolicy::new(
            &["https://app.example.com".to_owned()],
            &["x-requested-with".to_owned(), "authorization".to_owned()],
        );
        let (ours, allowed) = ("https://app.example.com", "");
        for (origin, method, headers, refused) in [
            (ours, "GET", "", allowed),
            (ours, "HEAD", "Authorization,X-Requested-With", allowed),
            (ours, "POST", " content-type , traceparent,,tracestate", allowed),
            ("https://app.example.com:444", "GET", "", "origin `https://app.example.com:444`"),
            ("null", "GET", "", "origin `null`"),
            (ours, "PUT", "", "may not send PUT"),
            (ours, "get", "", "may not send get"),
            (ours, "GET", "authorization, x-mine", "header `x-mine`; server.cors_headers"),
            (ours, "GET", "*", "header `*`"),
        ] {
            let found = policy.check(origin.as_bytes(), method.as_bytes(), headers.as_bytes());
            let found = found.err().map_or(String::new(), |refused| refused.to_string());
            assert!(found.contains(refused) && found.is_empty() == refused.is_empty(), "{found}");
        }
        assert_eq!(policy.headers.len(), 5, "none is named twice");
    }
}

//! Signs requests and sends them to COS. Paths leave as they are written, which HTTP clients that parse URLs
//! do not do: they resolve `..`, and `%2e%2e` alike (WHATWG URL, "double-dot URL path segment").

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::ExposeSecret;
use url::Url;

use super::request::{Answer, Request};
use crate::sts::TemporaryCredential;
use runtime::clock::Clock;
use templates::Bucket;
use tencent_sign::cos;

/// For one request, from connecting to the answer's last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer read; a listing of a thousand keys takes less.
const LARGEST: usize = 1 << 20;
/// How long a signature holds, before and after now, in seconds: COS's clock is another.
const WINDOW: i64 = 300;

/// Speaks to COS.
#[derive(Debug)]
pub(super) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Option<Url>,
}

/// No HTTP client can be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for COS cannot be made: {0}; check this machine's certificate store")]
pub struct NoClient(String);

/// A request without an answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unanswered(String);

impl Client {
    /// A client that follows no redirect and no proxy.
    pub(super) fn new(endpoint: Option<Url>) -> Result<Self, NoClient> {
        let connector = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(|error| NoClient(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { http: legacy::Client::builder(TokioExecutor::new()).build(connector), endpoint })
    }

    /// Sends a request about a bucket, signed with this key; unsigned without one.
    pub(super) async fn send(
        &self,
        bucket: &Bucket,
        request: &Request,
        key: Option<&TemporaryCredential>,
        clock: &dyn Clock,
    ) -> Result<Answer, Unanswered> {
        let started = clock.monotonic();
        let unwritten = |error: &dyn std::fmt::Display| Unanswered(format!("not written: {error}"));
        let sent = self.written(bucket, request, key, clock).map_err(|error| unwritten(&error))?;
        let answered = async {
            let answer = self.http.request(sent).await.map_err(|error| {
                Unanswered(if error.is_connect() { "no connection" } else { "no answer" }.to_owned())
            })?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|_| Unanswered("the answer broke off, or is too large".to_owned()))?;
            Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        let late = || Unanswered(format!("no answer within {} s", TIMEOUT.as_secs()));
        let (status, body) = tokio::time::timeout(TIMEOUT, answered).await.map_err(|_| late())??;
        Ok(Answer::new(request.method, status, body, clock.monotonic().saturating_sub(started)))
    }

    /// The bucket is named by the host, wherever the endpoint leads.
    fn written(
        &self,
        bucket: &Bucket,
        request: &Request,
        key: Option<&TemporaryCredential>,
        clock: &dyn Clock,
    ) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
        let host = bucket.host();
        let base = match &self.endpoint {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{host}"),
        };
        let mut headers: Vec<(String, String)> =
            request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        headers.push(("host".to_owned(), host));
        let mut authorization = None;
        if let Some(key) = key {
            headers.push(("x-cos-security-token".to_owned(), key.token.expose_secret().to_owned()));
            let parameters: Vec<(String, String)> =
                request.query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            let signed = cos::Request {
                method: request.method,
                path: &request.signed_path,
                parameters: &parameters,
                headers: &headers,
            };
            let now = clock.now().as_second();
            let window = cos::Window { from: now - WINDOW, until: now + WINDOW };
            let fields = signed.authorize(&key.secret_id, key.secret_key.expose_secret(), window);
            let fields = fields.map(|(name, value)| format!("{name}={value}")).join("&");
            authorization = Some(("authorization".to_owned(), fields));
        }
        let target: Uri = format!("{base}{}", request.target()).parse()?;
        let mut written = hyper::Request::builder().method(request.method).uri(target);
        for (name, value) in headers.into_iter().chain(authorization) {
            let mut value = header::HeaderValue::try_from(value)?;
            value.set_sensitive(["authorization", "x-cos-security-token"].contains(&name.as_str()));
            written = written.header(name, value);
        }
        written.body(Full::from(request.body.clone()))
    }
}

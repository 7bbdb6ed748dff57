//! An HTTP client for signed COS requests. It sends paths exactly as written; clients that parse URLs resolve
//! `..` and also `%2e%2e` (WHATWG URL, "double-dot URL path segment").

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, proxy::Tunnel},
    },
    rt::TokioExecutor,
};
use secrecy::ExposeSecret;
use url::Url;

use super::request::{Answer, Request};
use crate::{
    config::{Network, Proxy},
    network::{self, ProxyChoice},
    sts::TemporaryCredential,
};
use runtime::clock::Clock;
use templates::Bucket;
use tencent_sign::cos;

/// The limit for one request, from connecting to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit for an answer. A listing of 1000 keys is smaller.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A signature is valid this long before and after now, as the clock of COS may differ.
const SIGNATURE_LEEWAY_SECONDS: i64 = 300;

const SECURITY_TOKEN: &str = "x-cos-security-token";

/// The content type of a form (RFC 7578). The boundary stands in no body of a probe.
const FORM_TYPE: &str = "multipart/form-data; boundary=cosbroker-canary-form";

#[derive(Debug)]
pub(super) struct Client {
    direct: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    proxied: Option<Proxied>,
    endpoint: Option<Url>,
}

/// Sends requests through a proxy, by a tunnel (RFC 9110 §9.3.6): it neither reads nor changes them.
#[derive(Debug)]
struct Proxied {
    http: legacy::Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>,
    choice: ProxyChoice,
}

/// The error for an HTTP client that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for COS cannot be built: {0}; check [network] and this machine's certificate store")]
pub struct NoClient(String);

/// The error for a request without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the request cannot be built: {0}")]
    NotBuilt(#[from] hyper::http::Error),
    #[error("no connection")]
    NoConnection,
    #[error("no answer")]
    NoAnswer,
    #[error("the answer was cut off, or is too large")]
    NotRead,
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
}

impl Client {
    /// Returns a client that follows no redirect, and no proxy but that of the configuration.
    pub(super) fn new(endpoint: Option<Url>, network: &Network) -> Result<Self, NoClient> {
        let tls = network::tls(network).map_err(|error| NoClient(error.to_string()))?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1().build();
        let proxied = network.proxy().map(|proxy| Proxied::new(proxy, tls)).transpose()?;
        Ok(Self { direct: legacy::Client::builder(TokioExecutor::new()).build(connector), proxied, endpoint })
    }

    /// Sends a request about a bucket. It is signed with the credential, if there is one.
    pub(super) async fn send(
        &self,
        bucket: &Bucket,
        request: &Request,
        credential: Option<&TemporaryCredential>,
        clock: &dyn Clock,
    ) -> Result<Answer, Unanswered> {
        let started = clock.monotonic();
        let built = self.build(bucket, request, credential, clock)?;
        let exchanged = tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(built)).await;
        let (status, body) = exchanged.map_err(|_| Unanswered::TimedOut)??;
        Ok(Answer::new(request.method, status, body, clock.monotonic().saturating_sub(started)))
    }

    async fn exchange(&self, request: hyper::Request<Full<Bytes>>) -> Result<(u16, String), Unanswered> {
        let proxied = self.proxied.as_ref().filter(|proxied| proxied.choice.is_for(request.uri()));
        let sent = match proxied {
            Some(proxied) => proxied.http.request(request).await,
            None => self.direct.request(request).await,
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Err(Unanswered::NoConnection),
            Err(_) => return Err(Unanswered::NoAnswer),
        };
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|_| Unanswered::NotRead)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// The `Host` header names the bucket, also where the endpoint is another host.
    fn build(
        &self,
        bucket: &Bucket,
        request: &Request,
        credential: Option<&TemporaryCredential>,
        clock: &dyn Clock,
    ) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
        let host = bucket.host();
        let base = match &self.endpoint {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{host}"),
        };
        let mut headers = owned(&request.headers);
        headers.push(("host".to_owned(), host));
        let mut body = request.body.clone();
        if let Some(credential) = credential {
            let token = credential.token.expose_secret();
            if request.form.is_empty() {
                headers.push((SECURITY_TOKEN.to_owned(), token.to_owned()));
                let authorization = authorization(request, &headers, credential, clock);
                headers.push((header::AUTHORIZATION.to_string(), authorization));
            } else {
                // A form has in fields what other requests have in headers, and its signature is over the bucket.
                let signature = authorization(request, &headers, credential, clock);
                body = form_body(request, &[("Signature", &signature), (SECURITY_TOKEN, token)]);
                headers.push((header::CONTENT_TYPE.to_string(), FORM_TYPE.to_owned()));
            }
        }
        let target: Uri = format!("{base}{}", request.target()).parse()?;
        let mut built = hyper::Request::builder().method(request.method).uri(target);
        for (name, value) in headers {
            let mut value = header::HeaderValue::try_from(value)?;
            value.set_sensitive(name == header::AUTHORIZATION.as_str() || name == SECURITY_TOKEN);
            built = built.header(name, value);
        }
        built.body(Full::from(body))
    }
}

impl Proxied {
    fn new(proxy: &Proxy, tls: rustls::ClientConfig) -> Result<Self, NoClient> {
        let address =
            proxy.url.as_str().parse().map_err(|_| NoClient(format!("{} is no proxy", proxy.url)))?;
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        let mut tunnel = Tunnel::new(address, direct);
        if let Some(authorization) = network::authorization(proxy) {
            tunnel = tunnel.with_auth(authorization);
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tunnel);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, choice: ProxyChoice::of(proxy) })
    }
}

/// Returns the `Authorization` header, which signs the given headers and the whole query.
fn authorization(
    request: &Request,
    headers: &[(String, String)],
    credential: &TemporaryCredential,
    clock: &dyn Clock,
) -> String {
    let parameters: Vec<_> =
        request.query.iter().map(|(name, value)| (name.clone().into_owned(), value.clone())).collect();
    let signed =
        cos::Request { method: request.method, path: &request.signed_path, parameters: &parameters, headers };
    let now = clock.now().as_second();
    let window = cos::Window { from: now - SIGNATURE_LEEWAY_SECONDS, until: now + SIGNATURE_LEEWAY_SECONDS };
    let fields = signed.authorize(&credential.secret_id, credential.secret_key.expose_secret(), window);
    fields.map(|(name, value)| format!("{name}={value}")).join("&")
}

fn owned(pairs: &[(&'static str, String)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Returns the body of a form: its fields, those of the credential, and the file (RFC 7578).
fn form_body(request: &Request, credential: &[(&str, &str)]) -> String {
    let form = request.form.iter().map(|(name, value)| (*name, value.as_str()));
    let mut parts: Vec<String> = form
        .chain(credential.iter().copied())
        .map(|(name, value)| form_part(&format!("name=\"{name}\""), value))
        .collect();
    parts.push(form_part("name=\"file\"; filename=\"file\"", &request.body));
    parts.push("--cosbroker-canary-form--\r\n".to_owned());
    parts.concat()
}

fn form_part(name: &str, content: &str) -> String {
    format!("--cosbroker-canary-form\r\nContent-Disposition: form-data; {name}\r\n\r\n{content}\r\n")
}

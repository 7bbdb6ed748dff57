//! One call to STS over HTTP.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use tencent_sign::tc3::{self, Signing};
use url::Url;
use zeroize::Zeroizing;

use crate::{
    AssumeRole, AssumeRoleWithWebIdentity, Error, GetFederationToken, Interrupted, InvalidRequest, Policy,
    SourceCredentials, TemporaryCredential, UnreadableResponse, response,
};

const API_VERSION: &str = "2018-08-13";
/// The largest response that is read; a token has at most 4096 bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Where and how STS is called.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The API's address: scheme, host and port.
    pub endpoint: String,
    /// The region that is sent as `X-TC-Region`, such as `ap-guangzhou`.
    pub region: String,
    /// The most time for one connection.
    pub connect_timeout: Duration,
    /// The most time for one call, the connection included.
    pub timeout: Duration,
}

impl ClientConfig {
    /// Returns a configuration for Tencent's public endpoint: 1 s for a connection, 5 s for a call.
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            endpoint: "https://sts.tencentcloudapi.com".to_owned(),
            region: region.into(),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
        }
    }
}

/// A configuration that no client can be made of.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// The endpoint is not a URL of scheme, host and port only: the signature covers no path.
    #[error(
        "the endpoint of STS is not a URL of scheme, host and port; write it like https://sts.tencentcloudapi.com"
    )]
    Endpoint,
    /// The region holds bytes that a header cannot carry.
    #[error("the region of STS cannot stand in a header; write it like ap-guangzhou")]
    Region,
    /// The HTTP client cannot be made, such as for want of root certificates.
    #[error("no HTTP client can be made: {0}; check this machine's certificate store")]
    Http(#[from] reqwest::Error),
}

/// A client of STS. It neither caches nor retries, and it reads no clock.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    host: String,
    host_header: HeaderValue,
    region: HeaderValue,
}

/// What belongs to one call besides its request.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The key that signs the request.
    pub source_credentials: &'a SourceCredentials,
    /// The time of the call, which the signature holds: STS accepts a difference of five minutes.
    pub now: Timestamp,
    /// A `traceparent` header, if the call is part of a trace.
    pub traceparent: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// Returns a call that is part of no trace.
    pub fn new(source_credentials: &'a SourceCredentials, now: Timestamp) -> Self {
        Self { source_credentials, now, traceparent: None }
    }
}

impl Client {
    /// Makes a client. It follows no redirect and no proxy: what is signed goes to the endpoint.
    ///
    /// # Errors
    /// When the endpoint or the region is not valid, or no HTTP client can be made.
    pub fn new(config: &ClientConfig) -> Result<Self, InvalidConfig> {
        Self::with_http(config, reqwest::Client::builder().no_proxy())
    }

    /// Makes a client whose connections are made as `http` says: through its proxy, with its TLS. It follows no redirect.
    ///
    /// # Errors
    /// When the endpoint or the region is not valid, or no HTTP client can be made.
    pub fn with_http(config: &ClientConfig, http: reqwest::ClientBuilder) -> Result<Self, InvalidConfig> {
        let endpoint = Url::parse(&config.endpoint).map_err(|_| InvalidConfig::Endpoint)?;
        if endpoint.path() != "/" || endpoint.query().is_some() {
            return Err(InvalidConfig::Endpoint);
        }
        let name = endpoint.host_str().ok_or(InvalidConfig::Endpoint)?;
        let host = endpoint.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let host_header = HeaderValue::from_str(&host).map_err(|_| InvalidConfig::Endpoint)?;
        let region = HeaderValue::from_str(&config.region).map_err(|_| InvalidConfig::Region)?;
        let http = http
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .no_deflate()
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build()?;
        Ok(Self { http, endpoint, host, host_header, region })
    }

    /// Returns the host that is called, with its port unless it is the usual one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Gets a temporary key of a made-up user: what `getCredential` of the vendor's SDKs does.
    ///
    /// # Errors
    /// Why STS issued none.
    pub async fn get_federation_token(
        &self,
        request: &GetFederationToken<'_>,
        call: &Call<'_>,
    ) -> Result<TemporaryCredential, Error> {
        require_policy(request.policy)?;
        self.send_signed(GetFederationToken::ACTION, request.body()?, call).await
    }

    /// Gets a temporary key of a role: what `getRoleCredential` of the vendor's SDKs does.
    ///
    /// # Errors
    /// Why STS issued none.
    pub async fn assume_role(
        &self,
        request: &AssumeRole<'_>,
        call: &Call<'_>,
    ) -> Result<TemporaryCredential, Error> {
        require_policy(request.policy)?;
        self.send_signed(AssumeRole::ACTION, request.body()?, call).await
    }

    /// Gets a temporary key of a role by the token of an identity provider. No source credentials are needed.
    ///
    /// # Errors
    /// Why STS issued none.
    pub async fn assume_role_with_web_identity(
        &self,
        request: &AssumeRoleWithWebIdentity<'_>,
        now: Timestamp,
    ) -> Result<TemporaryCredential, Error> {
        let mut headers = self.headers(AssumeRoleWithWebIdentity::ACTION, now);
        // The token of the request proves who calls, so nothing is signed.
        headers.insert(AUTHORIZATION, HeaderValue::from_static("SKIP"));
        self.send(headers, request.body()?, now).await
    }

    async fn send_signed(
        &self,
        action: &'static str,
        body: Zeroizing<Vec<u8>>,
        call: &Call<'_>,
    ) -> Result<TemporaryCredential, Error> {
        let Call { source_credentials, now, traceparent } = *call;
        let signing = Signing {
            method: "POST",
            query: "",
            service: "sts",
            host: &self.host,
            content_type: tc3::CONTENT_TYPE,
            body: &body,
            at: now,
        };
        let authorization = tc3::authorization(
            &signing,
            source_credentials.secret_id.expose_secret(),
            source_credentials.secret_key.expose_secret(),
        );
        let mut headers = self.headers(action, now);
        headers.insert(AUTHORIZATION, secret_header(&authorization)?);
        if let Some(token) = &source_credentials.token {
            headers.insert("X-TC-Token", secret_header(token.expose_secret())?);
        }
        // The signature covers only the headers that it names.
        if let Some(traceparent) = traceparent {
            let value = HeaderValue::from_str(traceparent).map_err(|_| InvalidRequest::Traceparent)?;
            headers.insert("traceparent", value);
        }
        self.send(headers, body, now).await
    }

    fn headers(&self, action: &'static str, now: Timestamp) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(tc3::CONTENT_TYPE));
        headers.insert(HOST, self.host_header.clone());
        headers.insert("X-TC-Action", HeaderValue::from_static(action));
        headers.insert("X-TC-Version", HeaderValue::from_static(API_VERSION));
        headers.insert("X-TC-Region", self.region.clone());
        headers.insert("X-TC-Timestamp", HeaderValue::from(now.as_second()));
        headers
    }

    async fn send(
        &self,
        headers: HeaderMap,
        body: Zeroizing<Vec<u8>>,
        now: Timestamp,
    ) -> Result<TemporaryCredential, Error> {
        let request = self.http.post(self.endpoint.clone()).headers(headers).body(Bytes::from_owner(body));
        let mut response = request.send().await.map_err(|error| Interrupted::from(&error))?;
        let status = response.status().as_u16();
        // At its full size: a buffer that grows leaves copies behind. The client reads no more than the length that is stated.
        let stated = response.content_length().and_then(|bytes| usize::try_from(bytes).ok());
        let size = stated.map_or(MAX_RESPONSE_BYTES, |bytes| bytes.min(MAX_RESPONSE_BYTES));
        let mut read = Zeroizing::new(Vec::with_capacity(size));
        while let Some(chunk) = response.chunk().await.map_err(|error| Interrupted::from(&error))? {
            if read.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(UnreadableResponse::TooLarge { max_bytes: MAX_RESPONSE_BYTES }.into());
            }
            read.extend_from_slice(&chunk);
        }
        response::read(status, &read, now)
    }
}

/// STS takes a missing or empty policy for all rights of the caller.
fn require_policy(policy: &Policy<'_>) -> Result<(), InvalidRequest> {
    if policy.encoded().is_empty() { Err(InvalidRequest::EmptyPolicy) } else { Ok(()) }
}

fn secret_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::InvalidSourceCredentials)?;
    value.set_sensitive(true);
    Ok(value)
}

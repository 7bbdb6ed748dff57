//! One call to STS over the wire.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use url::Url;

use super::{
    TemporaryCredential,
    error::{Class, code},
    response::{self, Failure},
    source_credentials::SourceCredentials,
};
use crate::{config::StsAction, telemetry::TraceContext};
use templates::Grant;
use tencent_sign::tc3::{self, Signing};

/// The API's version (`docs/tencent.md`).
const VERSION: &str = "2018-08-13";
/// The largest answer read; a token may have 4096 bytes.
const LARGEST: usize = 64 * 1024;

/// Where and how STS is called.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    host: String,
    region: String,
    action: StsAction,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetFederationToken<'a> {
    name: &'a str,
    policy: &'a str,
    duration_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole<'a> {
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: u64,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
}

impl Client {
    /// A client that follows no redirect and no proxy: what is signed goes where the configuration says.
    pub(super) fn new(endpoint: Url, region: String, action: StsAction) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(Duration::from_secs(1))
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        let name = endpoint.host_str().unwrap_or_default();
        let host = endpoint.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        Ok(Self { http, endpoint, host, region, action })
    }

    /// What the call is named in figures of others.
    pub(super) fn action(&self) -> &'static str {
        match self.action {
            StsAction::GetFederationToken => "GetFederationToken",
            StsAction::AssumeRole { .. } => "AssumeRole",
        }
    }

    /// The host that is called, with its port where that is not the usual one.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Asks for one key; `place` is the call's in a trace.
    pub(super) async fn call(
        &self,
        grant: &Grant,
        own: &SourceCredentials,
        place: Option<TraceContext>,
        now: Timestamp,
    ) -> Result<TemporaryCredential, Failure> {
        let body =
            self.body(grant).map_err(|error| no_answer(format!("no request could be written: {error}")))?;
        let headers = self.headers(&body, own, place, now)?;
        let unreached = |error: reqwest::Error| no_answer(format!("STS was not reached: {}", kind(&error)));
        let request = self.http.post(self.endpoint.clone()).headers(headers).body(body);
        let mut answer = request.send().await.map_err(unreached)?;
        let status = answer.status().as_u16();
        let mut read = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(unreached)? {
            if read.len() + chunk.len() > LARGEST {
                let detail = format!("an answer larger than {LARGEST} bytes");
                return Err(Failure { class: Class::Transient, code: code::UNREADABLE, detail });
            }
            read.extend_from_slice(&chunk);
        }
        response::read(status, &read, now)
    }

    fn body(&self, grant: &Grant) -> Result<Vec<u8>, serde_json::Error> {
        let id = grant.id().to_string();
        let policy = grant.policy().wire();
        let duration_seconds = grant.duration().as_secs();
        match &self.action {
            StsAction::GetFederationToken => {
                serde_json::to_vec(&GetFederationToken { name: &id, policy, duration_seconds })
            }
            StsAction::AssumeRole { role_arn, external_id } => serde_json::to_vec(&AssumeRole {
                role_arn,
                role_session_name: &id,
                duration_seconds,
                policy,
                external_id: external_id.as_deref(),
            }),
        }
    }

    fn headers(
        &self,
        body: &[u8],
        own: &SourceCredentials,
        place: Option<TraceContext>,
        now: Timestamp,
    ) -> Result<HeaderMap, Failure> {
        let signing =
            Signing { service: "sts", host: &self.host, content_type: tc3::CONTENT_TYPE, body, at: now };
        let authorization = tc3::authorization(&signing, &own.id, own.key.expose_secret());
        let unsendable = |_| Failure {
            class: Class::SourceCredentialsRejected,
            code: code::NO_SOURCE_CREDENTIALS,
            detail: "the operator's key holds bytes that cannot stand in a header".to_owned(),
        };
        let secret = |text: &str| {
            HeaderValue::from_str(text).map_err(unsendable).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        let plain = |text: &str| HeaderValue::from_str(text).map_err(unsendable);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, secret(&authorization)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(tc3::CONTENT_TYPE));
        headers.insert(HOST, plain(&self.host)?);
        headers.insert("X-TC-Action", HeaderValue::from_static(self.action()));
        headers.insert("X-TC-Version", HeaderValue::from_static(VERSION));
        headers.insert("X-TC-Region", plain(&self.region)?);
        headers.insert("X-TC-Timestamp", plain(&now.as_second().to_string())?);
        // Random ids and two flags, all that a third party is told of a trace: `tracestate` and `baggage` are
        // the words of the user's app. The signature covers only the headers that it names.
        if let Some(place) = place {
            headers.insert("traceparent", plain(&place.to_string())?);
        }
        if let Some(token) = &own.token {
            headers.insert("X-TC-Token", secret(token.expose_secret())?);
        }
        Ok(headers)
    }
}

fn no_answer(detail: String) -> Failure {
    Failure { class: Class::Transient, code: code::NO_ANSWER, detail }
}

/// What went wrong, without the URL and what stands in it.
fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "time-out"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the exchange failed"
    }
}

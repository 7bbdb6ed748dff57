//! The operator's own keys, with which STS is called: given, or fetched from where Tencent's cloud puts
//! them and kept until shortly before they expire (`docs/tencent.md`; SDK credential.py).

mod static_provider;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use self::static_provider::StaticProvider;
use super::{
    error::{Class, code},
    response::{self, Failure},
};
use crate::config;
use runtime::clock::{Clock, time_until};

/// A key to sign with.
#[derive(Debug)]
pub(super) struct SourceCredentials {
    pub(super) id: String,
    pub(super) key: SecretString,
    pub(super) token: Option<SecretString>,
}

/// Gives the key of the moment.
#[derive(Debug)]
pub(super) enum SourceCredentialsProvider {
    StaticProvider(StaticProvider),
    Fetched(Box<Fetched>),
}

/// What may be told of the operator's own key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceCredentialsStatus {
    /// `configured`, `instance_role` or `web_identity`.
    pub source: &'static str,
    /// How long ago it was read or fetched; nothing before the first time.
    pub age: Option<Duration>,
}

/// Keys from elsewhere, kept while they are fresh.
#[derive(Debug)]
pub(super) struct Fetched {
    from: Place,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Arc<SourceCredentials>, Timestamp)>>,
    /// When that came, on the monotonic clock; readable while another is fetched.
    came: std::sync::Mutex<Option<Duration>>,
}

/// Where temporary keys of the operator's own are fetched.
#[derive(Debug)]
pub(super) enum Place {
    InstanceRole,
    WebIdentity {
        endpoint: Url,
        region: String,
        provider_id: String,
        token_file: std::path::PathBuf,
        role_arn: String,
    },
}

/// A key is replaced when it has less than this to live.
const FRESH_FOR: Duration = Duration::from_mins(5);
const METADATA: &str = "http://metadata.tencentyun.com/latest/meta-data/cam/security-credentials/";

/// What the instance's metadata answers for a role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKey {
    tmp_secret_id: String,
    tmp_secret_key: SecretString,
    token: SecretString,
    expired_time: i64,
}

impl SourceCredentialsProvider {
    pub(super) fn new(
        keys: config::SourceCredentialsConfig,
        endpoint: &Url,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        let from = match keys {
            config::SourceCredentialsConfig::Static(key, files) => {
                return Ok(Self::StaticProvider(StaticProvider::new(key, files, clock)));
            }
            config::SourceCredentialsConfig::InstanceRole => Place::InstanceRole,
            config::SourceCredentialsConfig::WebIdentity { region, provider_id, token_file, role_arn } => {
                Place::WebIdentity { endpoint: endpoint.clone(), region, provider_id, token_file, role_arn }
            }
        };
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()?;
        let (last, came) = (Mutex::new(None), std::sync::Mutex::new(None));
        Ok(Self::Fetched(Box::new(Fetched { from, http, clock, last, came })))
    }

    /// Where the key of the moment is from, and since when it is here.
    pub(super) fn status(&self) -> SourceCredentialsStatus {
        match self {
            Self::StaticProvider(static_provider) => {
                SourceCredentialsStatus { source: "configured", age: Some(static_provider.age()) }
            }
            Self::Fetched(fetched) => {
                let source = match fetched.from {
                    Place::InstanceRole => "instance_role",
                    Place::WebIdentity { .. } => "web_identity",
                };
                let came = *fetched.came.lock().unwrap_or_else(PoisonError::into_inner);
                let age = came.map(|came| fetched.clock.monotonic().saturating_sub(came));
                SourceCredentialsStatus { source, age }
            }
        }
    }

    /// Which key it is: another number once another was given. Keys that are fetched all belong to one role.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::StaticProvider(static_provider) => static_provider.number(),
            Self::Fetched(_) => 0,
        }
    }

    /// Looks whether another key was given meanwhile. Reads files: not for a thread that serves.
    pub(super) fn look(&self) {
        match self {
            Self::StaticProvider(static_provider) => static_provider.look(),
            Self::Fetched(_) => {}
        }
    }

    /// The key to sign with now.
    pub(super) async fn current(&self) -> Result<Arc<SourceCredentials>, Failure> {
        match self {
            Self::StaticProvider(static_provider) => Ok(static_provider.key()),
            Self::Fetched(fetched) => {
                let Fetched { from, http, clock, last, came } = fetched.as_ref();
                let mut last = last.lock().await;
                let now = clock.now();
                if let Some((key, _)) =
                    last.as_ref().filter(|(_, expires)| time_until(*expires, now) > FRESH_FOR)
                {
                    return Ok(Arc::clone(key));
                }
                let (key, expires) = from.fetch(http, now).await?;
                let key = Arc::new(key);
                *last = Some((Arc::clone(&key), expires));
                *came.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock.monotonic());
                Ok(key)
            }
        }
    }
}

impl Place {
    async fn fetch(
        &self,
        http: &reqwest::Client,
        now: Timestamp,
    ) -> Result<(SourceCredentials, Timestamp), Failure> {
        match self {
            Self::InstanceRole => {
                let role = text(http.get(METADATA)).await?;
                let url = format!("{METADATA}{}", role.trim());
                let key: RoleKey = serde_json::from_str(&text(http.get(url)).await?)
                    .map_err(|_| missing("the instance's metadata hold no role's key"))?;
                let expires = Timestamp::from_second(key.expired_time)
                    .map_err(|_| missing("the instance's metadata hold a key without an expiry"))?;
                let own = SourceCredentials {
                    id: key.tmp_secret_id,
                    key: key.tmp_secret_key,
                    token: Some(key.token),
                };
                Ok((own, expires))
            }
            Self::WebIdentity { endpoint, region, provider_id, token_file, role_arn } => {
                let token = tokio::fs::read_to_string(token_file)
                    .await
                    .map_err(|_| missing("TKE_WEB_IDENTITY_TOKEN_FILE cannot be read"))?;
                let body = serde_json::json!({
                    "ProviderId": provider_id,
                    "WebIdentityToken": token.trim(),
                    "RoleArn": role_arn,
                    "RoleSessionName": "cosbroker",
                    "DurationSeconds": 7200,
                });
                let request = http
                    .post(endpoint.clone())
                    .header("Authorization", "SKIP")
                    .header("Content-Type", tencent_sign::tc3::CONTENT_TYPE)
                    .header("X-TC-Action", "AssumeRoleWithWebIdentity")
                    .header("X-TC-Version", "2018-08-13")
                    .header("X-TC-Region", region)
                    .header("X-TC-Timestamp", now.as_second())
                    .body(body.to_string());
                let key = response::read(200, text(request).await?.as_bytes(), now)?;
                let own =
                    SourceCredentials { id: key.secret_id, key: key.secret_key, token: Some(key.token) };
                Ok((own, key.expires))
            }
        }
    }
}

/// An answer's text; these two places answer briefly.
async fn text(request: reqwest::RequestBuilder) -> Result<String, Failure> {
    let unreached =
        |_| missing("no operator's keys: neither configured nor to be had from this machine's role");
    let answer = request.send().await.map_err(unreached)?.error_for_status().map_err(unreached)?;
    answer.text().await.map_err(unreached)
}

fn missing(detail: &str) -> Failure {
    Failure {
        class: Class::SourceCredentialsRejected,
        code: code::NO_SOURCE_CREDENTIALS,
        detail: detail.to_owned(),
    }
}

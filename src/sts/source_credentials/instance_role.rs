//! The credentials of the role of the CVM instance, from the instance's metadata.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Failure, fetched::Fetched};
use tencent_sts::SourceCredentials;

const METADATA_URL: &str = "http://metadata.tencentyun.com/latest/meta-data/cam/security-credentials/";
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// The role of the instance that this process runs on.
#[derive(Debug)]
pub(super) struct InstanceRole {
    http: reqwest::Client,
}

/// The metadata of a role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleCredentials {
    tmp_secret_id: SecretString,
    tmp_secret_key: SecretString,
    token: SecretString,
    expired_time: i64,
}

impl InstanceRole {
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(METADATA_TIMEOUT)
            .build()?;
        Ok(Self { http })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, Failure> {
        let role = self.get(METADATA_URL).await.map_err(|_| unreachable())?;
        let url = format!("{METADATA_URL}{}", role.trim());
        let text = self.get(&url).await.map_err(|_| unreachable())?;
        let credentials: RoleCredentials = serde_json::from_str(&text).map_err(|_| {
            Failure::no_source_credentials("the instance's metadata hold no credentials of a role")
        })?;
        let expires_at = Timestamp::from_second(credentials.expired_time).map_err(|_| {
            Failure::no_source_credentials("the instance's metadata hold credentials without an expiry")
        })?;
        let credentials = SourceCredentials {
            secret_id: credentials.tmp_secret_id,
            secret_key: credentials.tmp_secret_key,
            token: Some(credentials.token),
        };
        Ok(Fetched { credentials: Arc::new(credentials), expires_at })
    }

    async fn get(&self, url: &str) -> Result<Zeroizing<String>, reqwest::Error> {
        self.http.get(url).send().await?.error_for_status()?.text().await.map(Zeroizing::new)
    }
}

fn unreachable() -> Failure {
    Failure::no_source_credentials(
        "no source credentials: none are configured, and this machine's role offers none",
    )
}

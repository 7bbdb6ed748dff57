//! The credentials of a role that a TKE cluster's web identity may assume.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

use super::{Failure, fetched::Fetched};
use tencent_sts::{AssumeRoleWithWebIdentity, Client, ClientConfig, Error, InvalidConfig, SourceCredentials};

const TIMEOUT: Duration = Duration::from_secs(2);
const SESSION_NAME: &str = "cosbroker";
const SESSION_TTL: Duration = Duration::from_hours(2);

/// The web identity of the pod that this process runs in.
#[derive(Debug)]
pub(super) struct WebIdentity {
    client: Client,
    provider_id: String,
    token_file: PathBuf,
    role_arn: String,
}

impl WebIdentity {
    pub(super) fn new(
        endpoint: &Url,
        region: String,
        provider_id: String,
        token_file: PathBuf,
        role_arn: String,
    ) -> Result<Self, InvalidConfig> {
        let endpoint = endpoint.to_string();
        let config = ClientConfig { endpoint, region, connect_timeout: TIMEOUT, timeout: TIMEOUT };
        Ok(Self { client: Client::new(&config)?, provider_id, token_file, role_arn })
    }

    pub(super) async fn fetch(&self, now: Timestamp) -> Result<Fetched, Failure> {
        // Read at each fetch: the cluster rotates it.
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map(Zeroizing::new)
            .map_err(|_| Failure::no_source_credentials("TKE_WEB_IDENTITY_TOKEN_FILE cannot be read"))?;
        let request = AssumeRoleWithWebIdentity {
            provider_id: &self.provider_id,
            web_identity_token: &SecretString::from(token.trim()),
            role_arn: &self.role_arn,
            role_session_name: SESSION_NAME,
            duration: SESSION_TTL,
        };
        let credential = self.client.assume_role_with_web_identity(&request, now).await.map_err(failure)?;
        let credentials = SourceCredentials {
            secret_id: credential.secret_id.into(),
            secret_key: credential.secret_key,
            token: Some(credential.token),
        };
        Ok(Fetched { credentials: Arc::new(credentials), expires_at: credential.expires_at })
    }
}

/// An STS that cannot be reached here leaves this process without source credentials.
fn failure(error: Error) -> Failure {
    match error {
        Error::Interrupted(interrupted) => Failure::no_source_credentials(&format!(
            "no source credentials: none are configured, and the web identity got none ({interrupted})"
        )),
        error => Failure::from(error),
    }
}

//! The credentials of a role that a TKE cluster's web identity may assume.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

use super::{Failure, NoStsClient, fetched::Fetched};
use crate::{
    config::Network,
    sts::endpoints::{Endpoints, Transport},
};
use diagnostics::read_regular_file;
use runtime::{clock::Clock, file_work::FileWorker};
use tencent_sts::{AssumeRoleWithWebIdentity, Error, SourceCredentials};

const TIMEOUT: Duration = Duration::from_secs(2);
/// A token of a cluster has one or two kilobytes.
const MAX_TOKEN_BYTES: u64 = 64 << 10;
const SESSION_NAME: &str = "cosbroker";
const SESSION_TTL: Duration = Duration::from_hours(2);

/// The web identity of the pod that this process runs in.
#[derive(Debug)]
pub(super) struct WebIdentity {
    endpoints: Endpoints,
    role: AssumableRole,
    worker: FileWorker,
}

/// A role, and what proves that this process may assume it.
#[derive(Debug)]
pub(super) struct AssumableRole {
    pub(super) provider_id: String,
    pub(super) token_file: PathBuf,
    pub(super) arn: String,
}

impl WebIdentity {
    pub(super) fn new(
        role: AssumableRole,
        urls: &[Url],
        region: &str,
        network: &Network,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoStsClient> {
        let transport = Transport { urls, region, connect_timeout: TIMEOUT, timeout: TIMEOUT, network };
        Ok(Self { endpoints: Endpoints::new(transport, clock)?, role, worker: FileWorker::new(TIMEOUT) })
    }

    pub(super) async fn fetch(&self, now: Timestamp) -> Result<Fetched, Failure> {
        // Read at each fetch: the cluster rotates it.
        let token = self.read_token().await?;
        let request = AssumeRoleWithWebIdentity {
            provider_id: &self.role.provider_id,
            web_identity_token: &token,
            role_arn: &self.role.arn,
            role_session_name: SESSION_NAME,
            duration: SESSION_TTL,
        };
        let call = self.endpoints.call(|client| client.assume_role_with_web_identity(&request, now));
        let credential = call.await.map_err(failure)?;
        let credentials = SourceCredentials {
            secret_id: credential.secret_id.into(),
            secret_key: credential.secret_key,
            token: Some(credential.token),
        };
        Ok(Fetched { credentials: Arc::new(credentials), expires_at: credential.expires_at })
    }

    /// Reads the token. The cluster mounts it, so its mode is the cluster's.
    async fn read_token(&self) -> Result<SecretString, Failure> {
        let (path, worker) = (self.role.token_file.clone(), self.worker.clone());
        let read = move || worker.run(move || read_regular_file(&path, MAX_TOKEN_BYTES));
        let unreadable = |why: &dyn Display| {
            Failure::no_source_credentials(&format!("the file in TKE_WEB_IDENTITY_TOKEN_FILE {why}"))
        };
        let bytes = tokio::task::spawn_blocking(read).await.map_err(|error| unreadable(&error))?;
        let bytes = bytes.map_err(|missing| unreadable(&missing))?.map_err(|fault| unreadable(&fault))?;
        let bytes = Zeroizing::new(bytes);
        let token = std::str::from_utf8(&bytes).map_err(|_| unreadable(&"is not text"))?;
        Ok(SecretString::from(token.trim()))
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

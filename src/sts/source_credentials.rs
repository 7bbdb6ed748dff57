//! The source credentials, which sign the calls to STS: configured, or fetched from where Tencent's cloud offers
//! them (`docs/understand/tencent.md`; SDK credential.py).
//!
//! Where they come from is decided in `config/source_credentials.rs`.

mod configured;
mod fetched;
mod instance_role;
mod web_identity;

use std::{sync::Arc, time::Duration};

use url::Url;

use self::{
    configured::ConfiguredCredentials,
    fetched::{FetchedCredentials, Origin},
    instance_role::InstanceRole,
    web_identity::{AssumableRole, WebIdentity},
};
use super::{endpoints::NoStsClient, failure::Failure};
use crate::{
    config::{Network, SourceCredentialsConfig},
    network::NoHttpClient,
};
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;
use tencent_sts::SourceCredentials;

/// Provides the source credentials for each call.
#[derive(Debug)]
pub(super) enum SourceCredentialsProvider {
    Configured(ConfiguredCredentials),
    Fetched(Box<FetchedCredentials>),
}

/// What operators see of the source credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceCredentialsStatus {
    /// `configured`, `instance_role` or `web_identity`.
    pub source: &'static str,
    /// The time since they were read or fetched. `None` before the first time.
    pub age: Option<Duration>,
}

impl SourceCredentialsProvider {
    pub(super) fn new(
        config: SourceCredentialsConfig,
        endpoints: &[Url],
        network: &Network,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoStsClient> {
        let origin = match config {
            SourceCredentialsConfig::Static(credentials, files) => {
                return Ok(Self::Configured(ConfiguredCredentials::new(credentials, files, clock)));
            }
            SourceCredentialsConfig::InstanceRole => {
                Origin::InstanceRole(InstanceRole::new().map_err(NoHttpClient::from)?)
            }
            SourceCredentialsConfig::WebIdentity { region, provider_id, token_file, role_arn } => {
                let role = AssumableRole { provider_id, token_file, arn: role_arn };
                let web_identity = WebIdentity::new(role, endpoints, &region, network, Arc::clone(&clock))?;
                Origin::WebIdentity(Box::new(web_identity))
            }
        };
        Ok(Self::Fetched(Box::new(FetchedCredentials::new(origin, clock))))
    }

    /// Provides these credentials until a test rotates them.
    #[cfg(test)]
    pub(super) fn for_tests(credentials: SourceCredentials, clock: Arc<dyn Clock>) -> Self {
        Self::Configured(ConfiguredCredentials::new(credentials, None, clock))
    }

    /// Takes other credentials, as after a rotation.
    #[cfg(test)]
    pub(super) fn rotate(&self, credentials: SourceCredentials) {
        if let Self::Configured(configured) = self {
            configured.replace(credentials);
        }
    }

    /// Identifies the credentials in use. Fetched ones all belong to one role.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Configured(configured) => configured.fingerprint(),
            Self::Fetched(fetched) => Fingerprint::of(&[fetched.source()]),
        }
    }

    /// Where the credentials come from, and their age.
    pub(super) fn status(&self) -> SourceCredentialsStatus {
        match self {
            Self::Configured(configured) => {
                SourceCredentialsStatus { source: "configured", age: Some(configured.age()) }
            }
            Self::Fetched(fetched) => {
                SourceCredentialsStatus { source: fetched.source(), age: fetched.age() }
            }
        }
    }

    /// The version of the credentials: another number after each rotation. Fetched ones all belong to one role.
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Configured(configured) => configured.version(),
            Self::Fetched(_) => 0,
        }
    }

    /// Takes rotated credentials from their files. Blocks on files: not for a thread that serves.
    pub(super) fn reload_if_changed(&self) {
        match self {
            Self::Configured(configured) => configured.reload_if_changed(),
            Self::Fetched(_) => {}
        }
    }

    /// The credentials to sign with now.
    pub(super) async fn current(&self) -> Result<Arc<SourceCredentials>, Failure> {
        match self {
            Self::Configured(configured) => Ok(configured.current()),
            Self::Fetched(fetched) => fetched.current().await,
        }
    }
}

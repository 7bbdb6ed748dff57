//! Where the source credentials come from: the configuration, the provider chain of Tencent's SDKs, or a place from
//! which they are fetched.

mod files;

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

pub use self::files::{CredentialFiles, MissingCredentials};
use super::secrets::Environment;
use tencent_sts::SourceCredentials;

/// Where the source credentials come from.
#[derive(Debug)]
pub enum SourceCredentialsConfig {
    /// They were read from the environment or from files. The files are kept if both parts came from files.
    Static(SourceCredentials, Option<CredentialFiles>),
    /// They are fetched with the web identity of a TKE cluster, which sets these variables.
    WebIdentity {
        /// The value of `TKE_REGION`.
        region: String,
        /// The value of `TKE_PROVIDER_ID`.
        provider_id: String,
        /// The path in `TKE_WEB_IDENTITY_TOKEN_FILE`.
        token_file: PathBuf,
        /// The value of `TKE_ROLE_ARN`.
        role_arn: String,
    },
    /// They are fetched from the metadata of the CVM instance: those of its role.
    InstanceRole,
}

impl SourceCredentialsConfig {
    /// Finds the source credentials where the configuration names none: in the environment, in the SDK's profile
    /// file, by a TKE web identity, else by the instance's role (`docs/understand/tencent.md`; SDK credential.py).
    ///
    /// The SDK tries the instance before the cluster. Here the cluster goes first: a pod with a web identity means it.
    ///
    /// # Errors
    /// When a profile file must not be read, such as one that others can read.
    pub(super) fn of_provider_chain(environment: &Environment<'_>) -> Result<Self, MissingCredentials> {
        if let Some(credentials) = of_environment(environment) {
            return Ok(Self::Static(credentials, None));
        }
        for path in profile_paths(environment) {
            let files = CredentialFiles::Profile(path);
            match files.read() {
                Ok(credentials) => return Ok(Self::Static(credentials, Some(files))),
                Err(missing) if missing.is_refused() => return Err(missing),
                Err(_) => {}
            }
        }
        Ok(web_identity(environment).unwrap_or(Self::InstanceRole))
    }

    /// Whether the source credentials are temporary themselves.
    pub(super) fn are_temporary(&self) -> bool {
        match self {
            Self::Static(credentials, _) => credentials.token.is_some(),
            Self::WebIdentity { .. } | Self::InstanceRole => true,
        }
    }
}

/// Whether a text may be an id or a key: it has only bytes that those have.
pub(super) fn is_valid_key_part(text: &SecretString) -> bool {
    let text = text.expose_secret();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn of_environment(environment: &Environment<'_>) -> Option<SourceCredentials> {
    Some(SourceCredentials {
        secret_id: variable(environment, "TENCENTCLOUD_SECRET_ID")?.into(),
        secret_key: variable(environment, "TENCENTCLOUD_SECRET_KEY")?.into(),
        token: variable(environment, "TENCENTCLOUD_TOKEN").map(SecretString::from),
    })
}

fn profile_paths(environment: &Environment<'_>) -> impl Iterator<Item = PathBuf> {
    let of_user =
        variable(environment, "HOME").map(|home| Path::new(&home).join(".tencentcloud/credentials"));
    of_user.into_iter().chain([PathBuf::from("/etc/tencentcloud/credentials")])
}

fn web_identity(environment: &Environment<'_>) -> Option<SourceCredentialsConfig> {
    Some(SourceCredentialsConfig::WebIdentity {
        region: variable(environment, "TKE_REGION")?,
        provider_id: variable(environment, "TKE_PROVIDER_ID")?,
        token_file: variable(environment, "TKE_WEB_IDENTITY_TOKEN_FILE")?.into(),
        role_arn: variable(environment, "TKE_ROLE_ARN")?,
    })
}

fn variable(environment: &Environment<'_>, name: &str) -> Option<String> {
    (environment.0)(name).filter(|value| !value.is_empty())
}

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{InvalidRequest, Policy};

/// A request for a temporary key of a made-up user of this account (docs 1312/48195).
///
/// Needs permanent source credentials.
#[derive(Debug, Clone, Copy)]
pub struct GetFederationToken<'a> {
    /// The name of the user: letters, digits and `_-,.@=`, which audit logs of the cloud show.
    pub name: &'a str,
    /// What the key may do. It never exceeds the rights of the source credentials.
    pub policy: &'a Policy<'a>,
    /// The validity of the key: at most 36 hours.
    pub duration: Duration,
}

/// A request for a temporary key of a role (docs 1312/48197).
#[derive(Debug, Clone, Copy)]
pub struct AssumeRole<'a> {
    /// The role, such as `qcs::cam::uin/100000000001:roleName/uploader`.
    pub role_arn: &'a str,
    /// The name of the session, which audit logs of the cloud show.
    pub role_session_name: &'a str,
    /// What the key may do. It never exceeds the rights of the role.
    pub policy: &'a Policy<'a>,
    /// The validity of the key: at most 12 hours, and at most what the role allows.
    pub duration: Duration,
    /// The id that the owner of a role in another account requires.
    pub external_id: Option<&'a str>,
}

/// A request for a temporary key of a role, proved by the token of an identity provider such as a TKE cluster.
///
/// It carries no policy: the key has all rights of the role.
#[derive(Debug, Clone, Copy)]
pub struct AssumeRoleWithWebIdentity<'a> {
    /// The identity provider, as CAM names it.
    pub provider_id: &'a str,
    /// The token of the identity provider.
    pub web_identity_token: &'a SecretString,
    /// The role.
    pub role_arn: &'a str,
    /// The name of the session.
    pub role_session_name: &'a str,
    /// The validity of the key.
    pub duration: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetFederationTokenBody<'a> {
    name: &'a str,
    policy: &'a str,
    duration_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleBody<'a> {
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: u64,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleWithWebIdentityBody<'a> {
    provider_id: &'a str,
    web_identity_token: &'a str,
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: u64,
}

impl GetFederationToken<'_> {
    pub(crate) const ACTION: &'static str = "GetFederationToken";

    pub(crate) fn body(&self) -> Result<Zeroizing<Vec<u8>>, InvalidRequest> {
        write(&GetFederationTokenBody {
            name: self.name,
            policy: self.policy.encoded(),
            duration_seconds: self.duration.as_secs(),
        })
    }
}

impl AssumeRole<'_> {
    pub(crate) const ACTION: &'static str = "AssumeRole";

    pub(crate) fn body(&self) -> Result<Zeroizing<Vec<u8>>, InvalidRequest> {
        write(&AssumeRoleBody {
            role_arn: self.role_arn,
            role_session_name: self.role_session_name,
            duration_seconds: self.duration.as_secs(),
            policy: self.policy.encoded(),
            external_id: self.external_id,
        })
    }
}

impl AssumeRoleWithWebIdentity<'_> {
    pub(crate) const ACTION: &'static str = "AssumeRoleWithWebIdentity";

    pub(crate) fn body(&self) -> Result<Zeroizing<Vec<u8>>, InvalidRequest> {
        write(&AssumeRoleWithWebIdentityBody {
            provider_id: self.provider_id,
            web_identity_token: self.web_identity_token.expose_secret(),
            role_arn: self.role_arn,
            role_session_name: self.role_session_name,
            duration_seconds: self.duration.as_secs(),
        })
    }
}

fn write(body: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, InvalidRequest> {
    serde_json::to_vec(body).map(Zeroizing::new).map_err(|_| InvalidRequest::Body)
}

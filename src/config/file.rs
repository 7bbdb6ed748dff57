//! The shape of `config.toml` as it is written: names, defaults, nothing checked against each other.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, path::PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use diagnostics::{HumanDuration, Rate, Size, SizeLimit};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) issuer: Vec<Spanned<Issuer>>,
    pub(super) templates: Templates,
    pub(super) sts: Spanned<Sts>,
    #[serde(default)]
    pub(super) cache: Cache,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) redis: Option<Spanned<Later>>,
    pub(super) audit: Option<Audit>,
    pub(super) tracing: Option<Tracing>,
    pub(super) canary: Option<Spanned<Canary>>,
}

/// A section of the design that this version does not have yet.
pub(super) type Later = BTreeMap<String, toml::Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) listen: SocketAddr,
    pub(super) tls_cert_file: Option<Spanned<PathBuf>>,
    pub(super) tls_key_file: Option<Spanned<PathBuf>>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) cors_origins: Vec<Spanned<String>>,
    pub(super) workers: Option<Spanned<usize>>,
    pub(super) max_connections: Option<Spanned<usize>>,
    pub(super) shutdown_timeout: HumanDuration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            tls_cert_file: None,
            tls_key_file: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            workers: None,
            max_connections: None,
            shutdown_timeout: HumanDuration(std::time::Duration::from_secs(25)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) listen: Spanned<SocketAddr>,
    pub(super) token_file: Option<Spanned<PathBuf>>,
    pub(super) token_env: Option<Spanned<String>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Spanned::new(0..0, SocketAddr::from(([127, 0, 0, 1], 5001))),
            token_file: None,
            token_env: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names are those of config.toml")]
pub(super) struct Issuer {
    pub(super) issuer: Spanned<String>,
    pub(super) audience: Spanned<Vec<String>>,
    pub(super) algorithms: Spanned<Vec<String>>,
    pub(super) jwks_url: Option<Spanned<String>>,
    pub(super) jwks_file: Option<Spanned<PathBuf>>,
    pub(super) public_key_file: Option<Spanned<PathBuf>>,
    pub(super) secret_env: Option<Spanned<String>>,
    pub(super) secret_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) trusted_claims: Vec<String>,
    pub(super) leeway: Option<Spanned<HumanDuration>>,
    pub(super) required_typ: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Templates {
    pub(super) dir: Spanned<PathBuf>,
    pub(super) default: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sts {
    #[serde(default)]
    pub(super) action: StsAction,
    pub(super) role_arn: Option<Spanned<String>>,
    pub(super) external_id: Option<Spanned<String>>,
    pub(super) region: Spanned<String>,
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) secret_id_env: Option<Spanned<String>>,
    pub(super) secret_id_file: Option<Spanned<PathBuf>>,
    pub(super) secret_key_env: Option<Spanned<String>>,
    pub(super) secret_key_file: Option<Spanned<PathBuf>>,
    #[serde(default = "default_calls_per_second")]
    pub(super) calls_per_second: Spanned<NonZeroU32>,
    #[serde(default = "default_timeout")]
    pub(super) timeout: HumanDuration,
}

#[derive(Deserialize, Default, Clone, Copy)]
pub(super) enum StsAction {
    #[default]
    GetFederationToken,
    AssumeRole,
}

fn default_calls_per_second() -> Spanned<NonZeroU32> {
    Spanned::new(0..0, NonZeroU32::MIN.saturating_add(99))
}

fn default_timeout() -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(2))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cache {
    pub(super) max_bytes: Size,
    pub(super) min_remaining: Option<HumanDuration>,
    pub(super) refresh_at: Spanned<f64>,
    pub(super) advice_bytes: Spanned<SizeLimit>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: Size(256 << 20),
            min_remaining: None,
            refresh_at: Spanned::new(0..0, 0.3),
            advice_bytes: Spanned::new(0..0, SizeLimit(Some(4 << 20))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) per_user: Rate,
    pub(super) scopes_per_user: NonZeroU32,
    pub(super) revoked_file: Option<Spanned<PathBuf>>,
}

impl Default for Limits {
    fn default() -> Self {
        let count = NonZeroU32::MIN.saturating_add(59);
        Self {
            per_user: Rate::Per { count, period: std::time::Duration::from_mins(1) },
            scopes_per_user: NonZeroU32::MIN.saturating_add(31),
            revoked_file: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audit {
    pub(super) path: Spanned<PathBuf>,
    pub(super) max_bytes: Option<Spanned<SizeLimit>>,
    pub(super) keep: Option<Spanned<NonZeroU32>>,
    #[serde(default)]
    pub(super) hits: bool,
    #[serde(default = "default_refusals")]
    pub(super) refusals: Rate,
}

fn default_refusals() -> Rate {
    let count = NonZeroU32::MIN.saturating_add(599);
    Rate::Per { count, period: std::time::Duration::from_mins(1) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tracing {
    pub(super) otlp_endpoint: Spanned<String>,
    #[serde(default = "default_sample")]
    pub(super) sample: Spanned<f64>,
    #[serde(default = "default_service_name")]
    pub(super) service_name: Spanned<String>,
}

fn default_sample() -> Spanned<f64> {
    Spanned::new(0..0, 0.01)
}

fn default_service_name() -> Spanned<String> {
    Spanned::new(0..0, "cosbroker".to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Canary {
    pub(super) every: Option<Spanned<HumanDuration>>,
    pub(super) template: Option<String>,
    pub(super) endpoint: Option<Spanned<String>>,
}

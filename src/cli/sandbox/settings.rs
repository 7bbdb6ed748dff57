//! The configuration of the broker in a sandbox.

use std::{net::SocketAddr, path::Path};

use super::{AUDIENCE, REGION};
use crate::{
    app::StartError,
    config::{Config, Environment},
};
use cloud_emulator::{Account, TokenIssuer};
use diagnostics::Source;

/// The values of a sandbox's configuration.
pub(super) struct Settings<'a> {
    pub(super) listen: SocketAddr,
    pub(super) admin_listen: SocketAddr,
    pub(super) allowed_origins: Vec<String>,
    pub(super) issuer_url: &'a str,
    pub(super) templates: &'a Path,
    pub(super) account: &'a Account,
    pub(super) canary: bool,
}

impl Settings<'_> {
    /// Writes a configuration file and reads it with the same checks as a user's file.
    pub(super) fn parse(&self) -> anyhow::Result<Config> {
        let source = Source::new("sandbox.toml", self.to_toml());
        let environment = Environment(&|name: &str| self.variable(name));
        Ok(Config::parse(&source, &environment).map_err(StartError::Problems)?)
    }

    fn to_toml(&self) -> String {
        format!(
            r#"
            [server]
            listen = "{listen}"
            drain_delay = "0s"
            max_connections = 1000
            cors_origins = {origins}
            [admin]
            listen = "{admin_listen}"
            [[issuer]]
            issuer = "{issuer}"
            audience = ["{AUDIENCE}"]
            algorithms = {algorithms}
            jwks_url = "{issuer}jwks.json"
            trusted_claims = ["team", "tenant", "org"]
            [templates]
            dir = {templates}
            default = "upload"
            [sts]
            region = "{REGION}"
            endpoint = "{issuer}"
            secret_id_env = "SECRET_ID"
            secret_key_env = "SECRET_KEY"
            calls_per_second = 600
            [limits]
            per_user = "off"
            {canary}
            "#,
            listen = self.listen,
            admin_listen = self.admin_listen,
            issuer = self.issuer_url,
            // The key set says which algorithm each key is for, and has no HMAC secret.
            algorithms = toml::Value::from(TokenIssuer::ALGORITHMS.map(|one| format!("{one:?}")).to_vec()),
            origins = toml::Value::from(self.allowed_origins.clone()),
            templates = toml::Value::from(self.templates.display().to_string()),
            canary = if self.canary {
                format!("[canary]\nendpoint = \"{}\"", self.issuer_url)
            } else {
                String::new()
            },
        )
    }

    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "SECRET_ID" => Some(self.account.secret_id.clone()),
            "SECRET_KEY" => Some(self.account.secret_key.clone()),
            _ => None,
        }
    }
}

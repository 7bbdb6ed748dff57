//! The configuration: `config.toml` becomes one [`Config`], checked once. Each section has its own file, with its
//! keys as written (`Raw…`), its checked values and its check.
//!
//! Only this module reads the environment, and the files that the configuration names. A secret comes from either,
//! never from the text.

mod account_settings;
mod admin;
mod audit;
mod cache;
mod canary;
mod context;
mod hmac_secret;
mod issuer;
mod limits;
mod network;
mod redis;
mod replace_file;
mod revoked;
mod secrets;
mod server;
mod snapshot;
mod source_credentials;
mod sts;
mod template_settings;
mod templates;
mod tls;
mod tracing;

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use self::context::Context;
pub(crate) use self::{
    account_settings::AccountSettings,
    issuer::{TENANT_CLAIM, parse_algorithm},
    replace_file::replace_file,
};
pub use self::{
    admin::{Admin, AdminAccess, AdminParts, AdminTokens, Role},
    audit::{Audit, AuditTarget, Rotation},
    cache::Cache,
    canary::{Canary, CanaryParts},
    issuer::{Audience, DiscoverySource, HeaderKeys, Issuer, IssuerMatch, IssuerName, Issuers, KeySource},
    limits::Limits,
    network::{Network, Proxy},
    redis::{EncryptionKey, Redis, RedisServer},
    revoked::{RevokedFile, RevokedPrincipal},
    secrets::Environment,
    server::Server,
    snapshot::Snapshot,
    source_credentials::{CredentialFiles, MissingCredentials, SourceCredentialsConfig},
    sts::{Sts, StsAction, StsParts},
    template_settings::TemplateSettings,
    templates::Templates,
    tls::{Tls, TlsContents, TlsFiles, TlsUnreadable},
    tracing::Tracing,
};
use diagnostics::{Diagnostic, Source};

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    server: server::RawServer,
    #[serde(default)]
    admin: admin::RawAdmin,
    #[serde(default)]
    issuer: Vec<Spanned<issuer::RawIssuer>>,
    templates: templates::RawTemplates,
    sts: Spanned<sts::RawSts>,
    #[serde(default)]
    cache: cache::RawCache,
    #[serde(default)]
    limits: limits::RawLimits,
    #[serde(default)]
    network: network::RawNetwork,
    redis: Option<Spanned<redis::RawRedis>>,
    audit: Option<audit::RawAudit>,
    tracing: Option<tracing::RawTracing>,
    snapshot: Option<snapshot::RawSnapshot>,
    canary: Option<Spanned<canary::RawCanary>>,
}

/// A checked configuration. Only [`Config::load`] and [`Config::parse`] make one.
#[derive(Debug)]
pub struct Config {
    server: Server,
    admin: Admin,
    issuers: Issuers,
    templates: Templates,
    sts: Sts,
    cache: Cache,
    limits: Limits,
    network: Network,
    redis: Option<Redis>,
    audit: Option<Audit>,
    tracing: Option<Tracing>,
    snapshot: Option<Snapshot>,
    canary: Option<Canary>,
}

/// The sections of a checked configuration, for the modules that they configure.
#[derive(Debug)]
pub struct ConfigParts {
    /// The public listener.
    pub server: Server,
    /// The operators' listener.
    pub admin: Admin,
    /// Who signs tokens.
    pub issuers: Issuers,
    /// Where templates are.
    pub templates: Templates,
    /// How temporary keys are issued.
    pub sts: Sts,
    /// How temporary keys are kept.
    pub cache: Cache,
    /// Bounds for each user.
    pub limits: Limits,
    /// How others are reached.
    pub network: Network,
    /// What replicas share, if configured.
    pub redis: Option<Redis>,
    /// The audit log, if configured.
    pub audit: Option<Audit>,
    /// The export of traces, if configured.
    pub tracing: Option<Tracing>,
    /// The snapshot of temporary keys, if configured.
    pub snapshot: Option<Snapshot>,
    /// The isolation canary, if configured.
    pub canary: Option<Canary>,
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<Diagnostic>);

impl Problems {
    fn in_order_of_lines(mut self) -> Vec<Diagnostic> {
        self.0.sort_by_key(|problem| problem.place.as_ref().map(|place| place.span.start));
        self.0
    }

    fn push(&mut self, problem: Diagnostic) {
        self.0.push(problem);
    }

    /// Returns the value of a section without problems, else keeps its problem.
    fn keep<T>(&mut self, checked: Result<T, Diagnostic>) -> Option<T> {
        checked.map_err(|problem| self.push(problem)).ok()
    }
}

impl Config {
    /// Reads and checks a configuration file; paths in it are relative to it.
    ///
    /// # Errors
    /// Every problem found, each with its line.
    pub fn load(path: &Path, environment: &Environment<'_>) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::read(path).map_err(|problem| vec![problem])?;
        Self::parse(&source, environment)
    }

    /// Checks the text of a configuration.
    ///
    /// # Errors
    /// Every problem found, each with its line.
    pub fn parse(source: &Source, environment: &Environment<'_>) -> Result<Self, Vec<Diagnostic>> {
        Self::checked(&Context { source, environment, network: Network::default() })
    }

    fn checked(context: &Context<'_>) -> Result<Self, Vec<Diagnostic>> {
        let raw: RawConfig = context.source.parse().map_err(|problem| vec![problem])?;
        let mut problems = Problems::default();
        match raw.check(context, &mut problems) {
            Some(config) if problems.0.is_empty() => Ok(config),
            _ => Err(problems.in_order_of_lines()),
        }
    }

    /// The public listener.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The operators' listener.
    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Who signs tokens.
    pub(crate) fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Where templates are.
    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The snapshot of temporary keys, if configured.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The audit log, if configured.
    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// How keys are kept in memory.
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The export of traces, if configured.
    pub(crate) fn tracing(&self) -> Option<&Tracing> {
        self.tracing.as_ref()
    }

    /// The isolation canary, if configured.
    pub(crate) fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    /// Its sections. They cannot be put together again.
    pub fn into_parts(self) -> ConfigParts {
        let Self {
            server,
            admin,
            issuers,
            templates,
            sts,
            cache,
            limits,
            network,
            redis,
            audit,
            tracing,
            snapshot,
            canary,
        } = self;
        ConfigParts {
            server,
            admin,
            issuers,
            templates,
            sts,
            cache,
            limits,
            network,
            redis,
            audit,
            tracing,
            snapshot,
            canary,
        }
    }
}

impl RawConfig {
    /// Checks every section; nothing if one has a problem.
    fn check(self, context: &Context<'_>, problems: &mut Problems) -> Option<Config> {
        let network = problems.keep(self.network.check(context));
        let context = &Context { network: network.clone().unwrap_or_default(), ..*context };
        let server = problems.keep(self.server.check(context));
        let admin = problems.keep(self.admin.check(context));
        let sts = problems.keep(sts::RawSts::check(self.sts, context));
        let cache = problems.keep(self.cache.check(context));
        let limits = problems.keep(self.limits.check(context));
        let redis = self.redis.map(|redis| redis::RawRedis::check(redis, context)).transpose();
        let redis = problems.keep(redis);
        let audit = problems.keep(self.audit.map(|audit| audit.check(context)).transpose());
        let tracing = problems.keep(self.tracing.map(|tracing| tracing.check(context)).transpose());
        let issuers = issuer::check_all(self.issuer, context, problems);
        if let (Some(server), Some(admin)) = (&server, &admin) {
            problems.keep(different_listeners(server, admin, context));
        }
        let templates = problems.keep(self.templates.check(context));
        let snapshot = problems.keep(self.snapshot.map(|snapshot| snapshot.check(context)).transpose());
        // Without templates, the canary's is no problem of its own.
        let canary = self.canary.zip(templates.as_ref());
        let canary = canary.map(|(canary, templates)| canary::RawCanary::check(canary, templates, context));
        let canary = problems.keep(canary.transpose());
        Some(Config {
            server: server?,
            admin: admin?,
            issuers: issuers?,
            templates: templates?,
            sts: sts?,
            cache: cache?,
            limits: limits?,
            network: network?,
            redis: redis?,
            audit: audit?,
            tracing: tracing?,
            snapshot: snapshot?,
            canary: canary?,
        })
    }
}

fn different_listeners(server: &Server, admin: &Admin, context: &Context<'_>) -> Result<(), Diagnostic> {
    if server.listen() != admin.listen() || server.listen().port() == 0 {
        return Ok(());
    }
    Err(context.problem(
        0..0,
        format!("server.listen and admin.listen are both {}", server.listen()),
        "give the operators' listener its own port",
    ))
}

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

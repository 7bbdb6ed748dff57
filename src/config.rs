//! `config.toml` becomes one validated [`Config`]: nothing in it is optional by accident, nothing is
//! left to check, and every secret came from the environment or a file, never from the text.
//!
//! The only room that reads the environment and the files that the configuration names. It knows
//! plain types only: no template, no network.

mod audit;
mod canary;
mod file;
mod outline;
mod reader;
mod revoked;
mod secrets;
mod source_credentials;
mod trace;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use secrecy::{SecretSlice, SecretString};
use url::Url;

use self::{file::File, reader::Reader, secrets::Secrets};
pub use self::{
    outline::TemplateSettings,
    revoked::{RevokedFile, RevokedPrincipal},
    secrets::Environment,
    source_credentials::{CredentialFiles, MissingCredentials, SourceCredentialsConfig},
};
use diagnostics::{Diagnostic, Rate, Source};

/// All that `serve` needs to know, checked.
#[derive(Debug)]
pub struct Config {
    /// The public listener.
    pub server: Server,
    /// The operators' listener.
    pub admin: Admin,
    /// Who may sign tokens; at least one, each named once.
    pub issuers: Vec<Issuer>,
    /// Where templates lie.
    pub templates: Templates,
    /// How keys are made.
    pub sts: Sts,
    /// How keys are kept.
    pub cache: Cache,
    /// How much one user may ask.
    pub limits: Limits,
    /// What is kept of it all, if the operator wants a log.
    pub audit: Option<Audit>,
    /// Where spans of asks are exported to, if the operator wants them.
    pub tracing: Option<Tracing>,
    /// Whether isolation is tried out now and then.
    pub canary: Option<Canary>,
}

/// `[server]`.
#[derive(Debug)]
pub struct Server {
    /// Where the public API listens.
    pub listen: SocketAddr,
    /// Certificate chain and key, PEM; plain HTTP without.
    pub tls: Option<Tls>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins allowed by CORS; none by default.
    pub cors_origins: Vec<String>,
    /// Worker threads; one per core without.
    pub workers: Option<usize>,
    /// Connections per worker.
    pub max_connections: usize,
    /// How long running asks may take to finish after a signal to stop.
    pub shutdown_timeout: Duration,
}

/// A certificate chain and its private key, as PEM bytes.
#[derive(Debug)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert: Vec<u8>,
    /// The key.
    pub key: SecretSlice<u8>,
    /// Where the configuration names them, for messages: `file:line:column`.
    pub place: String,
}

/// `[admin]`.
#[derive(Debug)]
pub struct Admin {
    /// Where the operators' listener stands.
    pub listen: SocketAddr,
    /// The bearer token it asks for; only a loopback listener may go without.
    pub token: Option<SecretString>,
}

/// One `[[issuer]]`.
#[derive(Debug)]
pub struct Issuer {
    /// Where the configuration has this section, for messages: `file:line:column`.
    pub place: String,
    /// Must equal the token's `iss`.
    pub issuer: String,
    /// One of these must be in the token's `aud`; never empty.
    pub audience: Vec<String>,
    /// The algorithms allowed, all of one family; never empty.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// Claims, besides `sub` and `iss`, that users of this issuer cannot choose for themselves.
    pub trusted_claims: Vec<String>,
    /// Tolerance for clocks that differ; at most a minute.
    pub leeway: Duration,
    /// What the token header's `typ` must be, if anything (RFC 9068 uses `at+jwt`).
    pub required_typ: Option<String>,
}

/// Where an issuer's verification keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// A JWK set over HTTPS (plain HTTP on loopback only).
    JwksUrl(Url),
    /// A JWK set in a file, read again when an unknown key id shows up.
    JwksFile(PathBuf),
    /// One public key.
    PublicKey {
        /// Where it was read from.
        path: PathBuf,
        /// The file's bytes.
        pem: Vec<u8>,
    },
    /// An HMAC secret.
    Secret(SecretSlice<u8>),
}

/// `[templates]`.
#[derive(Debug, Clone)]
pub struct Templates {
    /// The folder of `*.toml` templates.
    pub dir: PathBuf,
    /// The template used when an ask names none.
    pub default: Option<String>,
}

/// `[sts]`.
#[derive(Debug)]
pub struct Sts {
    /// Which call makes a key.
    pub action: StsAction,
    /// Sent as `X-TC-Region`.
    pub region: String,
    /// Where STS answers.
    pub endpoint: Url,
    /// The operator's own keys.
    pub keys: SourceCredentialsConfig,
    /// Calls this process may make in any second.
    pub calls_per_second: NonZeroU32,
    /// The whole of one ask's STS work: waiting for quota, calls and retries.
    pub timeout: Duration,
}

/// Which STS call makes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StsAction {
    /// Needs permanent keys; at most 129,600 s.
    GetFederationToken,
    /// Takes permanent or temporary keys; at most 43,200 s.
    AssumeRole {
        /// The role assumed.
        role_arn: String,
        /// For roles of other accounts.
        external_id: Option<String>,
    },
}

impl StsAction {
    /// The longest life a key of this action may be asked for (`docs/tencent.md`; docs 1312/48195).
    pub fn longest(&self) -> Duration {
        Duration::from_secs(match self {
            Self::GetFederationToken => 129_600,
            Self::AssumeRole { .. } => 43_200,
        })
    }
}

/// `[cache]`.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// Bound on the memory that keys take.
    pub max_bytes: u64,
    /// The least life a key is handed out with, if the operator set one.
    pub min_remaining: Option<Duration>,
    /// The share of a key's life at which a hit starts a refresh; in `0.0..1.0`.
    pub refresh_at: f64,
    /// Memory for the asks that advice is made from; none are recorded without.
    pub advice_bytes: Option<u64>,
}

impl Cache {
    /// The least life a key of this duration is handed out with: what the operator set, else five
    /// minutes, else (for short keys) a third of the life.
    pub fn min_remaining(&self, duration: Duration) -> Duration {
        self.min_remaining.unwrap_or_else(|| Duration::from_mins(5).min(duration / 3))
    }
}

/// `[limits]`.
#[derive(Debug)]
pub struct Limits {
    /// Asks of one user, hits included.
    pub per_user: Rate,
    /// Keys for scopes of their own choosing that one user may hold at once.
    pub scopes_per_user: NonZeroU32,
    /// Who is given no key, kept over restarts; only in memory without.
    pub revoked: Option<RevokedFile>,
}

/// `[audit]`.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where lines go.
    pub target: AuditTarget,
    /// Whether keys have a line each time they are handed out, not only when they are made.
    pub hits: bool,
    /// Refusals of one kind that have a line of their own.
    pub refusals: Rate,
}

/// Where the audit log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// What started this process takes it.
    Stdout,
    /// A file.
    File {
        /// The one written now; older ones have a number behind.
        path: PathBuf,
        /// When it is turned over; never without.
        rotation: Option<Rotation>,
        /// Where the configuration names it, for messages: `file:line:column`.
        place: String,
    },
}

/// How a log is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The most that a file holds, save for one line that is longer.
    pub max_bytes: u64,
    /// Older files kept.
    pub keep: NonZeroU32,
}

/// `[tracing]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// Where an OTLP collector takes traces.
    pub otlp_endpoint: Url,
    /// What this service is called there; never empty.
    pub service_name: String,
    /// The share of traces begun here that are kept; in `0.0..=1.0`.
    pub sample: f64,
}

/// `[canary]`.
#[derive(Debug, Clone)]
pub struct Canary {
    /// From one run to the next.
    pub every: Duration,
    /// The template whose keys it takes.
    pub template: String,
    /// Where COS is reached, under the bucket's own name; at that name without.
    pub endpoint: Option<Url>,
    /// Where the configuration has the section, for messages: `file:line:column`.
    pub place: String,
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

    /// Checks a configuration text.
    ///
    /// # Errors
    /// Every problem found, each with its line.
    pub fn parse(source: &Source, environment: &Environment<'_>) -> Result<Self, Vec<Diagnostic>> {
        let file: File = source.parse().map_err(|problem| vec![problem])?;
        let base = source.path().parent().unwrap_or(Path::new("")).to_owned();
        let reader = Reader { source, secrets: Secrets { source, base: &base, environment }, base: &base };
        reader.config(file)
    }
}

#[cfg(test)]
mod tests;

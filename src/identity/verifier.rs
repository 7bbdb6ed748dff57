//! Verifies bearer tokens: finds the issuer and its key, and remembers verified tokens. The checks of header and
//! claims stand in `token.rs`.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::{
    discovery::Discovery,
    document_client::DocumentClient,
    error::{AuthError, Rejection},
    jwks::{Jwks, KeySetStatus},
    key::{Key, KeyFault},
    key_set::{DroppedKey, KeySet},
    key_set_origin::{KeySetOrigin, read_key_set_file},
    metrics::MetricsCollector,
    token::UnverifiedToken,
};
use crate::config::{Issuer, KeySource, Network};
use diagnostics::to_single_line;
use runtime::{clock::Clock, file_work::FileWorker};
use templates::fingerprint::Fingerprint;
use templates::identity::Identity;

/// Verifies tokens, and caches those that are valid.
#[derive(Debug)]
pub struct Verifier {
    issuers: HashMap<String, TrustedIssuer>,
    verified: moka::sync::Cache<Fingerprint, Arc<Verified>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct TrustedIssuer {
    rules: Issuer,
    name: Arc<str>,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    /// A key from the configuration; a token's `kid` has no meaning.
    Fixed(Arc<KeySet>),
    /// A key set that the issuer publishes and rotates.
    Jwks(Arc<Jwks>),
}

/// The state of an issuer, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer's `iss`.
    pub name: Arc<str>,
    /// The state of its key set; `None` if its key is from the configuration.
    pub key_set: Option<KeySetStatus>,
}

impl IssuerStatus {
    /// Returns whether tokens of this issuer can be checked now.
    pub fn is_ready(&self) -> bool {
        self.key_set.as_ref().is_none_or(KeySetStatus::is_usable)
    }
}

/// A verified token, with the key that verified it.
#[derive(Debug)]
struct Verified {
    identity: Arc<Identity>,
    until: Timestamp,
    key: Fingerprint,
}

/// The size of a cache entry besides its identity: itself, and its places in the cache's map and queues.
const ENTRY_BYTES: usize = 704;

impl Verifier {
    /// Builds a verifier from the configured issuers, which remembers verified tokens in `token_bytes`. Key sets are fetched
    /// later, on `runtime`.
    ///
    /// # Errors
    /// When a configured key cannot be used, with the issuer's name.
    pub fn new(
        issuers: Vec<Issuer>,
        token_bytes: u64,
        network: &Network,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<Self, KeyFault> {
        let issuers = issuers
            .into_iter()
            .map(|rules| {
                let keys = Keys::of(&rules, network, &clock, runtime).map_err(|fault| {
                    KeyFault(format!("{}: issuer `{}`: {fault}", rules.place, rules.issuer))
                })?;
                let name: Arc<str> = rules.issuer.as_str().into();
                Ok((rules.issuer.clone(), TrustedIssuer { rules, name, keys }))
            })
            .collect::<Result<_, KeyFault>>()?;
        let verified = moka::sync::Cache::builder()
            .max_capacity(token_bytes)
            .weigher(|_, verified: &Arc<Verified>| verified.weight())
            .build();
        Ok(Self { issuers, verified, clock })
    }

    /// Returns the identity of a token. A cached token costs a hash and no signature check.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        let now = self.clock.now();
        let digest = Fingerprint::of(&[token]);
        if let Some(verified) = self.verified.get(&digest) {
            if now < verified.until && self.is_key_still_trusted(&verified) {
                return Ok(Arc::clone(&verified.identity));
            }
            self.verified.invalidate(&digest);
        }
        let unverified = UnverifiedToken::parse(token)?;
        let issuer = unverified.issuer().and_then(|name| self.issuers.get(name)).ok_or_else(|| {
            let iss = to_single_line(unverified.issuer().unwrap_or_default());
            tracing::info!(iss, configured = ?self.issuers.keys(), "rejected a token of an unknown issuer");
            Rejection::Issuer
        })?;
        if !issuer.rules.algorithms.contains(&unverified.algorithm) {
            return Err(Rejection::Algorithm.into());
        }
        let key = issuer.keys.verify_signature(&unverified, digest).await?;
        let until = unverified.check_claims(&issuer.rules, now)?;
        let identity = Arc::new(Identity::from_claims(Arc::clone(&issuer.name), unverified.claims)?);
        let verified = Verified { identity: Arc::clone(&identity), until, key };
        self.verified.insert(digest, Arc::new(verified));
        Ok(identity)
    }

    /// Returns whether the issuer still publishes the key that verified a cached token.
    fn is_key_still_trusted(&self, verified: &Verified) -> bool {
        self.issuers.get(verified.identity.issuer()).is_some_and(|issuer| match &issuer.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.contains(verified.key),
        })
    }

    /// Returns whether every issuer's keys are usable. Starts a fetch of those that are not.
    pub fn is_ready(&self) -> bool {
        self.issuers.values().all(|issuer| match &issuer.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.is_usable(),
        })
    }

    /// Returns the state of every issuer, sorted by name. Starts no fetch.
    pub fn snapshot(&self) -> Vec<IssuerStatus> {
        let mut issuers: Vec<IssuerStatus> = self.issuers.values().map(TrustedIssuer::status).collect();
        issuers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        issuers
    }

    /// Adds the metrics of this module to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    /// Fetches every key set once. A failure is logged; the set is fetched again when it is needed.
    pub async fn warm_up(&self) {
        for issuer in self.issuers.values() {
            if let Keys::Jwks(jwks) = &issuer.keys {
                jwks.refresh().await;
            }
        }
    }

    /// Reads every key set once: those in files, and with `online` also those that must be fetched. Returns the keys
    /// that are not used, each with its issuer.
    ///
    /// # Errors
    /// The first set that cannot be read, with the issuer's name.
    pub async fn probe(&self, online: bool) -> Result<Vec<(Arc<str>, DroppedKey)>, KeyFault> {
        let mut unused = Vec::new();
        for issuer in self.issuers.values() {
            let Keys::Jwks(jwks) = &issuer.keys else { continue };
            if online || jwks.is_file() {
                let dropped = jwks.probe().await.map_err(|fault| {
                    KeyFault(format!("{}: issuer `{}`: its key set {fault}", issuer.rules.place, issuer.name))
                })?;
                unused.extend(dropped.iter().map(|key| (Arc::clone(&issuer.name), key.clone())));
            }
        }
        Ok(unused)
    }
}

impl TrustedIssuer {
    fn status(&self) -> IssuerStatus {
        let key_set = match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Jwks(jwks) => Some(jwks.status()),
        };
        IssuerStatus { name: Arc::clone(&self.name), key_set }
    }
}

impl Keys {
    fn of(
        rules: &Issuer,
        network: &Network,
        clock: &Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<Self, KeyFault> {
        let origin = match &rules.keys {
            KeySource::Secret(secret) => return Ok(Self::fixed(Key::secret(secret, &rules.algorithms))),
            KeySource::PublicKey { path, pem } => {
                let key = Key::pem(pem, &rules.algorithms)
                    .map_err(|fault| KeyFault(format!("{} {fault}", path.display())))?;
                return Ok(Self::fixed(key));
            }
            KeySource::JwksFile(path) => {
                let worker = FileWorker::default();
                read_key_set_file(&worker, path.clone())
                    .and_then(|json| KeySet::parse(&json, &rules.algorithms))
                    .map_err(|fault| KeyFault(format!("{} {fault}", path.display())))?;
                KeySetOrigin::File { path: path.clone(), worker }
            }
            KeySource::JwksUrl(url) => {
                KeySetOrigin::Url { client: document_client(network)?, url: url.clone() }
            }
            KeySource::Discovery(source) => KeySetOrigin::Discovery(Discovery::new(
                document_client(network)?,
                source.clone(),
                &rules.issuer,
                network,
            )),
        };
        for url in rules.keys.urls().iter().filter(|url| network.is_plain_http_host(url)).take(1) {
            tracing::warn!(issuer = rules.issuer, %url, "the keys of this issuer are fetched over plain HTTP");
        }
        let clock = Arc::clone(clock);
        Ok(Self::Jwks(Jwks::new(&rules.issuer, origin, &rules.algorithms, clock, runtime.clone())))
    }

    fn fixed(key: Key) -> Self {
        Self::Fixed(Arc::new(KeySet::of_one(key)))
    }

    /// Returns the key that signed a token.
    async fn verify_signature(
        &self,
        token: &UnverifiedToken<'_>,
        digest: Fingerprint,
    ) -> Result<Fingerprint, AuthError> {
        match self {
            Self::Fixed(set) => Ok(set.verify_without_kid(token).ok_or(Rejection::Signature)?),
            Self::Jwks(jwks) => jwks.verify(token, digest).await,
        }
    }
}

fn document_client(network: &Network) -> Result<DocumentClient, KeyFault> {
    DocumentClient::new(network).map_err(|error| KeyFault(error.to_string()))
}

impl Verified {
    /// Returns the approximate size of a cache entry.
    fn weight(&self) -> u32 {
        u32::try_from(ENTRY_BYTES + self.identity.weight()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;

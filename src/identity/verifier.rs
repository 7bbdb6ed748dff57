//! Verifies bearer tokens: finds the issuer and its key, and remembers verified tokens. The checks of header and
//! claims stand in `checks`.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    checks::{Check, Checked, shown},
    discovery::Discovery,
    document_client::DocumentClient,
    error::{AuthError, Comparison, Rejection},
    jwks::{Jwks, KeySetStatus},
    key::{Key, KeyFault},
    key_set::{DroppedKey, KeySet},
    key_set_origin::{KeySetOrigin, read_key_set_file},
    metrics::MetricsCollector,
    token::UnverifiedToken,
    verified_tokens::{Verified, VerifiedTokens},
};
use crate::config::{Issuer, IssuerMatch, KeySource, Network};
use runtime::{clock::Clock, file_work::FileWorker};
use templates::{ClaimNames, fingerprint::Fingerprint, identity::Identity};

/// Verifies tokens, and caches those that are valid.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Arc<TrustedIssuer>>,
    verified: VerifiedTokens,
    clock: Arc<dyn Clock>,
}

/// An issuer, with its keys.
#[derive(Debug)]
pub(super) struct TrustedIssuer {
    pub(super) rules: Issuer,
    name: Arc<str>,
    pub(super) keys: Keys,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) enum Keys {
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
    /// Which checks the configuration turns off for it.
    pub warnings: Vec<String>,
}

impl IssuerStatus {
    /// Returns whether tokens of this issuer can be checked now.
    pub fn is_ready(&self) -> bool {
        self.key_set.as_ref().is_none_or(KeySetStatus::is_usable)
    }
}

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
            .map(|rules| TrustedIssuer::new(rules, network, &clock, runtime).map(Arc::new))
            .collect::<Result<_, KeyFault>>()?;
        Ok(Self { issuers, verified: VerifiedTokens::new(token_bytes), clock })
    }

    /// Returns the identity of a token, which need not be text, with these claims. A cached token costs a hash and no
    /// signature check, unless it was cached without one of the claims: templates were reloaded since.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub async fn verify(&self, token: &[u8], claims: &ClaimNames) -> Result<Arc<Identity>, AuthError> {
        let now = self.clock.now();
        let digest = digest_of(token);
        if let Some(verified) = self.verified.get(digest) {
            if now < verified.until && verified.identity.keeps(claims) && self.is_key_still_trusted(&verified)
            {
                return Ok(verified.identity);
            }
            self.verified.remove(digest);
        }
        let unverified = UnverifiedToken::parse(str::from_utf8(token).map_err(|_| Rejection::Malformed)?)?;
        let (issuer, named) = self.issuer_of(&unverified)?;
        let checked = Checked { token: &unverified, rules: &issuer.rules, named, now };
        checked.run_all(Check::BEFORE_SIGNATURE)?;
        let key = issuer.verify_signature(&unverified, digest).await?;
        checked.run_all(Check::AFTER_SIGNATURE)?;
        let until = checked.expiry()?;
        let name = issuer.identity_name(named);
        let subject_claim = &issuer.rules.subject_claim;
        let identity = Identity::keeping(claims.clone(), name, unverified.claims, subject_claim)?;
        let identity = Arc::new(identity);
        if let Some(issuer) = self.issuers.iter().position(|one| Arc::ptr_eq(one, issuer)) {
            self.verified.insert(digest, Verified { issuer, identity: Arc::clone(&identity), until, key });
        }
        Ok(identity)
    }

    pub(super) fn issuers(&self) -> &[Arc<TrustedIssuer>] {
        &self.issuers
    }

    /// Returns the issuer that a token names, and how.
    pub(super) fn issuer_of<'a>(
        &self,
        token: &'a UnverifiedToken<'_>,
    ) -> Result<(&Arc<TrustedIssuer>, IssuerMatch<'a>), AuthError> {
        let iss = match token.claim("iss") {
            None => Some(None),
            Some(Value::String(iss)) => Some(Some(iss.as_str())),
            Some(_) => None,
        };
        let found = iss.and_then(|iss| {
            self.issuers.iter().find_map(|issuer| Some((issuer, issuer.rules.name.resolve(iss)?)))
        });
        found.ok_or_else(|| AuthError::from(Rejection::Issuer).compared(|_| self.compare_issuer(token)))
    }

    /// Returns what a token says of its issuer, and which issuers are configured.
    pub(super) fn compare_issuer(&self, token: &UnverifiedToken<'_>) -> Comparison {
        let known: Vec<String> = self.issuers.iter().flat_map(|issuer| issuer.rules.name.written()).collect();
        let help = match token.claim("iss") {
            None => "if these are the app's tokens, set issuer_claim = \"absent\" for their [[issuer]]",
            Some(_) => "if these are the app's tokens, write exactly this as issuer, or add it to aliases",
        };
        Comparison {
            token: format!("iss: {}", shown(token.claim("iss"))),
            configured: known.join(", "),
            help: help.to_owned(),
        }
    }

    /// Returns the current time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns whether the issuer still publishes the key that verified a cached token.
    fn is_key_still_trusted(&self, verified: &Verified) -> bool {
        self.issuers.get(verified.issuer).is_some_and(|issuer| match &issuer.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.contains(verified.key),
        })
    }

    /// Removes the cached tokens that have expired. Iterates over all: not for an async worker thread.
    pub fn remove_expired(&self) {
        self.verified.remove_expired(self.clock.now());
    }

    /// Returns whether every issuer's keys are usable. Starts a fetch of those that are not.
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|issuer| match &issuer.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.is_usable(),
        })
    }

    /// Returns the state of every issuer, sorted by name. Starts no fetch.
    pub fn snapshot(&self) -> Vec<IssuerStatus> {
        let mut issuers: Vec<IssuerStatus> = self.issuers.iter().map(|issuer| issuer.status()).collect();
        issuers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        issuers
    }

    /// Adds the metrics of this module to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    /// Fetches every key set once. A failure is logged; the set is fetched again when it is needed.
    pub async fn warm_up(&self) {
        for issuer in &self.issuers {
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
        for issuer in &self.issuers {
            let Keys::Jwks(jwks) = &issuer.keys else { continue };
            if online || jwks.is_file() {
                let dropped = jwks.probe().await.map_err(|fault| {
                    KeyFault(format!(
                        "{}: issuer `{}`: its key set {} {fault}",
                        issuer.rules.place,
                        issuer.name,
                        jwks.origin()
                    ))
                })?;
                unused.extend(dropped.iter().map(|key| (Arc::clone(&issuer.name), key.clone())));
            }
        }
        Ok(unused)
    }
}

impl TrustedIssuer {
    fn new(
        rules: Issuer,
        network: &Network,
        clock: &Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<Self, KeyFault> {
        let keys = Keys::of(&rules, network, clock, runtime).map_err(|fault| {
            KeyFault(format!("{}: issuer `{}`: {fault}", rules.place, rules.name.canonical()))
        })?;
        let name = Arc::from(rules.name.canonical());
        Ok(Self { rules, name, keys })
    }

    /// Returns the issuer's name in an identity: with the tenant, if it has tenants.
    pub(super) fn identity_name(&self, named: IssuerMatch<'_>) -> Arc<str> {
        match named {
            IssuerMatch::Whole => Arc::clone(&self.name),
            IssuerMatch::Tenant(_) => Arc::from(&*self.rules.name.identity(named)),
        }
    }

    /// Returns the key that signed a token.
    pub(super) async fn verify_signature(
        &self,
        token: &UnverifiedToken<'_>,
        digest: Fingerprint,
    ) -> Result<Fingerprint, AuthError> {
        let verified = self.keys.verify_signature(token, digest).await;
        verified.map_err(|error| error.compared(|reason| self.compare_key(reason, token)))
    }

    /// Returns which key a token names, and which the issuer has.
    pub(super) fn compare_key(&self, reason: Rejection, token: &UnverifiedToken<'_>) -> Comparison {
        let help = match (reason, &self.rules.keys) {
            (Rejection::UnknownKey, _) => {
                "see that the key set is the one of this issuer, and that the token is not from another of its environments"
            }
            (_, KeySource::Secret(_)) => {
                "see that the issuer signs with the same bytes: secret_encoding says how the secret is written"
            }
            _ => "see that the key is the one of this issuer, and that nothing changed the token on its way",
        };
        Comparison {
            token: format!(
                "kid: {}, alg: {}",
                shown(token.header.get("kid")),
                shown(token.header.get("alg"))
            ),
            configured: self.keys.described(),
            help: format!("{help} ({})", self.rules.place),
        }
    }

    fn status(&self) -> IssuerStatus {
        let key_set = match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Jwks(jwks) => Some(jwks.status()),
        };
        IssuerStatus { name: Arc::clone(&self.name), key_set, warnings: self.rules.warnings() }
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
                rules.name.canonical(),
                network,
            )),
        };
        for url in rules.keys.urls().iter().filter(|url| network.is_plain_http_host(url)).take(1) {
            tracing::warn!(issuer = rules.name.canonical(), %url, "the keys of this issuer are fetched over plain HTTP");
        }
        let clock = Arc::clone(clock);
        Ok(Self::Jwks(Jwks::new(rules.name.canonical(), origin, &rules.algorithms, clock, runtime.clone())))
    }

    /// Returns which keys there are, for messages.
    fn described(&self) -> String {
        match self {
            Self::Fixed(_) => "one configured key, whatever the `kid`".to_owned(),
            Self::Jwks(jwks) => jwks.kids().map_or_else(
                || "a key set that could not be read so far".to_owned(),
                |kids| format!("a key set with the kids {}", kids.join(", ")),
            ),
        }
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

/// Returns the BLAKE3 hash of a token. Every hit costs one: where the processor has no instructions for SHA-256, that takes
/// three times as many.
fn digest_of(token: &[u8]) -> Fingerprint {
    Fingerprint::from_bytes(blake3::hash(token).into())
}

#[cfg(test)]
mod tests;

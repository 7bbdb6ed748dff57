//! The one way from a bearer token to an [`Identity`].

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::{
    error::{AuthError, Rejection},
    jwks::{Jwks, KeySetStatus, Origin},
    key::{Key, KeyFault, KeySet},
    metrics::MetricsCollector,
    token::UnverifiedToken,
};
use crate::config::{Issuer, KeySource};
use diagnostics::one_line;
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;
use templates::identity::Identity;

/// Verifies tokens, and remembers those it has verified.
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
    /// Fixed by the configuration; a token's `kid` means nothing.
    Fixed(Arc<KeySet>),
    /// A set that changes.
    Jwks(Arc<Jwks>),
}

/// What operators see of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// Its `iss`.
    pub name: Arc<str>,
    /// Its key set; nothing where its keys are fixed by the configuration.
    pub key_set: Option<KeySetStatus>,
}

impl IssuerStatus {
    /// Whether tokens of this issuer can be checked now.
    pub fn is_ready(&self) -> bool {
        self.key_set.is_none_or(|set| set.is_usable())
    }
}

/// A token whose signature holds, tied to the key that verified it.
#[derive(Debug)]
struct Verified {
    identity: Arc<Identity>,
    until: Timestamp,
    key: Fingerprint,
}

/// Verified tokens remembered: 64 MiB of claims.
const REMEMBERED_BYTES: u64 = 64 << 20;

impl Verifier {
    /// Takes in the issuers and their fixed keys. Key sets are fetched later, on `runtime`.
    ///
    /// # Errors
    /// When a key of the configuration cannot be used, with the issuer's name.
    pub fn new(issuers: Vec<Issuer>, clock: Arc<dyn Clock>, runtime: &Handle) -> Result<Self, KeyFault> {
        let issuers = issuers
            .into_iter()
            .map(|rules| {
                let keys = Keys::of(&rules, &clock, runtime).map_err(|fault| {
                    KeyFault(format!("{}: issuer `{}`: {fault}", rules.place, rules.issuer))
                })?;
                let name: Arc<str> = rules.issuer.as_str().into();
                Ok((rules.issuer.clone(), TrustedIssuer { rules, name, keys }))
            })
            .collect::<Result<_, KeyFault>>()?;
        let verified = moka::sync::Cache::builder()
            .max_capacity(REMEMBERED_BYTES)
            .weigher(|_, verified: &Arc<Verified>| verified.weight())
            .build();
        Ok(Self { issuers, verified, clock })
    }

    /// Who a token speaks of. A token seen before costs a hash and no signature check.
    ///
    /// # Errors
    /// Why it leads to nobody.
    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        let now = self.clock.now();
        let digest = Fingerprint::of(&[token]);
        if let Some(verified) = self.verified.get(&digest) {
            if now < verified.until && self.still_trusts(&verified) {
                return Ok(Arc::clone(&verified.identity));
            }
            self.verified.invalidate(&digest);
        }
        let unverified = UnverifiedToken::parse(token)?;
        let issuer = unverified.issuer().and_then(|name| self.issuers.get(name)).ok_or_else(|| {
            let named = one_line(unverified.issuer().unwrap_or_default());
            tracing::info!(iss = named, configured = ?self.issuers.keys(), "a token of an unknown issuer");
            Rejection::Issuer
        })?;
        if !issuer.rules.algorithms.contains(&unverified.algorithm) {
            return Err(Rejection::Algorithm.into());
        }
        let key = issuer.keys.that_signed(&unverified).await?;
        let until = unverified.valid_until(&issuer.rules, now)?;
        let identity = Arc::new(Identity::from_claims(Arc::clone(&issuer.name), unverified.claims)?);
        let verified = Verified { identity: Arc::clone(&identity), until, key };
        self.verified.insert(digest, Arc::new(verified));
        Ok(identity)
    }

    /// A key that its issuer withdrew takes its tokens along.
    fn still_trusts(&self, verified: &Verified) -> bool {
        self.issuers.get(verified.identity.issuer()).is_some_and(|issuer| match &issuer.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.usable().is_some_and(|set| set.holds(verified.key)),
        })
    }

    /// Whether every issuer's keys are at hand; sends for those that are not.
    pub fn is_ready(&self) -> bool {
        self.issuers.values().all(|issuer| match &issuer.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.usable().is_some(),
        })
    }

    /// Every issuer, by name; sends for nothing.
    pub fn snapshot(&self) -> Vec<IssuerStatus> {
        let status = |issuer: &TrustedIssuer| IssuerStatus {
            name: Arc::clone(&issuer.name),
            key_set: match &issuer.keys {
                Keys::Fixed(_) => None,
                Keys::Jwks(jwks) => Some(jwks.status()),
            },
        };
        let mut issuers: Vec<IssuerStatus> = self.issuers.values().map(status).collect();
        issuers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        issuers
    }

    /// Adds this room's figures to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    /// Fetches every key set once; what cannot be had is logged and tried again when it is needed.
    pub async fn warm_up(&self) {
        for issuer in self.issuers.values() {
            if let Keys::Jwks(jwks) = &issuer.keys {
                jwks.refresh().await;
            }
        }
    }

    /// Whether every key set can be fetched now.
    ///
    /// # Errors
    /// The first that cannot, with the issuer's name.
    pub async fn probe(&self) -> Result<(), KeyFault> {
        for issuer in self.issuers.values() {
            if let Keys::Jwks(jwks) = &issuer.keys {
                jwks.probe().await.map_err(|fault| {
                    KeyFault(format!("{}: issuer `{}`: its key set {fault}", issuer.rules.place, issuer.name))
                })?;
            }
        }
        Ok(())
    }
}

impl Keys {
    fn of(rules: &Issuer, clock: &Arc<dyn Clock>, runtime: &Handle) -> Result<Self, KeyFault> {
        let jwks = |origin| {
            Self::Jwks(Jwks::new(
                &rules.issuer,
                origin,
                &rules.algorithms,
                Arc::clone(clock),
                runtime.clone(),
            ))
        };
        let fixed = |key| Self::Fixed(Arc::new(KeySet::of_one(key)));
        match &rules.keys {
            KeySource::Secret(secret) => Ok(fixed(Key::secret(secret, &rules.algorithms))),
            KeySource::PublicKey { path, pem } => Key::pem(pem, &rules.algorithms)
                .map(fixed)
                .map_err(|fault| KeyFault(format!("{} {fault}", path.display()))),
            KeySource::JwksFile(path) => {
                let json = std::fs::read(path)
                    .map_err(|error| KeyFault(format!("{} cannot be read: {error}", path.display())))?;
                KeySet::parse(&json, &rules.algorithms)
                    .map_err(|fault| KeyFault(format!("{} {fault}", path.display())))?;
                Ok(jwks(Origin::File(path.clone())))
            }
            KeySource::JwksUrl(url) => Origin::url(url.clone())
                .map(jwks)
                .map_err(|error| KeyFault(format!("no HTTP client could be made: {error}"))),
        }
    }

    /// The key that signed a token.
    async fn that_signed(&self, token: &UnverifiedToken<'_>) -> Result<Fingerprint, AuthError> {
        let signed = |key: &&Key| key.verifies(token.algorithm, token.message.as_bytes(), token.signature);
        match self {
            Self::Fixed(set) => {
                let key = set.all().find(signed).ok_or(Rejection::Signature)?;
                Ok(key.material())
            }
            Self::Jwks(jwks) => {
                let kid = token.kid.as_deref();
                let set = jwks.set_for(kid).await.ok_or(AuthError::KeysUnavailable)?;
                if set.candidates(kid).next().is_none() {
                    return Err(Rejection::UnknownKey.into());
                }
                if let Some(key) = set.candidates(kid).find(signed) {
                    return Ok(key.material());
                }
                // Without a name on one side, a rotation shows only as a signature that does not hold.
                if kid.is_none() || set.has_nameless() {
                    jwks.refresh().await;
                    let newer = jwks.usable().ok_or(AuthError::KeysUnavailable)?;
                    let key = newer.candidates(kid).find(signed).ok_or(Rejection::Signature)?;
                    return Ok(key.material());
                }
                Err(Rejection::Signature.into())
            }
        }
    }
}

impl Verified {
    /// Roughly the bytes an entry takes: its claims, some twice, and the bookkeeping.
    fn weight(&self) -> u32 {
        let claims = self.identity.weight();
        u32::try_from(512 + 2 * claims).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;

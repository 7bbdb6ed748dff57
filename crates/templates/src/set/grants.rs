//! Grants of a set of templates, and the cache of recent ones.

use std::sync::Arc;

use super::{ActiveTemplate, TemplateSet};
use crate::{
    fingerprint::Fingerprint,
    grant::{Coverage, Grant, NoGrant, confined_policy},
    identity::Identity,
    render,
    scope::{self, Scope, ScopeRefused},
    synthetic_identity::{SyntheticClaims, SyntheticIdentity},
    verify::verify,
};

/// Size of a cache entry beside its grant: its key, and its places in the cache's map and queues.
const ENTRY_BYTES: usize = 704;

/// The identity for which `check` calls STS.
const PROBE_CLAIMS: SyntheticClaims<'_> =
    SyntheticClaims { text: "cosbroker-check", number: 900_719_925_474_098 };

/// A cache of grants by identity and template, so that a cache hit renders nothing.
#[derive(Debug)]
pub(super) struct GrantCache(moka::sync::Cache<(Fingerprint, String), Arc<Grant>>);

impl GrantCache {
    /// An empty cache of at most `max_bytes`.
    pub(super) fn new(max_bytes: u64) -> Self {
        let grants = moka::sync::Cache::builder().max_capacity(max_bytes).weigher(weight);
        Self(grants.build())
    }
}

/// A grant that a cached credential shares is counted in both caches.
fn weight((_, name): &(Fingerprint, String), grant: &Arc<Grant>) -> u32 {
    u32::try_from(ENTRY_BYTES + name.len() + grant.weight()).unwrap_or(u32::MAX)
}

impl TemplateSet {
    /// Returns what a template grants to an identity. Without a name, it uses the default template.
    ///
    /// # Errors
    /// When it grants nothing.
    pub fn grant(&self, name: Option<&str>, identity: &Identity) -> Result<Arc<Grant>, NoGrant> {
        let name = name.or(self.default.as_deref()).ok_or(NoGrant::NoDefault)?;
        let key = (identity.digest(), name.to_owned());
        if let Some(grant) = self.grants.0.get(&key) {
            return Ok(grant);
        }
        let template = self.active(name)?;
        let granted = template.grant(identity);
        if let Some(shadow) = &template.shadow {
            shadow.observe(identity, granted.as_deref());
        }
        let grant = granted?;
        self.grants.0.insert(key, Arc::clone(&grant));
        Ok(grant)
    }

    /// Returns the part of a template's grant that a scope asks for.
    ///
    /// # Errors
    /// When there is none. One item outside the template refuses the whole scope.
    pub fn narrowed(
        &self,
        name: Option<&str>,
        identity: &Identity,
        scope: &[Scope],
    ) -> Result<Arc<Grant>, NoGrant> {
        let full = self.grant(name, identity)?;
        let narrowed = scope::narrow(&full.policy().policy(), full.bucket(), scope)?;
        let size = narrowed.to_json().len();
        if size > render::MAX_POLICY_BYTES {
            return Err(ScopeRefused::Size(size).into());
        }
        let policy = verify(render::to_wire(&narrowed), full.proved(), identity)?;
        Ok(Arc::new(Grant::new(Arc::clone(full.proved()), identity, policy, Coverage::Narrowed)))
    }

    /// Returns what a template grants to a synthetic identity that carries whatever the template requires. It is
    /// not cached, and shadows do not count it.
    ///
    /// # Errors
    /// When it grants nothing.
    pub fn synthetic_grant(
        &self,
        template: &str,
        issuer: &str,
        claims: SyntheticClaims<'_>,
    ) -> Result<Arc<Grant>, NoGrant> {
        let active = self.active(template)?;
        let identity = SyntheticIdentity::for_template(active.proved.template(), issuer, claims)
            .identity()
            .ok_or_else(|| NoGrant::Requirement("sub".to_owned()))?;
        active.grant(&identity)
    }

    /// Returns the synthetic grant with the largest policy, to try a call to STS.
    pub fn probe_grant(&self, issuer: &str) -> Option<Arc<Grant>> {
        let grants =
            self.templates.keys().filter_map(|name| self.synthetic_grant(name, issuer, PROBE_CLAIMS).ok());
        grants.max_by_key(|grant| grant.policy().wire().len())
    }

    fn active(&self, name: &str) -> Result<&ActiveTemplate, NoGrant> {
        self.templates.get(name).ok_or_else(|| NoGrant::UnknownTemplate(name.to_owned()))
    }
}

impl ActiveTemplate {
    fn grant(&self, identity: &Identity) -> Result<Arc<Grant>, NoGrant> {
        let policy = confined_policy(&self.proved, identity)?;
        Ok(Arc::new(Grant::new(Arc::clone(&self.proved), identity, policy, Coverage::Whole)))
    }
}

//! Grants of a set of templates.

use std::sync::Arc;

use super::{ActiveTemplate, TemplateSet};
use crate::{
    grant::{Coverage, Grant, NoGrant, confined_policy},
    identity::Identity,
    render,
    scope::{self, Scope, ScopeRefused},
    synthetic_identity::{SyntheticClaims, SyntheticIdentity},
    verify::verify,
};

/// The identity for which `check` calls STS.
const PROBE_CLAIMS: SyntheticClaims<'_> =
    SyntheticClaims { text: "cosbroker-check", number: 900_719_925_474_098 };

impl TemplateSet {
    /// Returns what a template grants to an identity, which remembers it. Without a name, it uses the default template.
    ///
    /// # Errors
    /// When it grants nothing.
    pub fn grant(&self, name: Option<&str>, identity: &Identity) -> Result<Arc<Grant>, NoGrant> {
        let name = name.or(self.default.as_deref()).ok_or(NoGrant::NoDefault)?;
        let template = self.active(name)?;
        if let Some(grant) = identity.latest_grants().of(&template.proved) {
            return Ok(grant);
        }
        let granted = template.grant(identity);
        if let Some(shadow) = &template.shadow {
            shadow.observe(identity, granted.as_deref());
        }
        let grant = granted?;
        identity.latest_grants().insert(Arc::clone(&grant));
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
        let policy = verify(&render::to_wire(&narrowed), full.proved(), identity)?;
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
        grants.max_by_key(|grant| grant.policy().json().len())
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

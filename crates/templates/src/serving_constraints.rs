//! What the configuration requires of templates, in addition to the proof.

use std::{collections::BTreeSet, time::Duration};

use super::{
    advice::Advice,
    claim_path,
    template::{ClaimRef, Template},
};
use diagnostics::Diagnostic;

/// The constraints under which templates serve.
#[derive(Debug, Clone)]
pub struct ServingConstraints {
    /// Which issuers sign tokens, and which of their claims are trusted.
    pub issuer_trust: IssuerTrust,
    /// The maximum duration that the configured STS action allows.
    pub longest: Duration,
    /// `cache.min_remaining`, if the operator set it.
    pub min_remaining: Option<Duration>,
    /// The template for requests that name none.
    pub default: Option<String>,
}

/// What the proof needs to know about the issuers.
#[derive(Debug, Clone, Default)]
pub struct IssuerTrust {
    /// Whether several issuers are configured. Then `sub` alone does not identify a user.
    pub several: bool,
    /// The path of a claim that says the same as the issuer: the tenant, if the only issuer has tenants.
    pub tenant_claim: Option<Vec<String>>,
    /// The paths of claims that users of no issuer can choose.
    pub trusted_claims: Vec<Vec<String>>,
}

/// The maximum duration of `GetFederationToken` for any kind of account (docs 1312/48195).
const MAX_STS_DURATION: Duration = Duration::from_hours(36);

impl IssuerTrust {
    /// Whether a claim tells the issuers apart.
    pub(super) fn identifies_issuer(&self, claim: &ClaimRef) -> bool {
        match claim {
            ClaimRef::Iss => true,
            ClaimRef::Sub => false,
            ClaimRef::Path(path) => self.tenant_claim.as_ref() == Some(path),
        }
    }

    /// Whether users cannot choose the value of a claim.
    pub(super) fn trusts(&self, claim: &ClaimRef) -> bool {
        match claim {
            ClaimRef::Sub | ClaimRef::Iss => true,
            ClaimRef::Path(path) => self.trusted_claims.contains(path),
        }
    }
}

impl ServingConstraints {
    /// Assumes a configuration under which these templates can be proved: one issuer, whose claims in homes are
    /// trusted, and the maximum duration of any account.
    pub(super) fn assumed(templates: &[Template]) -> Self {
        let trusted_claims: BTreeSet<Vec<String>> = templates
            .iter()
            .flat_map(|template| template.home.claims().filter(|claim| template.owners.contains(claim)))
            .filter_map(|claim| match claim {
                ClaimRef::Path(path) => Some(path.clone()),
                ClaimRef::Sub | ClaimRef::Iss => None,
            })
            .collect();
        let trusted_claims = trusted_claims.into_iter().collect();
        Self {
            issuer_trust: IssuerTrust { trusted_claims, ..IssuerTrust::default() },
            longest: MAX_STS_DURATION,
            min_remaining: None,
            default: None,
        }
    }

    /// Describes the assumptions of [`ServingConstraints::assumed`].
    pub(super) fn assumptions(&self) -> Vec<String> {
        let mut assumptions = vec!["one issuer signs tokens".to_owned()];
        let trusted = &self.issuer_trust.trusted_claims;
        if !trusted.is_empty() {
            let trusted: Vec<String> = trusted.iter().map(|path| claim_path::written(path)).collect();
            assumptions.push(format!("its trusted_claims list {}", trusted.join(", ")));
        }
        assumptions
    }

    /// Checks that STS allows a template's duration, and that the cache can hand out its credentials.
    pub(super) fn check_duration(&self, template: &Template) -> Result<(), Diagnostic> {
        let fits = self.duration_fits(template.duration);
        fits.map_err(|advice| advice.at(&template.source, template.duration_span.clone()))
    }

    fn duration_fits(&self, duration: Duration) -> Result<(), Advice> {
        let seconds = duration.as_secs();
        if duration > self.longest {
            let limited_by =
                if self.longest < MAX_STS_DURATION { "the configured sts.action" } else { "STS" };
            return Err(Advice::new(
                format!("duration is {seconds} s; {limited_by} gives {} s at most", self.longest.as_secs()),
                "shorten it",
            ));
        }
        match self.min_remaining {
            Some(min_remaining) if duration <= min_remaining => Err(Advice::new(
                format!(
                    "duration is {seconds} s, not more than cache.min_remaining ({} s): every key would be too old when new",
                    min_remaining.as_secs()
                ),
                "lengthen duration, or lower cache.min_remaining",
            )),
            _ => Ok(()),
        }
    }
}

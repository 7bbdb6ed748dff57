//! A grant: what one identity may do under one template, ready to be exchanged for a credential.

use std::{sync::Arc, time::Duration};

use super::{
    allocation::shared_block,
    claim_path,
    fingerprint::{Fingerprint, ShortId},
    identity::{Identity, Principal},
    proof::Proved,
    render,
    scope::ScopeRefused,
    template::{Bucket, Template, Unrenderable},
    verify::{ConfinedPolicy, Unconfined, verify},
};
use diagnostics::to_single_line;

/// A confined policy with its principal, bucket and duration.
#[derive(Debug, Clone)]
pub struct Grant {
    proved: Arc<Proved>,
    policy: ConfinedPolicy,
    principal: Principal,
    coverage: Coverage,
    fingerprint: Fingerprint,
}

/// The part of a template that a grant covers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Coverage {
    Whole,
    /// Only what a client's scope asks for.
    Narrowed,
}

impl Grant {
    pub(super) fn new(
        proved: Arc<Proved>,
        identity: &Identity,
        policy: ConfinedPolicy,
        coverage: Coverage,
    ) -> Self {
        let template = proved.template();
        let principal = identity.principal().clone();
        let fingerprint = Fingerprint::of(&[
            principal.fingerprint().as_bytes().as_slice(),
            template.bucket.name.as_bytes(),
            template.bucket.region.as_bytes(),
            &template.duration.as_secs().to_be_bytes(),
            policy.home().as_bytes(),
            policy.shape_fingerprint().as_bytes(),
        ]);
        Self { proved, policy, principal, coverage, fingerprint }
    }

    fn template(&self) -> &Template {
        self.proved.template()
    }

    pub(super) fn proved(&self) -> &Arc<Proved> {
        &self.proved
    }

    /// Returns the template's name.
    pub fn template_name(&self) -> &str {
        &self.template().name
    }

    /// Returns the template's version: the file's SHA-256 in hexadecimal.
    pub fn template_version(&self) -> String {
        self.proved.version().to_owned()
    }

    /// Returns the bucket that it is for.
    pub fn bucket(&self) -> &Bucket {
        &self.template().bucket
    }

    /// Returns the folder that it is confined to, ending in `/`.
    pub fn home(&self) -> &str {
        self.policy.home()
    }

    /// Returns the duration of its credentials.
    pub fn duration(&self) -> Duration {
        self.template().duration
    }

    /// Returns the policy of its credentials.
    pub fn policy(&self) -> &ConfinedPolicy {
        &self.policy
    }

    /// Returns whom it is for.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether it covers only a part of the template, chosen by the client.
    pub fn is_narrowed(&self) -> bool {
        matches!(self.coverage, Coverage::Narrowed)
    }

    /// Returns the cache key of its credential.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns the hash that identifies the principal, template and scope across versions of the template. It is computed
    /// each time: only a miss needs it.
    pub fn lineage(&self) -> Fingerprint {
        let principal = self.principal.fingerprint();
        let whole = [principal.as_bytes().as_slice(), self.template_name().as_bytes()];
        match self.coverage {
            Coverage::Whole => Fingerprint::of(&whole),
            // Equal scopes make equal policies.
            Coverage::Narrowed => {
                let shape = self.policy.shape_fingerprint();
                Fingerprint::of(&[whole.as_slice(), &[shape.as_bytes().as_slice()]].concat())
            }
        }
    }

    /// Estimates the memory that it takes, in bytes, without what it shares with other grants and its principal.
    pub fn weight(&self) -> usize {
        shared_block(size_of::<Self>()) + self.policy.weight()
    }

    /// Returns the short ID that responses, the audit log and the STS session name have.
    pub fn id(&self) -> ShortId {
        self.fingerprint.short()
    }
}

/// Why an identity gets no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGrant {
    /// No template has the requested name.
    #[error("there is no template `{}`", to_single_line(.0))]
    UnknownTemplate(String),
    /// The request names no template, and there is no default.
    #[error("no template was named, and none is the default")]
    NoDefault,
    /// The token lacks a claim that the template requires, or has another value there.
    #[error("this template requires the claim `{0}` with a value the token does not carry")]
    Requirement(String),
    /// A claim's value cannot become part of a key.
    #[error(transparent)]
    Unrenderable(#[from] Unrenderable),
    /// The requested scope is outside the template.
    #[error(transparent)]
    Scope(#[from] ScopeRefused),
    /// The verifier refused the rendering, which is a bug of cosbroker.
    #[error(transparent)]
    Unconfined(#[from] Unconfined),
}

/// Renders and verifies what a template grants to an identity.
pub(super) fn confined_policy(proved: &Proved, identity: &Identity) -> Result<ConfinedPolicy, NoGrant> {
    check_requirements(proved.template(), identity)?;
    let wire = render::render(proved.template(), identity)?;
    Ok(verify(&wire, proved, identity)?)
}

fn check_requirements(template: &Template, identity: &Identity) -> Result<(), NoGrant> {
    match template.require.iter().find(|required| !required.is_met_by(identity)) {
        Some(unmet) => Err(NoGrant::Requirement(claim_path::written(&unmet.path))),
        None => Ok(()),
    }
}

//! What one identity may do under one template, ready to be made into a key.

use std::{sync::Arc, time::Duration};

use super::{
    counter_example,
    proof::Proved,
    render,
    scope::ScopeRefused,
    template::{Bucket, Template},
    variable::Unrenderable,
    verify::{ConfinedPolicy, Unconfined, verify},
};
use crate::{
    fingerprint::{Fingerprint, ShortId},
    identity::{Identity, Principal},
};
use diagnostics::to_single_line;

/// A confined policy, whose it is, where, and for how long.
#[derive(Debug, Clone)]
pub struct Grant {
    proved: Arc<Proved>,
    policy: ConfinedPolicy,
    principal: Principal,
    is_narrowed: bool,
    fingerprint: Fingerprint,
    line: Fingerprint,
}

impl Grant {
    /// `scope` tells the grants of one asker and template apart; empty for the whole template.
    pub(super) fn new(proved: Arc<Proved>, identity: &Identity, policy: ConfinedPolicy, scope: &str) -> Self {
        let template = proved.template();
        let fingerprint = Fingerprint::of(&[
            identity.issuer(),
            identity.subject(),
            &template.bucket.name,
            &template.bucket.region,
            policy.home(),
            &template.duration.as_secs().to_string(),
            policy.wire(),
        ]);
        let line = Fingerprint::of(&[identity.issuer(), identity.subject(), &template.name, scope]);
        Self {
            proved,
            policy,
            principal: identity.principal().clone(),
            is_narrowed: !scope.is_empty(),
            fingerprint,
            line,
        }
    }

    fn template(&self) -> &Template {
        self.proved.template()
    }

    pub(super) fn proved(&self) -> &Arc<Proved> {
        &self.proved
    }

    /// The template's name.
    pub fn template_name(&self) -> &str {
        &self.template().name
    }

    /// The template's version: SHA-256 of the file, in hexadecimal.
    pub fn template_version(&self) -> String {
        self.template().source.sha256()
    }

    /// The bucket it is for.
    pub fn bucket(&self) -> &Bucket {
        &self.template().bucket
    }

    /// The folder it is confined to, ending in `/`.
    pub fn home(&self) -> &str {
        self.policy.home()
    }

    /// How long its key lives.
    pub fn duration(&self) -> Duration {
        self.template().duration
    }

    /// What its key may do.
    pub fn policy(&self) -> &ConfinedPolicy {
        &self.policy
    }

    /// Whose it is, whatever their claims.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether it is a part of a template's grant that its asker chose.
    pub fn is_narrowed(&self) -> bool {
        self.is_narrowed
    }

    /// What its key is cached under.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The same for an asker, template and scope across versions of the template.
    pub fn line(&self) -> Fingerprint {
        self.line
    }

    /// Its short name: stands in the answer, the audit line and the STS session name.
    pub fn id(&self) -> ShortId {
        self.fingerprint.short()
    }
}

/// Why an identity gets no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGrant {
    /// No template of that name.
    #[error("there is no template `{}`", to_single_line(.0))]
    UnknownTemplate(String),
    /// None was named, and there is no default.
    #[error("no template was named, and none is the default")]
    NoDefault,
    /// The token lacks a claim that the template requires, or has another value there.
    #[error("this template requires the claim `{0}` with a value the token does not carry")]
    Requirement(String),
    /// A claim cannot become part of a key.
    #[error(transparent)]
    Unrenderable(#[from] Unrenderable),
    /// The scope asked for is outside the template.
    #[error(transparent)]
    Scope(#[from] ScopeRefused),
    /// A fault of ours, caught before it could do harm.
    #[error(transparent)]
    Unconfined(#[from] Unconfined),
}

/// What a template lets an identity's key do, rendered and verified.
pub(super) fn confined_policy(proved: &Proved, identity: &Identity) -> Result<ConfinedPolicy, NoGrant> {
    requirements_are_met(proved.template(), identity)?;
    let wire = render::render(proved.template(), identity)?;
    Ok(verify(wire, proved, identity)?)
}

/// Whether what a template renders to passes the verifier, tried on somebody made up: where the two disagree,
/// nobody would ever get a key.
pub(super) fn trial(proved: &Proved) -> Result<(), Unconfined> {
    let Some(identity) = counter_example::anybody(proved.template()) else { return Ok(()) };
    match render::render(proved.template(), &identity) {
        Ok(wire) => verify(wire, proved, &identity).map(|_| ()),
        Err(Unrenderable { .. }) => Ok(()),
    }
}

/// A claim meets a requirement by being, or (a list) holding, one of the values.
fn requirements_are_met(template: &Template, identity: &Identity) -> Result<(), NoGrant> {
    for (path, values) in &template.require {
        let met = match identity.claim(path) {
            Some(serde_json::Value::Array(held)) => held.iter().any(|one| values.contains(one)),
            Some(held) => values.contains(held),
            None => false,
        };
        if !met {
            return Err(NoGrant::Requirement(path.join(".")));
        }
    }
    Ok(())
}

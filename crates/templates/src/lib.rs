#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod account_rights;
mod advice;
pub mod allocation;
mod claim_names;
pub mod claim_path;
mod deny;
mod explain;
pub mod fingerprint;
mod grant;
mod home_change;
pub mod identity;
mod import;
mod latest_grants;
mod lint;
mod proof;
mod render;
mod revision;
mod rule;
mod scope;
mod serving_constraints;
mod set;
mod subject;
mod synthetic_identity;
mod template;
mod verify;

pub use self::{
    account_rights::{AccountRights, BucketUse},
    advice::Advice,
    claim_names::ClaimNames,
    deny::deny_home,
    explain::{Explanation, Question, Unmet, explain},
    grant::{Grant, NoGrant},
    import::{ImportFault, Imported, import},
    lint::{CounterExample, Finding, Holder, Level, Note, Report, RuleReference, lint},
    render::MAX_POLICY_BYTES,
    revision::Revision,
    rule::Rule,
    scope::{ItemRefused, PrefixFault, Scope, ScopeRefused},
    serving_constraints::{IssuerTrust, ServingConstraints},
    set::{PolicySizes, ShadowReport, TemplateFiles, TemplateSet, TemplateStatus},
    synthetic_identity::SyntheticClaims,
    template::{Bucket, Service, Unrenderable, action_names},
    verify::{ConfinedPolicy, Unconfined, VerifierFault},
};

//! Templates become grants: parsed, proved to confine every user to their own folder, rendered, and
//! verified once more on every rendering.
//!
//! Pure but for reading the templates' folder: no network, no clock, no HTTP. Of `identity` it knows the
//! value [`Identity`](crate::identity::Identity) and nothing else.
//!
//! ```text
//! *.toml ─ template ─► proof ─► Proved ─┐
//!                          Identity ────┴─ render ─► bytes ─ verify ─► ConfinedPolicy ─► Grant
//! ```

mod action;
mod counter_example;
mod explain;
mod finding;
pub mod fingerprint;
mod folder;
mod grant;
mod home;
pub mod identity;
mod import;
mod issuer_trust;
mod lint;
mod proof;
mod render;
mod revision;
mod scope;
mod set;
mod shadow;
mod template;
mod terms;
mod text;
mod variable;
mod verify;

pub use self::{
    counter_example::{CounterExample, Holder},
    explain::{Explanation, Question, Unmet, explain},
    finding::{Finding, Level, Rule},
    folder::Folder,
    grant::{Grant, NoGrant},
    import::{ImportFault, Imported, import},
    issuer_trust::IssuerTrust,
    lint::{Report, RuleReference, lint},
    revision::Revision,
    scope::{Scope, ScopeRefused},
    set::{TemplateSet, TemplateStatus},
    shadow::{ShadowReport, Sizes},
    template::{Bucket, Service},
    terms::ServingConstraints,
    variable::Unrenderable,
    verify::{ConfinedPolicy, Unconfined},
};

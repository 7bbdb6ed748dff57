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
mod finding;
pub mod cam;
pub mod evaluate;
mod explain;
mod grant;
mod home;
mod pattern;
mod proof;
mod render;
mod scope;
mod store;
mod template;
mod text;
mod variable;
mod verify;

pub use self::{
    explain::{Explanation, Question, explain},
    grant::Grant,
    proof::Issuers,
    scope::{Scope, ScopeRefused},
    store::{Bounds, NoGrant, TemplateSet},
    template::Bucket,
    variable::Unrenderable,
    verify::{ConfinedPolicy, Unconfined},
};

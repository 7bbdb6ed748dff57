//! What is found about a template: under which rule, where, and how to mend it.

use serde::{Serialize, Serializer};

use super::counter_example::CounterExample;
use diagnostics::Diagnostic;

/// One thing to say about a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Whether the template serves all the same.
    pub level: Level,
    /// What it is held against.
    pub rule: Rule,
    /// The templates it keeps from serving, or warns of; the one it stands in comes first.
    pub templates: Vec<String>,
    /// Where, what, and how to mend it.
    pub diagnostic: Diagnostic,
    /// Two people who could both reach one object, where some were found.
    pub counter_example: Option<CounterExample>,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It serves, and an operator should know.
    Warning,
    /// It does not serve.
    Error,
}

/// What a template is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The file reads as a template.
    Readable,
    /// (a) The home is segments around owner variables, closed by `/`.
    Home,
    /// (a) With several issuers, the issuer is part of the home.
    IssuerInHome,
    /// (a) No user can choose the claims in a home.
    TrustedClaim,
    /// A key pattern reads the same however it is read.
    PlainSpelling,
    /// (b) Every allow lies under the home.
    UnderHome,
    /// (c) A list is bound to the home.
    BoundList,
    /// What is shared is read only, and nobody's home.
    Shared,
    /// (e) No home meets another owner's.
    HomesApart,
    /// No writer can make objects public.
    AclGuard,
    /// A key can do something.
    Useful,
    /// STS takes the policy.
    PolicySize,
    /// STS gives keys that live so long.
    Duration,
    /// COS knows the action.
    UnknownAction,
    /// The condition means something for the action, and one thing only.
    Condition,
    /// A family of actions is granted whole.
    PartialFamily,
    /// What is written has an effect.
    Unused,
}

impl Finding {
    /// Something about one template, without a counter-example.
    pub(super) fn new(level: Level, rule: Rule, template: &str, diagnostic: Diagnostic) -> Self {
        Self { level, rule, templates: vec![template.to_owned()], diagnostic, counter_example: None }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(self.name())
    }
}

impl Rule {
    /// Whether breaking it lets somebody reach what is another's.
    pub(super) fn is_about_reach(self) -> bool {
        matches!(
            self,
            Self::Home
                | Self::IssuerInHome
                | Self::TrustedClaim
                | Self::PlainSpelling
                | Self::UnderHome
                | Self::BoundList
                | Self::Shared
                | Self::HomesApart
        )
    }

    /// Its name, as `lint` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Readable => "readable",
            Self::Home => "home",
            Self::IssuerInHome => "issuer-in-home",
            Self::TrustedClaim => "trusted-claim",
            Self::PlainSpelling => "plain-spelling",
            Self::UnderHome => "under-home",
            Self::BoundList => "bound-list",
            Self::Shared => "shared",
            Self::HomesApart => "homes-apart",
            Self::AclGuard => "acl-guard",
            Self::Useful => "useful",
            Self::PolicySize => "policy-size",
            Self::Duration => "duration",
            Self::UnknownAction => "unknown-action",
            Self::Condition => "condition",
            Self::PartialFamily => "partial-family",
            Self::Unused => "unused",
        }
    }
}

//! The rules that templates are checked against.

use serde::{Serialize, Serializer};

/// A rule for templates. `lint` prints its name; `docs/` explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The file parses as a template.
    Readable,
    /// (a) The home is made of segments around owner variables and ends in `/`.
    Home,
    /// (a) With several issuers, the issuer is part of the home.
    IssuerInHome,
    /// (a) Users cannot choose the claims in a home.
    TrustedClaim,
    /// A key pattern has one meaning under every reading.
    PlainSpelling,
    /// (b) Every allow lies under the home.
    UnderHome,
    /// (c) A list is bound to the home by `cos:prefix`.
    BoundList,
    /// A shared folder is read only and overlaps no home.
    Shared,
    /// (e) Homes of different owners do not overlap.
    HomesApart,
    /// A writer cannot make objects public.
    AclGuard,
    /// At least one statement allows something.
    Useful,
    /// STS accepts a policy of this size.
    PolicySize,
    /// STS issues credentials of this duration.
    Duration,
    /// COS has the action.
    UnknownAction,
    /// The condition applies to the action and has one meaning.
    Condition,
    /// A family of actions is granted as a whole.
    PartialFamily,
    /// The home takes the subjects that logins make.
    RefusedIds,
    /// Every setting has an effect.
    Unused,
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(self.name())
    }
}

impl Rule {
    /// Whether breaking the rule lets one user reach another user's objects.
    pub(super) fn concerns_isolation(self) -> bool {
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

    /// Returns the rule's name, as `lint` prints it.
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
            Self::RefusedIds => "refused-ids",
            Self::Unused => "unused",
        }
    }
}

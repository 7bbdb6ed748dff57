//! What each rule of `lint` means and how to satisfy it: the source of docs/reference/lint-rules.md.

use crate::{Level, Rule};

/// The description of a rule.
#[derive(Debug, Clone, Copy)]
pub struct RuleReference {
    /// The rule.
    pub rule: Rule,
    /// The levels of its findings.
    pub levels: &'static [Level],
    /// What a finding means, in Markdown.
    pub meaning: &'static str,
    /// How to fix it, in Markdown.
    pub help: &'static str,
}

const ERROR: &[Level] = &[Level::Error];
const WARNING: &[Level] = &[Level::Warning];
const ERROR_OR_WARNING: &[Level] = &[Level::Error, Level::Warning];

impl Rule {
    /// Every rule, errors first.
    pub const ALL: [Self; 18] = [
        Self::Readable,
        Self::Home,
        Self::IssuerInHome,
        Self::TrustedClaim,
        Self::PlainSpelling,
        Self::UnderHome,
        Self::BoundList,
        Self::Shared,
        Self::HomesApart,
        Self::AclGuard,
        Self::Useful,
        Self::PolicySize,
        Self::Duration,
        Self::UnknownAction,
        Self::Condition,
        Self::PartialFamily,
        Self::RefusedIds,
        Self::Unused,
    ];

    /// The description of this rule.
    pub const fn reference(self) -> RuleReference {
        RuleReference { rule: self, levels: self.levels(), meaning: self.meaning(), help: self.help() }
    }

    const fn levels(self) -> &'static [Level] {
        match self {
            Self::Readable
            | Self::Home
            | Self::IssuerInHome
            | Self::TrustedClaim
            | Self::PlainSpelling
            | Self::UnderHome
            | Self::BoundList
            | Self::Shared
            | Self::HomesApart
            | Self::AclGuard
            | Self::Useful => ERROR,
            Self::PolicySize | Self::Duration => ERROR_OR_WARNING,
            Self::UnknownAction | Self::Condition | Self::PartialFamily | Self::RefusedIds | Self::Unused => {
                WARNING
            }
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Readable => {
                "the file is not TOML, or contains something unknown: a field, an action, an operator, a key, a value of the wrong type, an empty reason"
            }
            Self::Home => "(a): the home does not identify the owner",
            Self::IssuerInHome => "(a): several issuers, and the home contains none",
            Self::TrustedClaim => "(a): the home contains a claim that users may choose",
            Self::PlainSpelling => "a resource or prefix reads differently when decoded, merged or expanded",
            Self::UnderHome => "(b): an allowed resource does not begin with the home",
            Self::BoundList => {
                "(c): a list is not bound by `cos:prefix`, or is in one statement with other actions"
            }
            Self::Shared => "a shared statement writes, denies, or reaches into a user's home",
            Self::HomesApart => "(e): homes of two templates can meet",
            Self::AclGuard => "a condition lets writers make objects public",
            Self::Useful => "every statement denies",
            Self::PolicySize => "the policy can pass 6144 bytes, or comes near",
            Self::Duration => {
                "STS does not allow such a lifetime (no account's keys are valid for more than 36 h), or maybe not"
            }
            Self::UnknownAction => "an action that this version does not know, or one of data processing",
            Self::Condition => {
                "a key that some of the actions do not carry, a limit that limits nothing, a \"not\" with several values"
            }
            Self::PartialFamily => {
                "`PutObject` without `PostObject`, `GetObject` without `HeadObject`, a part of `@multipart-upload`"
            }
            Self::RefusedIds => {
                "the home's filter refuses some of the subjects that logins make: nanoid, UUID, WeChat openid, e-mail or base64url"
            }
            Self::Unused => "a reason with nothing to excuse, an owner twice, `${iss}` without a filter",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Readable => "what the help line says; mostly the nearest correct name",
            Self::Home => {
                "end it with `/`; one variable per segment; include every owner; plain folder names"
            }
            Self::IssuerInHome => "add a segment `${iss|sha256}`",
            Self::TrustedClaim => {
                "list it in `trusted_claims` of every issuer, if only the issuer can set it"
            }
            Self::PlainSpelling => "no `?`, `%`, `\\`, `//`, `.`, `..`",
            Self::UnderHome => "begin it with `${home}`, or share it for reading",
            Self::BoundList => "a separate statement, `\"cos:prefix\" = \"${home}*\"` under `string_like`",
            Self::Shared => "read only, a folder that is no user's home",
            Self::HomesApart => "different first folders, or the same owner, filter and text",
            Self::AclGuard => "keep to `private` and `default`, or `acl_guard_off`",
            Self::Useful => "add an allow",
            Self::PolicySize => "`sha256`, fewer resources, two templates",
            Self::Duration => "shorten it, or make sure which account's source credentials are used",
            Self::UnknownAction => "check the spelling; start jobs from a server",
            Self::Condition => "split the statement; leave `_if_exist` out; one value",
            Self::PartialFamily => "grant the set; or keep it, if intended",
            Self::RefusedIds => "`${sub|escape}`, which moves no folder of a user served now",
            Self::Unused => "remove it; `${iss|sha256}`",
        }
    }
}

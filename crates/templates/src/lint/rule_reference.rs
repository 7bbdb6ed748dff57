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
    pub const ALL: [Self; 17] = [
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
        Self::Unused,
    ];

    /// The description of this rule.
    pub const fn reference(self) -> RuleReference {
        let (levels, meaning, help) = self.row();
        RuleReference { rule: self, levels, meaning, help }
    }

    const fn row(self) -> (&'static [Level], &'static str, &'static str) {
        match self {
            Self::Readable => (
                ERROR,
                "the file is not TOML, or contains something unknown: a field, an action, an operator, a key, a value of the wrong type, an empty reason",
                "what the help line says; mostly the nearest correct name",
            ),
            Self::Home => (
                ERROR,
                "(a): the home does not identify the owner",
                "end it with `/`; one variable per segment; include every owner; plain folder names",
            ),
            Self::IssuerInHome => {
                (ERROR, "(a): several issuers, and the home contains none", "add a segment `${iss|sha256}`")
            }
            Self::TrustedClaim => (
                ERROR,
                "(a): the home contains a claim that users may choose",
                "list it in `trusted_claims` of every issuer, if only the issuer can set it",
            ),
            Self::PlainSpelling => (
                ERROR,
                "a resource or prefix reads differently when decoded, merged or expanded",
                "no `?`, `%`, `\\`, `//`, `.`, `..`",
            ),
            Self::UnderHome => (
                ERROR,
                "(b): an allowed resource does not begin with the home",
                "begin it with `${home}`, or share it for reading",
            ),
            Self::BoundList => (
                ERROR,
                "(c): a list is not bound by `cos:prefix`, or is in one statement with other actions",
                "a separate statement, `\"cos:prefix\" = \"${home}*\"` under `string_like`",
            ),
            Self::Shared => (
                ERROR,
                "a shared statement writes, denies, or reaches into a user's home",
                "read only, a folder that is no user's home",
            ),
            Self::HomesApart => (
                ERROR,
                "(e): homes of two templates can meet",
                "different first folders, or the same owner, filter and text",
            ),
            Self::AclGuard => (
                ERROR,
                "a condition lets writers make objects public",
                "keep to `private` and `default`, or `acl_guard_off`",
            ),
            Self::Useful => (ERROR, "every statement denies", "add an allow"),
            Self::PolicySize => (
                ERROR_OR_WARNING,
                "the policy can pass 6144 bytes, or comes near",
                "`sha256`, fewer resources, two templates",
            ),
            Self::Duration => (
                ERROR_OR_WARNING,
                "STS does not allow such a lifetime (no account's keys are valid for more than 36 h), or maybe not",
                "shorten it, or make sure which account's source credentials are used",
            ),
            Self::UnknownAction => (
                WARNING,
                "an action that this version does not know, or one of data processing",
                "check the spelling; start jobs from a server",
            ),
            Self::Condition => (
                WARNING,
                "a key that some of the actions do not carry, a limit that limits nothing, a \"not\" with several values",
                "split the statement; leave `_if_exist` out; one value",
            ),
            Self::PartialFamily => (
                WARNING,
                "`PutObject` without `PostObject`, `GetObject` without `HeadObject`, a part of `@multipart-upload`",
                "grant the set; or keep it, if intended",
            ),
            Self::Unused => (
                WARNING,
                "a reason with nothing to excuse, an owner twice, `${iss}` without a filter",
                "remove it; `${iss|sha256}`",
            ),
        }
    }
}

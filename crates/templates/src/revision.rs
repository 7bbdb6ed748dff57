//! The differences between two versions of a template, for all users.

use std::{cmp::Ordering, collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    claim_path, home_change, render,
    template::{ClaimRef, Encoding, Parts, Quantity, Requirement, Template, Variable},
};
use cam::compare::compare;
use diagnostics::HumanDuration;

/// What a new version of a template gives and takes, for all users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Revision {
    /// What only the new version allows.
    pub gains: Vec<String>,
    /// What only the old version allows.
    pub losses: Vec<String>,
    /// Whose folders move, if the home changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folders: Option<String>,
}

impl Revision {
    /// Compares two versions of a template.
    pub(super) fn between(old: &Template, new: &Template) -> Self {
        // A filter that writes the values of all users served before alike takes nothing from them.
        let spell_old = |variable: &Variable| spelling(variable, new).to_string();
        let old_policy = render::symbolic_policy(old, spell_old);
        let change = compare(&old_policy, &render::symbolic_policy(new, Variable::to_string));
        let mut revision = Self {
            gains: change.gained().collect(),
            losses: change.lost().collect(),
            folders: home_change::describe(old, new),
        };
        let other_users = |claim| format!("key where `{claim}` is not plain, such as auth0|12");
        revision.gains.extend(no_longer_bare(old, new).map(|claim| format!("a {}", other_users(claim))));
        revision.losses.extend(no_longer_bare(new, old).map(|claim| format!("the {}", other_users(claim))));
        if old.bucket != new.bucket {
            revision.gains.push(format!("bucket `{}` in {}", new.bucket.name, new.bucket.region));
            revision.losses.push(format!("bucket `{}` in {}", old.bucket.name, old.bucket.region));
        }
        let durations = format!(
            "keys are valid for {}, {} before",
            HumanDuration(new.duration),
            HumanDuration(old.duration)
        );
        match old.duration.cmp(&new.duration) {
            Ordering::Less => revision.gains.push(durations),
            Ordering::Greater => revision.losses.push(durations),
            Ordering::Equal => {}
        }
        let all = old.require.iter().chain(&new.require);
        for required in all.map(RequiredParts::of).collect::<BTreeSet<_>>() {
            revision.compare_requirement(
                required,
                required.values(&old.require),
                required.values(&new.require),
            );
        }
        revision
    }

    /// Adds the change of one requirement.
    fn compare_requirement(
        &mut self,
        required: RequiredParts<'_>,
        old: Option<&[Value]>,
        new: Option<&[Value]>,
    ) {
        let (holds, lacks) = (required.holds(), required.lacks());
        match (old, new, required.quantity) {
            (Some(old), Some(new), Quantity::Any) => {
                self.gains.extend(difference(new, old).map(|values| format!("a key where {holds} {values}")));
                self.losses
                    .extend(difference(old, new).map(|values| format!("the key where {holds} {values}")));
            }
            (Some(old), Some(new), Quantity::All) => {
                self.gains.extend(difference(old, new).map(|values| format!("a key where {lacks} {values}")));
                self.losses
                    .extend(difference(new, old).map(|values| format!("the key where {lacks} {values}")));
            }
            (Some(old), None, _) => self.gains.push(format!("a key where {lacks} {}", alternatives(old))),
            (None, Some(new), _) => self.losses.push(format!("the key where {lacks} {}", alternatives(new))),
            (None, None, _) => {}
        }
    }

    /// Whether some user can do, or get, something new.
    pub fn widens(&self) -> bool {
        !self.gains.is_empty()
    }
}

/// What a requirement compares. Two versions are compared where this is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RequiredParts<'a> {
    path: &'a [String],
    parts: Parts,
    quantity: Quantity,
}

impl<'a> RequiredParts<'a> {
    fn of(requirement: &'a Requirement) -> Self {
        Self { path: &requirement.path, parts: requirement.parts, quantity: requirement.quantity }
    }

    /// Returns the values that a version requires. `None` if it requires none.
    fn values<'b>(&self, require: &'b [Requirement]) -> Option<&'b [Value]> {
        let same = require.iter().find(|requirement| RequiredParts::of(requirement) == *self);
        same.map(|requirement| requirement.values.as_slice())
    }

    fn holds(&self) -> String {
        let verb = match self.parts {
            Parts::Elements => "is",
            Parts::Words => "has the word",
            Parts::Members => "has the member",
        };
        format!("the claim `{}` {verb}", claim_path::written(self.path))
    }

    fn lacks(&self) -> String {
        let verb = match (self.parts, self.quantity) {
            (Parts::Elements, Quantity::Any) => "is not",
            (Parts::Elements, Quantity::All) => "lacks",
            (Parts::Words, _) => "lacks the word",
            (Parts::Members, _) => "lacks the member",
        };
        format!("the claim `{}` {verb}", claim_path::written(self.path))
    }
}

/// Returns how the new version writes a variable of the old one, if it writes plain values alike.
fn spelling<'a>(variable: &'a Variable, new: &'a Template) -> &'a Variable {
    let mut written = new.variables();
    let alike =
        written.find(|other| other.claim == variable.claim && other.encoding.agrees_with(variable.encoding));
    alike.unwrap_or(variable)
}

/// Iterates over the claims that one version takes only if their values are plain, and the other takes with a filter.
fn no_longer_bare<'a>(one: &'a Template, other: &'a Template) -> impl Iterator<Item = &'a ClaimRef> {
    let of_other: BTreeSet<&ClaimRef> = other.variables().map(|variable| &variable.claim).collect();
    let bare = bare_claims(one).into_iter().filter(move |claim| of_other.contains(claim));
    let bare_of_other = bare_claims(other);
    bare.filter(move |claim| !bare_of_other.contains(claim))
}

fn bare_claims(template: &Template) -> BTreeSet<&ClaimRef> {
    let bare = template.variables().filter(|variable| variable.encoding == Encoding::Bare);
    bare.map(|variable| &variable.claim).collect()
}

/// Lists the values that are not in `other`. `None` if all are.
fn difference(values: &[Value], other: &[Value]) -> Option<String> {
    let rest: Vec<&Value> = values.iter().filter(|value| !other.contains(value)).collect();
    (!rest.is_empty()).then(|| alternatives(rest))
}

fn alternatives<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    values.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gains = self.gains.iter().map(|gain| format!("+ {gain}"));
        let losses = self.losses.iter().map(|loss| format!("- {loss}"));
        let parts: Vec<String> = gains.chain(losses).chain(self.folders.clone()).collect();
        if parts.is_empty() { f.write_str("grants the same") } else { f.write_str(&parts.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::UPLOAD;
    use diagnostics::Source;

    fn between(old: &str, new: &str) -> String {
        let read = |text: &str| Template::parse("t", Source::new("t.toml", text)).unwrap();
        Revision::between(&read(old), &read(new)).to_string()
    }

    #[test]
    fn a_removed_deny_is_a_gain_whatever_it_denied() {
        for resource in
            ["users/alice/*", "users/${claim.blocked}/*", "${home}secret/*", "*", "${home}private"]
        {
            let deny = format!(
                "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"name/cos:*\"\nresource = \"{resource}\"\n"
            );
            let revision = between(&deny, UPLOAD);
            assert!(
                revision.starts_with("+ ") && revision.contains("denied before"),
                "{resource}: {revision}"
            );
            assert!(between(UPLOAD, &deny).starts_with("- "), "{resource}");
        }
        let elsewhere = format!(
            "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"name/cos:*\"\nresource = \"public/*\"\n"
        );
        assert_eq!(between(&elsewhere, UPLOAD), "grants the same", "it forbade nothing that was allowed");
    }

    #[test]
    fn a_revision_lists_the_changes_for_all_users() {
        assert_eq!(between(UPLOAD, &UPLOAD.replace("own upload", "very own")), "grants the same");
        assert_eq!(
            between(UPLOAD, &UPLOAD.replace("10485760", "20971520")),
            "+ PutObject, PostObject, InitiateMultipartUpload, ListMultipartUploads, ListParts, UploadPart, CompleteMultipartUpload, AbortMultipartUpload on `users/${sub}/*` where cos:content-length numeric_less_than_equal 20971520 (before: where cos:content-length numeric_less_than_equal 10485760)"
        );
        assert_eq!(between(UPLOAD, &UPLOAD.replace("30m", "1h")), "+ keys are valid for 1h, 30m before");
        let member = UPLOAD.replace("[[statement]]", "[require]\nrole = \"member\"\n[[statement]]");
        assert_eq!(between(UPLOAD, &member), "- the key where the claim `role` is not \"member\"");
        assert_eq!(between(&member, UPLOAD), "+ a key where the claim `role` is not \"member\"");
        let either = member.replace("\"member\"\n", "[\"member\", \"guest\"]\n");
        assert_eq!(between(&member, &either), "+ a key where the claim `role` is \"guest\"");
        assert_eq!(between(&either, &member), "- the key where the claim `role` is \"guest\"");
        let paid = member.replace("role =", "plan =");
        assert_eq!(
            between(&member, &paid),
            "+ a key where the claim `role` is not \"member\"; - the key where the claim `plan` is not \"member\""
        );
    }

    #[test]
    fn a_required_part_is_compared_by_its_form() {
        let with =
            |forms: &str| UPLOAD.replace("[[statement]]", &format!("[require]\n{forms}\n[[statement]]"));
        for (old, new, expected) in [
            (
                "scope.any_word = [\"a\", \"b\"]",
                "scope.any_word = [\"b\", \"c\"]",
                "+ a key where the claim `scope` has the word \"c\"; - the key where the claim `scope` has the word \"a\"",
            ),
            (
                "roles.all = [\"a\", \"b\"]",
                "roles.all = [\"b\", \"c\"]",
                "+ a key where the claim `roles` lacks \"a\"; - the key where the claim `roles` lacks \"c\"",
            ),
            (
                "\"urn:x\".any_member = \"a\"",
                "",
                "+ a key where the claim `\"urn:x\"` lacks the member \"a\"",
            ),
            ("roles = [\"a\"]", "roles.any = \"a\"", "grants the same"),
        ] {
            assert_eq!(between(&with(old), &with(new)), expected);
        }
    }

    #[test]
    fn a_filter_that_keeps_plain_values_only_gives_keys_to_other_users() {
        let escape = UPLOAD.replace("${sub}", "${sub|escape}");
        let wider = between(UPLOAD, &escape);
        assert!(wider.starts_with("+ a key where `sub` is not plain, such as auth0|12; no user"), "{wider}");
        assert!(!wider.contains("- "), "{wider}");
        let narrower = between(&escape, UPLOAD);
        assert!(
            narrower.starts_with("- the key where `sub` is not plain, such as auth0|12; no user"),
            "{narrower}"
        );
        let other = between(UPLOAD, &UPLOAD.replace("${sub}", "${sub|base64url}"));
        assert!(other.contains("- PutObject") && other.contains("every user's folder moves"), "{other}");
    }

    #[test]
    fn a_star_in_the_name_of_a_claim_is_no_wildcard() {
        let deny = |claim: &str| {
            let deny = "[[statement]]\neffect = \"deny\"\naction = \"@upload\"\nresource = ";
            format!("{UPLOAD}{deny}'${{home}}${{claim.\"{claim}\"}}'\n")
        };
        assert!(between(&deny("a"), &deny("*")).starts_with("+ "), "what was denied before is a gain");
    }

    #[test]
    fn a_move_to_another_bucket_or_region_is_a_gain_and_a_loss() {
        for (from, to, gained, lost) in [
            ("ap-guangzhou", "ap-beijing", "examplebucket-1250000000` in ap-beijing", "in ap-guangzhou"),
            ("examplebucket", "other", "other-1250000000` in ap-guangzhou", "examplebucket-1250000000`"),
        ] {
            let revision = between(UPLOAD, &UPLOAD.replace(from, to));
            assert!(revision.contains(&format!("+ bucket `{gained}")), "{revision}");
            let lost = revision.split("; ").any(|one| one.starts_with("- bucket `") && one.contains(lost));
            assert!(lost, "{revision}");
        }
    }
}

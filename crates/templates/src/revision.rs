//! What a new version of a template changes for everybody, in words.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    render,
    template::{Requirement, Template},
};
use cam::compare::compare;
use diagnostics::HumanDuration;

/// What a new version gives and takes, whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Revision {
    /// What keys can do only under the new version.
    pub gains: Vec<String>,
    /// What keys could do only under the old one.
    pub losses: Vec<String>,
}

impl Revision {
    /// From one version of a template to another.
    pub(super) fn between(old: &Template, new: &Template) -> Self {
        let change = compare(&render::for_everybody(old), &render::for_everybody(new));
        let mut revision = Self { gains: change.gained().collect(), losses: change.lost().collect() };
        if old.bucket != new.bucket {
            revision.gains.push(format!("bucket `{}` in {}", new.bucket.name, new.bucket.region));
            revision.losses.push(format!("bucket `{}` in {}", old.bucket.name, old.bucket.region));
        }
        let (before, now) = (HumanDuration(old.duration), HumanDuration(new.duration));
        match old.duration.cmp(&new.duration) {
            std::cmp::Ordering::Less => revision.gains.push(format!("keys live {now}, {before} before")),
            std::cmp::Ordering::Greater => revision.losses.push(format!("keys live {now}, {before} before")),
            std::cmp::Ordering::Equal => {}
        }
        for path in old.require.iter().chain(&new.require).map(|(path, _)| path).collect::<BTreeSet<_>>() {
            revision.ask(path, values_of(&old.require, path), values_of(&new.require, path));
        }
        revision
    }

    /// Tells what changes about a claim that a token must carry.
    fn ask(&mut self, path: &[String], old: Option<&[Value]>, new: Option<&[Value]>) {
        let claim = format!("the claim `{}`", path.join("."));
        let beyond = |list: &[Value], other: &[Value]| {
            let more: Vec<&Value> = list.iter().filter(|value| !other.contains(value)).collect();
            (!more.is_empty()).then(|| listed(more))
        };
        match (old, new) {
            (Some(old), Some(new)) => {
                let (more, less) = (beyond(new, old), beyond(old, new));
                self.gains.extend(more.map(|values| format!("a key where {claim} is {values}")));
                self.losses.extend(less.map(|values| format!("the key where {claim} is {values}")));
            }
            (Some(old), None) => self.gains.push(format!("a key where {claim} is not {}", listed(old))),
            (None, Some(new)) => self.losses.push(format!("the key where {claim} is not {}", listed(new))),
            (None, None) => {}
        }
    }

    /// Whether anybody can do, or get, something new.
    pub fn widens(&self) -> bool {
        !self.gains.is_empty()
    }
}

/// The values of a claim that a version takes; none where it does not ask for the claim.
fn values_of<'a>(require: &'a [Requirement], path: &[String]) -> Option<&'a [Value]> {
    require.iter().find(|(of, _)| of == path).map(|(_, values)| values.as_slice())
}

fn listed<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    values.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part =
            |sign: &str, list: &[String]| list.iter().map(|one| format!("{sign} {one}")).collect::<Vec<_>>();
        let parts = [part("+", &self.gains), part("-", &self.losses)].concat();
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
    fn a_deny_that_falls_away_is_a_gain_whomever_it_concerned() {
        for resource in
            ["users/alice/*", "users/${claim.blocked}/*", "${home}secret/*", "*", "${home}private"]
        {
            let deny = format!(
                "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"name/cos:*\"\nresource = \"{resource}\"\n"
            );
            let said = between(&deny, UPLOAD);
            assert!(said.starts_with("+ ") && said.contains("denied before"), "{resource}: {said}");
            assert!(between(UPLOAD, &deny).starts_with("- "), "{resource}");
        }
        let elsewhere = format!(
            "{UPLOAD}[[statement]]\neffect = \"deny\"\naction = \"name/cos:*\"\nresource = \"public/*\"\n"
        );
        assert_eq!(between(&elsewhere, UPLOAD), "grants the same", "it forbade nothing that was allowed");
    }

    #[test]
    fn a_revision_is_told_for_everybody() {
        assert_eq!(between(UPLOAD, &UPLOAD.replace("own upload", "very own")), "grants the same");
        assert_eq!(
            between(UPLOAD, &UPLOAD.replace("10485760", "20971520")),
            "+ PutObject, PostObject, InitiateMultipartUpload, ListMultipartUploads, ListParts, UploadPart, CompleteMultipartUpload, AbortMultipartUpload on `users/${sub}/*` where cos:content-length numeric_less_than_equal 20971520 (before: where cos:content-length numeric_less_than_equal 10485760)"
        );
        assert_eq!(between(UPLOAD, &UPLOAD.replace("30m", "1h")), "+ keys live 1h, 30m before");
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
    fn a_move_to_another_bucket_or_region_is_a_gain_and_a_loss() {
        for (from, to, gained, lost) in [
            ("ap-guangzhou", "ap-beijing", "examplebucket-1250000000` in ap-beijing", "in ap-guangzhou"),
            ("examplebucket", "other", "other-1250000000` in ap-guangzhou", "examplebucket-1250000000`"),
        ] {
            let told = between(UPLOAD, &UPLOAD.replace(from, to));
            assert!(told.contains(&format!("+ bucket `{gained}")), "{told}");
            let lost = told.split("; ").any(|one| one.starts_with("- bucket `") && one.contains(lost));
            assert!(lost, "{told}");
        }
    }
}

//! What a new version of a template changes for everybody, in words.

use std::fmt;

use serde::Serialize;

use super::{
    compare::compare,
    render,
    template::{Requirement, Template},
};
use crate::units::Span;

/// What a new version gives and takes, whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
        let (before, now) = (Span(old.duration), Span(new.duration));
        match old.duration.cmp(&new.duration) {
            std::cmp::Ordering::Less => revision.gains.push(format!("keys live {now}, {before} before")),
            std::cmp::Ordering::Greater => revision.losses.push(format!("keys live {now}, {before} before")),
            std::cmp::Ordering::Equal => {}
        }
        revision.gains.extend(unmet(&old.require, &new.require).map(|one| format!("no need of {one}")));
        revision.losses.extend(unmet(&new.require, &old.require).map(|one| format!("need of {one}")));
        revision
    }

    /// Whether anybody can do, or get, something new.
    pub fn widens(&self) -> bool {
        !self.gains.is_empty()
    }
}

/// The requirements of one version that the other does not make as strictly.
fn unmet<'a>(of: &'a [Requirement], other: &'a [Requirement]) -> impl Iterator<Item = String> + 'a {
    let made = |(path, values): &Requirement| {
        other.iter().any(|(also, strict)| also == path && strict.iter().all(|value| values.contains(value)))
    };
    of.iter().filter(move |one| !made(one)).map(|(path, values)| {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        format!("the claim `{}` with {}", path.join("."), values.join(" or "))
    })
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
    use crate::{policy::template::tests::UPLOAD, source::Source};

    fn between(old: &str, new: &str) -> String {
        let read = |text: &str| Template::parse("t", Source::new("t.toml", text)).unwrap();
        Revision::between(&read(old), &read(new)).to_string()
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
        assert_eq!(between(UPLOAD, &member), "- need of the claim `role` with \"member\"");
        assert_eq!(between(&member, UPLOAD), "+ no need of the claim `role` with \"member\"");
        let either = member.replace("\"member\"\n", "[\"member\", \"guest\"]\n");
        assert!(between(&member, &either).starts_with("+ no need"));
    }
}

//! The active templates, and the grants made of them.

mod files;
mod grants;
mod load;
mod shadow;
mod status;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

pub use self::{
    files::TemplateFiles,
    shadow::{PolicySizes, ShadowReport},
    status::TemplateStatus,
};

use self::shadow::Shadow;
use super::{
    claim_names::ClaimNames,
    fingerprint::Fingerprint,
    proof::Proved,
    template::{Bucket, Template},
};

/// A proved set of templates.
#[derive(Debug)]
pub struct TemplateSet {
    templates: BTreeMap<String, ActiveTemplate>,
    default: Option<String>,
    /// Those that the templates and their shadows read.
    claims: ClaimNames,
    version: Fingerprint,
    loaded_at: Timestamp,
    /// The names of shadow files without a template.
    orphans: Vec<String>,
}

/// A template that serves.
#[derive(Debug)]
struct ActiveTemplate {
    proved: Arc<Proved>,
    /// The file's SHA-256 in hexadecimal.
    version: String,
    loaded_at: Timestamp,
    shadow: Option<Shadow>,
}

impl TemplateSet {
    /// Iterates over the templates' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.values().map(|active| active.proved.template())
    }

    /// Returns the claims that an identity needs for a grant of this set.
    pub fn claims(&self) -> &ClaimNames {
        &self.claims
    }

    /// Iterates over the buckets of the templates, each once.
    pub fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        let buckets = self
            .templates()
            .map(|template| ((&template.bucket.name, &template.bucket.region), &template.bucket));
        buckets.collect::<BTreeMap<_, _>>().into_values()
    }

    /// Iterates over the templates' names and versions.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.templates.iter().map(|(name, active)| (name.as_str(), active.version.as_str()))
    }

    /// Returns a fingerprint of all files that the set was loaded from.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// Returns when the set was loaded.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// Returns the names of shadow files that have no template here.
    pub fn orphans(&self) -> &[String] {
        &self.orphans
    }

    /// Returns the template for requests that name none.
    pub fn default_name(&self) -> Option<&str> {
        self.default.as_deref()
    }
}

#[cfg(test)]
mod deny_tests;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;

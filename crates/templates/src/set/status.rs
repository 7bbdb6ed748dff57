//! What operators see of a set of templates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ActiveTemplate, Shadow, ShadowReport, TemplateSet};
use crate::{revision::Revision, template::Template};
use diagnostics::to_single_line;

/// An active template, as operators see it. Every active template is proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemplateStatus {
    /// The template's name, which is its file's name.
    pub name: String,
    /// The description, for operators.
    pub description: String,
    /// The bucket's name with the appid.
    pub bucket: String,
    /// The region, such as `ap-guangzhou`.
    pub region: String,
    /// The home, with its variables.
    pub home: String,
    /// The duration of credentials, in seconds.
    pub duration_seconds: u64,
    /// The file's SHA-256 in hexadecimal.
    pub version: String,
    /// When this version was first loaded.
    pub loaded_at: Timestamp,
    /// Whether it is the default template.
    pub default: bool,
    /// What its shadow would change, if it has one.
    pub shadow: Option<ShadowReport>,
}

impl TemplateSet {
    /// Returns the status of every template.
    pub fn status(&self) -> Vec<TemplateStatus> {
        self.templates.iter().map(|(name, active)| self.status_of(name, active)).collect()
    }

    fn status_of(&self, name: &str, active: &ActiveTemplate) -> TemplateStatus {
        let template = active.proved.template();
        TemplateStatus {
            name: name.to_owned(),
            description: template.description.clone(),
            bucket: template.bucket.name.clone(),
            region: template.bucket.region.clone(),
            home: template.home.to_string(),
            duration_seconds: template.duration.as_secs(),
            version: active.version.clone(),
            loaded_at: active.loaded_at,
            default: self.default.as_deref() == Some(name),
            shadow: active.shadow.as_ref().map(Shadow::report),
        }
    }

    /// Returns a line about each template, for `check`.
    pub fn summaries(&self) -> impl Iterator<Item = String> {
        self.templates.values().map(|active| {
            let Template { name, description, bucket, home, .. } = active.proved.template();
            to_single_line(&format!("{name}: {home} in {}; {description}", bucket.name))
        })
    }

    /// Returns what changed since an older set: the name of each changed template, and the change.
    pub fn revisions(&self, old: &Self) -> Vec<(String, String)> {
        let mut changes = Vec::new();
        for (name, active) in &self.templates {
            let change = match old.templates.get(name) {
                None => "new".to_owned(),
                Some(before) if before.version == active.version => continue,
                Some(before) => {
                    Revision::between(before.proved.template(), active.proved.template()).to_string()
                }
            };
            changes.push((name.clone(), change));
        }
        for (name, active) in &self.templates {
            let before = old.templates.get(name).and_then(|before| before.shadow.as_ref());
            let change = shadow_change(active.shadow.as_ref(), before);
            changes.extend(change.map(|change| (format!("{name}.next"), change)));
        }
        let removed = old.templates.keys().filter(|name| !self.templates.contains_key(*name));
        changes.extend(removed.map(|name| (name.clone(), "removed".to_owned())));
        changes
    }

    /// Returns what the default template of another set changes for all users. `None` if a set has no default.
    pub fn revision_to(&self, new: &Self) -> Option<Revision> {
        Some(Revision::between(self.default_template()?, new.default_template()?))
    }

    fn default_template(&self) -> Option<&Template> {
        Some(self.templates.get(self.default.as_ref()?)?.proved.template())
    }
}

fn shadow_change(shadow: Option<&Shadow>, before: Option<&Shadow>) -> Option<String> {
    match (shadow, before) {
        (Some(shadow), Some(before)) if shadow.version == before.version => None,
        (Some(shadow), _) => Some(shadow.to_string()),
        (None, Some(_)) => Some("shadow removed".to_owned()),
        (None, None) => None,
    }
}

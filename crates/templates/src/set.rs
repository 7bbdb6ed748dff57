//! The templates that serve, and the grants made of them.

mod load;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    counter_example,
    grant::{Grant, NoGrant, confined_policy},
    proof::Proved,
    render,
    revision::Revision,
    scope::{self, Scope, ScopeRefused},
    shadow::{Shadow, ShadowReport},
    template::Template,
    verify::{Unconfined, verify},
};
use crate::{fingerprint::Fingerprint, identity::Identity};
use diagnostics::to_single_line;

/// A proved set of templates. Grants are remembered, so that a hit renders nothing.
#[derive(Debug)]
pub struct TemplateSet {
    templates: BTreeMap<String, Serving>,
    default: Option<String>,
    version: Fingerprint,
    loaded_at: Timestamp,
    /// Shadows without a template to follow.
    orphans: Vec<String>,
    remembered: moka::sync::Cache<(Fingerprint, String), Arc<Grant>>,
}

/// A template that serves.
#[derive(Debug)]
struct Serving {
    proved: Arc<Proved>,
    /// SHA-256 of the file, in hexadecimal.
    version: String,
    loaded_at: Timestamp,
    shadow: Option<Shadow>,
}

/// A template as operators see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TemplateStatus {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// With its appid.
    pub bucket: String,
    /// Such as `ap-guangzhou`.
    pub region: String,
    /// The home, variables and all.
    pub home: String,
    /// How long a key lives, in seconds.
    pub duration_seconds: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub version: String,
    /// When this version was first loaded.
    pub loaded_at: Timestamp,
    /// Always: what is not proved does not serve.
    pub proved: bool,
    /// Whether it serves where none is named.
    pub default: bool,
    /// What its `<name>.next.toml` would change, if there is one.
    pub shadow: Option<ShadowReport>,
}

/// Grants remembered: some 4 KiB each.
const REMEMBERED: u64 = 10_000;

impl TemplateSet {
    fn new(
        templates: BTreeMap<String, Serving>,
        default: Option<String>,
        version: Fingerprint,
        loaded_at: Timestamp,
    ) -> Self {
        let remembered = moka::sync::Cache::new(REMEMBERED);
        Self { templates, default, version, loaded_at, orphans: Vec::new(), remembered }
    }

    /// What the default template of another set changes for everybody against this one's.
    pub fn revision_to(&self, new: &Self) -> Option<Revision> {
        let template = |set: &'_ Self| -> Option<Arc<Proved>> {
            Some(Arc::clone(&set.templates.get(set.default.as_ref()?)?.proved))
        };
        let (old, new) = (template(self)?, template(new)?);
        Some(Revision::between(old.template(), new.template()))
    }

    /// The templates' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// Each template's name and version: SHA-256 of the file, in hexadecimal.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.templates.iter().map(|(name, serving)| (name.as_str(), serving.version.as_str()))
    }

    /// Names every file of the folder it was read from.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// Files that are shadows of no template here.
    pub fn orphans(&self) -> &[String] {
        &self.orphans
    }

    /// Every template as operators see it.
    pub fn status(&self) -> Vec<TemplateStatus> {
        let status = |(name, serving): (&String, &Serving)| {
            let template = serving.proved.template();
            TemplateStatus {
                name: name.clone(),
                description: template.description.clone(),
                bucket: template.bucket.name.clone(),
                region: template.bucket.region.clone(),
                home: template.home.to_string(),
                duration_seconds: template.duration.as_secs(),
                version: serving.version.clone(),
                loaded_at: serving.loaded_at,
                proved: true,
                default: self.default.as_ref() == Some(name),
                shadow: serving.shadow.as_ref().map(Shadow::report),
            }
        };
        self.templates.iter().map(status).collect()
    }

    /// What this set changes against an older one, template by template.
    pub fn revisions(&self, old: &Self) -> Vec<(String, String)> {
        let mut changes = Vec::new();
        for (name, serving) in &self.templates {
            match old.templates.get(name) {
                None => changes.push((name.clone(), "new".to_owned())),
                Some(before) if before.version != serving.version => {
                    let revision = Revision::between(before.proved.template(), serving.proved.template());
                    changes.push((name.clone(), revision.to_string()));
                }
                Some(_) => {}
            }
        }
        for (name, serving) in &self.templates {
            let before = old.templates.get(name).and_then(|before| before.shadow.as_ref());
            let change = match (&serving.shadow, before) {
                (Some(shadow), before) if before.is_none_or(|before| before.version != shadow.version) => {
                    shadow.to_string()
                }
                (None, Some(_)) => "shadow removed".to_owned(),
                (Some(_) | None, _) => continue,
            };
            changes.push((format!("{name}.next"), change));
        }
        let gone = old.templates.keys().filter(|name| !self.templates.contains_key(*name));
        changes.extend(gone.map(|name| (name.clone(), "removed".to_owned())));
        changes
    }

    /// A line about each template, for `check`.
    pub fn summaries(&self) -> impl Iterator<Item = String> {
        self.templates.values().map(|serving| {
            let Template { name, description, bucket, home, .. } = serving.proved.template();
            to_single_line(&format!("{name}: {home} in {}; {description}", bucket.name))
        })
    }

    /// A grant for a made-up user, by the first template that asks for nothing but a subject.
    pub fn probe_grant(&self, issuer: &str) -> Option<Arc<Grant>> {
        let claims = serde_json::Map::from_iter([("sub".to_owned(), "cosbroker-check".into())]);
        let identity = Identity::from_claims(issuer.into(), claims).ok()?;
        self.templates.keys().find_map(|name| self.grant(Some(name), &identity).ok())
    }

    /// What a template grants somebody made up, who carries whatever it requires: `name` is all their claims,
    /// `number` those that must be one. Neither remembered nor shown to a shadow, as they are no user.
    ///
    /// # Errors
    /// Why there is nothing for them.
    pub fn grant_made_up(
        &self,
        template: &str,
        issuer: &str,
        (name, number): (&str, u64),
    ) -> Result<Arc<Grant>, NoGrant> {
        let unknown = || NoGrant::UnknownTemplate(template.to_owned());
        let proved = &self.templates.get(template).ok_or_else(unknown)?.proved;
        let identity = counter_example::made_up(proved.template(), issuer, name, number);
        let identity = identity.ok_or_else(|| NoGrant::Requirement("sub".to_owned()))?;
        let policy = confined_policy(proved, &identity)?;
        Ok(Arc::new(Grant::new(Arc::clone(proved), &identity, policy, "")))
    }

    /// The template used where none is named.
    pub fn default_name(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// What a template grants an identity; the default template if none is named.
    ///
    /// # Errors
    /// Why it grants nothing.
    pub fn grant(&self, name: Option<&str>, identity: &Identity) -> Result<Arc<Grant>, NoGrant> {
        let name = name.or(self.default.as_deref()).ok_or(NoGrant::NoDefault)?;
        let key = (identity.digest(), name.to_owned());
        if let Some(grant) = self.remembered.get(&key) {
            return Ok(grant);
        }
        let serving = self.templates.get(name).ok_or_else(|| NoGrant::UnknownTemplate(name.to_owned()))?;
        let granted = confined_policy(&serving.proved, identity)
            .map(|policy| Arc::new(Grant::new(Arc::clone(&serving.proved), identity, policy, "")));
        if let Some(shadow) = &serving.shadow {
            shadow.observe(identity, granted.as_deref());
        }
        let grant = granted?;
        self.remembered.insert(key, Arc::clone(&grant));
        Ok(grant)
    }

    /// The part of a template's grant that a client asks for.
    ///
    /// # Errors
    /// Why there is none; one item outside the template refuses the whole scope.
    pub fn narrowed(
        &self,
        name: Option<&str>,
        identity: &Identity,
        scope: &[Scope],
    ) -> Result<Arc<Grant>, NoGrant> {
        let full = self.grant(name, identity)?;
        let broken = |error: cam::Malformed| Unconfined {
            template: full.template_name().to_owned(),
            fault: error.to_string(),
        };
        let policy = full.policy().decoded().map_err(broken)?;
        let narrowed = scope::narrow(&policy, full.bucket(), scope)?;
        let size = narrowed.to_json().len();
        if size > render::MAX_POLICY_BYTES {
            return Err(ScopeRefused::Size(size).into());
        }
        let wire = render::wire(&narrowed);
        let scope = wire.clone();
        let policy = verify(wire, full.proved(), identity)?;
        Ok(Arc::new(Grant::new(Arc::clone(full.proved()), identity, policy, &scope)))
    }
}

#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod tests;

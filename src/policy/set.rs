//! The templates that serve, and the grants made of them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    folder::{self, Folder},
    grant::Grant,
    proof::{Proved, prove, prove_beside},
    render,
    revision::Revision,
    scope::{self, Scope, ScopeRefused},
    shadow::{Shadow, ShadowReport},
    template::Template,
    terms::Terms,
    variable::Unrenderable,
    verify::{ConfinedPolicy, Unconfined, verify},
};
use crate::{
    fingerprint::Fingerprint,
    identity::Identity,
    source::{Diagnostic, Source, nearest, one_line},
};

/// A proved set of templates. Grants are remembered, so that a hit renders nothing.
#[derive(Debug)]
pub struct TemplateSet {
    templates: BTreeMap<String, Serving>,
    default: Option<String>,
    version: Fingerprint,
    loaded_at: Timestamp,
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
#[derive(Debug, Clone, Serialize)]
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

/// Why an identity gets no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGrant {
    /// No template of that name.
    #[error("there is no template `{}`", one_line(.0))]
    UnknownTemplate(String),
    /// None was named, and there is no default.
    #[error("no template was named, and none is the default")]
    NoDefault,
    /// The token lacks a claim that the template requires, or has another value there.
    #[error("this template requires the claim `{0}` with a value the token does not carry")]
    Requirement(String),
    /// A claim cannot become part of a key.
    #[error(transparent)]
    Unrenderable(#[from] Unrenderable),
    /// The scope asked for is outside the template.
    #[error(transparent)]
    Scope(#[from] ScopeRefused),
    /// A fault of ours, caught before it could do harm.
    #[error(transparent)]
    Unconfined(#[from] Unconfined),
}

impl TemplateSet {
    /// Reads and proves every template of a folder, all or none.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn load(dir: &Path, terms: &Terms, now: Timestamp) -> Result<Self, Vec<Diagnostic>> {
        let folder = Folder::read(dir).map_err(|problem| vec![problem])?;
        Self::of_folder(folder, dir, terms, now, None)
    }

    /// Proves one file by itself, a `<name>.next.toml` as any other: to be looked at, not to serve. Without
    /// terms, those are assumed under which it could be proved.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn of_file(file: Source, terms: Option<&Terms>) -> Result<Self, Vec<Diagnostic>> {
        let version = Folder::of(vec![Ok(file.clone())]).version();
        let template = folder::template(file)?;
        let name = template.name.clone();
        if let Some(terms) = terms {
            terms.duration_fits(&template).map_err(|problem| vec![problem])?;
        }
        let templates = vec![template];
        let issuers = terms.map_or_else(|| Terms::assumed(&templates).issuers, |terms| terms.issuers.clone());
        let now = Timestamp::UNIX_EPOCH;
        let proved = prove(templates, &issuers)?;
        Ok(Self {
            templates: proved.into_iter().map(|proved| Serving::new(proved, now, None)).collect(),
            default: Some(name),
            version,
            loaded_at: now,
            remembered: moka::sync::Cache::new(REMEMBERED),
        })
    }

    /// What the default template of another set changes for everybody against this one's.
    pub fn revision_to(&self, new: &Self) -> Option<Revision> {
        let template = |set: &'_ Self| -> Option<Arc<Proved>> {
            Some(Arc::clone(&set.templates.get(set.default.as_ref()?)?.proved))
        };
        let (old, new) = (template(self)?, template(new)?);
        Some(Revision::between(old.template(), new.template()))
    }

    /// Proves what stands in a folder. What did not change since the `previous` set keeps its times and
    /// counts.
    pub(super) fn of_folder(
        folder: Folder,
        dir: &Path,
        terms: &Terms,
        now: Timestamp,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let version = folder.version();
        let mut problems = Vec::new();
        let (mut templates, mut shadows) = (Vec::new(), Vec::new());
        for file in folder.files {
            match file.map_err(|problem| vec![problem]).map(Candidate::read) {
                Ok(Candidate::Serving(Ok(template))) => templates.push(template),
                Ok(Candidate::Serving(Err(found))) | Err(found) => problems.extend(found),
                Ok(Candidate::Next(next)) => shadows.push(next),
            }
        }
        problems.extend(templates.iter().filter_map(|template| terms.duration_fits(template).err()));
        if templates.is_empty() && problems.is_empty() {
            problems.push(Diagnostic::of_file(dir, "holds no template", "put a *.toml template there"));
        }
        if problems.is_empty() {
            problems.extend(default_is_there(dir, terms, &templates));
        }
        match prove(templates, &terms.issuers) {
            Ok(proved) if problems.is_empty() => {
                let mut set = Self {
                    templates: proved.into_iter().map(|proved| Serving::new(proved, now, previous)).collect(),
                    default: terms.default.clone(),
                    version,
                    loaded_at: now,
                    remembered: moka::sync::Cache::new(REMEMBERED),
                };
                for shadow in shadows {
                    set.cast(shadow, terms, previous);
                }
                Ok(set)
            }
            Ok(_) => Err(problems),
            Err(unproved) => {
                problems.extend(unproved);
                Err(problems)
            }
        }
    }

    /// Sets a shadow beside its template. One that could not serve is kept to say so; one without a
    /// template has nothing to be compared with.
    fn cast(&mut self, candidate: Next, terms: &Terms, previous: Option<&Self>) {
        let base = candidate.base.clone();
        let others: Vec<&Template> = self
            .templates
            .iter()
            .filter(|(name, _)| **name != base)
            .map(|(_, serving)| serving.proved.template())
            .collect();
        let Some(serving) = self.templates.get(&base) else {
            tracing::warn!(
                template = base,
                "a .next.toml without a template to follow; name it {base}.toml to serve it"
            );
            return;
        };
        let now = serving.proved.template();
        let next = candidate.template.and_then(|template| {
            terms.duration_fits(&template).map_err(|problem| vec![problem])?;
            prove_beside(template, &others, &terms.issuers)
        });
        let revision = next.as_ref().map(|next| Revision::between(now, next.template())).unwrap_or_default();
        let next = next.map(Arc::new).map_err(|found| found.iter().map(ToString::to_string).collect());
        let before = previous.and_then(|set| set.templates.get(&base));
        let unchanged = before.filter(|before| before.version == serving.version);
        let tally = unchanged
            .and_then(|before| before.shadow.as_ref())
            .filter(|shadow| shadow.version == candidate.version)
            .map(|shadow| Arc::clone(&shadow.tally))
            .unwrap_or_default();
        let shadow = Shadow { version: candidate.version, next, revision, tally };
        if let Some(serving) = self.templates.get_mut(&base) {
            serving.shadow = Some(shadow);
        }
    }

    /// The templates' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// Names every file of the folder it was read from.
    pub fn version(&self) -> Fingerprint {
        self.version
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
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
        let gone = old.templates.keys().filter(|name| !self.templates.contains_key(*name));
        changes.extend(gone.map(|name| (name.clone(), "removed".to_owned())));
        changes
    }

    /// A line about each template, for `check`.
    pub fn summaries(&self) -> impl Iterator<Item = String> {
        self.templates.values().map(|serving| {
            let Template { name, description, bucket, home, .. } = serving.proved.template();
            one_line(&format!("{name}: {home} in {}; {description}", bucket.name))
        })
    }

    /// A grant for a made-up user, by the first template that asks for nothing but a subject.
    pub fn probe_grant(&self, issuer: &str) -> Option<Arc<Grant>> {
        let claims = serde_json::Map::from_iter([("sub".to_owned(), "cosbroker-check".into())]);
        let identity = Identity::from_claims(issuer.into(), claims).ok()?;
        self.templates.keys().find_map(|name| self.grant(Some(name), &identity).ok())
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
        let broken = |error: super::cam::Malformed| Unconfined {
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

impl Serving {
    fn new(proved: Proved, now: Timestamp, previous: Option<&TemplateSet>) -> (String, Self) {
        let name = proved.template().name.clone();
        let version = version_of(&proved.template().source);
        let before = previous.and_then(|set| set.templates.get(&name));
        let loaded_at = before.filter(|before| before.version == version).map_or(now, |same| same.loaded_at);
        (name, Self { proved: Arc::new(proved), version, loaded_at, shadow: None })
    }
}

/// What a file of the folder asks to be.
enum Candidate {
    Serving(Result<Template, Vec<Diagnostic>>),
    Next(Next),
}

/// A `<base>.next.toml`, read or not.
struct Next {
    base: String,
    version: String,
    template: Result<Template, Vec<Diagnostic>>,
}

impl Candidate {
    fn read(source: Source) -> Self {
        let version = version_of(&source);
        match folder::next_of(&source) {
            None => Self::Serving(folder::template(source)),
            Some(base) => Self::Next(Next { base, version, template: folder::template(source) }),
        }
    }
}

/// SHA-256 of a file, as `sha256sum` prints it.
fn version_of(source: &Source) -> String {
    hex::encode(Sha256::digest(source.text()))
}

fn default_is_there(dir: &Path, terms: &Terms, templates: &[Template]) -> Option<Diagnostic> {
    let default = terms.default.as_deref()?;
    let names = templates.iter().map(|template| template.name.as_str());
    if names.clone().any(|name| name == default) {
        return None;
    }
    let mend = match nearest(default, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("found there: {}", names.collect::<Vec<_>>().join(", ")),
    };
    Some(Diagnostic::of_file(
        dir,
        format!("holds no template `{default}`, which templates.default names"),
        mend,
    ))
}

/// What a template lets an identity's key do, rendered and verified.
pub(super) fn confined_policy(proved: &Proved, identity: &Identity) -> Result<ConfinedPolicy, NoGrant> {
    requirements_are_met(proved.template(), identity)?;
    let wire = render::render(proved.template(), identity)?;
    Ok(verify(wire, proved, identity)?)
}

/// A claim meets a requirement by being, or (a list) holding, one of the values.
fn requirements_are_met(template: &Template, identity: &Identity) -> Result<(), NoGrant> {
    for (path, values) in &template.require {
        let met = match identity.claim(path) {
            Some(serde_json::Value::Array(held)) => held.iter().any(|one| values.contains(one)),
            Some(held) => values.contains(held),
            None => false,
        };
        if !met {
            return Err(NoGrant::Requirement(path.join(".")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

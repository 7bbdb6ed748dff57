//! The templates that serve, and the grants made of them.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    grant::Grant,
    proof::{Issuers, Proved, prove},
    render,
    scope::{self, Scope, ScopeRefused},
    template::Template,
    variable::Unrenderable,
    verify::{Unconfined, verify},
};
use crate::{
    fingerprint::Fingerprint,
    identity::Identity,
    source::{Diagnostic, Source, nearest, one_line},
};

/// A proved set of templates. Grants are remembered, so that a hit renders nothing.
#[derive(Debug)]
pub struct TemplateSet {
    templates: BTreeMap<String, Arc<Proved>>,
    default: Option<String>,
    remembered: moka::sync::Cache<(Fingerprint, String), Arc<Grant>>,
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

/// What templates must fit, besides the proof.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The longest life the configured STS action gives.
    pub longest: Duration,
    /// The least life a key is handed out with, if the operator set one.
    pub min_remaining: Option<Duration>,
}

impl TemplateSet {
    /// Reads and proves every `*.toml` of a folder, all or none.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn load(
        dir: &Path,
        default: Option<&str>,
        issuers: &Issuers,
        bounds: &Bounds,
    ) -> Result<Self, Vec<Diagnostic>> {
        let unreadable = |error: std::io::Error| {
            vec![Diagnostic::of_file(
                dir,
                format!("cannot be read: {error}"),
                "name the folder of your templates: templates.dir (relative to the configuration file), or --templates in the sandbox",
            )]
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        // Editors keep locks and backups beside the file, under names that begin with a dot.
        let hidden =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
        paths.sort();
        let sources = paths.into_iter().map(Source::read).collect::<Vec<_>>();
        Self::of_sources(dir, sources, default, issuers, bounds)
    }

    fn of_sources(
        dir: &Path,
        sources: Vec<Result<Source, Diagnostic>>,
        default: Option<&str>,
        issuers: &Issuers,
        bounds: &Bounds,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut templates = Vec::new();
        for source in sources {
            match source.map_err(|problem| vec![problem]).and_then(named) {
                Ok(template) => templates.push(template),
                Err(found) => problems.extend(found),
            }
        }
        for template in &templates {
            problems.extend(bounds.check(template).err());
        }
        if templates.is_empty() && problems.is_empty() {
            problems.push(Diagnostic::of_file(dir, "holds no template", "put a *.toml template there"));
        }
        if let Some(default) = default
            && problems.is_empty()
            && !templates.iter().any(|template| template.name == default)
        {
            let names = templates.iter().map(|template| template.name.as_str());
            let mend = match nearest(default, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("found there: {}", names.collect::<Vec<_>>().join(", ")),
            };
            problems.push(Diagnostic::of_file(
                dir,
                format!("holds no template `{default}`, which templates.default names"),
                mend,
            ));
        }
        match prove(templates, issuers) {
            Ok(proved) if problems.is_empty() => Ok(Self {
                templates: proved
                    .into_iter()
                    .map(|proved| (proved.template().name.clone(), Arc::new(proved)))
                    .collect(),
                default: default.map(str::to_owned),
                remembered: moka::sync::Cache::new(REMEMBERED),
            }),
            Ok(_) => Err(problems),
            Err(unproved) => {
                problems.extend(unproved);
                Err(problems)
            }
        }
    }

    /// The templates' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// A line about each template, for `check`.
    pub fn summaries(&self) -> impl Iterator<Item = String> {
        self.templates.values().map(|proved| {
            let Template { name, description, bucket, home, .. } = proved.template();
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
        let proved = self.templates.get(name).ok_or_else(|| NoGrant::UnknownTemplate(name.to_owned()))?;
        requirements_are_met(proved.template(), identity)?;
        let wire = render::render(proved.template(), identity)?;
        let policy = verify(wire, proved, identity)?;
        let grant = Arc::new(Grant::new(Arc::clone(proved), identity, policy, ""));
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

impl Bounds {
    fn check(&self, template: &Template) -> Result<(), Diagnostic> {
        let problem = |message: String, mend: &str| {
            Err(template.source.problem(template.duration_span.clone(), message, mend))
        };
        let seconds = template.duration.as_secs();
        if template.duration > self.longest {
            return problem(
                format!(
                    "duration is {seconds} s; the configured sts.action gives {} s at most",
                    self.longest.as_secs()
                ),
                "shorten it",
            );
        }
        if let Some(least) = self.min_remaining.filter(|least| template.duration <= *least) {
            return problem(
                format!(
                    "duration is {seconds} s, not more than cache.min_remaining ({} s): every key would be too old when new",
                    least.as_secs()
                ),
                "lengthen duration, or lower cache.min_remaining",
            );
        }
        Ok(())
    }
}

/// A template under its file's stem.
fn named(source: Source) -> Result<Template, Vec<Diagnostic>> {
    let stem = source.path().file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if stem.is_empty() || stem.len() > 64 || !stem.bytes().all(plain) {
        return Err(vec![Diagnostic::of_file(
            source.path(),
            format!("`{stem}` cannot be a template's name"),
            "name the file with 1 to 64 letters, digits, `-` and `_`: the name stands in URLs",
        )]);
    }
    Template::parse(&stem, source)
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

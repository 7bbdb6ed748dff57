//! From a folder's files to a set that serves, all of them or none; and the shadows beside it.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;

use super::{Serving, TemplateSet};
use crate::{
    folder::{self, Folder},
    grant::trial,
    proof::{Proved, prove, prove_beside},
    revision::Revision,
    shadow::Shadow,
    template::Template,
    terms::ServingConstraints,
};
use diagnostics::{Diagnostic, Source, nearest};

impl TemplateSet {
    /// Reads and proves every template of a folder, all or none.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn load(dir: &Path, terms: &ServingConstraints, now: Timestamp) -> Result<Self, Vec<Diagnostic>> {
        let folder = Folder::read(dir).map_err(|problem| vec![problem])?;
        Self::of_folder(folder, dir, terms, now, None)
    }

    /// Proves one file by itself, a `<name>.next.toml` as any other: to be looked at, not to serve. Without
    /// terms, those are assumed under which it could be proved.
    ///
    /// # Errors
    /// Every problem found, each with its place and mend.
    pub fn of_file(file: Source, terms: Option<&ServingConstraints>) -> Result<Self, Vec<Diagnostic>> {
        let version = Folder::of(vec![Ok(file.clone())]).version();
        let template = folder::template(file)?;
        let name = template.name.clone();
        let templates = vec![template];
        let terms = terms.cloned().unwrap_or_else(|| ServingConstraints::assumed(&templates));
        for template in &templates {
            terms.duration_fits(template).map_err(|problem| vec![problem])?;
        }
        let now = Timestamp::UNIX_EPOCH;
        let proved = prove(templates, &terms.issuer_trust).and_then(all_pass_the_verifier)?;
        let templates = proved.into_iter().map(|proved| Serving::new(proved, now, None)).collect();
        Ok(Self::new(templates, Some(name), version, now))
    }

    /// Proves what stands in a folder. What did not change since the `previous` set keeps its times and
    /// counts.
    pub fn of_folder(
        folder: Folder,
        dir: &Path,
        terms: &ServingConstraints,
        now: Timestamp,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let version = folder.version();
        let mut problems = Vec::new();
        let (mut templates, mut shadows) = (Vec::new(), Vec::new());
        for file in folder.files {
            match Candidate::read(file) {
                Candidate::Serving(Ok(template)) => templates.push(template),
                Candidate::Serving(Err(found)) => problems.extend(found),
                Candidate::Next(next) => shadows.push(next),
            }
        }
        problems.extend(templates.iter().filter_map(|template| terms.duration_fits(template).err()));
        if templates.is_empty() && problems.is_empty() {
            problems.push(Diagnostic::of_file(dir, "holds no template", "put a *.toml template there"));
        }
        if problems.is_empty() {
            problems.extend(default_is_there(dir, terms, &templates));
        }
        let proved = prove(templates, &terms.issuer_trust).and_then(all_pass_the_verifier);
        match proved {
            Ok(proved) if problems.is_empty() => {
                let templates =
                    proved.into_iter().map(|proved| Serving::new(proved, now, previous)).collect();
                let mut set = Self::new(templates, terms.default.clone(), version, now);
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
    fn cast(&mut self, candidate: Next, terms: &ServingConstraints, previous: Option<&Self>) {
        let base = candidate.base.clone();
        let others: Vec<&Template> = self
            .templates
            .iter()
            .filter(|(name, _)| **name != base)
            .map(|(_, serving)| serving.proved.template())
            .collect();
        let Some(serving) = self.templates.get(&base) else {
            self.orphans.push(format!("{base}.next.toml"));
            return;
        };
        let now = serving.proved.template();
        let next = candidate.template.and_then(|template| {
            terms.duration_fits(&template).map_err(|problem| vec![problem])?;
            let proved = prove_beside(template, &others, &terms.issuer_trust)?;
            passes_the_verifier(&proved).map_err(|problem| vec![problem])?;
            Ok(proved)
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
}

impl Serving {
    fn new(proved: Proved, now: Timestamp, previous: Option<&TemplateSet>) -> (String, Self) {
        let name = proved.template().name.clone();
        let version = proved.template().source.sha256();
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
    fn read(file: Result<Source, Diagnostic>) -> Self {
        let path = file.as_ref().map_or_else(|problem| problem.path.as_path(), Source::path);
        let base = folder::next_of(path);
        let version = file.as_ref().map(Source::sha256).unwrap_or_default();
        let template = file.map_err(|problem| vec![problem]).and_then(folder::template);
        match base {
            None => Self::Serving(template),
            Some(base) => Self::Next(Next { base, version, template }),
        }
    }
}

fn all_pass_the_verifier(proved: Vec<Proved>) -> Result<Vec<Proved>, Vec<Diagnostic>> {
    let problems: Vec<Diagnostic> = proved.iter().filter_map(|one| passes_the_verifier(one).err()).collect();
    if problems.is_empty() { Ok(proved) } else { Err(problems) }
}

fn passes_the_verifier(proved: &Proved) -> Result<(), Diagnostic> {
    trial(proved).map_err(|unconfined| {
        Diagnostic::of_file(
            proved.template().source.path(),
            format!("is proved, and {unconfined}"),
            "leave that out, and report it: the proof and the verifier should agree",
        )
    })
}

fn default_is_there(dir: &Path, terms: &ServingConstraints, templates: &[Template]) -> Option<Diagnostic> {
    let default = terms.default.as_deref()?;
    let names = templates.iter().map(|template| template.name.as_str());
    if names.clone().any(|name| name == default) {
        return None;
    }
    let help = match nearest(default, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("found there: {}", names.collect::<Vec<_>>().join(", ")),
    };
    Some(Diagnostic::of_file(
        dir,
        format!("holds no template `{default}`, which templates.default names"),
        help,
    ))
}

//! Loads a folder's files as a set that serves, all of them or none, with their shadows.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::Timestamp;

use super::{ActiveTemplate, Shadow, TemplateFiles, TemplateSet};
use crate::{
    claim_names::ClaimNames,
    fingerprint::Fingerprint,
    proof::{Proved, prove, prove_beside},
    render,
    revision::Revision,
    serving_constraints::ServingConstraints,
    synthetic_identity::SyntheticIdentity,
    template::{FileName, Template},
    verify::{Unconfined, verify},
};
use diagnostics::{Diagnostic, Source, nearest};

impl TemplateSet {
    /// Proves one file alone, such as a `<name>.next.toml`, to inspect it rather than to serve. Without
    /// constraints, it assumes those under which the template could be proved.
    ///
    /// # Errors
    /// Every problem found.
    pub fn of_file(file: Source, constraints: Option<&ServingConstraints>) -> Result<Self, Vec<Diagnostic>> {
        let version = TemplateFiles::new(vec![Ok(file.clone())]).version();
        let template = Template::from_file(file)?;
        let name = template.name.clone();
        let templates = vec![template];
        let mut constraints = constraints.cloned().unwrap_or_else(|| ServingConstraints::assumed(&templates));
        constraints.default = Some(name);
        for template in &templates {
            constraints.check_duration(template).map_err(|problem| vec![problem])?;
        }
        let loaded_at = Timestamp::UNIX_EPOCH;
        let proved = prove(templates, &constraints.issuer_trust).and_then(try_all)?;
        Ok(Self::of_proved(proved, &constraints, version, loaded_at, None))
    }

    /// Proves the files of a folder, all or none. Templates that are the same as in the `previous` set keep their
    /// load time, and shadows their counts.
    ///
    /// # Errors
    /// Every problem found.
    pub fn of_folder(
        files: TemplateFiles,
        dir: &Path,
        constraints: &ServingConstraints,
        now: Timestamp,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let version = files.version();
        let mut problems = Vec::new();
        let (mut templates, mut shadows) = (Vec::new(), Vec::new());
        for file in files.into_files() {
            match LoadedFile::read(file) {
                LoadedFile::Template(Ok(template)) => templates.push(template),
                LoadedFile::Template(Err(found)) => problems.extend(found),
                LoadedFile::Shadow(shadow) => shadows.push(shadow),
            }
        }
        problems.extend(templates.iter().filter_map(|template| constraints.check_duration(template).err()));
        if problems.is_empty() {
            problems.extend(check_names(dir, constraints.default.as_deref(), &templates));
        }
        let proved = match prove(templates, &constraints.issuer_trust).and_then(try_all) {
            Ok(proved) if problems.is_empty() => proved,
            Ok(_) => return Err(problems),
            Err(unproved) => return Err([problems, unproved].concat()),
        };
        let mut set = Self::of_proved(proved, constraints, version, now, previous);
        for shadow in shadows {
            set.attach_shadow(shadow, constraints, previous);
        }
        Ok(set)
    }

    fn of_proved(
        proved: Vec<Proved>,
        constraints: &ServingConstraints,
        version: Fingerprint,
        loaded_at: Timestamp,
        previous: Option<&Self>,
    ) -> Self {
        let templates: BTreeMap<String, ActiveTemplate> =
            proved.into_iter().map(|proved| ActiveTemplate::new(proved, loaded_at, previous)).collect();
        let mut claims = ClaimNames::default();
        for active in templates.values() {
            claims.add(active.proved.template());
        }
        let default = constraints.default.clone();
        Self { templates, default, claims, version, loaded_at, orphans: Vec::new() }
    }

    /// Attaches a shadow to its template. A shadow that could not serve is kept to show why; one without a
    /// template is listed in `orphans`.
    fn attach_shadow(&mut self, file: ShadowFile, constraints: &ServingConstraints, previous: Option<&Self>) {
        let Some(active) = self.templates.get(&file.base) else {
            self.orphans.push(format!("{}.next.toml", file.base));
            return;
        };
        let previous = previous.and_then(|set| set.templates.get(&file.base));
        let previous = previous.filter(|before| before.version == active.version);
        let previous = previous.and_then(|before| before.shadow.as_ref());
        let counts = previous.filter(|shadow| shadow.version == file.version);
        let counts = counts.map(|shadow| Arc::clone(&shadow.counts)).unwrap_or_default();
        let next = file.template.and_then(|template| self.prove_shadow(&file.base, template, constraints));
        let revision = match &next {
            Ok(next) => Revision::between(active.proved.template(), next.template()),
            Err(_) => Revision::default(),
        };
        if let Ok(next) = &next {
            self.claims.add(next.template());
        }
        let next = next.map(Arc::new).map_err(|problems| problems.iter().map(ToString::to_string).collect());
        let shadow = Shadow { version: file.version, next, revision, counts };
        if let Some(active) = self.templates.get_mut(&file.base) {
            active.shadow = Some(shadow);
        }
    }

    /// Proves a shadow in the place of its template.
    fn prove_shadow(
        &self,
        base: &str,
        template: Template,
        constraints: &ServingConstraints,
    ) -> Result<Proved, Vec<Diagnostic>> {
        constraints.check_duration(&template).map_err(|problem| vec![problem])?;
        let others = self.templates.iter().filter(|(name, _)| *name != base);
        let others: Vec<&Template> = others.map(|(_, active)| active.proved.template()).collect();
        let proved = prove_beside(template, &others, &constraints.issuer_trust)?;
        try_verifier(&proved).map_err(|problem| vec![problem])?;
        Ok(proved)
    }
}

impl ActiveTemplate {
    fn new(proved: Proved, now: Timestamp, previous: Option<&TemplateSet>) -> (String, Self) {
        let name = proved.template().name.clone();
        let version = proved.version().to_owned();
        let before = previous.and_then(|set| set.templates.get(&name));
        let unchanged = before.filter(|before| before.version == version);
        let loaded_at = unchanged.map_or(now, |before| before.loaded_at);
        (name, Self { proved: Arc::new(proved), version, loaded_at, shadow: None })
    }
}

/// A file of the folder, by what its name makes it.
enum LoadedFile {
    Template(Result<Template, Vec<Diagnostic>>),
    Shadow(ShadowFile),
}

/// A file that is named `<base>.next.toml`.
struct ShadowFile {
    base: String,
    version: String,
    template: Result<Template, Vec<Diagnostic>>,
}

impl LoadedFile {
    fn read(file: Result<Source, Diagnostic>) -> Self {
        let path = file.as_ref().map_or_else(|problem| problem.path.as_path(), Source::path);
        let base = FileName::of(path).shadow_of().map(str::to_owned);
        let Some(base) = base else { return Self::Template(template_of(file)) };
        let version = file.as_ref().map(Source::sha256).unwrap_or_default();
        Self::Shadow(ShadowFile { base, version, template: template_of(file) })
    }
}

fn template_of(file: Result<Source, Diagnostic>) -> Result<Template, Vec<Diagnostic>> {
    file.map_err(|problem| vec![problem]).and_then(Template::from_file)
}

fn try_all(proved: Vec<Proved>) -> Result<Vec<Proved>, Vec<Diagnostic>> {
    let problems: Vec<Diagnostic> = proved.iter().filter_map(|one| try_verifier(one).err()).collect();
    if problems.is_empty() { Ok(proved) } else { Err(problems) }
}

/// Renders a template for a synthetic identity and runs the verifier. So a disagreement between the proof and the
/// verifier is found when the template is loaded, and not at the first request.
fn try_verifier(proved: &Proved) -> Result<(), Diagnostic> {
    trial(proved).map_err(|unconfined| {
        Diagnostic::of_file(
            proved.template().source.path(),
            format!("is proved, and {unconfined}"),
            "leave that out, and report it: the proof and the verifier should agree",
        )
    })
}

fn trial(proved: &Proved) -> Result<(), Unconfined> {
    let template = proved.template();
    let Some(identity) = SyntheticIdentity::usual(&[template]).identity() else { return Ok(()) };
    match render::render(template, &identity) {
        Ok(wire) => verify(&wire, proved, &identity).map(|_| ()),
        // The template has a variable that no synthetic value fits, such as a bare `${iss}`.
        Err(_) => Ok(()),
    }
}

/// Checks that there is a template, and the default one.
fn check_names(dir: &Path, default: Option<&str>, templates: &[Template]) -> Option<Diagnostic> {
    if templates.is_empty() {
        return Some(Diagnostic::of_file(dir, "holds no template", "put a *.toml template there"));
    }
    let default = default?;
    let names: Vec<&str> = templates.iter().map(|template| template.name.as_str()).collect();
    if names.contains(&default) {
        return None;
    }
    let help = match nearest(default, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("found there: {}", names.join(", ")),
    };
    Some(Diagnostic::of_file(
        dir,
        format!("holds no template `{default}`, which templates.default names"),
        help,
    ))
}

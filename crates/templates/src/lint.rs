//! Everything a person should know about a set of templates before it serves: what cannot be proved, shown
//! by a counter-example where one is found, and what serves but is likely not what was meant.

mod rule_reference;
mod warnings;

pub use self::rule_reference::RuleReference;
use super::{
    counter_example,
    finding::{Finding, Level, Rule},
    folder,
    issuer_trust::IssuerTrust,
    proof::examine,
    template::Template,
    terms::ServingConstraints,
};
use diagnostics::{Diagnostic, Source};

/// What is found about a set of templates.
#[derive(Debug)]
pub struct Report {
    /// Each template by name, and whether it is proved.
    pub verdicts: Vec<(String, bool)>,
    /// Errors first.
    pub findings: Vec<Finding>,
    /// What was taken for granted, where no configuration was at hand.
    pub assumptions: Vec<String>,
}

impl Report {
    /// Whether everything may serve.
    pub fn is_proved(&self) -> bool {
        self.findings.iter().all(|finding| finding.level == Level::Warning)
    }
}

/// Examines files as one set, a `<name>.next.toml` in the place of its template. Without terms, one issuer is
/// assumed, which vouches for the claims that stand in homes.
pub fn lint(files: Vec<Result<Source, Diagnostic>>, terms: Option<&ServingConstraints>) -> Report {
    let mut findings = Vec::new();
    let mut templates = Vec::new();
    for file in files {
        match file.map_err(|problem| vec![problem]).and_then(folder::template) {
            Ok(template) => templates.push(template),
            Err(problems) => findings.extend(problems.into_iter().map(unreadable)),
        }
    }
    let assumed = ServingConstraints::assumed(&templates);
    let assumptions = if terms.is_none() { assumed.assumptions() } else { Vec::new() };
    let terms = terms.unwrap_or(&assumed);
    let issuer_trust = &terms.issuer_trust;
    let (next, serving): (Vec<&Template>, Vec<&Template>) =
        templates.iter().partition(|template| folder::next_of(template.source.path()).is_some());
    findings.extend(errors(&serving, issuer_trust, |_| true));
    for candidate in next {
        let base = folder::next_of(candidate.source.path());
        let is_base = |template: &&Template| base.as_ref() == Some(&template.name);
        findings.extend((!serving.iter().any(is_base)).then(|| warnings::orphan(candidate)));
        let stays = |template: &&Template| !is_base(template);
        let mut set: Vec<&Template> = serving.iter().copied().filter(stays).collect();
        set.push(candidate);
        // What serves is not at fault for what may come.
        let own = errors(&set, issuer_trust, |finding| finding.templates.contains(&candidate.name));
        findings.extend(own.map(|finding| Finding { templates: vec![candidate.name.clone()], ..finding }));
    }
    for template in &templates {
        let misfit = terms.duration_fits(template).err();
        findings
            .extend(misfit.map(|misfit| Finding::new(Level::Error, Rule::Duration, &template.name, misfit)));
        findings.extend(warnings::of(template, terms));
    }
    let is_refused = |name: &String| {
        findings.iter().any(|finding| finding.level == Level::Error && finding.templates.contains(name))
    };
    let unread = findings.iter().filter(|finding| finding.rule == Rule::Readable);
    let mut names: Vec<String> = unread.flat_map(|finding| finding.templates.clone()).collect();
    names.extend(templates.iter().map(|template| template.name.clone()));
    names.sort();
    names.dedup();
    let verdicts = names.into_iter().map(|name| (name.clone(), !is_refused(&name))).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Report { verdicts, findings, assumptions }
}

fn unreadable(diagnostic: Diagnostic) -> Finding {
    let stem = diagnostic.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    Finding::new(Level::Error, Rule::Readable, &stem, diagnostic)
}

/// What cannot be proved of a set, as far as it matters, each with a counter-example where one is found.
fn errors(
    set: &[&Template],
    issuer_trust: &IssuerTrust,
    matters: impl Fn(&Finding) -> bool,
) -> impl Iterator<Item = Finding> {
    let faults = examine(set, issuer_trust).into_iter().filter(move |fault| matters(&fault.finding));
    faults.map(|fault| {
        let (a, b) = fault.between;
        let pair = set.get(a).zip(set.get(b)).filter(|_| fault.finding.rule.is_about_reach());
        let found = pair.and_then(|(a, b)| counter_example::find(a, b, fault.statement, issuer_trust));
        Finding { counter_example: found, ..fault.finding }
    })
}

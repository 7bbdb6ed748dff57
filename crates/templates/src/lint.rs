//! Checks a set of templates before it serves. Reports what cannot be proved, with a counter-example where one is
//! found, and what serves but is probably not intended.

mod counter_example;
mod finding;
mod notes;
mod refused_ids;
mod rule_reference;
mod warnings;

use std::cmp::Reverse;

pub use self::{
    counter_example::{CounterExample, Holder},
    finding::{Finding, Level},
    notes::Note,
    rule_reference::RuleReference,
};

use super::{
    proof::{Violation, examine, examine_beside},
    rule::Rule,
    serving_constraints::{IssuerTrust, ServingConstraints},
    template::Template,
};
use diagnostics::{Diagnostic, Source};

/// The findings about a set of templates.
#[derive(Debug)]
pub struct Report {
    /// The name of each template, and whether it is proved.
    pub verdicts: Vec<(String, bool)>,
    /// The findings, errors first.
    pub findings: Vec<Finding>,
    /// What is known about keys of these templates, whatever they say.
    pub notes: Vec<Note>,
    /// What was assumed about the configuration, if none was given.
    pub assumptions: Vec<String>,
}

impl Report {
    /// Whether every template may serve.
    pub fn is_proved(&self) -> bool {
        self.findings.iter().all(|finding| finding.level == Level::Warning)
    }
}

/// Checks files as one set. A `<name>.next.toml` is checked in the place of its template.
///
/// Without constraints, it assumes one issuer whose claims in homes are trusted.
pub fn lint(files: Vec<Result<Source, Diagnostic>>, constraints: Option<&ServingConstraints>) -> Report {
    let mut findings = Vec::new();
    let mut templates = Vec::new();
    for file in files {
        match file.map_err(|problem| vec![problem]).and_then(Template::from_file) {
            Ok(template) => templates.push(template),
            Err(problems) => findings.extend(problems.into_iter().map(unreadable)),
        }
    }
    let assumed = ServingConstraints::assumed(&templates);
    let assumptions = if constraints.is_none() { assumed.assumptions() } else { Vec::new() };
    let constraints = constraints.unwrap_or(&assumed);
    findings.extend(violations(&templates, &constraints.issuer_trust));
    for template in &templates {
        let error = constraints.check_duration(template).err();
        findings.extend(error.map(|error| Finding::new(Level::Error, Rule::Duration, &template.name, error)));
        findings.extend(warnings::of(template, constraints));
    }
    let verdicts = verdicts(&templates, &findings);
    findings.sort_by_key(|finding| Reverse(finding.level));
    Report { verdicts, findings, notes: notes::of(&templates), assumptions }
}

fn unreadable(diagnostic: Diagnostic) -> Finding {
    let stem = diagnostic.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    Finding::new(Level::Error, Rule::Readable, &stem, diagnostic)
}

/// Returns the violations of the serving templates, and of each shadow in the place of its template.
fn violations(templates: &[Template], issuer_trust: &IssuerTrust) -> Vec<Finding> {
    let (shadows, serving): (Vec<&Template>, Vec<&Template>) =
        templates.iter().partition(|template| template.shadow_of().is_some());
    let found = examine(&serving, issuer_trust).into_iter();
    let mut findings: Vec<Finding> =
        found.map(|violation| with_counter_example(violation, &serving, issuer_trust)).collect();
    for shadow in shadows {
        let (base, mut set): (Vec<&Template>, Vec<&Template>) =
            serving.iter().copied().partition(|template| shadow.shadow_of() == Some(template.name.as_str()));
        findings.extend(base.is_empty().then(|| warnings::orphan(shadow)));
        set.push(shadow);
        // The serving templates are not at fault for what a shadow breaks.
        let found = examine_beside(set.len() - 1, &set, issuer_trust).into_iter();
        let own = found.filter(|violation| violation.templates.contains(&shadow.name));
        findings.extend(own.map(|violation| Finding {
            templates: vec![shadow.name.clone()],
            ..with_counter_example(violation, &set, issuer_trust)
        }));
    }
    findings
}

/// Makes a finding of a violation, with a counter-example if the rule is about isolation and one is found.
fn with_counter_example(violation: Violation, set: &[&Template], issuer_trust: &IssuerTrust) -> Finding {
    let Violation { rule, templates, diagnostic, between: (a, b), statement } = violation;
    let pair = set.get(a).zip(set.get(b)).filter(|_| rule.concerns_isolation());
    let counter_example = pair.and_then(|(a, b)| counter_example::find(a, b, statement, issuer_trust));
    Finding { level: Level::Error, rule, templates, diagnostic, counter_example }
}

/// Returns the names of all files with whether they are proved, sorted by name.
fn verdicts(templates: &[Template], findings: &[Finding]) -> Vec<(String, bool)> {
    let unreadable = findings.iter().filter(|finding| finding.rule == Rule::Readable);
    let mut names: Vec<String> = unreadable.flat_map(|finding| finding.templates.clone()).collect();
    names.extend(templates.iter().map(|template| template.name.clone()));
    names.sort();
    names.dedup();
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.level == Level::Error).collect();
    names
        .into_iter()
        .map(|name| {
            let is_proved = !errors.iter().any(|finding| finding.templates.contains(&name));
            (name, is_proved)
        })
        .collect()
}

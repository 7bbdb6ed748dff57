//! `cosbroker policy lint`: what keeps templates from serving, and what is likely not meant.

mod machine;

use std::{collections::HashMap, io::IsTerminal, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level as Weight, Origin, Renderer, Snippet};
use clap::{Args, ValueEnum};

use super::{Configuration, read};
use crate::{app::StartError, cli::say, reload::folder};
use diagnostics::{Source, to_single_line};
use templates::{Finding, Level, Report, lint};

/// Prove that templates confine every user to their own folder, and show what does not.
///
/// What cannot be proved is shown by two people and an object that both could reach, where some are found.
/// Without FILE, every template of the folder is examined, and the `.next.toml` ones beside them. Exits 0 only
/// if all are proved.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy lint\n  cosbroker policy lint --config config.toml\n  cosbroker policy lint policies/upload.toml --format sarif > lint.sarif"
)]
pub(super) struct Options {
    /// Template files, or folders of them, examined as one set; without any, the configuration's folder or
    /// `policies`.
    files: Vec<PathBuf>,
    #[command(flatten)]
    configuration: Configuration,
    /// How the report is written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Fail on warnings too.
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For a person.
    Human,
    /// For a program.
    Json,
    /// SARIF 2.1.0, for CI systems.
    Sarif,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let terms = self.configuration.terms()?;
        let mut paths = self.files;
        if paths.is_empty() {
            paths.push(self.configuration.dir()?);
        }
        let files = folder::gather(paths.clone())
            .map_err(|problem| StartError::Problems(vec![problem]))?
            .into_files();
        if files.is_empty() {
            let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            anyhow::bail!("{} holds no template; name files, or --config", named.join(", "));
        }
        let report = lint(files, terms.as_ref());
        match self.format {
            Format::Human => tell(&report)?,
            Format::Json => say(&super::pretty(&machine::json(&report))?)?,
            Format::Sarif => say(&super::pretty(&machine::sarif(&report))?)?,
        }
        let refused = report.verdicts.iter().filter(|(_, proved)| !proved).count();
        anyhow::ensure!(report.is_proved(), "not proved: {refused} of {}", report.verdicts.len());
        let warnings = report.findings.len();
        anyhow::ensure!(
            warnings == 0 || !self.deny_warnings,
            "warnings: {warnings}, and --deny-warnings is set"
        );
        Ok(())
    }
}

fn tell(report: &Report) -> std::io::Result<()> {
    let renderer = if std::io::stdout().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    let mut texts: HashMap<PathBuf, Option<Source>> = HashMap::new();
    for finding in &report.findings {
        let path = &finding.diagnostic.path;
        let text = texts.entry(path.clone()).or_insert_with(|| read(path).ok());
        say(&drawn(finding, text.as_ref(), &renderer))?;
        say("")?;
    }
    for (name, proved) in &report.verdicts {
        say(&format!("{}: {}", if *proved { "proved" } else { "not proved" }, to_single_line(name)))?;
    }
    if !report.assumptions.is_empty() {
        say(&format!(
            "assumed: {}; give --config to hold them against yours",
            report.assumptions.join("; ")
        ))?;
    }
    Ok(())
}

/// A finding with the offending text underlined.
fn drawn(finding: &Finding, text: Option<&Source>, renderer: &Renderer) -> String {
    let weight = match finding.level {
        Level::Error => Weight::ERROR,
        Level::Warning => Weight::WARNING,
    };
    let message = to_single_line(&finding.diagnostic.message);
    let path = to_single_line(&finding.diagnostic.path.display().to_string());
    let mut group = Group::with_title(weight.primary_title(message.as_str()).id(finding.rule.name()));
    if let (Some(place), Some(text)) = (&finding.diagnostic.place, text) {
        let snippet = Snippet::source(text.text())
            .path(path.as_str())
            .annotation(AnnotationKind::Primary.span(place.span.clone()));
        group = group.element(snippet);
    } else {
        group = group.element(Origin::path(path.as_str()));
    }
    let example = finding.counter_example.as_ref().map(|found| to_single_line(&found.to_string()));
    if let Some(example) = &example {
        group = group.element(Weight::NOTE.with_name("for example").message(example.as_str()));
    }
    let help = to_single_line(&finding.diagnostic.help);
    group = group.element(Weight::HELP.message(help.as_str()));
    renderer.render(&[group])
}

//! `cosbroker policy lint`: what prevents templates from being served, and what is probably a mistake.

mod report;

use std::{collections::HashMap, io::IsTerminal, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level as Severity, Origin, Renderer, Snippet};
use clap::{Args, ValueEnum};

use super::{ConfigOption, read};
use crate::{
    app::StartError,
    cli::{note, print},
    reload::folder,
};
use diagnostics::{Source, to_single_line};
use templates::{Finding, Level, Report, lint};

/// Prove that templates confine each user to their own folder, and report what cannot be proved.
///
/// A problem is illustrated, where possible, by two users and an object that both could reach. Without FILES, examines
/// every template of the folder, `.next.toml` files included. Exits 0 only if all templates are proved.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy lint\n  cosbroker policy lint --config config.toml\n  cosbroker policy lint policies/upload.toml --format sarif > lint.sarif"
)]
pub(super) struct Options {
    /// Template files, or folders of them, examined as one set. Default: the folder of the configuration, or
    /// `policies`.
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Also fail on warnings.
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for CI systems.
    Sarif,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let constraints = self.config.constraints()?;
        let mut paths = self.files;
        if paths.is_empty() {
            paths.push(self.config.dir()?);
        }
        let files = folder::gather(paths.clone()).map_err(StartError::from)?.into_files();
        if files.is_empty() {
            let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            anyhow::bail!("{} has no template; give files, or --config", named.join(", "));
        }
        let report = lint(files, constraints.as_ref());
        match self.format {
            Format::Human => print_report(&report)?,
            Format::Json => print(&super::pretty(&report::json(&report))?)?,
            Format::Sarif => print(&super::pretty(&report::sarif(&report))?)?,
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

fn print_report(report: &Report) -> std::io::Result<()> {
    let renderer = if std::io::stdout().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    let mut texts: HashMap<PathBuf, Option<Source>> = HashMap::new();
    for finding in &report.findings {
        let path = &finding.diagnostic.path;
        let text = texts.entry(path.clone()).or_insert_with(|| read(path).ok());
        print(&draw(finding, text.as_ref(), &renderer))?;
        print("")?;
    }
    for (name, proved) in &report.verdicts {
        print(&format!("{}: {}", if *proved { "proved" } else { "not proved" }, to_single_line(name)))?;
    }
    // Beside something to fix, they would distract from it.
    if report.findings.is_empty() {
        for known in &report.notes {
            note(&format!("{}: {}", known.templates.join(", "), known.text));
        }
    }
    if !report.assumptions.is_empty() {
        print(&format!(
            "assumed: {}; give --config to check against your configuration",
            report.assumptions.join("; ")
        ))?;
    }
    Ok(())
}

/// Draws a finding with its text underlined.
fn draw(finding: &Finding, text: Option<&Source>, renderer: &Renderer) -> String {
    let severity = match finding.level {
        Level::Error => Severity::ERROR,
        Level::Warning => Severity::WARNING,
    };
    let message = to_single_line(&finding.diagnostic.message);
    let path = to_single_line(&finding.diagnostic.path.display().to_string());
    let mut group = Group::with_title(severity.primary_title(message.as_str()).id(finding.rule.name()));
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
        group = group.element(Severity::NOTE.with_name("for example").message(example.as_str()));
    }
    let help = to_single_line(&finding.diagnostic.help);
    group = group.element(Severity::HELP.message(help.as_str()));
    renderer.render(&[group])
}

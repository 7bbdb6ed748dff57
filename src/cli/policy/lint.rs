//! `cosbroker policy lint`: what prevents templates from being served, and what is probably a mistake.

mod report;

use std::path::PathBuf;

use annotate_snippets::Level as Severity;
use clap::{Args, ValueEnum};

use super::ConfigOption;
use crate::{
    app::StartError,
    cli::{
        console::{Console, Details},
        print,
    },
    reload::folder,
};
use diagnostics::to_single_line;
use templates::{Level, Report, lint};

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
    pub(super) fn run(self, console: Console) -> anyhow::Result<()> {
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
        for skipped in paths.iter().flat_map(|path| folder::skipped(path)) {
            console.note(&format!("{} is no template: its name does not end in .toml", skipped.display()));
        }
        let report = lint(files, constraints.as_ref());
        match self.format {
            Format::Human => print_report(&report, console)?,
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

fn print_report(report: &Report, console: Console) -> std::io::Result<()> {
    let mut renderer = console.renderer();
    for finding in &report.findings {
        let example = finding.counter_example.as_ref().map(ToString::to_string);
        let level = match finding.level {
            Level::Error => Severity::ERROR,
            Level::Warning => Severity::WARNING,
        };
        let details = Details { level, rule: Some(finding.rule.name()), example: example.as_deref() };
        print(&renderer.render(&finding.diagnostic, details))?;
        print("")?;
    }
    if console.is_quiet() {
        return Ok(());
    }
    for (name, proved) in &report.verdicts {
        print(&format!("{}: {}", if *proved { "proved" } else { "not proved" }, to_single_line(name)))?;
    }
    // Beside something to fix, they would distract from it.
    if report.findings.is_empty() {
        for known in &report.notes {
            console.note(&format!("{}: {}", known.templates.join(", "), known.text));
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

//! `cosbroker token`: what a token says, and why the broker accepts or rejects it.

use std::{io::Read, sync::Arc};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::{
    config_file::OptionalConfigFile,
    console::{Console, Format},
    print,
};
use crate::{
    app::StartError,
    config::{Config, ConfigParts, Environment},
    identity::{Explanation, Step, StepOutcome, Unverified, Verifier},
};
use diagnostics::printable;
use runtime::clock::SystemClock;

/// Show what a token says, and why it is accepted or rejected.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "Example:\n  cosbroker token explain --config config.toml - < token.txt"
)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Explain(ExplainOptions),
}

/// Show every check of a token in its order: what the token says, what the configuration wants, which line to change.
///
/// Exits 0 only if the broker accepts the token. Without a configuration, only what the token says is shown. The signature
/// is never shown.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker token explain --config config.toml - < token.txt\n  cosbroker token explain eyJhbGciOi…"
)]
struct ExplainOptions {
    /// The token, with or without `Bearer `; `-` reads it from stdin, so that no list of processes shows it.
    #[arg(value_name = "TOKEN", default_value = "-")]
    token: String,
    #[command(flatten)]
    config: OptionalConfigFile,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// The limit for a token from stdin. The broker accepts none of this size.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        match self.command {
            Command::Explain(options) => options.run(console).await,
        }
    }
}

impl ExplainOptions {
    async fn run(self, console: Console) -> anyhow::Result<()> {
        let text = if self.token == "-" { read_stdin()? } else { self.token };
        let token = without_scheme(text.trim());
        anyhow::ensure!(
            !token.is_empty(),
            "the token is empty; give it as an argument, or on stdin with `-`"
        );
        let Some(config) = self.config.path() else {
            let unverified = Unverified::parse(token)
                .map_err(|error| anyhow::anyhow!("this is not a token that the broker reads: {error}"))?;
            print_parts(&unverified.header, &unverified.claims)?;
            console.note("nothing was checked; name the configuration with --config");
            return Ok(());
        };
        let explanation = verifier(&config)?.explain(token).await;
        if self.format == Format::Json {
            print(
                &serde_json::to_string_pretty(&explanation)
                    .context("the result cannot be written as JSON")?,
            )?;
        } else {
            print_explanation(&explanation)?;
        }
        let failed = explanation.steps.iter().find(|step| step.outcome != StepOutcome::Passed);
        match failed {
            None => Ok(()),
            Some(step) => {
                anyhow::bail!("the token is rejected: {}", step.reason.as_deref().unwrap_or(step.check))
            }
        }
    }
}

/// Builds the verifier of a configuration. It fetches key sets when it needs them.
fn verifier(config: &std::path::Path) -> anyhow::Result<Verifier> {
    let config = Config::load(config, &Environment::of_process()).map_err(StartError::Problems)?;
    let ConfigParts { issuers, cache, network, .. } = config.into_parts();
    let clock = Arc::new(SystemClock::start());
    Ok(Verifier::new(issuers.into_vec(), cache.token_bytes(), &network, clock, &Handle::current())
        .map_err(StartError::Key)?)
}

fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_TOKEN_BYTES)
        .read_to_string(&mut text)
        .context("the token cannot be read from stdin")?;
    Ok(text)
}

fn without_scheme(text: &str) -> &str {
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => text,
    }
}

fn print_explanation(explanation: &Explanation) -> anyhow::Result<()> {
    if let (Some(header), Some(claims)) = (&explanation.header, &explanation.claims) {
        print_parts(header, claims)?;
        print("")?;
    }
    for step in &explanation.steps {
        print_step(step)?;
    }
    if let Some(user) = &explanation.user {
        print("")?;
        print(&printable(&format!("accepted: user `{}` of issuer `{}`", user.subject, user.issuer)))?;
    }
    Ok(())
}

fn print_parts(header: &Map<String, Value>, claims: &Map<String, Value>) -> anyhow::Result<()> {
    for (name, part) in [("header", header), ("claims", claims)] {
        let json = serde_json::to_string(part).context("the token cannot be written as JSON")?;
        print(&format!("{name}  {}", printable(&json)))?;
    }
    Ok(())
}

fn print_step(step: &Step) -> anyhow::Result<()> {
    let mark = match step.outcome {
        StepOutcome::Passed => "ok  ",
        StepOutcome::Failed => "FAIL",
        StepOutcome::Unknown => "?   ",
    };
    let Some(comparison) = &step.comparison else {
        print(&format!("{mark}  {}", step.check))?;
        return Ok(());
    };
    print(&printable(&format!("{mark}  {:<19} {}", step.check, comparison.token)))?;
    if step.outcome != StepOutcome::Passed {
        print(&printable(&format!("      {:<19} {}", "wanted", comparison.configured)))?;
        print(&printable(&format!("      {:<19} {}", "help", comparison.help)))?;
    }
    Ok(())
}

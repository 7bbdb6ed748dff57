//! `cosbroker policy`: what templates grant, to whom, before and after a change.

mod account_rights;
mod diff;
mod explain;
mod import;
mod lint;
mod render;
mod shadow;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::{
    app::StartError,
    cli::{config_file, console::Console, unknown_template_help},
    config::{Environment, TemplateSettings},
    identity::Unverified,
    reload::folder,
};
use diagnostics::Source;
use templates::{ServingConstraints, TemplateSet, identity::Identity};

/// Show what templates grant, to whom, before and after a change.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_long_help = "Example:\n  cosbroker policy lint\n  cosbroker policy render upload --claims '{\"sub\":\"alice\"}'\n  cosbroker policy diff old/upload.toml policies/upload.toml"
)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Lint(lint::Options),
    Render(render::Options),
    Explain(explain::Options),
    Diff(diff::Options),
    Import(import::Options),
    Shadow(shadow::Options),
    Promote(shadow::PromoteOptions),
    AccountRights(account_rights::Options),
}

impl Options {
    pub(super) async fn run(self, console: Console) -> anyhow::Result<()> {
        match self.command {
            Command::Lint(options) => options.run(console),
            Command::Render(options) => options.run(),
            Command::Explain(options) => options.run(),
            Command::Diff(options) => options.run(),
            Command::Import(options) => options.run(console),
            Command::Shadow(options) => options.run().await,
            Command::Promote(options) => options.run().await,
            Command::AccountRights(options) => options.run(console),
        }
    }
}

/// The configuration that templates must satisfy, if one is given.
#[derive(Debug, Args)]
struct ConfigOption {
    /// The configuration file: its issuers, and its folder of templates. The secrets that it names are not read. Default:
    /// the one that `COSBROKER_CONFIG` names, else config.toml in this folder, else none.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigOption {
    fn settings(&self) -> anyhow::Result<Option<TemplateSettings>> {
        let file = config_file::found(self.config.as_deref(), &Environment::of_process());
        Ok(file.as_deref().map(TemplateSettings::load).transpose().map_err(StartError::from)?)
    }

    fn constraints(&self) -> anyhow::Result<Option<ServingConstraints>> {
        Ok(self.settings()?.map(|settings| settings.serving_constraints()))
    }

    /// The folder of templates: that of the configuration, else `policies`.
    fn dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(settings) = self.settings()? {
            return Ok(settings.into_dir());
        }
        let dir = PathBuf::from("policies");
        anyhow::ensure!(
            dir.is_dir(),
            "no folder `policies` here; run this in the folder that has it, or give files or --config"
        );
        Ok(dir)
    }
}

/// A template and a user.
#[derive(Debug, Args)]
struct TemplateAndUser {
    /// The name of a template, or its file.
    template: PathBuf,
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct User {
    /// The claims of a token in JSON, or a file with them: `@FILE`.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// A token. Its signature is not checked, because this only shows what its claims would get.
    #[arg(long, value_name = "JWT")]
    token: Option<String>,
}

impl TemplateAndUser {
    /// A set with only this template.
    fn templates(&self) -> anyhow::Result<TemplateSet> {
        let file = self.file()?;
        let constraints = self.config.constraints()?;
        Ok(TemplateSet::of_file(read(&file)?, constraints.as_ref()).map_err(StartError::Problems)?)
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        let is_file = self.template.extension().is_some_and(|extension| extension == "toml")
            || self.template.components().count() > 1;
        if is_file {
            return Ok(self.template.clone());
        }
        let dir = self.config.dir()?;
        let mut name = self.template.clone().into_os_string();
        name.push(".toml");
        let file = dir.join(name);
        if !file.exists() {
            return Err(self.unknown_template(&dir)?);
        }
        Ok(file)
    }

    fn unknown_template(&self, dir: &Path) -> anyhow::Result<anyhow::Error> {
        let files = folder::read(dir).map_err(StartError::from)?.into_files();
        let paths = files.iter().map(|file| match file {
            Ok(source) => source.path(),
            Err(problem) => &*problem.path,
        });
        let name = self.template.to_string_lossy();
        let help = unknown_template_help(&name, paths.filter_map(|path| path.file_stem()?.to_str()));
        Ok(anyhow::anyhow!("there is no template `{name}` in {}; {help}", dir.display()))
    }

    fn identity(&self) -> anyhow::Result<Identity> {
        let claims = match (&self.user.claims, &self.user.token) {
            (Some(claims), _) => match claims.strip_prefix('@') {
                Some(path) => parse_claims(read(path.as_ref())?.text(), path)?,
                None => parse_claims(claims, "--claims")?,
            },
            (None, Some(token)) => {
                let unverified = Unverified::parse(token).map_err(|error| {
                    anyhow::anyhow!("--token is not a token: {error}; give a JWT, as the app sends it")
                })?;
                unverified.claims
            }
            (None, None) => anyhow::bail!("give --claims or --token"),
        };
        let settings = self.config.settings()?;
        identity_of(claims, settings.as_ref())
    }
}

/// The issuer of claims that name none, where no configuration is given.
const DEFAULT_ISSUER: &str = "https://id.example.com/";

/// Returns the identity of claims. Their issuer is their own `iss`, else the first of the configuration.
fn identity_of(claims: Map<String, Value>, settings: Option<&TemplateSettings>) -> anyhow::Result<Identity> {
    let issuer = settings.and_then(TemplateSettings::first_issuer);
    let issuer = match claims.get("iss") {
        Some(Value::String(issuer)) => issuer.clone(),
        Some(other) => anyhow::bail!("the claim `iss` is {other}; it must be a JSON string"),
        None => issuer.unwrap_or(DEFAULT_ISSUER).to_owned(),
    };
    let subject_claim = settings.and_then(|settings| settings.subject_claim(&issuer)).map(<[String]>::to_vec);
    let subject_claim = subject_claim.unwrap_or_else(|| vec!["sub".to_owned()]);
    Ok(Identity::with_subject_claim(issuer.into(), claims, &subject_claim)?)
}

fn parse_claims(text: &str, origin: &str) -> anyhow::Result<Map<String, Value>> {
    let help = "write it like '{\"sub\":\"alice\"}', or name a file with `@`: @alice.json";
    match strict_json::from_slice(text.as_bytes()) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => anyhow::bail!("{origin} is not a JSON object; {help}"),
        Err(error) => anyhow::bail!("{origin} is not JSON: {error}; {help}"),
    }
}

fn read(path: &Path) -> anyhow::Result<Source> {
    Ok(Source::read(path).map_err(StartError::from)?)
}

/// Formats a result as JSON with indentation.
fn pretty(value: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_json::to_string_pretty(value).context("the result cannot be written as JSON")
}

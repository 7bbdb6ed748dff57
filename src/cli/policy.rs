//! `cosbroker policy`: what templates grant, to whom, before and after a change.

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
    app::{self, StartError},
    cli::meant,
    config::TemplateSettings,
    identity,
    reload::folder,
};
use diagnostics::Source;
use templates::{ServingConstraints, TemplateSet, identity::Identity};

/// See what templates grant, to whom, before and after a change.
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
    Promote(shadow::Promotion),
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Lint(options) => options.run(),
            Command::Render(options) => options.run(),
            Command::Explain(options) => options.run(),
            Command::Diff(options) => options.run(),
            Command::Import(options) => options.run(),
            Command::Shadow(options) => options.run().await,
            Command::Promote(options) => options.run().await,
        }
    }
}

/// Which configuration holds.
#[derive(Debug, Args)]
struct Configuration {
    /// The configuration: whose tokens are taken, and where the templates are. Secrets it names are not
    /// read.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Configuration {
    fn outline(&self) -> anyhow::Result<Option<TemplateSettings>> {
        let outline = self.config.as_deref().map(TemplateSettings::load).transpose();
        Ok(outline.map_err(|problem| StartError::Problems(vec![problem]))?)
    }

    fn terms(&self) -> anyhow::Result<Option<ServingConstraints>> {
        Ok(self.outline()?.map(|outline| app::terms(&outline)))
    }

    /// The templates' folder: the configuration's, or `policies`.
    fn dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(outline) = self.outline()? {
            return Ok(outline.templates.dir);
        }
        let dir = PathBuf::from("policies");
        anyhow::ensure!(
            dir.is_dir(),
            "no folder `policies` here; run this where it is, or name files, or --config"
        );
        Ok(dir)
    }
}

/// Which template, for whom.
#[derive(Debug, Args)]
struct Subject {
    /// A template's name, or a template's file.
    template: PathBuf,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// The claims of a token, as JSON; `@FILE` reads them from a file.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// A token. Its signature is not checked: this shows what its claims would get.
    #[arg(long, value_name = "JWT")]
    token: Option<String>,
}

impl Subject {
    fn templates(&self) -> anyhow::Result<TemplateSet> {
        let file = self.file()?;
        let terms = self.configuration.terms()?;
        Ok(TemplateSet::of_file(read(&file)?, terms.as_ref()).map_err(StartError::Problems)?)
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        let is_file = self.template.extension().is_some_and(|extension| extension == "toml")
            || self.template.components().count() > 1;
        if is_file {
            return Ok(self.template.clone());
        }
        let dir = self.configuration.dir()?;
        let mut name = self.template.clone().into_os_string();
        name.push(".toml");
        let file = dir.join(name);
        if !file.exists() {
            let files =
                folder::read(&dir).map_err(|problem| StartError::Problems(vec![problem]))?.into_files();
            let paths =
                files.iter().map(|file| file.as_ref().map_or_else(|fault| &*fault.path, Source::path));
            let name = self.template.to_string_lossy();
            let help = meant(&name, paths.filter_map(|path| path.file_stem()?.to_str()));
            anyhow::bail!("there is no template `{name}` in {}; {help}", dir.display());
        }
        Ok(file)
    }

    fn identity(&self) -> anyhow::Result<Identity> {
        let claims = match (&self.who.claims, &self.who.token) {
            (Some(claims), _) => match claims.strip_prefix('@') {
                Some(path) => object(read(path.as_ref())?.text(), path)?,
                None => object(claims, "--claims")?,
            },
            (None, Some(token)) => identity::unverified_claims(token).map_err(|error| {
                anyhow::anyhow!("--token is not a token: {error}; give a JWT, as the app sends it")
            })?,
            (None, None) => anyhow::bail!("give --claims or --token"),
        };
        let outline = self.configuration.outline()?;
        let issuer = outline.and_then(|outline| Some(outline.issuers.into_iter().next()?.0));
        identity_of(claims, issuer.as_deref())
    }
}

/// Nobody in particular, where no issuer is named.
const SOME_ISSUER: &str = "https://id.example.com/";

/// The identity of these claims; their own issuer, else the configuration's first.
fn identity_of(claims: Map<String, Value>, issuer: Option<&str>) -> anyhow::Result<Identity> {
    let issuer = match claims.get("iss") {
        Some(Value::String(issuer)) => issuer.clone(),
        Some(other) => anyhow::bail!("the claim `iss` is {other}; it must be a JSON string"),
        None => issuer.unwrap_or(SOME_ISSUER).to_owned(),
    };
    Ok(Identity::from_claims(issuer.into(), claims)?)
}

fn object(text: &str, what: &str) -> anyhow::Result<Map<String, Value>> {
    let help = "write it like '{\"sub\":\"alice\"}', or name a file with `@`: @alice.json";
    match strict_json::from_slice(text.as_bytes()) {
        Ok(Value::Object(claims)) => Ok(claims),
        Ok(_) => anyhow::bail!("{what} is not a JSON object; {help}"),
        Err(error) => anyhow::bail!("{what} is not JSON: {error}; {help}"),
    }
}

fn read(path: &Path) -> anyhow::Result<Source> {
    Ok(Source::read(path).map_err(|problem| StartError::Problems(vec![problem]))?)
}

/// Pretty JSON of something that always serializes.
fn pretty(value: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_json::to_string_pretty(value).context("the answer cannot be written as JSON")
}

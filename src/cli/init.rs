//! `cosbroker init`: a first configuration for a login that exists.

mod logins;

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, builder::PossibleValuesParser};

use self::logins::Login;
use super::print;
use diagnostics::printable;

/// Write a first configuration and template for a login, such as auth0 or django-simplejwt.
///
/// Writes config.toml and policies/upload.toml into a folder, and says what to do next. Files that exist are kept.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker init --login auth0 --issuer https://example.eu.auth0.com/ --audience https://api.example.com\n  cosbroker init --login laravel-passport --print"
)]
pub(super) struct Options {
    /// The login that your app has.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(logins::names()))]
    login: String,
    /// What `iss` in the tokens says, instead of the example's.
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// What `aud` in the tokens says, or the claim that stands for it, instead of the example's.
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// The bucket that users upload to, with the number of the account.
    #[arg(long, value_name = "NAME", default_value = "examplebucket-1250000000")]
    bucket: String,
    /// The region of the bucket and of STS.
    #[arg(long, value_name = "NAME", default_value = "ap-guangzhou")]
    region: String,
    /// The folder to write to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Print the sections for a configuration and a template that exist, and write nothing.
    #[arg(long)]
    print: bool,
}

/// The template that users' uploads need.
const TEMPLATE: &str = include_str!("../../policies/upload.toml");
/// How a home begins in which each tenant has a folder.
const TENANT_HOME: &str = "owner = [\"claim.tid\", \"sub\"]\nhome = \"tenants/${claim.tid|escape}/";
const CONFIG_FILE: &str = "config.toml";
const TEMPLATE_FILE: &str = "policies/upload.toml";

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let login = Login::named(&self.login)
            .with_context(|| format!("there is no login `{}`", self.login))?
            .with(self.issuer.as_deref(), self.audience.as_deref());
        if self.print {
            print(&login.section)?;
            if let Some(require) = &login.require {
                print(&format!("# In the template:\n{require}"))?;
            }
            return Ok(());
        }
        std::fs::create_dir_all(self.dir.join("policies"))
            .with_context(|| format!("{} cannot be made", self.dir.join("policies").display()))?;
        write_new(&self.dir, CONFIG_FILE, &self.config(&login))?;
        write_new(&self.dir, TEMPLATE_FILE, &self.template(&login))?;
        print(&printable(&format!("wrote {CONFIG_FILE} and {TEMPLATE_FILE} in {}", self.dir.display())))?;
        print(&self.next_steps(&login))?;
        Ok(())
    }

    fn config(&self, login: &Login) -> String {
        format!(
            "# Written by `cosbroker init --login {}`. All keys: docs/reference/configuration.md.\n\n{}\n\
             [templates]\ndir = \"policies\"\ndefault = \"upload\"\n\n\
             [sts]\nregion = {}\nsecret_id_env = \"TENCENTCLOUD_SECRET_ID\"\nsecret_key_env = \"TENCENTCLOUD_SECRET_KEY\"\n",
            self.login,
            login.section,
            quoted(&self.region)
        )
    }

    fn template(&self, login: &Login) -> String {
        let mut template = TEMPLATE
            .replace("\"examplebucket-1250000000\"", &quoted(&self.bucket))
            .replace("\"ap-guangzhou\"", &quoted(&self.region));
        if login.has_tenants() {
            template = template.replace("home = \"users/", TENANT_HOME);
        }
        if let (Some(require), Some(at)) = (&login.require, first_statement(&template)) {
            template.insert_str(at, &format!("# Other tokens of this login get no key.\n{require}\n"));
        }
        template
    }

    fn next_steps(&self, login: &Login) -> String {
        let mut steps = Vec::new();
        match (self.issuer.is_none(), self.audience.is_none() && login.has_audience()) {
            (true, true) => {
                steps.push(format!("correct issuer and audience in {CONFIG_FILE}: they are an example's"));
            }
            (true, false) => steps.push(format!("correct the issuer in {CONFIG_FILE}: it is an example's")),
            (false, true) => steps.push(format!("correct the audience in {CONFIG_FILE}: it is an example's")),
            (false, false) => {}
        }
        if self.bucket.starts_with("examplebucket-") {
            steps.push(format!("write your bucket and region into {TEMPLATE_FILE}"));
        }
        if let Some(file) = login.key_file() {
            steps.push(format!("copy the issuer's public key to {file}, beside {CONFIG_FILE}"));
        }
        let secret = login.secret_variable().map(|name| format!("{name}, ")).unwrap_or_default();
        steps.push(format!(
            "set {secret}TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY in the environment"
        ));
        steps.push(format!("cosbroker check --config {CONFIG_FILE}"));
        steps.push(format!("cosbroker token explain --config {CONFIG_FILE} - < a-token-of-your-app.txt"));
        steps.push(format!("cosbroker serve --config {CONFIG_FILE}"));
        steps.push(
            "curl -H \"Authorization: Bearer $(cat a-token-of-your-app.txt)\" http://127.0.0.1:5000/v1/credentials"
                .to_owned(),
        );
        let numbered = steps.iter().zip(1..).map(|(step, number)| format!("  {number}. {step}"));
        format!("next:\n{}", numbered.collect::<Vec<_>>().join("\n"))
    }
}

/// Returns where the first statement begins, with the comment above it.
fn first_statement(template: &str) -> Option<usize> {
    let (before, _) = template.split_once("[[statement]]")?;
    before.rfind("\n\n").map(|end| end + 2)
}

/// Returns a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn write_new(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => anyhow::bail!(
            "{} exists and is kept; run it with --print, and paste the sections, or give another --dir",
            path.display()
        ),
        file => file
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("{} cannot be written", path.display())),
    }
}

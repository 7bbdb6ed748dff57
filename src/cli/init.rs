//! `cosbroker init`: a first configuration for a login that exists.

mod logins;
mod questions;

use std::{
    io::{BufRead, ErrorKind, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, builder::PossibleValuesParser};

use self::{logins::Login, questions::Questions};
use super::{console::Console, print, schema::without_schema};
use diagnostics::{nearest, printable};

/// Write a first configuration and template for a login, such as auth0 or django-simplejwt.
///
/// Without --login, asks six questions on the terminal. Writes config.toml and policies/upload.toml into a folder, and says
/// what to do next. Files that exist are kept.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker init\n  cosbroker init --login auth0 --issuer https://example.eu.auth0.com/ --audience https://api.example.com --page https://app.example.com\n  cosbroker init --login laravel-passport --print"
)]
pub(super) struct Options {
    /// The login that your app has. Without it, everything that is not given is asked for.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(logins::names()))]
    login: Option<String>,
    /// What `iss` in the tokens says, instead of the example's.
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// What `aud` in the tokens says, or the claim that stands for it, instead of the example's.
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// The bucket that users upload to, with the number of the account. Default: an example's.
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// The region of the bucket and of STS. Default: ap-guangzhou.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// The origin of your web page, if one requests keys.
    #[arg(long, value_name = "ORIGIN")]
    page: Option<String>,
    /// Where STS is called, such as the emulated cloud of a sandbox. Default: Tencent's.
    #[arg(long, value_name = "URL")]
    sts_endpoint: Option<String>,
    /// The folder to write to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Print the sections for a configuration and a template that exist, and write nothing.
    #[arg(long)]
    print: bool,
}

/// What the files are written for.
struct Answers {
    name: String,
    login: Login,
    /// Whether issuer and audience are the app's own, not an example's.
    has_issuer: bool,
    has_audience: bool,
    bucket: String,
    region: String,
    page: Option<String>,
}

/// The template that users' uploads need.
const TEMPLATE: &str = include_str!("../../policies/upload.toml");
/// How a home begins in which each tenant has a folder.
const TENANT_HOME: &str = "owner = [\"claim.tid\", \"sub\"]\nhome = \"tenants/${claim.tid|escape}/";
const CONFIG_FILE: &str = "config.toml";
const TEMPLATE_FILE: &str = "policies/upload.toml";

const EXAMPLE_BUCKET: &str = "examplebucket-1250000000";
const EXAMPLE_REGION: &str = "ap-guangzhou";

impl Options {
    pub(super) fn run(self, console: Console) -> anyhow::Result<()> {
        let answers = match &self.login {
            Some(name) => self.answers_for(name)?,
            None => self.ask()?,
        };
        if self.print {
            print(&answers.login.section)?;
            if let Some(require) = &answers.login.require {
                print(&format!("# In the template:\n{require}"))?;
            }
            return Ok(());
        }
        std::fs::create_dir_all(self.dir.join("policies"))
            .with_context(|| format!("{} cannot be made", self.dir.join("policies").display()))?;
        write_new(&self.dir, CONFIG_FILE, &answers.config(self.sts_endpoint.as_deref()))?;
        write_new(&self.dir, TEMPLATE_FILE, &answers.template())?;
        print(&printable(&format!("wrote {CONFIG_FILE} and {TEMPLATE_FILE} in {}", self.dir.display())))?;
        if !console.is_quiet() {
            print(&answers.next_steps())?;
        }
        Ok(())
    }

    fn answers_for(&self, name: &str) -> anyhow::Result<Answers> {
        let login = Login::named(name).with_context(|| format!("there is no login `{name}`"))?;
        let page = self.page.clone().filter(|page| !page.is_empty());
        for (flag, checked) in [
            ("--bucket", self.bucket.as_deref().map_or(Ok(()), questions::bucket)),
            ("--page", page.as_deref().map_or(Ok(()), questions::page)),
        ] {
            checked.map_err(|problem| anyhow::anyhow!("{flag}: {problem}"))?;
        }
        Ok(Answers {
            name: name.to_owned(),
            login: login.with(self.issuer.as_deref(), self.audience.as_deref()),
            has_issuer: self.issuer.is_some(),
            has_audience: self.audience.is_some(),
            bucket: self.bucket.clone().unwrap_or_else(|| EXAMPLE_BUCKET.to_owned()),
            region: self.region.clone().unwrap_or_else(|| EXAMPLE_REGION.to_owned()),
            page,
        })
    }

    fn ask(&self) -> anyhow::Result<Answers> {
        let stdin = std::io::stdin();
        anyhow::ensure!(
            stdin.is_terminal(),
            "there is no terminal to ask questions on; give --login and the name of a login: {}",
            logins::names().collect::<Vec<_>>().join(", ")
        );
        self.ask_on(Questions::new(stdin.lock(), std::io::stdout()))
    }

    /// Asks for what is not given as a flag.
    fn ask_on(&self, mut questions: Questions<impl BufRead, impl Write>) -> anyhow::Result<Answers> {
        let names: Vec<&str> = logins::names().collect();
        let question = format!("1. Which login has your app: {}?", names.join(", "));
        let name = questions.ask(&question, "auth0", known_login)?;
        let login = Login::named(&name).with_context(|| format!("there is no login `{name}`"))?;
        let mut asked = |given: &Option<String>, question: &str, default: &str, check: Check| match given {
            Some(given) => Ok(given.clone()),
            None => questions.ask(question, default, check),
        };
        let example = (login.issuer(), login.audience());
        let issuer =
            asked(&self.issuer, "2. What does `iss` in its tokens say?", &example.0, questions::any)?;
        let audience = asked(
            &self.audience,
            "3. What does `aud` say, or the claim that stands for it?",
            &example.1,
            questions::any,
        )?;
        let bucket = asked(
            &self.bucket,
            "4. Which bucket do users upload to (its full name)?",
            EXAMPLE_BUCKET,
            questions::bucket,
        )?;
        let region =
            asked(&self.region, "5. In which region is the bucket?", EXAMPLE_REGION, questions::any)?;
        let page = asked(
            &self.page,
            "6. Which web page requests keys, such as https://app.example.com? (nothing: apps only)",
            "",
            questions::page,
        )?;
        let (has_issuer, has_audience) = (issuer != example.0, audience != example.1);
        Ok(Answers {
            name,
            login: login.with(
                Some(issuer.as_str()).filter(|_| has_issuer),
                Some(audience.as_str()).filter(|_| has_audience),
            ),
            has_issuer,
            has_audience,
            bucket,
            region,
            page: Some(page).filter(|page| !page.is_empty()),
        })
    }
}

/// Says what is wrong with an answer.
type Check = fn(&str) -> Result<(), String>;

fn known_login(name: &str) -> Result<(), String> {
    if logins::names().any(|known| known == name) {
        return Ok(());
    }
    Err(match nearest(name, logins::names()) {
        Some(near) => format!("there is no login `{name}`; did you mean `{near}`?"),
        None => format!("there is no login `{name}`; take one of the list that is most like yours"),
    })
}

impl Answers {
    fn config(&self, sts_endpoint: Option<&str>) -> String {
        let page = self
            .page
            .as_ref()
            .map_or_else(String::new, |page| format!("[server]\ncors_origins = [{}]\n\n", quoted(page)));
        let endpoint = sts_endpoint.map_or_else(String::new, |url| format!("endpoint = {}\n", quoted(url)));
        format!(
            "# Written by `cosbroker init --login {}`. All keys: docs/reference/configuration.md.\n\
             # For editors: `cosbroker schema config > config.schema.json`, and `#:schema config.schema.json` as the first line here.\n\n{page}{}\n\
             [templates]\ndir = \"policies\"\ndefault = \"upload\"\n\n\
             [sts]\nregion = {}\n{endpoint}secret_id_env = \"TENCENTCLOUD_SECRET_ID\"\nsecret_key_env = \"TENCENTCLOUD_SECRET_KEY\"\n",
            self.name,
            self.login.section,
            quoted(&self.region)
        )
    }

    fn template(&self) -> String {
        let mut template = without_schema(TEMPLATE)
            .replace("\"examplebucket-1250000000\"", &quoted(&self.bucket))
            .replace("\"ap-guangzhou\"", &quoted(&self.region));
        if self.login.has_tenants() {
            template = template.replace("home = \"users/", TENANT_HOME);
        }
        if let (Some(require), Some(at)) = (&self.login.require, first_statement(&template)) {
            template.insert_str(at, &format!("# Other tokens of this login get no key.\n{require}\n"));
        }
        template
    }

    fn next_steps(&self) -> String {
        let mut steps = Vec::new();
        match (!self.has_issuer, !self.has_audience && self.login.has_audience()) {
            (true, true) => {
                steps.push(format!("correct issuer and audience in {CONFIG_FILE}: they are an example's"));
            }
            (true, false) => steps.push(format!("correct the issuer in {CONFIG_FILE}: it is an example's")),
            (false, true) => steps.push(format!("correct the audience in {CONFIG_FILE}: it is an example's")),
            (false, false) => {}
        }
        if self.bucket == EXAMPLE_BUCKET {
            steps.push(format!("write your bucket and region into {TEMPLATE_FILE}"));
        }
        if let Some(file) = self.login.key_file() {
            steps.push(format!("copy the issuer's public key to {file}, beside {CONFIG_FILE}"));
        }
        let secret = self.login.secret_variable().map(|name| format!("{name}, ")).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn six_answers_make_a_configuration_and_a_template() {
        let Command { options } = Command::parse_from(["init", "--region", "ap-shanghai"]);
        let answers = "keycloak\nhttps://id.mine.example/realms/r\nmy-app\nphotos-1250000001\nhttps://app.mine.example\n";
        let mut shown = Vec::new();
        let answers = options.ask_on(Questions::new(answers.as_bytes(), &mut shown)).unwrap();
        let (config, template) = (answers.config(None), answers.template());
        for line in [
            "issuer = \"https://id.mine.example/realms/r\"",
            "audience = [\"my-app\"]",
            "region = \"ap-shanghai\"",
            "cors_origins = [\"https://app.mine.example\"]",
        ] {
            assert!(config.lines().any(|found| found == line), "{line}: {config}");
        }
        assert!(template.contains("bucket = \"photos-1250000001\"\nregion = \"ap-shanghai\""), "{template}");
        assert!(!template.contains("#:schema"), "{template}");
        let next = answers.next_steps();
        assert!(!next.contains("example's") && !next.contains("your bucket"), "{next}");
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("[https://keycloak.example.com/realms/example]"),
            "the example's is shown: {shown}"
        );
        assert!(!shown.contains("5. In which region"), "a flag answers its question: {shown}");
    }

    #[test]
    fn an_unknown_login_is_asked_for_again() {
        let Command { options } = Command::parse_from(["init"]);
        let mut shown = Vec::new();
        let answers =
            options.ask_on(Questions::new(&b"keyclok\nkeycloak\n\n\n\n\n\n"[..], &mut shown)).unwrap();
        assert_eq!(answers.name, "keycloak");
        assert!(!answers.has_issuer && answers.next_steps().contains("correct issuer and audience"));
        assert!(String::from_utf8(shown).unwrap().contains("did you mean `keycloak`?"));
    }
}

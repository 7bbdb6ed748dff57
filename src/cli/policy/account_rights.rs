//! `cosbroker policy account-rights`: what the operator's account and buckets must allow, ready to paste.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::pretty;
use crate::{
    app::StartError,
    cli::{config_file::ConfigFile, console::Console, print},
    config::{AccountSettings, StsAction},
    reload,
};
use cam::{Conditions, Effect, Policy, Statement};
use templates::{AccountRights, BucketUse, MAX_POLICY_BYTES};

/// Print the least rights of the account with which every template works, and the CORS rules of its buckets.
///
/// A temporary key may do what its template allows and the account behind it, too: the role that is assumed, or the
/// sub-account whose key calls STS. Grant these rights and no more, and a leaked key of the broker reaches no other
/// folder. The secrets that the configuration names are not read. Nothing is put in force:
/// everything is printed, to paste into the console.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy account-rights --config config.toml\n  cosbroker policy account-rights --config config.toml --only sub-account > rights.json"
)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigFile,
    /// Print this one alone, without a heading.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The policy of the role that is assumed.
    Role,
    /// The policy of the sub-account whose key calls STS.
    SubAccount,
    /// The CORS rules of the buckets, in XML.
    Cors,
}

/// Something to paste.
struct Section {
    part: Part,
    heading: String,
    text: String,
}

impl Options {
    pub(super) fn run(self, console: Console) -> anyhow::Result<()> {
        let settings = AccountSettings::load(&self.config.path()?).map_err(StartError::from)?;
        let constraints = settings.templates.serving_constraints();
        let dir = settings.templates.into_dir();
        // When the set was loaded does not matter here.
        let set = reload::load(&dir, &constraints, Timestamp::UNIX_EPOCH).map_err(StartError::Problems)?;
        let rights = set.account_rights();
        let mut sections = policies(&rights, &settings.action, console)?;
        sections.extend(cors_rules(&rights.buckets, &settings.cors_origins));
        if let Some(only) = self.only {
            sections.retain(|section| section.part == only);
            anyhow::ensure!(!sections.is_empty(), "{}", why_absent(only));
        }
        for section in &sections {
            if self.only.is_none() {
                print(&section.heading)?;
            }
            print(&section.text)?;
        }
        if settings.cors_origins.is_empty() && self.only.is_none() {
            console.note(why_absent(Part::Cors));
        }
        Ok(())
    }
}

fn why_absent(part: Part) -> &'static str {
    match part {
        Part::Role => {
            "there is no role: sts.action is GetFederationToken, so the rights are the sub-account's"
        }
        Part::SubAccount => "there is no policy of a sub-account",
        Part::Cors => {
            "server.cors_origins is empty: no web page uses the keys, so the buckets need no CORS rules"
        }
    }
}

/// Returns the policies of those behind the keys. With `AssumeRole` the source credentials may do nothing but assume
/// the role.
fn policies(rights: &AccountRights, action: &StsAction, console: Console) -> anyhow::Result<Vec<Section>> {
    let of_role = rights.policy.statement.clone();
    match action {
        StsAction::GetFederationToken => {
            let call = may_call("name/sts:GetFederationToken", "*");
            let statements = of_role.into_iter().chain([call]).collect();
            Ok(vec![section(
                Part::SubAccount,
                "CAM policy of the sub-account whose key the broker holds:",
                statements,
                console,
            )?])
        }
        StsAction::AssumeRole { role_arn, .. } => Ok(vec![
            section(Part::Role, &format!("CAM policy of the role {role_arn}:"), of_role, console)?,
            section(
                Part::SubAccount,
                "CAM policy of the sub-account whose key the broker holds, if it holds one:",
                vec![may_call("name/sts:AssumeRole", role_arn)],
                console,
            )?,
        ]),
    }
}

fn may_call(action: &str, resource: &str) -> Statement {
    Statement {
        effect: Effect::Allow,
        action: vec![action.to_owned()],
        resource: vec![resource.to_owned()],
        condition: Conditions::default(),
    }
}

fn section(
    part: Part,
    heading: &str,
    statements: Vec<Statement>,
    console: Console,
) -> anyhow::Result<Section> {
    let policy = Policy::new(statements);
    let size = policy.to_json().len();
    if size > MAX_POLICY_BYTES {
        console.note(&format!(
            "the policy has {size} bytes, and CAM takes {MAX_POLICY_BYTES} for a custom policy: make several of its statements"
        ));
    }
    Ok(Section { part, heading: heading.to_owned(), text: pretty(&policy)? })
}

/// Returns the rules of each bucket as `PutBucketCORS` takes them (docs 436/8279). SDKs send headers of their own and
/// read `ETag`.
fn cors_rules(buckets: &[BucketUse], origins: &[String]) -> Option<Section> {
    if origins.is_empty() {
        return None;
    }
    let mut text = String::new();
    for BucketUse { bucket, methods } in buckets {
        let origins: String = origins.iter().map(|origin| element("AllowedOrigin", origin)).collect();
        let methods: String = methods.iter().map(|method| element("AllowedMethod", method)).collect();
        let exposed: String =
            ["ETag", "x-cos-request-id"].map(|header| element("ExposeHeader", header)).concat();
        let _ = write!(
            text,
            "<!-- {} in {} -->\n<CORSConfiguration>\n  <CORSRule>\n{origins}{methods}{}{exposed}{}  </CORSRule>\n</CORSConfiguration>\n",
            bucket.name,
            bucket.region,
            element("AllowedHeader", "*"),
            element("MaxAgeSeconds", "600"),
        );
    }
    text.truncate(text.trim_end().len());
    Some(Section { part: Part::Cors, heading: "CORS rules of the buckets:".to_owned(), text })
}

fn element(name: &str, value: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;");
    format!("    <{name}>{value}</{name}>\n")
}

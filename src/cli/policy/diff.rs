//! `cosbroker policy diff`: what a change of templates gives to users and takes from them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};

use super::{ConfigOption, identity_of, read};
use crate::{app::StartError, cli::print, reload::folder};
use cam::compare::compare;
use diagnostics::{Source, to_single_line};
use templates::{ServingConstraints, TemplateSet, identity::Identity};

/// Show what all users, and each of some sample users, gain and lose by a change.
///
/// Compares two files, or two folders template by template.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy diff old/upload.toml policies/upload.toml\n  cosbroker policy diff old policies --claims users.json\n\nusers.json has the claims of sample users: a JSON list of objects such as {\"sub\":\"alice\"}."
)]
pub(super) struct Options {
    /// The template before the change, or the folder.
    old: PathBuf,
    /// The template after the change, or the folder.
    new: PathBuf,
    /// A file with claims of sample users: a JSON list of objects, or one object. `@FILE` means the same.
    #[arg(long, value_name = "FILE", value_parser = claims_file)]
    claims: Option<PathBuf>,
    /// Fail if any user gains anything.
    #[arg(long)]
    refuse_widening: bool,
    #[command(flatten)]
    config: ConfigOption,
}

/// Claims where a file with claims is expected.
#[derive(Debug, thiserror::Error)]
#[error("put them into a file, and name it: @users.json")]
struct ClaimsNotInFile;

/// Accepts a file with `@`, as other commands do, and without.
fn claims_file(written: &str) -> Result<PathBuf, ClaimsNotInFile> {
    let path = written.strip_prefix('@').unwrap_or(written);
    if path.trim_start().starts_with(['{', '[']) { Err(ClaimsNotInFile) } else { Ok(PathBuf::from(path)) }
}

/// A sample user: a name for messages and an identity.
type SampleUser = (String, Identity);

/// A template before and after. One is absent if the template is new or was removed.
struct Versions {
    name: String,
    old: Option<TemplateSet>,
    new: Option<TemplateSet>,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let constraints = self.config.constraints()?;
        let users = match &self.claims {
            Some(path) => sample_users(path)?,
            None => Vec::new(),
        };
        let mut widens = false;
        for versions in self.versions(constraints.as_ref())? {
            widens |= versions.print(&users)?;
        }
        anyhow::ensure!(
            !(widens && self.refuse_widening),
            "some user gains something, and --refuse-widening is set"
        );
        Ok(())
    }

    fn versions(&self, constraints: Option<&ServingConstraints>) -> anyhow::Result<Vec<Versions>> {
        if self.old.is_dir() || self.new.is_dir() {
            return versions_of_folders(&files(&self.old)?, &files(&self.new)?, constraints);
        }
        let (old, new) = (stem(&self.old), stem(&self.new));
        let name = if old == new { new } else { format!("{old} -> {new}") };
        let old = proved(read(&self.old)?, constraints)?;
        let new = proved(read(&self.new)?, constraints)?;
        Ok(vec![Versions { name, old: Some(old), new: Some(new) }])
    }
}

fn versions_of_folders(
    old: &[Source],
    new: &[Source],
    constraints: Option<&ServingConstraints>,
) -> anyhow::Result<Vec<Versions>> {
    let names: BTreeSet<String> = old.iter().chain(new).map(|file| stem(file.path())).collect();
    let mut versions = Vec::new();
    for name in names {
        versions.push(Versions {
            old: named(old, &name, constraints)?,
            new: named(new, &name, constraints)?,
            name,
        });
    }
    Ok(versions)
}

fn named(
    files: &[Source],
    name: &str,
    constraints: Option<&ServingConstraints>,
) -> anyhow::Result<Option<TemplateSet>> {
    let file = files.iter().find(|file| stem(file.path()) == name);
    file.map(|file| proved(file.clone(), constraints)).transpose()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn proved(file: Source, constraints: Option<&ServingConstraints>) -> anyhow::Result<TemplateSet> {
    Ok(TemplateSet::of_file(file, constraints).map_err(StartError::Problems)?)
}

fn files(dir: &Path) -> anyhow::Result<Vec<Source>> {
    let found = folder::read(dir).map_err(StartError::from)?;
    let files: Result<Vec<_>, _> = found.into_files().into_iter().collect();
    Ok(files.map_err(StartError::from)?)
}

fn sample_users(path: &Path) -> anyhow::Result<Vec<SampleUser>> {
    let text = read(path)?;
    let help = "has no list of claims; write it like [{\"sub\":\"alice\"},{\"sub\":\"bob\"}]";
    let parsed = strict_json::from_slice(text.text().as_bytes())
        .map_err(|error| anyhow::anyhow!("{} {help}: {error}", path.display()))?;
    let list = match parsed {
        Value::Array(list) => list,
        one => vec![one],
    };
    let mut users = Vec::new();
    for claims in list {
        let Value::Object(claims) = claims else { anyhow::bail!("{} {help}", path.display()) };
        users.push((user_name(&claims), identity_of(claims, None)?));
    }
    Ok(users)
}

/// A user's claims in one line, the subject first.
fn user_name(claims: &Map<String, Value>) -> String {
    let subject = claims.get("sub").map(claim_text).unwrap_or_default();
    let others: Vec<String> = claims
        .iter()
        .filter(|(name, _)| *name != "sub")
        .map(|(name, value)| format!("{name} {}", claim_text(value)))
        .collect();
    if others.is_empty() { subject } else { format!("{subject} ({})", others.join(", ")) }
}

fn claim_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Versions {
    /// Prints what changes. Returns whether any user gains anything.
    fn print(&self, users: &[SampleUser]) -> anyhow::Result<bool> {
        let name = to_single_line(&self.name);
        let (old, new) = match (&self.old, &self.new) {
            (Some(old), Some(new)) => (old, new),
            (None, Some(_)) => {
                print(&format!("{name}: new"))?;
                return Ok(true);
            }
            (Some(_) | None, None) => {
                print(&format!("{name}: removed"))?;
                return Ok(false);
            }
        };
        let revision = old.revision_to(new).unwrap_or_default();
        print(&format!("{name}:"))?;
        if let Some(folders) = &revision.folders {
            print(&format!("  folders: {}", to_single_line(folders)))?;
        }
        print_change("all users", revision.gains.iter().cloned(), revision.losses.iter().cloned())?;
        let mut widens = revision.widens();
        for user in users {
            widens |= print_change_for(user, old, new)?;
        }
        Ok(widens)
    }
}

/// Prints what changes for a sample user. Returns whether they gain anything.
fn print_change_for(
    (name, identity): &SampleUser,
    old: &TemplateSet,
    new: &TemplateSet,
) -> anyhow::Result<bool> {
    match (old.grant(None, identity), new.grant(None, identity)) {
        (Ok(before), Ok(after)) => {
            let change = compare(&before.policy().policy(), &after.policy().policy());
            print_change(name, change.gained(), change.lost())?;
            if before.home() != after.home() {
                print(&format!("    its folder moves from `{}` to `{}`", before.home(), after.home()))?;
            }
            Ok(change.widens())
        }
        (Ok(_), Err(error)) => {
            print_change(name, [], [format!("every key: {error}")])?;
            Ok(false)
        }
        (Err(error), Ok(_)) => {
            print_change(name, [format!("a key at all; before: {error}")], [])?;
            Ok(true)
        }
        (Err(_), Err(error)) => {
            print(&format!("  {}: no key, before and after: {error}", to_single_line(name)))?;
            Ok(false)
        }
    }
}

fn print_change(
    user: &str,
    gains: impl IntoIterator<Item = String>,
    losses: impl IntoIterator<Item = String>,
) -> std::io::Result<()> {
    let gains = gains.into_iter().map(|one| format!("    gains {}", to_single_line(&one)));
    let losses = losses.into_iter().map(|one| format!("    loses {}", to_single_line(&one)));
    let lines: Vec<String> = gains.chain(losses).collect();
    let user = to_single_line(user);
    if lines.is_empty() {
        print(&format!("  {user}: nothing changes"))
    } else {
        print(&format!("  {user}:\n{}", lines.join("\n")))
    }
}

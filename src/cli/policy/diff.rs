//! `cosbroker policy diff`: what a change of templates gives to users and takes from them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ConfigOption, identity_of, pretty, read};
use crate::{
    app::StartError,
    cli::{console::Format, print},
    reload::folder,
};
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
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
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
        let versions = self.versions(constraints.as_ref())?;
        let changes: Vec<TemplateChange> = versions.into_iter().map(|one| one.compare(&users)).collect();
        match self.format {
            Format::Human => changes.iter().try_for_each(TemplateChange::print)?,
            Format::Json => print(&pretty(&changes)?)?,
        }
        let widens = changes.iter().any(|change| change.widens);
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

/// What changes for the users of a template.
#[derive(Serialize)]
struct TemplateChange {
    template: String,
    status: Status,
    /// Whether any user gains anything.
    widens: bool,
    /// Whose folders move, in words.
    folders: Option<String>,
    /// First all users, then each sample user.
    users: Vec<UserChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    New,
    Removed,
    Compared,
}

#[derive(Serialize, Default)]
struct UserChange {
    user: String,
    gains: Vec<String>,
    losses: Vec<String>,
    /// The user's folder before and after, if it moves.
    moves: Option<[String; 2]>,
    /// Why the user gets no key, neither before nor after.
    no_key: Option<String>,
}

impl Versions {
    fn compare(self, users: &[SampleUser]) -> TemplateChange {
        let Self { name: template, old, new } = self;
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (old, _) => {
                let status = if old.is_none() { Status::New } else { Status::Removed };
                return TemplateChange {
                    template,
                    status,
                    widens: old.is_none(),
                    folders: None,
                    users: Vec::new(),
                };
            }
        };
        let revision = old.revision_to(&new).unwrap_or_default();
        let mut widens = revision.widens();
        let all_users = UserChange {
            user: "all users".to_owned(),
            gains: revision.gains.clone(),
            losses: revision.losses.clone(),
            ..UserChange::default()
        };
        let mut changes = vec![all_users];
        for user in users {
            let (change, gains) = change_for(user, &old, &new);
            widens |= gains;
            changes.push(change);
        }
        TemplateChange {
            template,
            status: Status::Compared,
            widens,
            folders: revision.folders,
            users: changes,
        }
    }
}

/// Returns what changes for a sample user, and whether they gain anything.
fn change_for((name, identity): &SampleUser, old: &TemplateSet, new: &TemplateSet) -> (UserChange, bool) {
    let user = UserChange { user: name.clone(), ..UserChange::default() };
    match (old.grant(None, identity), new.grant(None, identity)) {
        (Ok(before), Ok(after)) => {
            let change = compare(&before.policy().policy(), &after.policy().policy());
            let moves = [before.home().to_owned(), after.home().to_owned()];
            let user = UserChange {
                gains: change.gained().collect(),
                losses: change.lost().collect(),
                moves: Some(moves).filter(|[before, after]| before != after),
                ..user
            };
            (user, change.widens())
        }
        (Ok(_), Err(error)) => (UserChange { losses: vec![format!("every key: {error}")], ..user }, false),
        (Err(error), Ok(_)) => {
            (UserChange { gains: vec![format!("a key at all; before: {error}")], ..user }, true)
        }
        (Err(_), Err(error)) => (UserChange { no_key: Some(error.to_string()), ..user }, false),
    }
}

impl TemplateChange {
    fn print(&self) -> std::io::Result<()> {
        let name = to_single_line(&self.template);
        match self.status {
            Status::New => return print(&format!("{name}: new")),
            Status::Removed => return print(&format!("{name}: removed")),
            Status::Compared => print(&format!("{name}:"))?,
        }
        if let Some(folders) = &self.folders {
            print(&format!("  folders: {}", to_single_line(folders)))?;
        }
        self.users.iter().try_for_each(UserChange::print)
    }
}

impl UserChange {
    fn print(&self) -> std::io::Result<()> {
        let user = to_single_line(&self.user);
        if let Some(why) = &self.no_key {
            return print(&format!("  {user}: no key, before and after: {why}"));
        }
        let gains = self.gains.iter().map(|one| format!("    gains {}", to_single_line(one)));
        let losses = self.losses.iter().map(|one| format!("    loses {}", to_single_line(one)));
        let lines: Vec<String> = gains.chain(losses).collect();
        if lines.is_empty() {
            print(&format!("  {user}: nothing changes"))?;
        } else {
            print(&format!("  {user}:\n{}", lines.join("\n")))?;
        }
        match &self.moves {
            Some([before, after]) => print(&format!("    its folder moves from `{before}` to `{after}`")),
            None => Ok(()),
        }
    }
}

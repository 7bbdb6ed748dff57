//! `cosbroker policy diff`: what a change of templates gives and takes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};

use super::{Configuration, identity_of, read};
use crate::{app::StartError, cli::say, reload::folder};
use cam::compare::compare;
use diagnostics::{Source, to_single_line};
use templates::{ServingConstraints, TemplateSet, identity::Identity};

/// Say what everybody, and each of some sample users, gains and loses by a change.
///
/// Compares two files, or two folders template by template.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy diff old/upload.toml policies/upload.toml\n  cosbroker policy diff old policies --claims users.json\n\nusers.json holds the claims of sample users: a JSON list of objects such as {\"sub\":\"alice\"}."
)]
pub(super) struct Options {
    /// The template as it was, or the folder.
    old: PathBuf,
    /// The template as it is to be, or the folder.
    new: PathBuf,
    /// A file with claims of sample users: a JSON list of objects, or one object. `@FILE` says the same.
    #[arg(long, value_name = "FILE", value_parser = claims_file)]
    claims: Option<PathBuf>,
    /// Fail if anybody gains anything.
    #[arg(long)]
    refuse_widening: bool,
    #[command(flatten)]
    configuration: Configuration,
}

/// Bare, or as the other commands name one, with `@`; what those take besides is told.
fn claims_file(written: &str) -> Result<PathBuf, &'static str> {
    match written.strip_prefix('@').unwrap_or(written) {
        json if json.trim_start().starts_with(['{', '[']) => {
            Err("put them into a file, and name it: @users.json")
        }
        path => Ok(PathBuf::from(path)),
    }
}

/// A template's two versions; one is missing where it is new or gone.
struct Versions {
    name: String,
    old: Option<TemplateSet>,
    new: Option<TemplateSet>,
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let terms = self.configuration.terms()?;
        let people = match &self.claims {
            Some(path) => sample(path)?,
            None => Vec::new(),
        };
        let mut widens = false;
        for versions in self.versions(terms.as_ref())? {
            widens |= versions.tell(&people)?;
        }
        anyhow::ensure!(
            !(widens && self.refuse_widening),
            "somebody gains something, and --refuse-widening is set"
        );
        Ok(())
    }

    fn versions(&self, terms: Option<&ServingConstraints>) -> anyhow::Result<Vec<Versions>> {
        if !self.old.is_dir() && !self.new.is_dir() {
            let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let (old, new) = (stem(&self.old), stem(&self.new));
            let name = if old == new { new } else { format!("{old} -> {new}") };
            let set = |path: &Path| -> anyhow::Result<_> { proved(read(path)?, terms) };
            return Ok(vec![Versions { name, old: Some(set(&self.old)?), new: Some(set(&self.new)?) }]);
        }
        let (old, new) = (files(&self.old)?, files(&self.new)?);
        let stem = |file: &Source| file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let names: BTreeSet<String> = old.iter().chain(&new).map(stem).collect();
        let of = |files: &[Source], name: &str| {
            files.iter().find(|file| stem(file) == name).map(|file| proved(file.clone(), terms)).transpose()
        };
        names
            .into_iter()
            .map(|name| Ok(Versions { old: of(&old, &name)?, new: of(&new, &name)?, name }))
            .collect()
    }
}

fn proved(file: Source, terms: Option<&ServingConstraints>) -> anyhow::Result<TemplateSet> {
    Ok(TemplateSet::of_file(file, terms).map_err(StartError::Problems)?)
}

fn files(dir: &Path) -> anyhow::Result<Vec<Source>> {
    let files = folder::read(dir).map_err(|problem| StartError::Problems(vec![problem]))?;
    let files: Result<Vec<_>, _> = files.into_files().into_iter().collect();
    Ok(files.map_err(|problem| StartError::Problems(vec![problem]))?)
}

/// The people of a file, each with a name to be told by.
fn sample(path: &Path) -> anyhow::Result<Vec<(String, Identity)>> {
    let text = read(path)?;
    let wrong = "holds no list of claims; write it like [{\"sub\":\"alice\"},{\"sub\":\"bob\"}]";
    let parsed = strict_json::from_slice(text.text().as_bytes())
        .map_err(|error| anyhow::anyhow!("{} {wrong}: {error}", path.display()))?;
    let list = match parsed {
        Value::Array(list) => list,
        one => vec![one],
    };
    list.into_iter()
        .map(|claims| {
            let Value::Object(claims) = claims else { anyhow::bail!("{} {wrong}", path.display()) };
            let name = told(&claims);
            Ok((name, identity_of(claims, None)?))
        })
        .collect()
}

/// Somebody by their claims, in one line.
fn told(claims: &Map<String, Value>) -> String {
    let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let said =
        claims.iter().filter(|(name, _)| *name != "sub").map(|(name, one)| format!("{name} {}", value(one)));
    let more: Vec<String> = said.collect();
    let subject = claims.get("sub").map(value).unwrap_or_default();
    if more.is_empty() { subject } else { format!("{subject} ({})", more.join(", ")) }
}

impl Versions {
    /// Tells what changes; whether anybody gains anything.
    fn tell(&self, people: &[(String, Identity)]) -> anyhow::Result<bool> {
        let (old, new) = match (&self.old, &self.new) {
            (Some(old), Some(new)) => (old, new),
            (None, Some(_)) => {
                say(&format!("{}: new", to_single_line(&self.name)))?;
                return Ok(true);
            }
            (Some(_) | None, None) => {
                say(&format!("{}: removed", to_single_line(&self.name)))?;
                return Ok(false);
            }
        };
        let revision = old.revision_to(new).unwrap_or_default();
        say(&format!("{}:", to_single_line(&self.name)))?;
        tell("everybody", revision.gains.iter().cloned(), revision.losses.iter().cloned())?;
        let mut widens = revision.widens();
        for (name, identity) in people {
            match (old.grant(None, identity), new.grant(None, identity)) {
                (Ok(before), Ok(after)) => {
                    let change = compare(before.policy().policy(), after.policy().policy());
                    widens |= change.widens();
                    tell(name, change.gained(), change.lost())?;
                }
                (Ok(_), Err(error)) => tell(name, [], [format!("every key: {error}")])?,
                (Err(error), Ok(_)) => {
                    widens = true;
                    tell(name, [format!("a key at all; before: {error}")], [])?;
                }
                (Err(_), Err(error)) => {
                    say(&format!("  {}: no key, before and after: {error}", to_single_line(name)))?;
                }
            }
        }
        Ok(widens)
    }
}

fn tell(
    who: &str,
    gains: impl IntoIterator<Item = String>,
    losses: impl IntoIterator<Item = String>,
) -> std::io::Result<()> {
    let gains = gains.into_iter().map(|one| format!("    gains {}", to_single_line(&one)));
    let losses = losses.into_iter().map(|one| format!("    loses {}", to_single_line(&one)));
    let lines: Vec<String> = gains.chain(losses).collect();
    let who = to_single_line(who);
    if lines.is_empty() {
        say(&format!("  {who}: nothing changes"))
    } else {
        say(&format!("  {who}:\n{}", lines.join("\n")))
    }
}

//! `cosbroker policy shadow` and `promote`: what a `.next.toml` would change for those who ask, and making it
//! the one that serves.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::read;
use crate::{
    app::StartError,
    cli::{operators::Listener, say},
    config::TemplateSettings,
};
use diagnostics::to_single_line;
use templates::{ShadowReport, TemplateStatus};

/// Say what templates that stand beside the serving ones (`<name>.next.toml`) would change for the people who
/// asked meanwhile.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy shadow --config config.toml\n  cosbroker policy shadow upload"
)]
pub(super) struct Options {
    /// One template; all without.
    template: Option<String>,
    #[command(flatten)]
    listener: Listener,
}

/// Make `<name>.next.toml` the template that serves: the file takes the place of `<name>.toml`, and the broker
/// loads it.
///
/// Refused if anybody could do something new, unless --allow-widening is given.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy promote upload --config config.toml\n  cosbroker policy promote upload --dir policies --allow-widening"
)]
pub(super) struct Promotion {
    /// The template's name.
    template: String,
    /// The templates' folder; the configuration's without.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Even if somebody could do something new.
    #[arg(long)]
    allow_widening: bool,
    #[command(flatten)]
    listener: Listener,
}

/// Every template as a broker shows it.
async fn templates(listener: &Listener) -> anyhow::Result<Vec<TemplateStatus>> {
    let mut status = listener.open()?.get("/api/templates").await?;
    let list = status.get_mut("templates").map(Value::take).unwrap_or_default();
    serde_json::from_value(list).context("this broker's version speaks of templates in another way")
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let all = templates(&self.listener).await?;
        let wanted = |one: &&TemplateStatus| self.template.as_ref().is_none_or(|name| *name == one.name);
        let shadows: Vec<(&str, &ShadowReport)> = all
            .iter()
            .filter(wanted)
            .filter_map(|one| Some((one.name.as_str(), one.shadow.as_ref()?)))
            .collect();
        if shadows.is_empty() {
            let name = self.template.as_deref().unwrap_or("<name>");
            anyhow::bail!("there is no shadow; put {name}.next.toml beside {name}.toml");
        }
        for (name, shadow) in &shadows {
            say(&told(name, shadow))?;
        }
        let broken = shadows.iter().filter(|(_, shadow)| !shadow.problems.is_empty()).count();
        anyhow::ensure!(broken == 0, "{broken} of {} could not serve", shadows.len());
        Ok(())
    }
}

/// A report for a person.
fn told(name: &str, shadow: &ShadowReport) -> String {
    if !shadow.problems.is_empty() {
        let problems: Vec<String> = shadow.problems.iter().map(|one| to_single_line(one)).collect();
        return format!("{name}.next.toml could not serve:\n  {}", problems.join("\n  "));
    }
    let sizes = &shadow.policy_bytes;
    let mut lines = vec![
        format!("{name}.next.toml, beside {name}.toml:"),
        format!("  people who asked     {}", shadow.users),
        format!("  nothing changes for  {}", shadow.unchanged),
        format!("  could do more        {}", shadow.widened),
        format!("  could do less        {}", shadow.narrowed),
        format!("  would get no key     {}", shadow.failed),
        format!(
            "  policy, bytes        mean {} -> {}, largest {} -> {}",
            sizes.now_mean, sizes.next_mean, sizes.now_largest, sizes.next_largest
        ),
    ];
    lines.extend(shadow.failures.iter().map(|(why, count)| format!("  no key for {count}: {why}")));
    lines.extend(shadow.revision.gains.iter().map(|one| format!("  everybody gains {one}")));
    lines.extend(shadow.revision.losses.iter().map(|one| format!("  everybody loses {one}")));
    lines.iter().map(|line| to_single_line(line)).collect::<Vec<_>>().join("\n")
}

impl Promotion {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let dir = self.dir()?;
        let (name, operators) = (&self.template, self.listener.open()?);
        let (file, next) = (dir.join(format!("{name}.toml")), dir.join(format!("{name}.next.toml")));
        // What is promoted is what was counted: the broker looks at the folder once more first.
        operators.post("/api/reload").await?;
        let all = templates(&self.listener).await?;
        let shadow = all
            .iter()
            .find(|one| one.name == *name)
            .and_then(|one| one.shadow.as_ref())
            .ok_or_else(|| anyhow::anyhow!("the broker knows no {name}.next.toml beside {name}.toml"))?;
        say(&told(name, shadow))?;
        anyhow::ensure!(shadow.problems.is_empty(), "{name}.next.toml could not serve; mend it first");
        anyhow::ensure!(
            shadow.version == read(&next)?.sha256(),
            "{} is not the file that the broker has read; is --dir its folder?",
            next.display()
        );
        for path in [&file, &next] {
            anyhow::ensure!(
                path.symlink_metadata().is_ok_and(|found| found.is_file()),
                "{} is not a plain file, so its place is not this command's to give; change what it links to",
                path.display()
            );
        }
        if shadow.users == 0 {
            say(
                "nobody has asked since it stands there: what it changes is known for everybody, not for anyone",
            )?;
        }
        let widens = shadow.widened > 0 || shadow.revision.widens();
        anyhow::ensure!(
            !widens || self.allow_widening,
            "somebody could do something new, so nothing was promoted; say --allow-widening if that is meant"
        );
        std::fs::rename(&next, &file)
            .with_context(|| format!("{} cannot take the place of {}", next.display(), file.display()))?;
        operators.post("/api/reload").await?;
        say(&format!("promoted: {} serves", file.display()))?;
        Ok(())
    }

    fn dir(&self) -> anyhow::Result<PathBuf> {
        match (&self.dir, self.listener.config()) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Some(config)) => {
                let outline =
                    TemplateSettings::load(config).map_err(|problem| StartError::Problems(vec![problem]))?;
                Ok(outline.templates.dir)
            }
            (None, None) => anyhow::bail!("give --config, or the templates' folder with --dir"),
        }
    }
}

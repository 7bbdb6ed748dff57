//! `cosbroker policy shadow` and `promote`: what a `.next.toml` would change for users, and putting it into use.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::{pretty, read};
use crate::{
    app::StartError,
    cli::{admin_client::AdminClient, console::Format, listener::ListenerOptions, print},
    config::TemplateSettings,
};
use diagnostics::to_single_line;
use templates::{ShadowReport, TemplateStatus};

/// Show what shadow templates (`<name>.next.toml`) would change for the users who sent requests since they are there.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy shadow --config config.toml\n  cosbroker policy shadow upload"
)]
pub(super) struct Options {
    /// Only this template. Default: every template.
    template: Option<String>,
    /// The output format.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    listener: ListenerOptions,
}

/// Put a shadow template into use: `<name>.next.toml` replaces `<name>.toml`, and the broker reloads it.
///
/// Fails if any user could do more than before, unless --allow-widening is given.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy promote upload --config config.toml\n  cosbroker policy promote upload --dir policies --allow-widening"
)]
pub(super) struct PromoteOptions {
    /// The name of the template.
    template: String,
    /// The folder of templates. Default: that of the configuration.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Promote even if users could do more than before.
    #[arg(long)]
    allow_widening: bool,
    #[command(flatten)]
    listener: ListenerOptions,
}

/// Fetches the status of every template.
async fn fetch_templates(client: &AdminClient) -> anyhow::Result<Vec<TemplateStatus>> {
    let mut status = client.get("/api/templates").await?;
    let list = status.get_mut("templates").map(Value::take).unwrap_or_default();
    serde_json::from_value(list)
        .context("this broker has another version, whose templates this command cannot read")
}

impl Options {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let templates = fetch_templates(&self.listener.client()?).await?;
        let mut shadows = Vec::new();
        for template in &templates {
            let is_selected = self.template.as_ref().is_none_or(|name| *name == template.name);
            if let Some(shadow) = template.shadow.as_ref().filter(|_| is_selected) {
                shadows.push((template.name.as_str(), shadow));
            }
        }
        if shadows.is_empty() {
            let name = self.template.as_deref().unwrap_or("<name>");
            anyhow::bail!("there is no shadow template; put {name}.next.toml beside {name}.toml");
        }
        match self.format {
            Format::Human => shadows.iter().try_for_each(|(name, shadow)| print(&summary(name, shadow)))?,
            Format::Json => {
                let reports: BTreeMap<&str, &ShadowReport> = shadows.iter().copied().collect();
                print(&pretty(&reports)?)?;
            }
        }
        let broken = shadows.iter().filter(|(_, shadow)| !shadow.problems.is_empty()).count();
        anyhow::ensure!(broken == 0, "{broken} of {} cannot be used", shadows.len());
        Ok(())
    }
}

fn summary(name: &str, shadow: &ShadowReport) -> String {
    if !shadow.problems.is_empty() {
        let problems: Vec<String> = shadow.problems.iter().map(|one| to_single_line(one)).collect();
        return format!("{name}.next.toml cannot be used:\n  {}", problems.join("\n  "));
    }
    let sizes = &shadow.policy_bytes;
    let mut lines = vec![
        format!("{name}.next.toml, beside {name}.toml:"),
        format!("  users seen           {}", shadow.users),
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
    lines.extend(shadow.revision.folders.iter().map(|one| format!("  folders: {one}")));
    lines.extend(shadow.revision.gains.iter().map(|one| format!("  all users gain {one}")));
    lines.extend(shadow.revision.losses.iter().map(|one| format!("  all users lose {one}")));
    lines.iter().map(|line| to_single_line(line)).collect::<Vec<_>>().join("\n")
}

impl PromoteOptions {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let dir = self.dir()?;
        let (name, client) = (&self.template, self.listener.client()?);
        let (file, next) = (dir.join(format!("{name}.toml")), dir.join(format!("{name}.next.toml")));
        // What is promoted must be what was counted, so the broker reads the folder once more first.
        client.post("/api/reload").await?;
        let templates = fetch_templates(&client).await?;
        let shadow = templates
            .iter()
            .find(|one| one.name == *name)
            .and_then(|one| one.shadow.as_ref())
            .ok_or_else(|| anyhow::anyhow!("the broker has no {name}.next.toml beside {name}.toml"))?;
        print(&summary(name, shadow))?;
        anyhow::ensure!(shadow.problems.is_empty(), "{name}.next.toml cannot be used; fix it first");
        check_files(&file, &next, shadow)?;
        if shadow.users == 0 {
            print(
                "no user has sent a request since it is there: its effect on all users is known, but not that on each",
            )?;
        }
        let widens = shadow.widened > 0 || shadow.revision.widens();
        anyhow::ensure!(
            !widens || self.allow_widening,
            "users could do more than before, so nothing was promoted; give --allow-widening if this is intended"
        );
        std::fs::rename(&next, &file)
            .with_context(|| format!("{} cannot replace {}", next.display(), file.display()))?;
        client.post("/api/reload").await?;
        print(&format!("promoted: {} is in use", file.display()))?;
        Ok(())
    }

    fn dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        match self.listener.config()? {
            Some(config) => Ok(TemplateSettings::load(&config).map_err(StartError::from)?.into_dir()),
            None => anyhow::bail!("give --config, or the folder of templates with --dir"),
        }
    }
}

/// Checks that the shadow template is the one that the broker has read, and that both files can be replaced.
fn check_files(file: &Path, next: &Path, shadow: &ShadowReport) -> anyhow::Result<()> {
    anyhow::ensure!(
        shadow.version == read(next)?.sha256(),
        "{} is not the file that the broker has read; is --dir its folder?",
        next.display()
    );
    for path in [file, next] {
        anyhow::ensure!(
            path.symlink_metadata().is_ok_and(|found| found.is_file()),
            "{} is not a regular file, so this command does not replace it; change what it links to",
            path.display()
        );
    }
    Ok(())
}

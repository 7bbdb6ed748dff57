//! `cosbroker policy import`: makes a template from a CAM policy.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use crate::{
    app::StartError,
    cli::{note, print},
};
use diagnostics::Source;
use templates::import;

/// Make a template from a CAM policy, as in the vendor's documents and console, and report what could not be confined.
///
/// The template goes to stdout, notes on it go to stderr. The policy may contain comments and trailing commas.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy import cam.json > policies/photos.toml\n  cosbroker policy import - --home 'users/${sub|escape}/' < cam.json"
)]
pub(super) struct Options {
    /// The file of the policy; `-` reads stdin.
    policy: PathBuf,
    /// The template's home. By default it is derived from the resources of the policy.
    #[arg(long, value_name = "HOME")]
    home: Option<String>,
}

/// Far more than a policy may have (6144 bytes), with room for comments.
const MAX_POLICY_BYTES: u64 = 1 << 20;

fn read_stdin() -> anyhow::Result<Source> {
    let mut text = String::new();
    let read = std::io::stdin()
        .take(MAX_POLICY_BYTES + 1)
        .read_to_string(&mut text)
        .context("stdin is not UTF-8 text")?;
    anyhow::ensure!(
        read as u64 <= MAX_POLICY_BYTES,
        "stdin: is larger than {MAX_POLICY_BYTES} bytes; give the policy alone"
    );
    Ok(Source::new("-", text))
}

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let source = if self.policy == Path::new("-") {
            read_stdin()?
        } else {
            Source::read_at_most(&self.policy, MAX_POLICY_BYTES).map_err(StartError::from)?
        };
        let imported = import(source.text(), self.home.as_deref())?;
        for one in &imported.notes {
            note(one);
        }
        print(imported.template.trim_end())?;
        Ok(())
    }
}

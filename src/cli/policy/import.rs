//! `cosbroker policy import`: a template of a CAM policy.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use super::read;
use crate::cli::{note, say};
use templates::import;

/// Make a template of a CAM policy, as the vendor's documents and console show them, and say what it could not
/// confine.
///
/// The template goes to stdout; what a person must know of it, to stderr. Comments and trailing commas in the
/// policy are taken.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy import cam.json > policies/photos.toml\n  cosbroker policy import - --home 'users/${sub}/' < cam.json"
)]
pub(super) struct Options {
    /// The policy; `-` reads stdin.
    policy: PathBuf,
    /// The template's home; found from the policy's resources without.
    #[arg(long, value_name = "HOME")]
    home: Option<String>,
}

/// A policy ends at 6144 bytes; whatever is this large is none.
const LARGEST: u64 = 1 << 20;

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let text = if self.policy == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().take(LARGEST).read_to_string(&mut text).context("stdin is not UTF-8 text")?;
            text
        } else {
            read(&self.policy)?.text().to_owned()
        };
        let imported = import(&text, self.home.as_deref())?;
        for one in &imported.notes {
            note(one);
        }
        say(imported.template.trim_end())?;
        Ok(())
    }
}

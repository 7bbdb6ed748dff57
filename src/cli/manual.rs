//! `cosbroker completions` and `cosbroker man`: what shells and manuals know of the command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

use super::{command, print};
use diagnostics::printable;

/// Print the completion of this command line for a shell.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker completions bash > /etc/bash_completion.d/cosbroker\n  cosbroker completions zsh > ~/.zfunc/_cosbroker\n  cosbroker completions fish > ~/.config/fish/completions/cosbroker.fish"
)]
pub(super) struct CompletionOptions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionOptions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "cosbroker", &mut script);
        Ok(print(String::from_utf8(script)?.trim_end())?)
    }
}

/// Print the manual page of this command line, or write one for each command.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker man | man -l -\n  cosbroker man --dir /usr/local/share/man/man1"
)]
pub(super) struct ManOptions {
    /// Write a page for each command into this folder, instead of printing the first.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManOptions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command()).render(&mut page)?;
            return Ok(print(String::from_utf8(page)?.trim_end())?);
        };
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("{} cannot be made; give a folder", dir.display()))?;
        clap_mangen::generate_to(command(), &dir)
            .with_context(|| format!("the pages cannot be written into {}", dir.display()))?;
        Ok(print(&printable(&format!("wrote the manual pages into {}", dir.display())))?)
    }
}

//! `cosbroker policy import`: makes a template from a CAM policy.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use crate::{
    app::StartError,
    cli::{console::Console, print},
};
use diagnostics::{Source, printable};
use templates::import;

/// Make a template from a CAM policy, as in the vendor's documents and console, and report what could not be confined.
///
/// The template goes to stdout, notes on it go to stderr. The policy may contain comments and trailing commas.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker policy import cam.json > policies/photos.toml\n  cosbroker policy import - --home 'users/${sub|escape}/' < cam.json"
)]
pub(super) struct Options {
    /// The file of the policy; `-` reads stdin, and a pipe is read to its end.
    policy: PathBuf,
    /// The template's home. By default it is derived from the resources of the policy.
    #[arg(long, value_name = "HOME")]
    home: Option<String>,
}

/// Far more than a policy may have (6144 bytes), with room for comments.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Reads a stream to its end: stdin, or a pipe such as a shell makes of `<(…)`.
fn read_stream(name: &str, stream: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = stream
        .take(MAX_POLICY_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{name} is not UTF-8 text"))?;
    anyhow::ensure!(
        read as u64 <= MAX_POLICY_BYTES,
        "{name}: is larger than {MAX_POLICY_BYTES} bytes; give the policy alone"
    );
    Ok(text)
}

fn read_policy(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return read_stream("stdin", std::io::stdin());
    }
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        let name = printable(&path.display().to_string());
        let pipe = File::open(path).with_context(|| format!("{name} cannot be read"))?;
        return read_stream(&name, pipe);
    }
    let source = Source::read_at_most(path, MAX_POLICY_BYTES).map_err(StartError::from)?;
    Ok(source.text().to_owned())
}

impl Options {
    pub(super) fn run(self, console: Console) -> anyhow::Result<()> {
        let imported = import(&read_policy(&self.policy)?, self.home.as_deref())?;
        for one in &imported.notes {
            console.note(one);
        }
        print(imported.template.trim_end())?;
        Ok(())
    }
}

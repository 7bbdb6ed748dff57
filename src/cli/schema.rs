//! `cosbroker schema`: JSON Schemas of the files that users write, for editors that complete and check them.

use clap::{Args, ValueEnum};

use super::print;

/// Print the JSON Schema of the configuration or of a template, for editors.
///
/// Editors with Taplo (Even Better TOML) read `#:schema FILE` in the first line of a file.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  cosbroker schema config > config.schema.json\n  cosbroker schema template > policies/template.schema.json"
)]
pub(super) struct Options {
    /// The file that it describes.
    #[arg(value_enum)]
    file: File,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum File {
    /// The configuration, `config.toml`.
    Config,
    /// A template, such as `policies/upload.toml`.
    Template,
}

/// Generated from config.example.toml, as the reference is.
const CONFIG: &str = include_str!("../../docs/reference/config.schema.json");
/// Generated from the reader of templates.
const TEMPLATE: &str = include_str!("../../docs/reference/template.schema.json");

impl Options {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let schema = match self.file {
            File::Config => CONFIG,
            File::Template => TEMPLATE,
        };
        Ok(print(schema.trim_end())?)
    }
}

/// Returns a shipped file without the line that names its schema, which is not beside a copy.
pub(super) fn without_schema(text: &str) -> &str {
    text.strip_prefix("#:schema").and_then(|rest| Some(rest.split_once('\n')?.1)).unwrap_or(text)
}

//! The templates of a sandbox that is started without `--templates`.

use std::path::{Path, PathBuf};

use crate::cli::schema::without_schema;

/// The file of the default template.
pub(super) const DEFAULT_FILE: &str = "upload.toml";

const TEMPLATES: [(&str, &str); 5] = [
    (DEFAULT_FILE, include_str!("../../../policies/upload.toml")),
    ("avatar.toml", include_str!("../../../policies/avatar.toml")),
    ("team.toml", include_str!("../../../policies/team.toml")),
    ("downloads.toml", include_str!("../../../policies/downloads.toml")),
    ("files.toml", include_str!("../../../policies/files.toml")),
];

/// The folder of the templates.
#[derive(Debug)]
pub(super) enum TemplatesDir {
    /// The folder that the user gave.
    Given(PathBuf),
    /// A temporary folder with the built-in templates, deleted on drop.
    BuiltIn(tempfile::TempDir),
}

impl TemplatesDir {
    /// Returns the given folder, or a temporary one with the built-in templates.
    pub(super) fn open(given: Option<&Path>) -> anyhow::Result<Self> {
        match given {
            Some(dir) if dir.is_dir() => Ok(Self::Given(std::path::absolute(dir)?)),
            Some(dir) => anyhow::bail!(
                "--templates {}: is no folder; give one with a template {DEFAULT_FILE}, or leave the option out",
                dir.display()
            ),
            None => Ok(Self::BuiltIn(write_templates().map_err(|error| {
                anyhow::anyhow!(
                    "the built-in templates cannot be written: {error}; create that folder, name an existing one in TMPDIR, or give --templates"
                )
            })?)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(dir) => dir,
            Self::BuiltIn(dir) => dir.path(),
        }
    }
}

fn write_templates() -> std::io::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new().prefix("cosbroker-sandbox-").tempdir()?;
    for (name, text) in TEMPLATES {
        std::fs::write(dir.path().join(name), without_schema(text))?;
    }
    Ok(dir)
}

//! The templates' folder as it stands at one moment.
//!
//! The only place of this room that reads files.

use std::path::{Path, PathBuf};

use super::template::Template;
use crate::fingerprint::Fingerprint;
use diagnostics::{Diagnostic, Source};

/// Every template file of a folder.
#[derive(Debug)]
pub struct Folder {
    /// Each file, or why it cannot be read.
    pub files: Vec<Result<Source, Diagnostic>>,
    version: Fingerprint,
}

/// A policy ends at 6144 bytes; a template with all its comments is some thousand.
const LARGEST: u64 = 1 << 20;

/// How often a folder that changes under our hands is read again.
const TRIES: usize = 5;

impl Folder {
    /// Reads every `*.toml` of a folder; once more while it changes meanwhile, as when a symbolic link is
    /// swapped between two files (Kubernetes does so).
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn read(dir: &Path) -> Result<Self, Diagnostic> {
        let mut folder = Self::glance(dir)?;
        for _ in 1..TRIES {
            let again = Self::glance(dir)?;
            if again.version == folder.version {
                break;
            }
            folder = again;
        }
        Ok(folder)
    }

    /// Reads it once, whatever happens to it meanwhile.
    pub fn glance(dir: &Path) -> Result<Self, Diagnostic> {
        let paths = paths(dir).map_err(|error| {
            Diagnostic::of_file(
                dir,
                format!("cannot be read: {error}"),
                "name the folder of your templates: templates.dir (relative to the configuration file), or --templates in the sandbox",
            )
        })?;
        Ok(Self::of(paths.into_iter().map(|path| Source::read_at_most(path, LARGEST)).collect()))
    }

    /// These files, and those of these folders, as if they were one folder's.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn gather(paths: impl IntoIterator<Item = PathBuf>) -> Result<Self, Diagnostic> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                files.extend(Self::read(&path)?.files);
            } else {
                files.push(Source::read_at_most(path, LARGEST));
            }
        }
        Ok(Self::of(files))
    }

    /// These files, as if they were a folder's.
    pub fn of(files: Vec<Result<Source, Diagnostic>>) -> Self {
        let parts: Vec<String> = files
            .iter()
            .flat_map(|file| match file {
                Ok(source) => [source.path().display().to_string(), source.text().to_owned()],
                Err(problem) => [problem.path.display().to_string(), problem.to_string()],
            })
            .collect();
        Self { version: Fingerprint::of(&parts), files }
    }

    /// Names every file and all that stands in it.
    pub fn version(&self) -> Fingerprint {
        self.version
    }
}

fn paths(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    // Editors keep locks and backups beside the file, under names that begin with a dot.
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && !hidden(path));
    paths.sort();
    Ok(paths)
}

/// The name of the template that a `<name>.next.toml` may come to replace.
pub(super) fn next_of(path: &Path) -> Option<String> {
    stem(path).strip_suffix(".next").map(str::to_owned)
}

/// Reads a template under its file's stem.
///
/// # Errors
/// Every problem found, each with its place and mend.
pub(super) fn template(source: Source) -> Result<Template, Vec<Diagnostic>> {
    let stem = stem(source.path()).to_owned();
    let name = stem.strip_suffix(".next").unwrap_or(&stem);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(vec![Diagnostic::of_file(
            source.path(),
            format!("`{stem}` cannot be a template's name"),
            "name the file with 1 to 64 letters, digits, `-` and `_`: the name stands in URLs",
        )]);
    }
    Template::parse(&stem, source)
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

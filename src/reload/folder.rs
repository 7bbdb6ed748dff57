//! Reads the templates' folder.

use std::{
    io,
    path::{Path, PathBuf},
};

use diagnostics::{Diagnostic, Source, nearest};
use templates::TemplateFiles;

/// A policy has at most 6144 bytes; a template with its comments has some thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The maximum number of reads of a folder that changes meanwhile.
const MAX_READS: usize = 5;

/// Reads every `*.toml` of a folder. It reads again while the folder changes, as when a symbolic link is swapped
/// between two files (as Kubernetes does).
///
/// # Errors
/// When the folder cannot be listed. A file that cannot be read is an error in [`TemplateFiles`].
pub(crate) fn read(dir: &Path) -> Result<TemplateFiles, Diagnostic> {
    let mut files = read_once(dir)?;
    for _ in 1..MAX_READS {
        let again = read_once(dir)?;
        if again == files {
            break;
        }
        files = again;
    }
    Ok(files)
}

/// Reads every `*.toml` of a folder once, even if the folder changes meanwhile.
pub(super) fn read_once(dir: &Path) -> Result<TemplateFiles, Diagnostic> {
    let paths = template_paths(dir).map_err(|error| {
        Diagnostic::of_file(
            dir,
            format!("cannot be read: {error}"),
            "name the folder of your templates: templates.dir (relative to the configuration file), or --templates in the sandbox",
        )
    })?;
    Ok(TemplateFiles::new(paths.into_iter().map(read_file).collect()))
}

/// Reads files and the files of folders, as if they were in one folder.
///
/// # Errors
/// When a folder cannot be listed.
pub(crate) fn gather(paths: impl IntoIterator<Item = PathBuf>) -> Result<TemplateFiles, Diagnostic> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(read(&path)?.into_files());
        } else {
            files.push(read_file(path));
        }
    }
    Ok(TemplateFiles::new(files))
}

fn read_file(path: PathBuf) -> Result<Source, Diagnostic> {
    Source::read_at_most(path, MAX_FILE_BYTES)
}

fn template_paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Returns the files of a folder that look like templates with a misspelt name: `upload.tml`, `upload.toml.txt`.
pub(crate) fn skipped(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut skipped: Vec<PathBuf> =
        paths.filter(|path| !is_hidden(path) && has_misspelt_extension(path)).collect();
    skipped.sort();
    skipped
}

/// Whether the name of a file ends nearly in `.toml`, or in something behind it. Backups of editors end in `~`.
fn has_misspelt_extension(path: &Path) -> bool {
    let written = extension(path);
    let before = path.file_stem().map(|stem| extension(Path::new(stem))).unwrap_or_default();
    let is_near = nearest(&written, ["toml"]).is_some() || before.eq_ignore_ascii_case("toml");
    written != "toml" && !written.ends_with('~') && is_near
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Editors keep locks and backups beside a file, under names that begin with a dot.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_nearly_a_template_is_told() {
        for (name, is_told) in [
            ("upload.tml", true),
            ("upload.TOML", true),
            ("upload.toml.txt", true),
            ("upload.toml.bak", true),
            ("upload.toml", false),
            ("upload.next.toml", false),
            ("upload.toml~", false),
            ("README.md", false),
            ("users.json", false),
        ] {
            assert_eq!(has_misspelt_extension(Path::new(name)), is_told, "{name}");
        }
    }
}

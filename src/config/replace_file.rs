//! Writes the files that the broker keeps over restarts, each as a whole or not at all.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Replaces a file by another one, which only its owner can read. Lasts when it returns.
///
/// # Errors
/// When it cannot be written; the file then has the old content.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    File::open(folder)?.sync_all()
}

//! The log file: appends whole lines, rotates by size, and follows its name.
//!
//! The file is looked up by name before each batch, so that `logrotate` may move or remove it without a signal to this
//! process. Rotation is written by hand because `file-rotate` and `tracing-appender` neither lock the file, nor remove
//! a partial line after a full disk, nor follow a file that was moved.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use crate::config::Rotation;

/// The file that lines are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The name and the rotation; none for stdout.
    named: Option<(PathBuf, Option<Rotation>)>,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// The device and the inode, which identify the file.
    id: (u64, u64),
    /// Whether the file ends with a part of a line that could not be removed.
    ends_with_partial_line: bool,
    /// The size below which a failed rotation is not tried again.
    retry_rotation_at: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, rotation: Option<Rotation>) -> Self {
        Self { named: Some((path, rotation)), open: None }
    }

    pub(super) fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { named: None, open: Some(OpenFile::new(file, (0, 0))) })
    }

    /// Opens the file again if its name now belongs to another file, or to none.
    pub(super) fn reopen_if_moved(&mut self) -> io::Result<()> {
        let Some((path, _)) = &self.named else { return Ok(()) };
        let found = match fs::metadata(path) {
            Ok(found) => Some((found.dev(), found.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if found.is_none() || found != self.open.as_ref().map(|open| open.id) {
            self.open = Some(OpenFile::open(path)?);
        }
        Ok(())
    }

    /// Rotates the file if it would grow too large by `bytes`.
    pub(super) fn rotate_if_needed(&mut self, bytes: usize) -> io::Result<()> {
        let (Some((path, Some(rotation))), Some(open)) = (&self.named, &mut self.open) else {
            return Ok(());
        };
        let now = open.file.metadata()?;
        let grown = now.len().saturating_add(bytes as u64);
        if !now.is_file() || now.len() == 0 || grown <= rotation.max_bytes.max(open.retry_rotation_at) {
            return Ok(());
        }
        // A rotation that fails is not tried again at every line.
        open.retry_rotation_at = now.len() + rotation.max_bytes / 16;
        open.file.sync_data()?;
        for number in (1..rotation.keep.get()).rev() {
            match fs::rename(rotated_path(path, number), rotated_path(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(path, rotated_path(path, 1))?;
        self.reopen_if_moved()
    }

    /// Appends a line, whole or not at all.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        if open.ends_with_partial_line {
            write_all(&mut open.file, b"\n").map_err(|failure| failure.error)?;
            open.ends_with_partial_line = false;
        }
        write_all(&mut open.file, line).map_err(|WriteFailure { written, error }| {
            open.ends_with_partial_line =
                written > 0 && (self.named.is_none() || open.truncate_by(written).is_err());
            error
        })
    }

    /// Flushes the file to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match (&self.named, &self.open) {
            (Some(_), Some(open)) if open.file.metadata()?.is_file() => open.file.sync_data(),
            _ => Ok(()),
        }
    }
}

impl OpenFile {
    fn new(file: File, id: (u64, u64)) -> Self {
        Self { file, id, ends_with_partial_line: false, retry_rotation_at: 0 }
    }

    fn open(path: &Path) -> io::Result<Self> {
        // Readable by the service's user only: it says who did what from where.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let found = file.metadata()?;
        // Two processes that rotate the same log would lose lines of both. On a file system without locks, the operator
        // must prevent that.
        if found.is_file() && matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes to it"));
        }
        Ok(Self::new(file, (found.dev(), found.ino())))
    }

    /// Removes the last bytes. This process wrote them, as it holds the lock.
    fn truncate_by(&self, bytes: usize) -> io::Result<()> {
        let found = self.file.metadata()?;
        if !found.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.file.set_len(found.len().saturating_sub(bytes as u64))
    }
}

/// Returns the path of the `number`th older file, where 1 is the newest.
fn rotated_path(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Checks whether a log could be opened, without creating one.
pub(super) fn check_openable(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            // The temporary file has no name and is removed at once.
            tempfile::tempfile_in(folder.unwrap_or(Path::new("."))).map(|_| ())
        }
        opened => opened.map(|_| ()),
    }
}

/// A failed write, and the number of bytes that were written before.
#[derive(Debug)]
struct WriteFailure {
    written: usize,
    error: io::Error,
}

/// Writes all bytes, in one system call where possible. Unlike `Write::write_all`, reports how much was written.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<(), WriteFailure> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return Err(WriteFailure { written, error: io::ErrorKind::WriteZero.into() }),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(WriteFailure { written, error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn log(dir: &tempfile::TempDir, max_bytes: u64, keep: u32) -> LogFile {
        let rotation = Rotation { max_bytes, keep: keep.try_into().unwrap() };
        let mut log = LogFile::new(dir.path().join("audit.jsonl"), Some(rotation));
        log.reopen_if_moved().unwrap();
        log
    }

    fn read(dir: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(dir.path().join(name)).unwrap()
    }

    fn append(log: &mut LogFile, line: &str) {
        log.reopen_if_moved().unwrap();
        log.append(line.as_bytes()).unwrap();
    }

    #[test]
    fn rotation_renames_older_files_and_removes_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 8, 2);
        for line in ["one\n", "two\n", "three\n", "four\n", "a line that is longer than a file\n", "five\n"] {
            log.rotate_if_needed(line.len()).unwrap();
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&dir, "audit.jsonl"), "five\n");
        assert_eq!(read(&dir, "audit.jsonl.1"), "a line that is longer than a file\n");
        assert_eq!(read(&dir, "audit.jsonl.2"), "four\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        let mode = fs::metadata(dir.path().join("audit.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_log_that_others_move_or_remove_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 1000, 2);
        append(&mut log, "one\n");
        fs::rename(dir.path().join("audit.jsonl"), dir.path().join("moved")).unwrap();
        append(&mut log, "two\n");
        assert_eq!((read(&dir, "moved").as_str(), read(&dir, "audit.jsonl").as_str()), ("one\n", "two\n"));
        fs::remove_file(dir.path().join("audit.jsonl")).unwrap();
        append(&mut log, "three\n");
        assert_eq!(read(&dir, "audit.jsonl"), "three\n");
    }

    #[test]
    fn a_log_that_cannot_be_rotated_keeps_growing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 8, 1);
        fs::create_dir_all(dir.path().join("audit.jsonl.1/in-the-way")).unwrap();
        let mut failures = 0;
        for _ in 0..10 {
            failures += u32::from(log.rotate_if_needed(4).is_err());
            log.append(b"one\n").unwrap();
        }
        assert_eq!(read(&dir, "audit.jsonl").len(), 40);
        assert!(failures > 0);
    }

    #[test]
    fn a_second_process_cannot_open_the_same_log() {
        let dir = tempfile::tempdir().unwrap();
        let first = log(&dir, 1000, 2);
        let mut second = LogFile::new(dir.path().join("audit.jsonl"), None);
        assert_eq!(second.reopen_if_moved().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        second.reopen_if_moved().unwrap();
    }

    #[test]
    fn a_partial_line_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 1000, 2);
        log.append(b"whole\n").unwrap();
        let open = log.open.as_mut().unwrap();
        open.file.write_all(b"half a").unwrap();
        open.truncate_by(6).unwrap();
        log.append(b"next\n").unwrap();
        assert_eq!(read(&dir, "audit.jsonl"), "whole\nnext\n");
    }

    #[test]
    fn a_failed_write_reports_how_much_was_written() {
        struct LimitedSpace(usize);
        impl Write for LimitedSpace {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0).min(4);
                self.0 -= taken;
                if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(write_all(&mut LimitedSpace(10), b"0123456789").is_ok());
        let WriteFailure { written, error } = write_all(&mut LimitedSpace(9), b"0123456789").unwrap_err();
        assert_eq!((written, error.kind()), (9, io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_check_does_not_create_the_log() {
        let dir = tempfile::tempdir().unwrap();
        check_openable(&dir.path().join("new")).unwrap();
        assert!(!dir.path().join("new").exists());
        assert!(check_openable(&dir.path().join("no/such")).is_err());
        assert!(check_openable(dir.path()).is_err());
    }
}

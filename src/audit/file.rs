//! The log as a file: whole lines at its end, turned over by size, found again by name.
//!
//! The file is looked for by its name before each batch, so that it may be moved or removed by others
//! (`logrotate`) with no signal to this process.

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

/// Where lines go.
#[derive(Debug)]
pub(super) struct LogFile {
    /// None for what was open from the start and has no name: stdout.
    named: Option<(PathBuf, Option<Rotation>)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    /// A part of a line stands at the end and could not be taken back.
    torn: bool,
    /// After a rotation that failed: not before it has grown to this.
    no_rotation_below: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, rotation: Option<Rotation>) -> Self {
        Self { named: Some((path, rotation)), open: None }
    }

    pub(super) fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { named: None, open: Some(Open { file, id: (0, 0), torn: false, no_rotation_below: 0 }) })
    }

    /// Makes sure that what is open is what has the name.
    pub(super) fn look(&mut self) -> io::Result<()> {
        let Some((path, _)) = &self.named else { return Ok(()) };
        let found = match fs::metadata(path) {
            Ok(found) => Some((found.dev(), found.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if found.is_none() || found != self.open.as_ref().map(|open| open.id) {
            self.open = Some(Open::at(path)?);
        }
        Ok(())
    }

    /// Turns the log over if so many bytes more would be too many.
    pub(super) fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        let (Some((path, Some(rotation))), Some(open)) = (&self.named, &mut self.open) else {
            return Ok(());
        };
        let now = open.file.metadata()?;
        let grown = now.len().saturating_add(bytes as u64);
        if !now.is_file() || now.len() == 0 || grown <= rotation.max_bytes.max(open.no_rotation_below) {
            return Ok(());
        }
        // Not at every line, if it cannot be done.
        open.no_rotation_below = now.len() + rotation.max_bytes / 16;
        open.file.sync_data()?;
        let numbered = |number: u32| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..rotation.keep.get()).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(path, numbered(1))?;
        self.look()
    }

    /// Puts a line at the end, whole or not at all.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        if open.torn {
            write_whole(&mut open.file, b"\n").map_err(|(_, error)| error)?;
            open.torn = false;
        }
        write_whole(&mut open.file, line).map_err(|(written, error)| {
            open.torn = written > 0 && (self.named.is_none() || open.take_back(written).is_err());
            error
        })
    }

    /// Has all that was written put to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match (&self.named, &self.open) {
            (Some(_), Some(open)) if open.file.metadata()?.is_file() => open.file.sync_data(),
            _ => Ok(()),
        }
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // Nobody else's to read: it says who did what from where.
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let found = file.metadata()?;
        // Two processes that turn one log over would lose lines of both. Where a file system has no locks,
        // this is the operator's to see to.
        if found.is_file() && matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes to it"));
        }
        Ok(Self { file, id: (found.dev(), found.ino()), torn: false, no_rotation_below: 0 })
    }

    /// Cuts off the last bytes, which this process wrote: nobody else holds the lock.
    fn take_back(&self, bytes: usize) -> io::Result<()> {
        let found = self.file.metadata()?;
        if !found.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.file.set_len(found.len().saturating_sub(bytes as u64))
    }
}

/// Whether a log could be opened, without making one.
pub(super) fn could_be_opened(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            // A file without a name, which is gone at once.
            tempfile::tempfile_in(folder.unwrap_or(Path::new("."))).map(|_| ())
        }
        opened => opened.map(|_| ()),
    }
}

/// Writes all, in one call where the system takes it so; or says how much was written before it failed.
fn write_whole(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
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
        log.look().unwrap();
        log
    }

    fn read(dir: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(dir.path().join(name)).unwrap()
    }

    #[test]
    fn lines_move_from_file_to_file_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 8, 2);
        for line in ["one\n", "two\n", "three\n", "four\n", "a line that is longer than a file\n", "five\n"] {
            log.make_room(line.len()).unwrap();
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
    fn a_log_that_others_move_or_remove_goes_on_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 1000, 2);
        let mut put = |line: &str| {
            log.look().unwrap();
            log.append(line.as_bytes()).unwrap();
        };
        put("one\n");
        fs::rename(dir.path().join("audit.jsonl"), dir.path().join("moved")).unwrap();
        put("two\n");
        assert_eq!((read(&dir, "moved").as_str(), read(&dir, "audit.jsonl").as_str()), ("one\n", "two\n"));
        fs::remove_file(dir.path().join("audit.jsonl")).unwrap();
        put("three\n");
        assert_eq!(read(&dir, "audit.jsonl"), "three\n");
    }

    #[test]
    fn a_log_that_cannot_be_turned_over_goes_on_growing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 8, 1);
        fs::create_dir_all(dir.path().join("audit.jsonl.1/in-the-way")).unwrap();
        let mut failures = 0;
        for _ in 0..10 {
            failures += u32::from(log.make_room(4).is_err());
            log.append(b"one\n").unwrap();
        }
        assert_eq!(read(&dir, "audit.jsonl").len(), 40);
        assert!(failures > 0);
    }

    #[test]
    fn one_log_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let first = log(&dir, 1000, 2);
        let mut second = LogFile::new(dir.path().join("audit.jsonl"), None);
        assert_eq!(second.look().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        second.look().unwrap();
    }

    #[test]
    fn half_a_line_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 1000, 2);
        log.append(b"whole\n").unwrap();
        let open = log.open.as_mut().unwrap();
        open.file.write_all(b"half a").unwrap();
        open.take_back(6).unwrap();
        log.append(b"next\n").unwrap();
        assert_eq!(read(&dir, "audit.jsonl"), "whole\nnext\n");
    }

    #[test]
    fn what_was_written_before_a_failure_is_known() {
        struct Room(usize);
        impl Write for Room {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0).min(4);
                self.0 -= taken;
                if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(write_whole(&mut Room(10), b"0123456789").is_ok());
        let (written, error) = write_whole(&mut Room(9), b"0123456789").unwrap_err();
        assert_eq!((written, error.kind()), (9, io::ErrorKind::StorageFull));
    }

    #[test]
    fn what_can_be_opened_is_known_without_making_it() {
        let dir = tempfile::tempdir().unwrap();
        could_be_opened(&dir.path().join("new")).unwrap();
        assert!(!dir.path().join("new").exists());
        assert!(could_be_opened(&dir.path().join("no/such")).is_err());
        assert!(could_be_opened(dir.path()).is_err());
    }
}

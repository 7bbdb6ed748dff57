//! The file that keeps who is revoked over restarts: the one that the broker itself writes.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use diagnostics::{Diagnostic, Source};

/// Somebody who is given no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedPrincipal {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// From when on.
    pub since: Timestamp,
}

/// A file of revoked people, and whom it named when it was read.
#[derive(Debug, Clone)]
pub struct RevokedFile {
    path: PathBuf,
    people: Vec<RevokedPrincipal>,
}

/// What stands in it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    revoked: Vec<RevokedPrincipal>,
}

const HEAD: &str = "# Who is given no key. Written by cosbroker at each revocation: change it only while it does not run.\n\n";

impl RevokedFile {
    /// Reads it. One that is not there yet names nobody; one that cannot be read must not pass for that.
    pub(super) fn open(path: PathBuf) -> Result<Self, Diagnostic> {
        let Written { revoked: people } = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Written::default(),
            _ => Source::read(&path)?.parse()?,
        };
        Ok(Self { path, people })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whom it named when it was read.
    pub fn people(&self) -> &[RevokedPrincipal] {
        &self.people
    }

    /// Writes these and no others. After a crash, the file holds either what it held or what it was to hold.
    ///
    /// # Errors
    /// When the disk does not take it; the file then holds what it held.
    pub fn write(&self, people: Vec<RevokedPrincipal>) -> io::Result<()> {
        let text = toml::to_string(&Written { revoked: people }).map_err(io::Error::other)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Readable by its owner alone: it names people.
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(HEAD.as_bytes())?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(&self.path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn principal(issuer: &str, subject: &str, second: i64) -> RevokedPrincipal {
        let since = Timestamp::from_second(second).unwrap();
        RevokedPrincipal { issuer: issuer.to_owned(), subject: subject.to_owned(), since }
    }

    proptest! {
        // Each case waits for the disk.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_again_whoever_is_in_it(
            people in proptest::collection::vec((".*", ".*", 0i64..2_000_000_000), 0..4)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("revoked.toml");
            let people: Vec<_> = people.iter().map(|(i, s, at)| principal(i, s, *at)).collect();
            RevokedFile::open(path.clone()).unwrap().write(people.clone()).unwrap();
            let read = RevokedFile::open(path).unwrap();
            prop_assert_eq!(read.people(), people);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_never_passes_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revoked.toml");
        assert!(RevokedFile::open(path.clone()).unwrap().people().is_empty());
        for (text, said) in [
            ("[[revoked]]\nissuer = \"i\"\n", "missing field `subject`"),
            ("[[revokd]]\n", "did you mean `revoked`?"),
            ("{\"revoked\":[]}", ""),
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = RevokedFile::open(path.clone()).unwrap_err().to_string();
            assert!(problem.contains("revoked.toml:1:") && problem.contains(said), "{problem}");
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert!(RevokedFile::open(path.clone()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(RevokedFile::open(path).is_err(), "what leads nowhere is not a file that is not there yet");
    }

    #[test]
    fn a_disk_that_takes_nothing_leaves_what_was_written() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        std::fs::create_dir(&folder).unwrap();
        let file = RevokedFile::open(folder.join("revoked.toml")).unwrap();
        file.write(vec![principal("i", "alice", 1)]).unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "only its owner reads it");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        std::fs::rename(&folder, dir.path().join("gone")).unwrap();
        assert!(file.write(vec![]).is_err());
        std::fs::rename(dir.path().join("gone"), &folder).unwrap();
        assert_eq!(RevokedFile::open(file.path().to_owned()).unwrap().people(), [principal("i", "alice", 1)]);
    }
}

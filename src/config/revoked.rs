//! The file that keeps revocations over restarts.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::replace_file::replace_file;
use diagnostics::{Diagnostic, Source};

/// A user who gets no keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedPrincipal {
    /// The issuer: `iss` of the user's tokens.
    pub issuer: String,
    /// The subject: `sub` of the user's tokens.
    pub subject: String,
    /// When the user was revoked.
    pub since: Timestamp,
}

/// The file, and the users it had when it was read.
#[derive(Debug, Clone)]
pub struct RevokedFile {
    path: PathBuf,
    principals: Vec<RevokedPrincipal>,
}

/// The content of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    revoked: Vec<RevokedPrincipal>,
}

const HEADER: &str = "# Revoked users. cosbroker writes this file at each revocation: change it only while cosbroker does not run.\n\n";

impl RevokedFile {
    /// Reads the file. A missing file is empty; a file that cannot be read is an error.
    pub(super) fn open(path: PathBuf) -> Result<Self, Diagnostic> {
        let Content { revoked: principals } = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            _ => Source::read(&path)?.parse()?,
        };
        Ok(Self { path, principals })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The users it had when it was read.
    pub fn principals(&self) -> &[RevokedPrincipal] {
        &self.principals
    }

    /// Replaces the content. After a crash, the file has either the old or the new content.
    ///
    /// # Errors
    /// When it cannot be written; the file then has the old content.
    pub fn write(&self, principals: Vec<RevokedPrincipal>) -> io::Result<()> {
        let text = toml::to_string(&Content { revoked: principals }).map_err(io::Error::other)?;
        replace_file(&self.path, (HEADER.to_owned() + &text).as_bytes())
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
        fn any_written_users_are_read_again(
            principals in proptest::collection::vec((".*", ".*", 0i64..2_000_000_000), 0..4)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("revoked.toml");
            let principals: Vec<_> = principals.iter().map(|(i, s, at)| principal(i, s, *at)).collect();
            RevokedFile::open(path.clone()).unwrap().write(principals.clone()).unwrap();
            let read = RevokedFile::open(path).unwrap();
            prop_assert_eq!(read.principals(), principals);
        }
    }

    #[test]
    fn an_unreadable_file_is_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revoked.toml");
        assert!(RevokedFile::open(path.clone()).unwrap().principals().is_empty());
        for (text, message) in [
            ("[[revoked]]\nissuer = \"i\"\n", "missing field `subject`"),
            ("[[revokd]]\n", "did you mean `revoked`?"),
            ("{\"revoked\":[]}", ""),
        ] {
            std::fs::write(&path, text).unwrap();
            let problem = RevokedFile::open(path.clone()).unwrap_err().to_string();
            assert!(problem.contains("revoked.toml:1:") && problem.contains(message), "{problem}");
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert!(RevokedFile::open(path.clone()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(RevokedFile::open(path).is_err(), "a dangling link is not a missing file");
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
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
        assert_eq!(
            RevokedFile::open(file.path().to_owned()).unwrap().principals(),
            [principal("i", "alice", 1)]
        );
    }
}

//! The files that hold the source credentials. They are read at the start, and again when they are rotated.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::{super::secrets::secret_of, is_valid_key_part};
use diagnostics::{ReadFault, read_secret_file};
use tencent_sts::SourceCredentials;

/// A key part has some forty bytes, a profile some hundred.
const MAX_CREDENTIAL_FILE_BYTES: u64 = 64 << 10;

/// The files that hold the source credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFiles {
    /// One file for each part: `sts.secret_id_file` and `sts.secret_key_file`.
    Pair {
        /// The file of the `SecretId`.
        id: PathBuf,
        /// The file of the `SecretKey`.
        key: PathBuf,
    },
    /// The profile of Tencent's SDKs.
    Profile(PathBuf),
}

/// A file that holds no source credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct MissingCredentials {
    file: PathBuf,
    fault: FileFault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum FileFault {
    #[error("{0}")]
    Unreadable(String),
    #[error("{fault}; {help}")]
    Refused { fault: String, help: String },
    #[error("{0}")]
    NotText(#[from] std::str::Utf8Error),
    #[error("holds something else than a key")]
    NotAKey,
    #[error("its section [default] has not both secret_id and secret_key")]
    IncompleteProfile,
}

impl MissingCredentials {
    /// Whether there is a file that must not be read, such as one that others can read.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.fault, FileFault::Refused { .. })
    }
}

impl CredentialFiles {
    /// Reads the present credentials.
    ///
    /// # Errors
    /// The file that cannot be read or holds none.
    pub fn read(&self) -> Result<SourceCredentials, MissingCredentials> {
        match self {
            Self::Pair { id, key } => {
                Ok(SourceCredentials { secret_id: key_part(id)?, secret_key: key_part(key)?, token: None })
            }
            Self::Profile(path) => {
                let (secret_id, secret_key) = default_section(&text(path)?).ok_or_else(|| {
                    MissingCredentials { file: path.clone(), fault: FileFault::IncompleteProfile }
                })?;
                Ok(SourceCredentials { secret_id, secret_key, token: None })
            }
        }
    }
}

fn text(path: &Path) -> Result<SecretString, MissingCredentials> {
    read_secret_file(path, MAX_CREDENTIAL_FILE_BYTES)
        .map_err(|fault| match fault {
            ReadFault::Unreadable(error) => FileFault::Unreadable(error.to_string()),
            other => FileFault::Refused { help: other.help(path), fault: other.to_string() },
        })
        .and_then(|bytes| Ok(secret_of(&bytes)?))
        .map_err(|fault| MissingCredentials { file: path.to_owned(), fault })
}

fn key_part(path: &Path) -> Result<SecretString, MissingCredentials> {
    let part = text(path)?;
    if is_valid_key_part(&part) {
        Ok(part)
    } else {
        Err(MissingCredentials { file: path.to_owned(), fault: FileFault::NotAKey })
    }
}

/// Returns `secret_id` and `secret_key` of the section `[default]` of the SDK's INI profile.
fn default_section(profile: &SecretString) -> Option<(SecretString, SecretString)> {
    let section: Vec<(&str, &str)> = profile
        .expose_secret()
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[default]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    Some((value_of(&section, "secret_id")?, value_of(&section, "secret_key")?))
}

/// The first value of a name that is not empty, if it is a valid part of a key.
fn value_of(section: &[(&str, &str)], name: &str) -> Option<SecretString> {
    let (_, value) = section.iter().find(|(found, value)| *found == name && !value.is_empty())?;
    Some(SecretString::from(*value)).filter(is_valid_key_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(read: Result<SourceCredentials, MissingCredentials>) -> Result<(String, String), String> {
        read.map(|read| {
            (read.secret_id.expose_secret().to_owned(), read.secret_key.expose_secret().to_owned())
        })
        .map_err(|missing| missing.to_string())
    }

    fn write(path: &Path, content: impl AsRef<[u8]>) {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
        file.unwrap().write_all(content.as_ref()).unwrap();
    }

    #[test]
    fn credentials_are_read_from_their_files_or_the_faulty_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let [id, key, ini] = ["id", "key", "credentials"].map(|name| dir.path().join(name));
        let pair = CredentialFiles::Pair { id: id.clone(), key: key.clone() };
        write(&id, "AKIDone\r\n");
        assert!(shown(pair.read()).unwrap_err().contains("key: No such file"), "{:?}", pair.read());
        for (text, what) in [("", "something else"), ("two words", "something else"), ("ü", "something else")]
        {
            write(&key, text);
            assert!(shown(pair.read()).unwrap_err().contains(what), "{text}: {:?}", pair.read());
        }
        write(&key, [0xff]);
        assert!(shown(pair.read()).unwrap_err().contains("utf-8"), "{:?}", pair.read());
        write(&key, "secret\n");
        assert_eq!(shown(pair.read()), Ok(("AKIDone".to_owned(), "secret".to_owned())));

        let profile = CredentialFiles::Profile(ini.clone());
        write(&ini, "[other]\nsecret_id = x\nsecret_key = y\n[default]\nsecret_id = AKIDtwo\n");
        assert!(shown(profile.read()).unwrap_err().contains("[default]"));
        write(&ini, "[default]\nsecret_id = AKIDtwo\nsecret_key=s2\n[other]\n");
        assert_eq!(shown(profile.read()), Ok(("AKIDtwo".to_owned(), "s2".to_owned())));
    }
}

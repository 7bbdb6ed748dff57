//! `[snapshot]`: the file in which temporary keys outlive a restart.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use toml::Spanned;

use super::context::Context;
use diagnostics::Diagnostic;

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSnapshot {
    file: Spanned<PathBuf>,
    key_file: Spanned<PathBuf>,
}

/// Where the snapshot is, and the key that encrypts it.
#[derive(Debug)]
pub struct Snapshot {
    file: PathBuf,
    key: SecretSlice<u8>,
}

/// AES-256.
const KEY_BYTES: usize = 32;

impl RawSnapshot {
    pub(super) fn check(self, context: &Context<'_>) -> Result<Snapshot, Diagnostic> {
        if self.file.get_ref().as_os_str().is_empty() {
            let help = "name a file in a folder that only this service can write";
            return Err(context.problem(self.file.span(), "snapshot.file is empty", help));
        }
        let written = context.read_secret_file(&self.key_file)?;
        let mut key = vec![0; KEY_BYTES];
        if hex::decode_to_slice(written.trim_ascii(), &mut key).is_err() {
            return Err(context.problem(
                self.key_file.span(),
                format!("the key of the snapshot is not {} hexadecimal digits", KEY_BYTES * 2),
                "write a random one: `openssl rand -hex 32`",
            ));
        }
        Ok(Snapshot { file: context.resolve(self.file.get_ref()), key: key.into() })
    }
}

impl Snapshot {
    /// A snapshot with a key of equal bytes.
    #[cfg(test)]
    pub(crate) fn for_tests(file: PathBuf, key_byte: u8) -> Self {
        Self { file, key: vec![key_byte; KEY_BYTES].into() }
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The key: 32 bytes.
    pub(crate) fn key(&self) -> &[u8] {
        self.key.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path};

    use crate::config::test_support::{MINIMAL, assert_refused, parse};

    #[test]
    fn a_snapshot_needs_a_random_key_of_32_bytes() {
        let mut key = tempfile::NamedTempFile::new().unwrap();
        let section = format!("[snapshot]\nfile = \"keys.snapshot\"\nkey_file = {:?}", key.path());
        key.write_all(b"abab").unwrap();
        assert_refused(&section, "is not 64 hexadecimal digits");
        key.write_all("ab".repeat(30).as_bytes()).unwrap();
        let config = parse(&format!("{MINIMAL}\n{section}")).unwrap();
        assert_eq!(config.snapshot().unwrap().file().file_name(), Path::new("keys.snapshot").file_name());
        assert_refused(&section.replace("keys.snapshot", ""), "snapshot.file is empty");
    }
}

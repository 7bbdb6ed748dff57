//! The snapshot: the cached credentials in an encrypted file, written at an orderly stop and read at the next start, so
//! that a restart does not fetch all of them again.
//!
//! A grant is never read from a file: it can only come from a proved template. A restored credential waits, under the
//! fingerprint of its grant, until a request with that very grant comes. A file over a socket to a new process, because
//! it also outlives a new version, a reboot, and a process that was not there to hand anything over.

use std::{
    collections::HashMap,
    fs, io, mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{CredentialCache, Inner, cached_credential::CachedCredential};
use crate::{config, sts::TemporaryCredential};
use diagnostics::{ReadFault, read_secret_file};
use runtime::entropy::Entropy;
use templates::{Grant, fingerprint::Fingerprint};

/// The beginning of every snapshot. Another format has another one.
const MAGIC: &[u8; 8] = b"cosbrok1";
/// A snapshot is larger than the cache's `max_bytes` by no more than this factor.
const MAX_BYTES_FACTOR: u64 = 2;

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be written.
    #[error("{path} cannot be written: {error}; check that its folder exists and is writable by this user")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// It cannot be read.
    #[error("{path} {fault}; {}", fault.help(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: ReadFault,
    },
    /// Its key, the configuration or the source credentials are other ones, or the file was changed.
    #[error(
        "{0} belongs to another key, configuration or source credentials, or was changed; it is not used, and the next stop replaces it"
    )]
    Foreign(PathBuf),
}

/// A credential as the file has it.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Hexadecimal.
    grant: String,
    secret_id: String,
    secret_key: String,
    token: String,
    expires_at: Timestamp,
    request_id: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.secret_key.zeroize();
        self.token.zeroize();
    }
}

/// Restored credentials that no request has needed yet.
#[derive(Debug, Default)]
pub(super) struct RestoredCredentials(Mutex<Restored>);

#[derive(Debug, Default)]
struct Restored {
    by_grant: HashMap<Fingerprint, TemporaryCredential>,
    /// When the last of them expires.
    last_expiry: Timestamp,
}

impl RestoredCredentials {
    /// Takes the credential of a grant, unless it has expired. All are dropped when the last one has.
    fn take(&self, grant: Fingerprint, now: Timestamp) -> Option<TemporaryCredential> {
        let mut restored = self.restored();
        if restored.last_expiry <= now {
            restored.by_grant = HashMap::new();
        }
        restored.by_grant.remove(&grant).filter(|credential| credential.expires_at > now)
    }

    /// Adds the credentials that have not expired, and returns how many there are.
    fn add(&self, entries: Vec<Entry>, now: Timestamp) -> usize {
        let mut restored = self.restored();
        for entry in entries {
            if let Some((grant, credential)) = entry.into_credential()
                && credential.expires_at > now
            {
                restored.last_expiry = restored.last_expiry.max(credential.expires_at);
                restored.by_grant.insert(grant, credential);
            }
        }
        restored.by_grant.len()
    }

    /// A poisoned lock is usable: the map is consistent after each call.
    fn restored(&self) -> MutexGuard<'_, Restored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CredentialCache {
    /// Writes the credentials that are cached, and returns how many. `binding` names what they depend on: with
    /// another one, the snapshot cannot be read. Writes a file: not for an async worker thread.
    ///
    /// # Errors
    /// When it cannot be written; the file then has the old content.
    pub fn write_snapshot(
        &self,
        snapshot: &config::Snapshot,
        binding: Fingerprint,
    ) -> Result<usize, SnapshotError> {
        let entries = self.0.snapshot_entries();
        let count = entries.len();
        let sealed = seal(&entries, snapshot.key(), binding, &*self.0.entropy);
        sealed
            .and_then(|bytes| config::replace_file(snapshot.file(), &bytes))
            .map(|()| count)
            .map_err(|error| SnapshotError::Unwritable { path: snapshot.file().to_owned(), error })
    }

    /// Restores the credentials of a snapshot that have not expired, and returns how many. The file is removed: it is
    /// as old as the last stop, and is not read twice. Reads a file: not for an async worker thread.
    ///
    /// # Errors
    /// When there is a file that cannot be used.
    pub fn read_snapshot(
        &self,
        snapshot: &config::Snapshot,
        binding: Fingerprint,
    ) -> Result<usize, SnapshotError> {
        let path = snapshot.file();
        let bytes = match read_secret_file(path, self.0.rules.max_bytes.saturating_mul(MAX_BYTES_FACTOR)) {
            Ok(bytes) => bytes,
            Err(ReadFault::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(fault) => return Err(SnapshotError::Unreadable { path: path.to_owned(), fault }),
        };
        let entries =
            open(&bytes, snapshot.key(), binding).ok_or_else(|| SnapshotError::Foreign(path.to_owned()))?;
        fs::remove_file(path).map_err(|error| SnapshotError::Unwritable { path: path.to_owned(), error })?;
        Ok(self.0.restored.add(entries, self.0.clock.now()))
    }
}

impl Inner {
    /// Moves a restored credential of this grant into the cache. Returns whether there was one.
    pub(super) fn restore(&self, grant: &Arc<Grant>) -> bool {
        let restored = self.restored.take(grant.fingerprint(), self.clock.now());
        let found = restored.is_some();
        if let Some(credential) = restored {
            let version = self.sts.source_credentials_version();
            self.store(&credential, Arc::clone(grant), version, grant.duration());
        }
        found
    }

    fn snapshot_entries(&self) -> Vec<Entry> {
        let now = self.clock.now();
        let version = self.sts.source_credentials_version();
        self.cache.usable_credentials(now, version).iter().map(|cached| Entry::of(cached)).collect()
    }
}

impl Entry {
    fn of(cached: &CachedCredential) -> Self {
        let mut credential = cached.credential();
        Self {
            grant: hex::encode(cached.grant().fingerprint().as_bytes()),
            secret_id: mem::take(&mut credential.secret_id),
            secret_key: credential.secret_key.expose_secret().to_owned(),
            token: credential.token.expose_secret().to_owned(),
            expires_at: credential.expires_at,
            request_id: mem::take(&mut credential.request_id),
        }
    }

    /// Upper bound of its size as JSON, with the comma: its text needs no escapes.
    fn json_bytes(&self) -> usize {
        let text = [&self.grant, &self.secret_id, &self.secret_key, &self.token, &self.request_id];
        256 + text.into_iter().map(String::len).sum::<usize>()
    }

    fn into_credential(mut self) -> Option<(Fingerprint, TemporaryCredential)> {
        let mut grant = [0; 32];
        hex::decode_to_slice(&self.grant, &mut grant).ok()?;
        let credential = TemporaryCredential {
            secret_id: mem::take(&mut self.secret_id),
            secret_key: self.secret_key.as_str().into(),
            token: self.token.as_str().into(),
            expires_at: self.expires_at,
            request_id: mem::take(&mut self.request_id),
        };
        Some((Fingerprint::from_bytes(grant), credential))
    }
}

/// Encrypts the entries: magic, nonce, ciphertext with its tag. The nonce is random; with one file for each stop, a
/// key may be used 2^32 times (NIST SP 800-38D §8.3).
fn seal(entries: &[Entry], key: &[u8], binding: Fingerprint, entropy: &dyn Entropy) -> io::Result<Vec<u8>> {
    // Allocated once, so that growing leaves no copies behind.
    let mut plain =
        Zeroizing::new(Vec::with_capacity(entries.iter().map(Entry::json_bytes).sum::<usize>() + 2));
    serde_json::to_writer(&mut *plain, entries)?;
    let mut nonce = [0; NONCE_LEN];
    nonce.copy_from_slice(&entropy.bytes()[..NONCE_LEN]);
    let tag = cipher(key)
        .and_then(|key| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_separate_tag(nonce, Aad::from(binding.as_bytes()), &mut plain).ok()
        })
        .ok_or_else(|| io::Error::other("it cannot be encrypted"))?;
    Ok([&MAGIC[..], &nonce, &plain, tag.as_ref()].concat())
}

fn open(bytes: &[u8], key: &[u8], binding: Fingerprint) -> Option<Vec<Entry>> {
    let (nonce, ciphertext) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<NONCE_LEN>()?;
    let mut ciphertext = Zeroizing::new(ciphertext.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = cipher(key)?.open_in_place(nonce, Aad::from(binding.as_bytes()), &mut ciphertext).ok()?;
    serde_json::from_slice(plain).ok()
}

fn cipher(key: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

//! Reads the snapshot of temporary keys before the service serves, and writes it when the service has stopped.

use std::time::Duration;

use templates::fingerprint::Fingerprint;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{config, credential_cache::CredentialCache};

/// The time that stopping waits for the disk.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The snapshot of this service, if configured.
#[derive(Debug)]
pub(super) struct Snapshot {
    config: config::Snapshot,
    cache: CredentialCache,
}

impl Snapshot {
    pub(super) fn new(config: config::Snapshot, cache: CredentialCache) -> Self {
        Self { config, cache }
    }

    /// Restores the keys of the last stop. A file that cannot be used is reported, and keys are fetched from STS.
    pub(super) fn read(&self, binding: Fingerprint) {
        match self.cache.read_snapshot(&self.config, binding) {
            Ok(restored) => tracing::info!(restored, "temporary keys restored from the snapshot"),
            Err(error) => tracing::error!(%error, "no temporary keys are restored"),
        }
    }

    /// Writes the keys that are still active, within `WRITE_TIMEOUT`.
    pub(super) async fn write(self, binding: Fingerprint) {
        let writing = spawn_blocking(move || match self.cache.write_snapshot(&self.config, binding) {
            Ok(written) => tracing::info!(written, "temporary keys written to the snapshot"),
            Err(error) => tracing::error!(%error, "the next start will fetch all temporary keys again"),
        });
        if timeout(WRITE_TIMEOUT, writing).await.is_err() {
            tracing::error!("the snapshot could not be written in time; check the disk of snapshot.file");
        }
    }
}

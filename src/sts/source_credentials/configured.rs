//! Configured source credentials. Where they are read from files, rotated ones take their place.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secrecy::ExposeSecret;

use crate::config::{CredentialFiles, MissingCredentials};
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;
use tencent_sts::SourceCredentials;

/// Configured source credentials, with the files they came from.
#[derive(Debug)]
pub(in crate::sts) struct ConfiguredCredentials {
    files: Option<CredentialFiles>,
    state: Mutex<State>,
    /// Outside the lock, because each request reads it.
    version: AtomicU64,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State {
    credentials: Arc<SourceCredentials>,
    fingerprint: Fingerprint,
    /// On the monotonic clock.
    read_at: Duration,
    /// What the last look at the files found.
    last_seen: Result<Fingerprint, MissingCredentials>,
}

impl ConfiguredCredentials {
    pub(super) fn new(
        credentials: SourceCredentials,
        files: Option<CredentialFiles>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let fingerprint = fingerprint_of(&credentials);
        let state = State {
            credentials: Arc::new(credentials),
            fingerprint,
            read_at: clock.monotonic(),
            last_seen: Ok(fingerprint),
        };
        Self { files, state: Mutex::new(state), version: AtomicU64::new(0), clock }
    }

    pub(super) fn current(&self) -> Arc<SourceCredentials> {
        Arc::clone(&self.state().credentials)
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.state().fingerprint
    }

    pub(super) fn age(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.state().read_at)
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Takes other credentials from the files once two looks in a row found the same: id and key may be written one
    /// after the other. A pair that does not match is taken as well, because only STS can tell; the next takes its
    /// place. While the files cannot be read, the present credentials stay.
    pub(super) fn reload_if_changed(&self) {
        let Some(files) = &self.files else { return };
        let read = files.read();
        let seen = read.as_ref().map(fingerprint_of).map_err(MissingCredentials::clone);
        let mut state = self.state();
        let is_stable = state.last_seen == seen;
        state.last_seen.clone_from(&seen);
        match (read, seen) {
            (Ok(credentials), Ok(fingerprint)) if is_stable && fingerprint != state.fingerprint => {
                drop(state);
                self.replace(credentials);
                tracing::info!(
                    "the source credentials were rotated: temporary keys are issued anew with them"
                );
            }
            (Err(error), _) if !is_stable => {
                tracing::error!(%error, "the source credentials cannot be read again; the present ones stay in use");
            }
            _ => {}
        }
    }

    pub(super) fn replace(&self, credentials: SourceCredentials) {
        let mut state = self.state();
        state.fingerprint = fingerprint_of(&credentials);
        state.credentials = Arc::new(credentials);
        state.read_at = self.clock.monotonic();
        // After the credentials: a version that is read before a call is never newer than the call's.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The state is complete between two statements, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fingerprint_of(credentials: &SourceCredentials) -> Fingerprint {
    Fingerprint::of(&[credentials.secret_id.expose_secret(), credentials.secret_key.expose_secret()])
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::unix::fs::OpenOptionsExt,
        path::{Path, PathBuf},
    };

    use super::*;
    use runtime::clock::TestClock;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    #[track_caller]
    fn assert_in_use(configured: &ConfiguredCredentials, version: u64, secret_id: &str, secret_key: &str) {
        let current = configured.current();
        assert_eq!(
            (configured.version(), current.secret_id.expose_secret(), current.secret_key.expose_secret()),
            (version, secret_id, secret_key)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn rotated_credentials_are_used_once_both_files_are_written_and_a_lost_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let files =
            CredentialFiles::Pair { id: write(dir, "id", "AKIDone"), key: write(dir, "key", "first") };
        let configured = ConfiguredCredentials::new(files.read().unwrap(), Some(files), TestClock::at(0));
        tokio::time::advance(Duration::from_mins(1)).await;
        configured.reload_if_changed();
        configured.reload_if_changed();
        assert_in_use(&configured, 0, "AKIDone", "first");
        assert_eq!(configured.age(), Duration::from_mins(1));

        write(dir, "id", "AKIDtwo");
        configured.reload_if_changed();
        assert_in_use(&configured, 0, "AKIDone", "first");
        write(dir, "key", "second");
        configured.reload_if_changed();
        assert_in_use(&configured, 0, "AKIDone", "first");
        configured.reload_if_changed();
        assert_in_use(&configured, 1, "AKIDtwo", "second");
        assert_eq!(configured.age(), Duration::ZERO);

        std::fs::remove_file(dir.join("key")).unwrap();
        configured.reload_if_changed();
        configured.reload_if_changed();
        assert_in_use(&configured, 1, "AKIDtwo", "second");
        write(dir, "key", "second");
        configured.reload_if_changed();
        configured.reload_if_changed();
        assert_in_use(&configured, 1, "AKIDtwo", "second");
    }

    #[tokio::test]
    async fn credentials_that_came_from_no_file_are_never_replaced() {
        let credentials = SourceCredentials { secret_id: "i".into(), secret_key: "k".into(), token: None };
        let configured = ConfiguredCredentials::new(credentials, None, TestClock::at(0));
        configured.reload_if_changed();
        configured.reload_if_changed();
        assert_in_use(&configured, 0, "i", "k");
    }
}

//! A key that was given, and those that take its place when whoever rotates it writes another into its files.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secrecy::ExposeSecret;

use super::SourceCredentials;
use crate::config::{CredentialFiles, MissingCredentials, StaticCredentials};
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;

/// The key at hand.
#[derive(Debug)]
pub(in crate::sts) struct StaticProvider {
    files: Option<CredentialFiles>,
    held: Mutex<Held>,
    /// Beside the rest, as each ask reads it.
    number: AtomicU64,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Held {
    key: Arc<SourceCredentials>,
    name: Fingerprint,
    /// On the monotonic clock.
    read: Duration,
    /// What the last look found.
    seen: Result<Fingerprint, MissingCredentials>,
}

impl StaticProvider {
    pub(super) fn new(key: StaticCredentials, files: Option<CredentialFiles>, clock: Arc<dyn Clock>) -> Self {
        let name = name_of(&key);
        let held = Held { key: Arc::new(key.into()), name, read: clock.monotonic(), seen: Ok(name) };
        Self { files, held: Mutex::new(held), number: AtomicU64::new(0), clock }
    }

    pub(super) fn key(&self) -> Arc<SourceCredentials> {
        Arc::clone(&self.held().key)
    }

    pub(super) fn age(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.held().read)
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Takes the key that stands in the files, if it is another and two looks found it alike: its halves may be
    /// written one right after the other. A pair that does not fit and stays is taken as well, as nobody but STS can
    /// tell; the next one takes its place. While none can be read, the key at hand goes on.
    pub(super) fn look(&self) {
        let Some(files) = &self.files else { return };
        let read = files.read();
        let found = read.as_ref().map(name_of).map_err(MissingCredentials::clone);
        let mut held = self.held();
        let same = held.seen == found;
        held.seen.clone_from(&found);
        match (read, found) {
            (Ok(key), Ok(name)) if same && name != held.name => {
                held.key = Arc::new(key.into());
                (held.name, held.read) = (name, self.clock.monotonic());
                // After the key: a number that is read before a call never names a newer key than the call's.
                self.number.fetch_add(1, Ordering::Release);
                tracing::info!("the operator's own key was rotated: users' keys are made anew with it");
            }
            (Err(error), _) if !same => {
                tracing::error!(%error, "the operator's own key cannot be read again; the one at hand goes on");
            }
            _ => {}
        }
    }

    /// What is held is whole between two calls, so a poisoned lock is good.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<StaticCredentials> for SourceCredentials {
    fn from(given: StaticCredentials) -> Self {
        Self { id: given.id.expose_secret().to_owned(), key: given.key, token: given.token }
    }
}

fn name_of(key: &StaticCredentials) -> Fingerprint {
    Fingerprint::of(&[key.id.expose_secret(), key.key.expose_secret()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::TestClock;

    #[tokio::test(start_paused = true)]
    async fn a_rotated_key_is_taken_once_both_halves_are_there_and_a_lost_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = |half: &str| dir.path().join(half);
        let write = |half: &str, text: &str| std::fs::write(path(half), text).unwrap();
        write("id", "AKIDone");
        write("key", "first");
        let files = CredentialFiles::Pair { id: path("id"), key: path("key") };
        let given = StaticProvider::new(files.read().unwrap(), Some(files), TestClock::at(0));
        let at_hand = || {
            let key = given.key();
            (given.number(), key.id.clone(), key.key.expose_secret().to_owned())
        };
        let is = |number: u64, id: &str, key: &str| {
            assert_eq!(at_hand(), (number, id.to_owned(), key.to_owned()));
        };
        tokio::time::advance(Duration::from_mins(1)).await;
        given.look();
        given.look();
        is(0, "AKIDone", "first");
        assert_eq!(given.age(), Duration::from_mins(1));

        write("id", "AKIDtwo");
        given.look();
        is(0, "AKIDone", "first");
        write("key", "second");
        given.look();
        is(0, "AKIDone", "first");
        given.look();
        is(1, "AKIDtwo", "second");
        assert_eq!(given.age(), Duration::ZERO);

        std::fs::remove_file(path("key")).unwrap();
        given.look();
        given.look();
        is(1, "AKIDtwo", "second");
        write("key", "second");
        given.look();
        given.look();
        is(1, "AKIDtwo", "second");
    }

    #[test]
    fn a_key_that_stands_in_no_file_stays() {
        let key = StaticCredentials { id: "i".into(), key: "k".into(), token: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let given = StaticProvider::new(key, None, TestClock::at(0));
            given.look();
            given.look();
            assert_eq!(given.number(), 0);
        });
    }
}

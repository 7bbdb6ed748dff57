//! Single flight: one STS call for each grant, however many requests wait for it.
//!
//! The call is a task of its own. Requests whose clients disconnect neither cancel nor repeat it, and its
//! failure reaches every request that waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{CredentialError, cached_credential::CachedCredential};
use crate::sts::{Priority, StsError};
use templates::fingerprint::Fingerprint;

/// `Retry-After` when a fetch ended by a panic.
const LOST_FETCH_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Result of an in-flight fetch.
pub(super) type FetchResult = Result<Fetched, CredentialError>;

/// A credential that a fetch cached.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) credential: Arc<CachedCredential>,
    /// Whether another replica had fetched it.
    pub(super) is_shared: bool,
}

type InFlight = Arc<Mutex<HashMap<Fingerprint, Fetch>>>;

/// The in-flight fetches.
#[derive(Debug)]
pub(super) struct SingleFlight {
    in_flight: InFlight,
    runtime: Handle,
}

#[derive(Debug, Clone)]
struct Fetch {
    terms: FetchTerms,
    delayed: CancellationToken,
    result: watch::Receiver<Option<FetchResult>>,
}

/// What is known of a fetch when it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct FetchTerms {
    pub(super) priority: Priority,
    /// On the monotonic clock.
    pub(super) started: Duration,
}

/// What a request for a fetch comes to.
#[derive(Debug)]
pub(super) enum Joined {
    /// A fetch ended since the lookup, and cached this credential.
    Cached(Arc<CachedCredential>),
    /// A fetch is in flight.
    Waiter(Waiter),
}

/// Waits for an in-flight fetch.
#[derive(Debug)]
pub(super) struct Waiter {
    fetch: Fetch,
    /// Whether another request had started the fetch.
    pub(super) joined: bool,
}

impl SingleFlight {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { in_flight: Arc::default(), runtime }
    }

    /// Joins the fetch in flight, or starts one. `lookup` runs while no other request can start one: a fetch may
    /// have ended since the caller's own lookup. What starts cancels its token when no
    /// answer is to be expected soon.
    pub(super) fn join_or_start<F>(
        &self,
        fingerprint: Fingerprint,
        terms: FetchTerms,
        lookup: impl FnOnce() -> Option<Arc<CachedCredential>>,
        start: impl FnOnce(CancellationToken) -> F,
    ) -> Joined
    where
        F: Future<Output = FetchResult> + Send + 'static,
    {
        let mut in_flight = lock(&self.in_flight);
        if let Some(fetch) = in_flight.get(&fingerprint) {
            return Joined::Waiter(Waiter { fetch: fetch.clone(), joined: true });
        }
        if let Some(cached) = lookup() {
            return Joined::Cached(cached);
        }
        let (sender, result) = watch::channel(None);
        let delayed = CancellationToken::new();
        let fetch = Fetch { terms, delayed: delayed.clone(), result };
        in_flight.insert(fingerprint, fetch.clone());
        let remove = RemoveOnDrop { fingerprint, in_flight: Arc::clone(&self.in_flight) };
        let fetching = start(delayed);
        self.runtime.spawn(async move {
            let result = fetching.await;
            // Removed before the result is sent: a later request finds the cached credential, or starts anew.
            drop(remove);
            sender.send_replace(Some(result));
        });
        Joined::Waiter(Waiter { fetch, joined: false })
    }

    /// Waits until no fetch is in flight.
    pub(super) async fn wait_idle(&self) {
        loop {
            let Some(fetch) = lock(&self.in_flight).values().next().cloned() else { return };
            // The result does not matter; a fetch that panicked is removed as well.
            let _ = Waiter { fetch, joined: true }.result().await;
        }
    }

    /// Number of fetches in flight.
    pub(super) fn count(&self) -> usize {
        lock(&self.in_flight).len()
    }
}

impl Waiter {
    /// What was known of the fetch when it started.
    pub(super) fn terms(&self) -> FetchTerms {
        self.fetch.terms
    }

    /// Waits for the fetch to end, unless no answer is to be expected soon.
    pub(super) async fn result_unless_delayed(self) -> Option<FetchResult> {
        let delayed = self.fetch.delayed.clone();
        tokio::select! {
            biased;
            result = self.result() => Some(result),
            () = delayed.cancelled() => None,
        }
    }

    /// Waits for the fetch to end.
    pub(super) async fn result(mut self) -> FetchResult {
        match self.fetch.result.wait_for(Option::is_some).await.ok().and_then(|result| result.clone()) {
            Some(result) => result,
            // Its task panicked.
            None => Err(StsError::Unavailable {
                detail: "the call was lost inside the broker".to_owned(),
                retry_after: LOST_FETCH_RETRY_AFTER,
            }
            .into()),
        }
    }
}

/// Removes a fetch when it ends, even by a panic.
struct RemoveOnDrop {
    fingerprint: Fingerprint,
    in_flight: InFlight,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        lock(&self.in_flight).remove(&self.fingerprint);
    }
}

/// A poisoned lock is usable: the map is consistent after each call.
fn lock(map: &Mutex<HashMap<Fingerprint, Fetch>>) -> MutexGuard<'_, HashMap<Fingerprint, Fetch>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: FetchTerms = FetchTerms { priority: Priority::NoActiveKey, started: Duration::ZERO };

    fn unavailable() -> CredentialError {
        StsError::Unavailable { detail: String::new(), retry_after: Duration::ZERO }.into()
    }

    fn waiter(joined: Joined) -> Waiter {
        match joined {
            Joined::Waiter(waiter) => waiter,
            Joined::Cached(cached) => panic!("{cached:?} is cached"),
        }
    }

    #[tokio::test]
    async fn a_fetch_that_panics_is_removed_and_fails_every_request_that_waits() {
        let fetches = SingleFlight::new(Handle::current());
        let fingerprint = Fingerprint::of(&["alice"]);
        let crash = |_| async { if true { panic!("a bug") } else { Err(unavailable()) } };
        let waiter = waiter(fetches.join_or_start(fingerprint, TERMS, || None, crash));
        assert!(matches!(waiter.result().await, Err(CredentialError::Sts(StsError::Unavailable { .. }))));
        assert_eq!(fetches.count(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_fetch_is_no_longer_in_flight_when_its_result_arrives() {
        let fetches = SingleFlight::new(Handle::current());
        let fingerprint = Fingerprint::of(&["alice"]);
        for _ in 0..20_000 {
            let fail = |_| async { Err(unavailable()) };
            let waiter = waiter(fetches.join_or_start(fingerprint, TERMS, || None, fail));
            assert!(!waiter.joined);
            assert!(waiter.result().await.is_err());
        }
    }
}

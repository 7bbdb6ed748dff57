//! A key set that an issuer publishes. It is cached, refreshed in the background, and fetched again where a token names
//! an unknown key, as often as [`FetchSchedule`] allows.

mod looked_up;
mod schedule;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;

use self::{
    looked_up::{FirstSeen, Withdrawn},
    schedule::FetchSchedule,
};
use super::{
    error::{AuthError, Rejection},
    key::KeyFault,
    key_set::{DroppedKey, KeySet, NotVerified},
    key_set_origin::KeySetOrigin,
    token::UnverifiedToken,
};
use diagnostics::to_single_line;
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;

/// A set of this age is refreshed in the background when it is used.
const REFRESH_AGE: Duration = Duration::from_mins(8);
/// A set of this age is no longer used: long enough for an outage of the issuer, short enough that a withdrawn
/// key is not trusted for ever.
const MAX_AGE: Duration = Duration::from_hours(24);

/// The limit for the dropped keys that the log names after a change. The status names all.
const MAX_LOGGED_KEYS: usize = 20;

/// A cached key set.
#[derive(Debug)]
pub(super) struct Jwks {
    issuer: String,
    origin: KeySetOrigin,
    algorithms: Vec<Algorithm>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    current: ArcSwapOption<Fetched>,
    /// Held during a fetch, so that all who wait for one share it.
    fetching: tokio::sync::Mutex<()>,
    schedule: Mutex<FetchSchedule>,
    /// The number of fetches that have started.
    started: AtomicU64,
    first_seen: FirstSeen,
    fetches: Counter,
    failures: Counter,
    /// Why the last fetch failed, if it did.
    last_failure: ArcSwapOption<KeyFault>,
}

/// The state of a key set, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetStatus {
    /// The time since the last successful fetch, if there was one.
    pub age: Option<Duration>,
    /// The number of successful fetches.
    pub fetches: u64,
    /// The number of failed fetches.
    pub failures: u64,
    /// Why the last fetch failed, if it did.
    pub last_failure: Option<Arc<KeyFault>>,
    /// The keys of the set that are not used.
    pub dropped: Arc<[DroppedKey]>,
}

impl KeySetStatus {
    /// Returns whether tokens can be checked with the set.
    pub fn is_usable(&self) -> bool {
        self.age.is_some_and(|age| age < MAX_AGE)
    }
}

/// A key set, and its fetch.
#[derive(Debug)]
struct Fetched {
    set: KeySet,
    /// The monotonic time of the fetch.
    at: Duration,
    /// The place of the fetch among all, from 1.
    number: u64,
    withdrawn: Withdrawn,
}

impl Fetched {
    /// Returns whether a token that first came after so many fetches, and whose key the set lacks, names no key of the
    /// issuer.
    fn refuses(&self, first_seen: u64, kid: Option<&str>) -> bool {
        self.number > first_seen || kid.is_some_and(|kid| self.withdrawn.contains(kid))
    }
}

impl Jwks {
    pub(super) fn new(
        issuer: &str,
        origin: KeySetOrigin,
        algorithms: &[Algorithm],
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer: issuer.to_owned(),
            origin,
            algorithms: algorithms.to_vec(),
            clock,
            runtime,
            current: ArcSwapOption::empty(),
            fetching: tokio::sync::Mutex::default(),
            schedule: Mutex::default(),
            started: AtomicU64::default(),
            first_seen: FirstSeen::default(),
            fetches: Counter::default(),
            failures: Counter::default(),
            last_failure: ArcSwapOption::empty(),
        })
    }

    /// Returns the state of the set. Starts no fetch.
    pub(super) fn status(&self) -> KeySetStatus {
        let fetched = self.current.load();
        KeySetStatus {
            age: fetched.as_ref().map(|fetched| self.age(fetched)),
            fetches: self.fetches.get(),
            failures: self.failures.get(),
            last_failure: self.last_failure.load_full(),
            dropped: fetched.as_ref().map(|fetched| Arc::clone(fetched.set.dropped())).unwrap_or_default(),
        }
    }

    /// Returns the key that signed a token: of the cached set if it has the key, else of a newly fetched one if a fetch
    /// is allowed. A token is refused only by a set that was fetched after the token had come.
    pub(super) async fn verify(
        self: &Arc<Self>,
        token: &UnverifiedToken<'_>,
        digest: Fingerprint,
    ) -> Result<Fingerprint, AuthError> {
        let fetched = self.usable();
        match fetched.as_ref().map(|fetched| fetched.set.verify(token)) {
            Some(Ok(key)) => return Ok(key),
            Some(Err(NotVerified::Forged)) => return Err(Rejection::Signature.into()),
            Some(Err(NotVerified::NoKey(_))) | None => {}
        }
        let kid = token.kid();
        let first_seen = self.first_seen.of(digest, self.started.load(Ordering::Acquire));
        let is_refused = fetched.is_some_and(|fetched| fetched.refuses(first_seen, kid));
        // A token that was looked up already leaves the fetches of a burst to others.
        if !is_refused || self.schedule().is_rested(self.clock.monotonic()) {
            self.refresh().await;
        }
        let Some(fetched) = self.usable() else {
            return Err(AuthError::KeysUnavailable { retry_after: self.retry_after() });
        };
        match fetched.set.verify(token) {
            Ok(key) => Ok(key),
            Err(NotVerified::Forged) => Err(Rejection::Signature.into()),
            Err(NotVerified::NoKey(rejection)) if fetched.refuses(first_seen, kid) => Err(rejection.into()),
            Err(NotVerified::NoKey(_)) => Err(AuthError::KeyNotFetched { retry_after: self.retry_after() }),
        }
    }

    /// Returns whether the set still has a key. Starts a refresh as [`Self::is_usable`].
    pub(super) fn contains(self: &Arc<Self>, key: Fingerprint) -> bool {
        self.usable().is_some_and(|fetched| fetched.set.contains(key))
    }

    /// Returns the ids of the keys, for messages. `None` if there is no set.
    pub(super) fn kids(self: &Arc<Self>) -> Option<Vec<String>> {
        self.usable().map(|fetched| fetched.set.kids().map(to_single_line).collect())
    }

    /// Returns whether tokens can be checked now. Starts a refresh if there is no set, or an old one.
    pub(super) fn is_usable(self: &Arc<Self>) -> bool {
        self.usable().is_some()
    }

    /// Returns the cached set unless it is too old. Starts a refresh if the set has [`REFRESH_AGE`].
    fn usable(self: &Arc<Self>) -> Option<Arc<Fetched>> {
        let fetched = self.current.load_full();
        let age = fetched.as_ref().map(|fetched| self.age(fetched));
        if age.is_none_or(|age| age >= REFRESH_AGE) {
            self.spawn_refresh();
        }
        fetched.filter(|_| age.is_some_and(|age| age < MAX_AGE))
    }

    fn age(&self, fetched: &Fetched) -> Duration {
        self.clock.monotonic().saturating_sub(fetched.at)
    }

    fn schedule(&self) -> std::sync::MutexGuard<'_, FetchSchedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retry_after(&self) -> Duration {
        self.schedule().wait(self.clock.monotonic())
    }

    /// Starts a refresh in the background if one is allowed and no fetch is under way.
    fn spawn_refresh(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if this.retry_after().is_zero() && this.fetching.try_lock().is_ok() {
            self.runtime.spawn(async move { this.fetch_if_allowed().await });
        }
    }

    /// Waits for a fetch, if one is allowed or under way. The fetch continues even if the caller gives up.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if let Err(error) = self.runtime.spawn(async move { this.fetch_if_allowed().await }).await {
            tracing::error!(issuer = self.issuer, %error, "fetching a key set failed unexpectedly");
        }
    }

    async fn fetch_if_allowed(&self) {
        let _alone = self.fetching.lock().await;
        let number = {
            let mut schedule = self.schedule();
            let now = self.clock.monotonic();
            if !schedule.wait(now).is_zero() {
                return;
            }
            // Before the fetch, so that a failing source is read no more often than a good one.
            schedule.record(now);
            self.started.fetch_add(1, Ordering::AcqRel) + 1
        };
        match self.origin.read().await.and_then(|json| KeySet::parse(&json, &self.algorithms)) {
            Ok(set) => self.replace(set, number),
            Err(fault) => {
                self.failures.inc();
                let has_previous_set = self.current.load().is_some();
                tracing::warn!(issuer = self.issuer, source = %self.origin, %fault, has_previous_set, "the key set cannot be read");
                self.last_failure.store(Some(Arc::new(fault)));
            }
        }
    }

    fn replace(&self, set: KeySet, number: u64) {
        let previous = self.current.load_full();
        let withdrawn = previous.as_ref().map(|previous| {
            let published: HashSet<&str> = set.kids().collect();
            previous.withdrawn.after(previous.set.kids(), |kid| published.contains(kid))
        });
        if previous.as_ref().map(|previous| previous.set.dropped()) != Some(set.dropped()) {
            self.log_dropped(&set);
        }
        let withdrawn = withdrawn.unwrap_or_default();
        let fetched = Fetched { set, at: self.clock.monotonic(), number, withdrawn };
        self.current.store(Some(Arc::new(fetched)));
        self.last_failure.store(None);
        self.fetches.inc();
        tracing::debug!(issuer = self.issuer, "key set read");
    }

    fn log_dropped(&self, set: &KeySet) {
        for DroppedKey { kid, reason, is_usual } in set.dropped().iter().take(MAX_LOGGED_KEYS) {
            if *is_usual {
                tracing::info!(issuer = self.issuer, kid, reason, "a key of the key set is not used");
            } else {
                tracing::warn!(issuer = self.issuer, kid, reason, "a key of the key set is not used");
            }
        }
    }

    /// Returns where the set is read.
    pub(super) fn origin(&self) -> &KeySetOrigin {
        &self.origin
    }

    /// Returns whether the set is in a file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.origin, KeySetOrigin::File { .. })
    }

    /// Reads and parses the set once, without caching it, and returns the keys that are not used.
    pub(super) async fn probe(&self) -> Result<Arc<[DroppedKey]>, KeyFault> {
        let json = self.origin.read().await?;
        KeySet::parse(&json, &self.algorithms).map(|set| Arc::clone(set.dropped()))
    }
}

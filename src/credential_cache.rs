//! Grants become keys, from memory where one lives there, from STS where not, once for all who ask.
//!
//! Knows grants, the `sts` trait and time; nothing of tokens, HTTP or how a key is made. The one public
//! way in is [`CredentialCache::credential_for`]; what operators see and say stands in `oversight`.

mod advice;
mod flight;
mod inventory;
mod key;
mod limit;
mod metrics;
mod outage;
mod oversight;
mod revoked;
mod store;
mod users;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use moka::sync::Cache;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use self::{
    advice::Recorder,
    flight::{Flights, Seat},
    inventory::Inventory,
    key::most_wanted,
    limit::{PerUser, Scopes},
    metrics::{Metrics, MetricsCollector},
    revoked::Revoked,
    store::{Found, FreshnessRequirement, Store},
};
pub use self::{
    advice::{Advice, Alternative, Figures, NoAdvice, Recorded, WhatIf},
    inventory::{ActiveCredential, ActiveCredentials, Coverage, KeyFilter},
    key::Key,
    metrics::Outcome,
    outage::Outage,
    oversight::Revocation,
    revoked::TooManyRevoked,
};
use crate::{
    audit::{Audit, Event, RequestContext},
    config,
    sts::{Sts, StsError, Urgency},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::{
    Grant,
    fingerprint::Fingerprint,
    identity::{Identity, Principal},
};

/// How long a failure that cannot pass by itself answers for the same key.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(1);
/// Failures remembered.
const MOST_FAILURES: u64 = 10_000;
/// The inventory's share of `cache.max_bytes`, which it takes besides: a key takes a tenth there of what it
/// takes in the cache, so this lists more than are cached.
const INVENTORY_SHARE: u64 = 4;
/// The share of its life before its end from which a key may be replaced at the earliest, whatever the jitter: one
/// that is due when it is made would be replaced again and again.
const MOST_AHEAD: f64 = 0.95;
/// Room to list some keys, however small the cache.
const LEAST_INVENTORY: u64 = 1 << 20;

/// The cache of keys.
#[derive(Debug, Clone)]
pub struct CredentialCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    inventory: Inventory,
    revoked: Revoked,
    flights: Flights,
    failures: Cache<Fingerprint, (Duration, StsError)>,
    per_user: PerUser,
    scopes: Scopes,
    rules: config::Cache,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    sts: Arc<dyn Sts>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A key, and how it was come by.
#[derive(Debug)]
pub struct Served {
    /// The key.
    pub key: Arc<Key>,
    /// How: never [`Outcome::Refused`].
    pub outcome: Outcome,
}

/// What is held, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// Keys in memory.
    pub entries: u64,
    /// The bytes they take, as weighed.
    pub bytes: u64,
    /// The most they may take.
    pub max_bytes: u64,
    /// Keys that made room for others, since the start.
    pub evictions: u64,
    /// Whether the last change of who is revoked ends with this process, though there is a file to keep it.
    pub revocations_unsaved: bool,
    /// Calls for a key under way.
    pub flights: usize,
    /// How an outage of STS would be felt.
    pub outage: Outage,
}

/// Why an ask gets no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// An operator has revoked this person.
    #[error("this person is revoked")]
    Revoked,
    /// This person asks too often.
    #[error("too many asks")]
    TooMany {
        /// When they may again.
        retry_after: Duration,
    },
    /// This person holds keys for too many scopes.
    #[error("too many scopes")]
    TooManyScopes {
        /// When the first of them ends.
        retry_after: Duration,
    },
    /// More life is wanted than the template's keys ever have.
    #[error("min_remaining is {} s, and of this template's keys {} s may be asked for", wanted.as_secs(), possible.as_secs())]
    TooMuchLife {
        /// What was asked for.
        wanted: Duration,
        /// The most that may be.
        possible: Duration,
    },
    /// STS gives none.
    #[error(transparent)]
    Sts(#[from] StsError),
}

impl CredentialCache {
    /// A broker with an empty cache, whose calls run on `runtime`.
    pub fn new(
        rules: config::Cache,
        limits: &config::Limits,
        sts: Arc<dyn Sts>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        runtime: Handle,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        Self(Arc::new(Inner {
            store: Store::new(rules.max_bytes, Arc::clone(&clock), Arc::clone(&metrics)),
            inventory: Inventory::new((rules.max_bytes / INVENTORY_SHARE).max(LEAST_INVENTORY), clock.now()),
            revoked: Revoked::new(limits.revoked.clone()),
            flights: Flights::new(runtime),
            failures: Cache::new(MOST_FAILURES),
            per_user: PerUser::new(limits.per_user, Arc::clone(&clock)),
            scopes: Scopes::new(limits.scopes_per_user, Arc::clone(&clock)),
            rules,
            recorder: Recorder::new(rules.advice_bytes, Arc::clone(&clock)),
            metrics,
            sts,
            audit,
            clock,
            entropy,
        }))
    }

    /// Leave for a person to ask once.
    ///
    /// # Errors
    /// When they are revoked, or have asked too often.
    pub fn admit(&self, identity: &Identity) -> Result<(), CredentialError> {
        let principal = identity.principal();
        self.not_revoked(principal)?;
        let admitted = self.0.per_user.admit(principal.fingerprint());
        admitted.map_err(|retry_after| CredentialError::TooMany { retry_after })
    }

    fn not_revoked(&self, principal: &Principal) -> Result<(), CredentialError> {
        if self.0.revoked.holds(principal) { Err(CredentialError::Revoked) } else { Ok(()) }
    }

    /// A living key for a grant, with at least `wanted` of life if the asker says so. `context` is the ask, for
    /// the audit log.
    ///
    /// # Errors
    /// Why there is none; a key that still lives is handed out before any failure of STS is.
    pub async fn credential_for(
        &self,
        grant: &Arc<Grant>,
        wanted: Option<Duration>,
        context: &RequestContext,
    ) -> Result<Served, CredentialError> {
        let answer = self.answer(grant, wanted, context).await;
        self.0.recorder.note(grant, wanted, &answer);
        answer
    }

    async fn answer(
        &self,
        grant: &Arc<Grant>,
        wanted: Option<Duration>,
        context: &RequestContext,
    ) -> Result<Served, CredentialError> {
        self.not_revoked(grant.principal())?;
        let least = self.0.rules.min_remaining(grant.duration());
        let more = wanted.filter(|wanted| *wanted > least);
        let possible = most_wanted(grant.duration());
        if let Some(wanted) = more.filter(|wanted| *wanted > possible) {
            return Err(CredentialError::TooMuchLife { wanted, possible });
        }
        let wanted = FreshnessRequirement {
            least,
            more,
            source_credentials_version: self.0.sts.source_credentials_version(),
        };
        let mut now = self.0.clock.now();
        let served = match self.0.store.find(grant, wanted, now) {
            Found::Fresh(key) => {
                let outcome =
                    if self.refresh_ahead(&key, now, context) { Outcome::Refreshed } else { Outcome::Hit };
                Served { key, outcome }
            }
            Found::Missing { reason, older } => {
                let admitted = self.0.scopes.admit(grant);
                let is_new =
                    admitted.map_err(|retry_after| CredentialError::TooManyScopes { retry_after })?;
                self.0.metrics.missed(reason);
                let waiting = Waiting { inner: &self.0, grant, is_without: older.is_none() };
                let fetched = self.fetch(grant, wanted, context).await;
                waiting.ends();
                now = self.0.clock.now();
                // It may have been said while this ask waited.
                self.not_revoked(grant.principal())?;
                // It may have become useless meanwhile.
                match (fetched, older.filter(|key| key.is_useful(now))) {
                    (Ok(served), _) => served,
                    (Err(_), Some(key)) => Served { key, outcome: Outcome::Stale },
                    (Err(error), None) => {
                        if is_new {
                            self.0.scopes.give_back(grant);
                        }
                        self.0.store.went_without(grant, now);
                        return Err(error.into());
                    }
                }
            }
        };
        self.0.metrics.served(grant.template_name(), served.outcome, served.key.remaining(now));
        // What this ask had STS make has its line already.
        if self.0.audit.wants_hits() && served.outcome != Outcome::Fetched {
            let credential = served.key.credential();
            self.0.audit.record(Event::serve(served.outcome.name(), context.clone(), grant, credential));
        }
        Ok(served)
    }

    /// Counts an ask that got no key; `template` is empty where none is known.
    pub fn count_refused(&self, template: &str) {
        self.0.metrics.refused(template);
    }

    /// Shows the outcomes of these templates from now on; others follow with their first ask.
    pub fn expect<'a>(&self, templates: impl Iterator<Item = &'a str>) {
        templates.for_each(|template| self.0.metrics.expect(template));
    }

    /// From its refresh point on, a hit sends for the key's successor; nobody waits for it.
    fn refresh_ahead(&self, key: &Arc<Key>, now: Timestamp, context: &RequestContext) -> bool {
        let due = key.take_refresh(now, self.0.clock.monotonic());
        let successor = || self.0.store.at_hand(key.grant()).filter(|other| !Arc::ptr_eq(other, key));
        due && self.board(key.grant(), Urgency::Background, context, successor).is_ok_and(|seat| !seat.joined)
    }

    async fn fetch(
        &self,
        grant: &Arc<Grant>,
        wanted: FreshnessRequirement,
        context: &RequestContext,
    ) -> Result<Served, StsError> {
        let wait_idle = || {
            let now = self.0.clock.now();
            match self.0.store.find(grant, wanted, now) {
                Found::Fresh(key) => Some(key),
                Found::Missing { .. } => None,
            }
        };
        loop {
            if let Some((_, error)) = self
                .0
                .failures
                .get(&grant.fingerprint())
                .filter(|(until, _)| self.0.clock.monotonic() < *until)
            {
                return Err(error);
            }
            let seat = match self.board(grant, Urgency::UserWaits, context, wait_idle) {
                Ok(seat) => seat,
                Err(key) => {
                    return Ok(Served { key, outcome: Outcome::Coalesced });
                }
            };
            let (joined, background) = (seat.joined, seat.is_background());
            match seat.outcome().await {
                Ok(key) => {
                    let outcome = if joined { Outcome::Coalesced } else { Outcome::Fetched };
                    return Ok(Served { key, outcome });
                }
                // A refresh gives up sooner than an ask would; the asker has a right to their own.
                Err(StsError::QuotaExhausted { .. }) if joined && background => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn board(
        &self,
        grant: &Arc<Grant>,
        urgency: Urgency,
        context: &RequestContext,
        wait_idle: impl FnOnce() -> Option<Arc<Key>>,
    ) -> Result<Seat, Arc<Key>> {
        let fly = || {
            let (inner, grant, context) = (Arc::clone(&self.0), Arc::clone(grant), context.clone());
            async move { inner.fly(grant, urgency, context).await }
        };
        self.0.flights.board(grant.fingerprint(), urgency, wait_idle, fly)
    }

    /// Waits for the calls for a key that are under way: of those that STS answers, the audit log has a line.
    pub async fn wait_idle(&self) {
        self.0.flights.wait_idle().await;
    }

    /// Whether STS is being left alone after failures.
    pub fn is_circuit_open(&self) -> bool {
        self.0.sts.is_circuit_open()
    }

    /// What is held now. Looks at every user: for who watches, not for who asks.
    pub fn snapshot(&self) -> Snapshot {
        let (entries, bytes) = self.0.store.size();
        let outage = self.0.store.outage(self.0.clock.now());
        Snapshot {
            entries,
            bytes,
            max_bytes: self.0.rules.max_bytes,
            evictions: self.0.metrics.evictions(),
            revocations_unsaved: self.0.revoked.is_unsaved(),
            flights: self.0.flights.count(),
            outage,
        }
    }

    /// Asks so far that ended in one of these ways.
    pub fn requests(&self, wanted: impl Fn(Outcome) -> bool) -> u64 {
        self.0.metrics.requests(wanted)
    }

    /// Asks so far that found no key of enough life, by reason.
    pub fn misses(&self) -> Vec<(&'static str, u64)> {
        self.0.metrics.misses()
    }

    /// Adds this room's figures to a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(self.clone())));
    }
}

/// An ask that found no key and waits for one. If its asker goes away it has ended as well: refused, as far as
/// they are concerned, or an outage would not be seen in which apps give up before STS does.
struct Waiting<'a> {
    inner: &'a Inner,
    grant: &'a Grant,
    /// Whether there is no older key, either.
    is_without: bool,
}

impl Waiting<'_> {
    fn ends(self) {
        std::mem::forget(self);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.inner.metrics.refused(self.grant.template_name());
        if self.is_without {
            self.inner.store.went_without(self.grant, self.inner.clock.now());
        }
    }
}

impl Inner {
    /// One flight: a key from STS into the store.
    async fn fly(&self, grant: Arc<Grant>, urgency: Urgency, context: RequestContext) -> flight::Outcome {
        let name = grant.fingerprint();
        // Before the call: a key is never taken for one of a newer own key than it is made with.
        let source_credentials_version = self.sts.source_credentials_version();
        match self.sts.issue(Arc::clone(&grant), urgency, context.trace).await {
            Ok(credential) => {
                // Before anybody is handed it, and though nobody may still wait.
                let outcome = match urgency {
                    Urgency::UserWaits => Outcome::Fetched,
                    Urgency::Background => Outcome::Refreshed,
                };
                self.audit.record(Event::issue(outcome.name(), context, &grant, &credential));
                // A tenth to either side, so that keys made together are not replaced together.
                let share = self.rules.refresh_at * (0.9 + 0.2 * self.entropy.unit());
                let share = share.min(MOST_AHEAD);
                let now = self.clock.now();
                let key = Arc::new(Key::new(credential, grant, source_credentials_version, now, share));
                // Before anybody is handed it: what is out is on the list.
                self.inventory.add(&key, now);
                self.store.insert(Arc::clone(&key));
                Ok(key)
            }
            Err(error) => {
                if error.is_final() {
                    self.failures.insert(name, (self.clock.monotonic() + FAILURE_REMEMBERED, error.clone()));
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod figure_tests;
#[cfg(test)]
mod oversight_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod tests;

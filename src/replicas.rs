//! What the replicas of one installation share through a Redis that the operator has: credentials, the quota of STS,
//! revocations, what users have used of their limits, and what each tells of itself.
//!
//! Redis is neither trusted nor needed: what it holds is encrypted and bound to its place, and without it each replica
//! goes on alone. Knows no grant, cache or scheduler; they ask it.

mod check;
mod connect;
mod connection;
mod credential;
mod fleet;
mod flight;
mod metrics;
mod names;
mod presence;
mod quota;
mod requests;
mod revocations;
mod scripts;
mod seal;
mod waiters;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use redis::{PushInfo, PushKind, Value};
use tokio::{
    sync::{Notify, watch},
    time,
};

pub use self::{
    check::{Unusable, check},
    credential::SharedCredential,
    fleet::{Member, Replica, ReplicaState},
    flight::{Joined, Lease, ScopeBound, Wanted},
    metrics::Lookup,
    quota::{SharedQuota, SharedTurn},
    requests::{RequestCount, RequestCounts},
    revocations::RevocationChange,
};
use self::{
    connect::{Connector, PushHandler},
    connection::Connection,
    flight::{Flights, Sealers},
    metrics::{Metrics, MetricsCollector},
    names::Names,
    presence::Presence,
    requests::Requests,
    revocations::Revocations,
    seal::Name,
    waiters::Waiters,
};
use crate::{config, network};
use runtime::{clock::Clock, entropy::Entropy};
use templates::fingerprint::Fingerprint;

/// How often a replica says that it lives, and looks whether revocations changed: what is published may be lost.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// How often all revocations are read, even if none seems to have changed: Redis may have lost some.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(30);

/// What this replica shares with the others.
#[derive(Debug)]
pub struct Replicas {
    connection: Arc<Connection>,
    flights: Arc<Flights>,
    quota: Arc<SharedQuota>,
    revocations: Revocations,
    requests: Requests,
    presence: Presence,
    names: Arc<Names>,
    /// Something is to be told, or was told.
    beat_now: Arc<Notify>,
    /// Whether the others were heard once, or cannot be.
    is_started: watch::Sender<bool>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

/// Why nothing can be shared.
#[derive(Debug, thiserror::Error)]
pub enum CannotShare {
    /// TLS cannot be set up.
    #[error("[redis] cannot be used: {0}; check network.ca_file and this machine's certificate store")]
    Tls(#[from] rustls::Error),
    /// The cryptographic library refuses a key.
    #[error("[redis] cannot be used: the cryptographic library refuses its encryption key")]
    Key,
}

/// What operators see.
#[derive(Debug, Clone)]
pub struct Status {
    /// The name of this replica.
    pub id: String,
    /// Whether Redis is used.
    pub redis_up: bool,
    /// Why not.
    pub problem: Option<String>,
    /// Whether Redis gives the turns of the quota.
    pub quota_shared: bool,
    /// Calls a second that this replica may make while it is alone.
    pub quota_alone: u32,
    /// How many replicas the configuration expects.
    pub expected: u32,
    /// The replicas seen, this one included; none while they are unknown.
    pub fleet: Vec<Member>,
    /// Since when the replicas are unknown; none while they are seen.
    pub fleet_unknown_since: Option<Timestamp>,
    /// Whether another serves a later version of the templates.
    pub templates_outdated: bool,
    /// Revocations that the others do not know yet.
    pub revocations_unannounced: usize,
    /// Lookups in Redis since the start, by outcome.
    pub lookups: Vec<(Lookup, u64)>,
    /// Values in Redis that were not used because of what they are.
    pub values_refused: u64,
}

impl Replicas {
    /// Prepares what is shared. Nothing is, until it [runs](Self::run).
    ///
    /// # Errors
    /// When TLS or encryption cannot be set up.
    pub fn new(
        config: config::Redis,
        calls_per_second: NonZeroU32,
        network: &config::Network,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, CannotShare> {
        let sealers = Arc::new(Sealers::new(&config)?);
        let (timeout, expected) = (config.timeout, config.replicas);
        let names = Arc::new(Names::new(&config.key_prefix));
        let metrics = Arc::new(Metrics::default());
        let connector = Connector::new(config, network::tls(network)?, &names);
        let connection = Arc::new(Connection::new(
            connector,
            timeout,
            Arc::clone(&metrics),
            Arc::clone(clock),
            Arc::clone(entropy),
        ));
        let quota = Arc::new(SharedQuota::new(
            calls_per_second,
            expected,
            &names,
            Arc::clone(&connection),
            Arc::clone(&metrics),
            Arc::clone(clock),
        ));
        let flights = Arc::new(Flights {
            connection: Arc::clone(&connection),
            names: Arc::clone(&names),
            sealers,
            quota: Arc::clone(&quota),
            waiters: Waiters::default(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        });
        let (revocations, requests) = (Revocations::new(&flights), Requests::new(&flights));
        let presence = Presence::new(&flights);
        Ok(Self {
            connection,
            flights,
            quota,
            revocations,
            requests,
            presence,
            names,
            beat_now: Arc::default(),
            is_started: watch::Sender::new(false),
            metrics,
            clock: Arc::clone(clock),
        })
    }

    /// The quota that all replicas share.
    pub fn quota(&self) -> Arc<SharedQuota> {
        Arc::clone(&self.quota)
    }

    /// Finds a credential, or makes the caller the one who fetches it.
    pub async fn join(&self, wanted: Wanted<'_>) -> Joined {
        self.flights.join(wanted).await
    }

    /// How many replicas there are at most.
    pub fn expected(&self) -> NonZeroU32 {
        self.quota.replicas()
    }

    /// Adds requests of users to those of all replicas, and returns how much of their limits they have used. Nothing if
    /// Redis does not say; then the counts are lost.
    pub async fn count_requests(&self, counts: &RequestCounts) -> Option<Vec<(Fingerprint, Duration)>> {
        self.requests.count(counts).await
    }

    /// When a user was restored, if they were: credentials of before are not used.
    pub fn restored_at(&self, principal: Fingerprint) -> Option<Timestamp> {
        self.revocations.restored_at(principal)
    }

    /// Tells the others of a change, now or as soon as Redis answers.
    pub fn announce(&self, change: RevocationChange) {
        self.revocations.record(change);
        self.beat_now.notify_one();
    }

    /// Takes over what is known at the start, from a file.
    pub fn know(&self, changes: Vec<RevocationChange>) {
        self.revocations.record_from_file(changes);
    }

    /// Shares until dropped. `state` says what is told of this replica, several times a second; `on_change` gets the changes of
    /// others, and may block.
    pub async fn run(
        &self,
        state: impl Fn() -> ReplicaState,
        on_change: impl Fn(RevocationChange) + Clone + Send + 'static,
    ) {
        let pushes = self.push_handler();
        tokio::join!(self.connection.keep_up(pushes), self.quota.run(), self.beat(state, on_change));
    }

    /// Tells the others that this replica stops. To be called when it no longer runs.
    pub async fn leave(&self, state: ReplicaState) {
        // If it fails, the others notice after a while that it is gone.
        let _ = self.presence.tell(state, true).await;
    }

    /// Waits until the others were heard once, or Redis cannot be reached.
    pub async fn wait_until_started(&self) {
        // Cannot fail: the sender lives as long as this does.
        let _ = self.is_started.subscribe().wait_for(|started| *started).await;
    }

    /// The state at this moment.
    pub fn status(&self) -> Status {
        let fleet = self.presence.fleet();
        Status {
            id: self.presence.id().to_owned(),
            redis_up: self.connection.is_up(),
            problem: self.connection.problem(),
            quota_shared: self.quota.is_shared(),
            quota_alone: self.quota.share().get(),
            expected: self.quota.replicas().get(),
            templates_outdated: fleet.is_outdated(),
            fleet: fleet.members,
            fleet_unknown_since: fleet.unknown_since,
            revocations_unannounced: self.revocations.unannounced(),
            lookups: self.metrics.lookups(),
            values_refused: self.metrics.refusals(),
        }
    }

    /// Adds the metrics to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(MetricsCollector(Arc::clone(self))));
    }

    /// Handles what others publish: the end of a fetch, and that revocations changed.
    fn push_handler(&self) -> PushHandler {
        let (waiters, beat_now) = (self.flights.waiters.clone(), Arc::clone(&self.beat_now));
        let (done, revoked) = (self.names.done_channel(), self.names.revoked_channel());
        Arc::new(move |push: PushInfo| {
            let [Value::BulkString(channel), Value::BulkString(message)] = push.data.as_slice() else {
                return;
            };
            if push.kind != PushKind::Message {
            } else if channel == done.as_bytes() {
                if let Some(name) = Name::parse(message) {
                    waiters.wake(name);
                }
            } else if channel == revoked.as_bytes() {
                beat_now.notify_one();
            }
        })
    }

    /// Tells of this replica and learns of the others, again and again.
    async fn beat(
        &self,
        state: impl Fn() -> ReplicaState,
        on_change: impl Fn(RevocationChange) + Clone + Send + 'static,
    ) {
        self.connection.was_tried().await;
        let mut last_read = None;
        let mut was_outdated = false;
        loop {
            let told = self.presence.tell(state(), false).await;
            self.quota.set_present(told.is_ok());
            if let Ok(revocation_count) = told {
                if !self.is_read(last_read.as_ref(), &revocation_count) {
                    let is_read = self.read_revocations(&on_change).await;
                    last_read = is_read.then(|| (revocation_count, self.clock.monotonic()));
                }
                report_outdated(self.presence.fleet().is_outdated(), &mut was_outdated);
            } else {
                self.presence.forget();
                last_read = None;
            }
            self.is_started.send_replace(true);
            let _ = time::timeout(HEARTBEAT_INTERVAL, self.beat_now.notified()).await;
        }
    }

    /// Whether Redis and this replica know the same changes, as far as can be told: the number of changes is the one of
    /// the last full read, which was not long ago.
    fn is_read(&self, last: Option<&(Vec<u8>, Duration)>, revocation_count: &[u8]) -> bool {
        last.is_some_and(|(count, at)| {
            count == revocation_count
                && self.clock.monotonic().saturating_sub(*at) < FULL_READ_INTERVAL
                && self.revocations.unannounced() == 0
        })
    }

    /// Reads the changes of others and applies them. False if they could not be read.
    async fn read_revocations(
        &self,
        on_change: &(impl Fn(RevocationChange) + Clone + Send + 'static),
    ) -> bool {
        let Ok(changes) = self.revocations.synchronize().await else { return false };
        if changes.is_empty() {
            return true;
        }
        let on_change = on_change.clone();
        let applied = tokio::task::spawn_blocking(move || changes.into_iter().for_each(on_change)).await;
        applied.inspect_err(|error| tracing::error!(%error, "revocations could not be applied")).is_ok()
    }
}

/// Tells once that this replica's templates are older than another's, and once that they no longer are.
fn report_outdated(is_outdated: bool, was_outdated: &mut bool) {
    if is_outdated && !*was_outdated {
        tracing::warn!(
            "another replica serves a later version of the templates; update the files of this one"
        );
    } else if !is_outdated && *was_outdated {
        tracing::info!("the templates are those of the other replicas again");
    }
    *was_outdated = is_outdated;
}

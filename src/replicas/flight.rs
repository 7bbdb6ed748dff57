//! One flight over all replicas: who needs a credential takes it from Redis, or takes a lease and fetches it, or waits
//! for the replica that has the lease.
//!
//! Knows no grant, only what identifies one. Whatever Redis does, a caller goes on alone after `redis.timeout`; a holder
//! that dies costs those who wait the rest of its lease.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use jiff::Timestamp;
use redis::{Cmd, Value, cmd};
use tokio::time;

use super::{
    CannotShare,
    connection::{CallError, Connection},
    credential::SharedCredential,
    metrics::{Lookup, Metrics, Refusal},
    names::Names,
    quota::{Given, SharedQuota},
    scripts,
    seal::{Name, Purpose, Sealer},
    waiters::Waiters,
};
use crate::config;
use runtime::{
    clock::{Clock, time_until},
    entropy::Entropy,
};
use templates::fingerprint::Fingerprint;
use tencent_sts::TemporaryCredential;

/// The time of a lease. Its holder renews it as long as the fetch goes on.
const LEASE_TIME: Duration = Duration::from_secs(1);
const RENEW_INTERVAL: Duration = Duration::from_millis(300);
/// How often a replica that waits looks by itself: what is published may be lost.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How much the clocks of two replicas may differ before a credential counts as too old.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// The flights of this replica.
#[derive(Debug)]
pub(super) struct Flights {
    pub(super) connection: Arc<Connection>,
    pub(super) names: Arc<Names>,
    /// By the present key, and by the previous one.
    pub(super) sealers: Arc<Sealers>,
    pub(super) quota: Arc<SharedQuota>,
    pub(super) waiters: Waiters,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// What is sealed and opened with the configured keys.
#[derive(Debug)]
pub(super) struct Sealers {
    pub(super) present: Sealer,
    pub(super) previous: Option<Sealer>,
}

impl Sealers {
    /// Derives the keys.
    pub(super) fn new(config: &config::Redis) -> Result<Self, CannotShare> {
        let sealer = |key| Sealer::new(key, &config.key_prefix).map_err(|_| CannotShare::Key);
        Ok(Self {
            present: sealer(&config.encryption_key)?,
            previous: config.previous_encryption_key.as_ref().map(sealer).transpose()?,
        })
    }
}

/// What is wanted from Redis.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What credentials depend on beside the grant.
    pub binding: &'a [u8],
    /// The grant.
    pub grant: &'a [u8],
    /// The time that the credential must have left.
    pub ttl: Duration,
    /// Credentials issued before are not used, because their user was revoked then.
    pub not_before: Option<Timestamp>,
    /// Whether no user waits.
    pub is_for_refresh: bool,
    /// How long another replica's fetch is waited for.
    pub patience: Duration,
    /// How long it is waited for if an older credential is active.
    pub patience_with_older: Duration,
    /// The bound on the user's scopes, if the credential is for one.
    pub scope: Option<ScopeBound>,
}

/// How many scopes a user may hold credentials for, at all replicas together.
#[derive(Debug, Clone, Copy)]
pub struct ScopeBound {
    /// The user.
    pub user: Fingerprint,
    /// How many scopes there may be.
    pub max: NonZeroU32,
    /// How long a new credential lasts.
    pub lifetime: Duration,
}

/// What a caller has to do.
#[derive(Debug)]
pub enum Joined {
    /// Nothing: another replica fetched the credential.
    Found(SharedCredential),
    /// Nothing for now: another replica fetches it and takes long, and this older one is active.
    Late(SharedCredential),
    /// Fetch it, and end the lease. Meanwhile, an older one is active.
    Fetch(Lease, Option<SharedCredential>),
    /// Nothing: the user holds credentials for as many scopes as may be, until this time has passed.
    TooManyScopes(Duration),
}

/// The duty to fetch a credential for all replicas, or, if Redis is not used, for this one.
#[derive(Debug)]
pub struct Lease {
    flights: Arc<Flights>,
    ids: Ids,
    holder: String,
    is_held: bool,
    /// What is there is not to be used.
    replaces: bool,
    /// The name of the user who gets a new scope with it.
    new_scope_of: Option<Name>,
}

/// The names of one credential.
#[derive(Debug, Clone, Copy)]
struct Ids {
    present: Name,
    previous: Name,
}

/// What [`scripts::JOIN`] answers.
struct Answer {
    state: i64,
    /// A sealed credential, and whether it is under the previous key.
    sealed: Option<(Vec<u8>, bool)>,
    given: Option<Given>,
    /// Until there is room for another scope.
    room_in: Duration,
    is_new_scope: bool,
}

impl Flights {
    /// Finds a credential, or makes the caller the one who fetches it.
    pub(super) async fn join(self: &Arc<Self>, wanted: Wanted<'_>) -> Joined {
        let ids = self.ids(wanted);
        let started = self.clock.monotonic();
        // Before the first look, so that nothing published after it is missed.
        let waiter = self.waiters.register(ids.present);
        let mut has_waited = false;
        loop {
            let lease = self.lease(ids);
            let Ok(answer) = self.ask(ids, &lease.holder, wanted).await else {
                self.metrics.looked_up(Lookup::Alone);
                return Joined::Fetch(lease, None);
            };
            let (found, was_refused) = self.open_wanted(ids, &answer, wanted);
            match answer.state {
                1 => {
                    if let Some(found) = found {
                        self.metrics.looked_up(if has_waited {
                            Lookup::FoundAfterWait
                        } else {
                            Lookup::Found
                        });
                        return Joined::Found(found);
                    }
                    self.metrics.looked_up(Lookup::Refused);
                    return Joined::Fetch(Lease { replaces: true, ..lease }, None);
                }
                0 => {
                    self.metrics.looked_up(Lookup::Missed);
                    let new_scope_of = wanted.scope.filter(|_| answer.is_new_scope);
                    let new_scope_of = new_scope_of.map(|scope| self.user(scope));
                    let lease = Lease { is_held: true, replaces: was_refused, new_scope_of, ..lease };
                    return Joined::Fetch(lease, found);
                }
                4 => {
                    self.metrics.looked_up(Lookup::Missed);
                    return Joined::TooManyScopes(answer.room_in);
                }
                2 if self.clock.monotonic() < started + wanted.patience => {
                    let is_late = self.clock.monotonic() >= started + wanted.patience_with_older;
                    if let Some(older) = found.filter(|_| is_late) {
                        self.metrics.looked_up(Lookup::Late);
                        return Joined::Late(older);
                    }
                    has_waited = true;
                    let _ = time::timeout(POLL_INTERVAL, waiter.notify.notified()).await;
                }
                _ => {
                    self.metrics.looked_up(Lookup::Alone);
                    return Joined::Fetch(lease, found);
                }
            }
        }
    }

    fn ids(&self, wanted: Wanted<'_>) -> Ids {
        let parts = [wanted.binding, wanted.grant];
        let present = self.sealers.present.name(Purpose::Credential, &parts);
        let previous = self.sealers.previous.as_ref();
        let previous = previous.map_or(present, |keys| keys.name(Purpose::Credential, &parts));
        Ids { present, previous }
    }

    fn lease(self: &Arc<Self>, ids: Ids) -> Lease {
        let holder = self.entropy.hex_id();
        Lease { flights: Arc::clone(self), ids, holder, is_held: false, replaces: false, new_scope_of: None }
    }

    fn user(&self, scope: ScopeBound) -> Name {
        self.sealers.present.name(Purpose::User, &[scope.user.as_bytes()])
    }

    async fn ask(&self, ids: Ids, holder: &str, wanted: Wanted<'_>) -> Result<Answer, CallError> {
        let mut command = cmd("EVAL");
        let scopes = wanted.scope.map(|scope| self.names.scopes(self.user(scope)));
        command.arg(if scopes.is_some() { scripts::JOIN_FOR_SCOPE } else { scripts::JOIN });
        command.arg(3 + self.quota.keys().len() + usize::from(scopes.is_some()));
        command.arg(self.names.credential(ids.present)).arg(self.names.credential(ids.previous));
        command.arg(self.names.lease(ids.present)).arg(self.quota.keys()).arg(scopes);
        command.arg(holder).arg(as_ms(LEASE_TIME)).arg(as_ms(wanted.ttl));
        let ask = self.quota.ask_with_lease(wanted.is_for_refresh);
        self.quota.add_arguments(&mut command, ask);
        if let Some(ScopeBound { max, lifetime, .. }) = wanted.scope {
            command.arg(ids.present.to_string()).arg(max.get()).arg(as_ms(lifetime));
        }
        let value = self.connection.call(&command).await?;
        let answer = Answer::parse(value).ok_or_else(|| CallError::Refused("another answer".to_owned()))?;
        if let Some(given) = answer.given {
            self.quota.add(given, ask);
        }
        Ok(answer)
    }

    /// Opens the credential of an answer, and says whether one was refused.
    fn open_wanted(&self, ids: Ids, answer: &Answer, wanted: Wanted<'_>) -> (Option<SharedCredential>, bool) {
        let Some((sealed, is_previous)) = &answer.sealed else { return (None, false) };
        let (keys, name) = match (is_previous, &self.sealers.previous) {
            (true, Some(previous)) => (previous, ids.previous),
            _ => (&self.sealers.present, ids.present),
        };
        let Some(shared) =
            keys.open(Purpose::Credential, name, sealed).and_then(|text| SharedCredential::parse(&text))
        else {
            self.metrics.refused(Refusal::Forged);
            return (None, true);
        };
        if wanted.not_before.is_some_and(|not_before| shared.issued_at <= not_before) {
            // Expected after a user was restored, and no sign of an intruder.
            return (None, true);
        }
        let left = time_until(shared.credential.expires_at, self.clock.now());
        let needed =
            if answer.state == 1 { wanted.ttl.saturating_sub(CLOCK_TOLERANCE) } else { Duration::ZERO };
        if left.is_zero() || left < needed {
            self.metrics.refused(Refusal::Expired);
            return (None, true);
        }
        (Some(shared), false)
    }
}

impl Answer {
    fn parse(value: Value) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        let [
            Value::Int(state),
            sealed,
            Value::Int(key),
            Value::Int(count),
            Value::Int(first_in),
            Value::Int(is_new_scope),
        ] = <[Value; 6]>::try_from(values).ok()?
        else {
            return None;
        };
        let sealed = match sealed {
            Value::BulkString(sealed) => Some((sealed, key == 2)),
            _ => None,
        };
        let given = Given::of(count, first_in).filter(|_| state == 0);
        let room_in = Duration::from_millis(u64::try_from(first_in).unwrap_or(0));
        Some(Self { state, sealed, given, room_in, is_new_scope: is_new_scope == 1 })
    }
}

impl Lease {
    /// Fetches the credential, and keeps the lease meanwhile.
    pub async fn hold<F: Future>(&self, fetch: F) -> F::Output {
        let mut fetch = std::pin::pin!(fetch);
        let mut is_held = self.is_held;
        loop {
            tokio::select! {
                biased;
                fetched = &mut fetch => return fetched,
                () = time::sleep(RENEW_INTERVAL), if is_held => is_held = self.renew().await,
            }
        }
    }

    /// Shares the credential with the others.
    pub async fn finish(self, credential: &TemporaryCredential) {
        let flights = &self.flights;
        let now = flights.clock.now();
        let ttl = as_ms(time_until(credential.expires_at, now));
        if ttl == 0 {
            return self.abandon().await;
        }
        let text = SharedCredential::text(credential, now);
        let keys = &flights.sealers.present;
        let Ok(sealed) = keys.seal(Purpose::Credential, self.ids.present, text, &*flights.entropy) else {
            return self.abandon().await;
        };
        let mut command = cmd("EVAL");
        command.arg(scripts::FINISH).arg(2);
        command.arg(flights.names.credential(self.ids.present)).arg(flights.names.lease(self.ids.present));
        command.arg(&self.holder).arg(sealed).arg(ttl).arg(flights.names.done_channel());
        command.arg(self.ids.present.to_string()).arg(u8::from(self.replaces));
        // If it fails, others fetch their own: each replica has what it needs.
        let stored = flights.connection.call(&command).await;
        flights.metrics.stored(matches!(stored, Ok(Value::Int(1))));
    }

    /// Lets another replica try.
    pub async fn abandon(self) {
        if !self.is_held {
            return;
        }
        let names = &self.flights.names;
        let mut command = cmd("EVAL");
        let scopes = self.new_scope_of.map(|user| names.scopes(user));
        command.arg(scripts::ABANDON).arg(1 + usize::from(scopes.is_some()));
        command
            .arg(names.lease(self.ids.present))
            .arg(scopes)
            .arg(&self.holder)
            .arg(names.done_channel())
            .arg(self.ids.present.to_string());
        // If it fails, the lease ends by itself.
        let _ = self.flights.connection.call(&command).await;
    }

    async fn renew(&self) -> bool {
        let mut command: Cmd = cmd("EVAL");
        command.arg(scripts::RENEW).arg(1).arg(self.flights.names.lease(self.ids.present));
        command.arg(&self.holder).arg(as_ms(LEASE_TIME));
        !matches!(self.flights.connection.call(&command).await, Ok(Value::Int(0)))
    }
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

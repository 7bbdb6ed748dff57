//! Revocations that all replicas know: the latest change of each user, encrypted in Redis and told to all.
//!
//! The change with the latest time counts, wherever it was made. What this replica knows is never undone by an older
//! change or by a missing one, and it writes what Redis lacks: whoever can write to Redis cannot restore a user.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use redis::{Value, cmd};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    connection::{CallError, Connection},
    flight::{Flights, Sealers},
    metrics::{Metrics, Refusal},
    names::Names,
    scripts,
    seal::{Name, Purpose, Sealer},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::{fingerprint::Fingerprint, identity::Principal};

/// Changes written in one call.
const BATCH: usize = 200;
/// How long a restoration is remembered: as long as the longest credential of before lasts (docs 1312/48195).
const RESTORATION_TIME: Duration = Duration::from_hours(36);
/// How long changes stay in Redis that no replica uses any more, such as those under a key of before a rotation.
const UNUSED_TIME: Duration = Duration::from_hours(24 * 30);

/// The latest change of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationChange {
    /// The issuer: `iss` of the user's tokens.
    pub issuer: String,
    /// The subject: `sub` of the user's tokens.
    pub subject: String,
    /// True if the user gets no keys, false if they were restored.
    pub is_revoked: bool,
    /// When the change was made.
    pub changed_at: Timestamp,
}

/// The changes that this replica knows.
#[derive(Debug)]
pub(super) struct Revocations {
    known: Mutex<HashMap<Fingerprint, Known>>,
    connection: Arc<Connection>,
    names: Arc<Names>,
    sealers: Arc<Sealers>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A change, and whether Redis has it.
#[derive(Debug, Clone)]
struct Known {
    change: RevocationChange,
    is_in_redis: bool,
}

impl RevocationChange {
    fn principal(&self) -> Fingerprint {
        Principal::new(self.issuer.as_str(), self.subject.as_str()).fingerprint()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        !self.is_revoked && now.duration_since(self.changed_at).unsigned_abs() > RESTORATION_TIME
    }
}

impl Revocations {
    /// Knows nothing yet, and uses the connection and keys of the flights.
    pub(super) fn new(flights: &Flights) -> Self {
        Self {
            known: Mutex::default(),
            connection: Arc::clone(&flights.connection),
            names: Arc::clone(&flights.names),
            sealers: Arc::clone(&flights.sealers),
            metrics: Arc::clone(&flights.metrics),
            clock: Arc::clone(&flights.clock),
            entropy: Arc::clone(&flights.entropy),
        }
    }

    /// Records a change of this replica, later than all that is known of the user.
    pub(super) fn record(&self, mut change: RevocationChange) {
        let mut known = self.known();
        let principal = change.principal();
        if let Some(before) = known.get(&principal).map(|known| known.change.changed_at) {
            let next = before.checked_add(Duration::from_millis(1)).unwrap_or(before);
            change.changed_at = change.changed_at.max(next);
        }
        known.insert(principal, Known { change, is_in_redis: false });
    }

    /// Records what a file had at the start. It may be older than what others know.
    pub(super) fn record_from_file(&self, changes: Vec<RevocationChange>) {
        let mut known = self.known();
        for change in changes {
            known.entry(change.principal()).or_insert(Known { change, is_in_redis: false });
        }
    }

    /// When a user was restored, if they were: credentials of before are not used.
    pub(super) fn restored_at(&self, principal: Fingerprint) -> Option<Timestamp> {
        let known = self.known();
        known.get(&principal).filter(|known| !known.change.is_revoked).map(|known| known.change.changed_at)
    }

    /// The number of changes that the others may not know.
    pub(super) fn unannounced(&self) -> usize {
        self.known().values().filter(|known| !known.is_in_redis).count()
    }

    /// Reads all changes from Redis and returns those that are new here. Then writes those that Redis lacks.
    pub(super) async fn synchronize(&self) -> Result<Vec<RevocationChange>, CallError> {
        let mut new = Vec::new();
        // The present key last: what is under the previous one only is written again.
        for keys in self.sealers.previous.iter().chain([&self.sealers.present]) {
            let mut command = cmd("HGETALL");
            command.arg(self.names.revocations(key_name(keys)));
            let read = self.open_all(keys, self.connection.call(&command).await?);
            new.extend(merge(&mut self.known(), read, self.clock.now()));
        }
        self.announce().await?;
        Ok(new)
    }

    /// Writes the changes that Redis lacks, and tells the others.
    async fn announce(&self) -> Result<(), CallError> {
        loop {
            let batch: Vec<RevocationChange> = {
                let known = self.known();
                let unannounced = known.values().filter(|known| !known.is_in_redis);
                unannounced.take(BATCH).map(|known| known.change.clone()).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            self.write(&batch).await?;
            self.mark_written(&batch);
        }
    }

    async fn write(&self, batch: &[RevocationChange]) -> Result<(), CallError> {
        let keys = &self.sealers.present;
        let mut command = cmd("EVAL");
        command.arg(scripts::REVOKE).arg(2);
        command.arg(self.names.revocations(key_name(keys))).arg(self.names.revocation_count());
        command.arg(self.names.revoked_channel()).arg(UNUSED_TIME.as_secs() * 1000);
        for change in batch {
            let name = field_name(keys, change);
            // Texts are written to memory, which does not fail.
            let text = Zeroizing::new(serde_json::to_vec(change).unwrap_or_default());
            let sealed = keys
                .seal(Purpose::Revocation, name, text, &*self.entropy)
                .map_err(|error| CallError::Refused(error.to_string()))?;
            command.arg(name.to_string()).arg(sealed);
        }
        self.connection.call(&command).await.map(|_| ())
    }

    fn mark_written(&self, batch: &[RevocationChange]) {
        let mut known = self.known();
        for change in batch {
            if let Some(entry) = known.get_mut(&change.principal()) {
                // It may have changed again meanwhile.
                entry.is_in_redis = entry.change == *change;
            }
        }
    }

    fn open_all(&self, keys: &Sealer, value: Value) -> Vec<RevocationChange> {
        let pairs = value.into_map_iter().into_iter().flatten();
        let opened = pairs.filter_map(|(name, sealed)| {
            let (Value::BulkString(name), Value::BulkString(sealed)) = (name, sealed) else { return None };
            let name = Name::parse(&name)?;
            let text = keys.open(Purpose::Revocation, name, &sealed);
            let change = text.and_then(|text| serde_json::from_slice::<RevocationChange>(&text).ok());
            if change.is_none() {
                self.metrics.refused(Refusal::Forged);
            }
            change
        });
        opened.collect()
    }

    /// Each change leaves the map complete, so a poisoned lock does no harm.
    fn known(&self) -> MutexGuard<'_, HashMap<Fingerprint, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes over what is later than what is known, and notes what Redis lacks. Returns what is new.
fn merge(
    known: &mut HashMap<Fingerprint, Known>,
    read: Vec<RevocationChange>,
    now: Timestamp,
) -> Vec<RevocationChange> {
    for entry in known.values_mut() {
        entry.is_in_redis = false;
    }
    let mut new = Vec::new();
    for change in read {
        // A file may still have a user who was restored long ago.
        if change.is_over(now) && !known.contains_key(&change.principal()) {
            continue;
        }
        match known.get_mut(&change.principal()) {
            Some(entry) if entry.change.changed_at > change.changed_at => {}
            Some(entry) if entry.change == change => entry.is_in_redis = true,
            _ => {
                new.push(change.clone());
                known.insert(change.principal(), Known { change, is_in_redis: true });
            }
        }
    }
    known.retain(|_, entry| !entry.change.is_over(now));
    new
}

/// Names the key that changes are sealed with.
fn key_name(keys: &Sealer) -> Name {
    keys.name(Purpose::Revocation, &[])
}

fn field_name(keys: &Sealer, change: &RevocationChange) -> Name {
    keys.name(Purpose::Revocation, &[change.issuer.as_bytes(), change.subject.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn change(subject: &str, is_revoked: bool, second: i64) -> RevocationChange {
        RevocationChange { issuer: "i".into(), subject: subject.into(), is_revoked, changed_at: at(second) }
    }

    fn knowing(changes: &[RevocationChange]) -> HashMap<Fingerprint, Known> {
        let known = |change: &RevocationChange| {
            (change.principal(), Known { change: change.clone(), is_in_redis: true })
        };
        changes.iter().map(known).collect()
    }

    #[test]
    fn the_latest_change_of_a_user_counts_and_redis_gets_what_it_lacks() {
        let mut known =
            knowing(&[change("alice", true, 10), change("bob", true, 10), change("carol", true, 10)]);
        let read = vec![change("alice", false, 9), change("bob", false, 11), change("dave", true, 5)];
        let new = merge(&mut known, read, at(20));
        assert_eq!(new, [change("bob", false, 11), change("dave", true, 5)]);
        let mut lacking: Vec<&str> = known
            .values()
            .filter(|known| !known.is_in_redis)
            .map(|known| known.change.subject.as_str())
            .collect();
        lacking.sort_unstable();
        assert_eq!(lacking, ["alice", "carol"], "an older change and a missing one are written again");
    }

    #[test]
    fn a_restoration_is_forgotten_when_no_key_of_before_can_be_active() {
        let end = i64::try_from(RESTORATION_TIME.as_secs()).unwrap();
        let mut known = knowing(&[change("alice", false, 0), change("bob", true, 0)]);
        assert!(merge(&mut known, vec![change("carol", false, 0)], at(end + 1)).is_empty());
        let left: Vec<&str> = known.values().map(|known| known.change.subject.as_str()).collect();
        assert_eq!(left, ["bob"]);
    }
}

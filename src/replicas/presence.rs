//! What replicas tell of themselves, so that each can show the fleet and notice that others serve later templates.
//!
//! What they tell lies in one hash for each encryption key, sealed for its replica. What does not open there was altered,
//! moved or written by someone else: it is counted and removed.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use redis::{Value, cmd};
use zeroize::Zeroizing;

use super::{
    connection::CallError,
    fleet::{GONE_AFTER, Member, Members, Replica, ReplicaState, Told},
    flight::Flights,
    metrics::Refusal,
    scripts,
    seal::{Name, Purpose, Sealer},
};

/// If no replica told anything for so long, Redis was not there, and each was alone.
const SILENCE_MS: u64 = 1500;
/// How long it takes until all are back: the time to the next connection, and to make it.
const RETURN_TIME_MS: u64 = 3000;
/// Versions of the templates whose order is remembered.
const REMEMBERED_VERSIONS: u32 = 100;
/// Values that are removed at once because they do not open.
const MAX_REMOVED: usize = 1000;

/// The presence of this replica, and what it knows of the others.
#[derive(Debug)]
pub(super) struct Presence {
    id: String,
    started_at: Timestamp,
    seen: Mutex<Seen>,
    flights: Arc<Flights>,
}

/// What was seen in Redis.
#[derive(Debug, Default)]
struct Seen {
    /// How often this replica has told of itself.
    beats: u64,
    /// Whether it was ever seen there. A replica that was not cannot return from an outage.
    was_present: bool,
    members: Members,
    /// The versions of the templates, the latest last.
    versions: Vec<Vec<u8>>,
    /// What did not open at the last look: the replica's id and the value.
    refused: HashSet<(Vec<u8>, Vec<u8>)>,
    /// Since when nobody can be seen; none while the fleet is known.
    unknown_since: Option<Timestamp>,
}

/// The fleet at one moment.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The replicas, this one included; none while they are unknown.
    pub(super) members: Vec<Member>,
    /// Since when they are unknown.
    pub(super) unknown_since: Option<Timestamp>,
}

impl Fleet {
    /// Whether another replica serves a later version of the templates than this one.
    pub(super) fn is_outdated(&self) -> bool {
        self.members.iter().any(|member| member.is_this && member.is_outdated)
    }
}

impl Presence {
    /// Knows nobody yet, and uses the connection and keys of the flights.
    pub(super) fn new(flights: &Arc<Flights>) -> Self {
        let started_at = flights.clock.now();
        Self {
            id: flights.entropy.hex_id(),
            started_at,
            seen: Mutex::new(Seen { unknown_since: Some(started_at), ..Seen::default() }),
            flights: Arc::clone(flights),
        }
    }

    /// The name of this replica.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What was seen last.
    pub(super) fn fleet(&self) -> Fleet {
        let seen = self.seen();
        let unknown_since = seen.unknown_since;
        let now = self.flights.clock.monotonic();
        let members = if unknown_since.is_none() {
            seen.members.list(&self.id, &seen.versions, now)
        } else {
            Vec::new()
        };
        Fleet { members, unknown_since }
    }

    /// Tells the state of this replica, and whether it stops, and learns of the others. Returns how many changes of
    /// revocations there were.
    pub(super) async fn tell(&self, state: ReplicaState, has_left: bool) -> Result<Vec<u8>, CallError> {
        let (beat, was_present, refused) = {
            let mut seen = self.seen();
            seen.beats += 1;
            let refused: Vec<Vec<u8>> =
                seen.refused.iter().take(MAX_REMOVED).map(|(id, _)| id.clone()).collect();
            (seen.beats, seen.was_present, refused)
        };
        let (id, version) = (self.id.clone(), env!("CARGO_PKG_VERSION").to_owned());
        let own =
            Told { beat, has_left, replica: Replica { id, version, started_at: self.started_at, state } };
        let names = &self.flights.names;
        let [present, previous] = self.keys().map(|keys| names.replicas(keys.name(Purpose::Replica, &[])));
        let mut command = cmd("EVAL");
        command.arg(scripts::HEARTBEAT).arg(6);
        command.arg(present).arg(names.seen()).arg(names.versions());
        command.arg(names.revocation_count()).arg(names.outage()).arg(previous);
        command.arg(&self.id).arg(self.sealed(&own)?).arg(GONE_AFTER.as_secs() * 1000);
        command.arg(&own.replica.state.templates).arg(REMEMBERED_VERSIONS);
        command.arg(SILENCE_MS).arg(RETURN_TIME_MS).arg(u8::from(was_present)).arg(refused);
        let answer = self.flights.connection.call(&command).await?;
        self.look(own, answer).ok_or_else(|| CallError::Refused("another answer".to_owned()))
    }

    /// Forgets the others: they cannot be seen.
    pub(super) fn forget(&self) {
        let mut seen = self.seen();
        seen.members = Members::default();
        seen.unknown_since.get_or_insert_with(|| self.flights.clock.now());
    }

    /// The present key and the previous one, which is the same if there is none.
    fn keys(&self) -> [&Sealer; 2] {
        let sealers = &self.flights.sealers;
        [&sealers.present, sealers.previous.as_ref().unwrap_or(&sealers.present)]
    }

    fn sealed(&self, own: &Told) -> Result<Vec<u8>, CallError> {
        let keys = &self.flights.sealers.present;
        // Texts are written to memory, which does not fail.
        let text = Zeroizing::new(serde_json::to_vec(own).unwrap_or_default());
        let sealed =
            keys.seal(Purpose::Replica, name_of(keys, self.id.as_bytes()), text, &*self.flights.entropy);
        sealed.map_err(|error| CallError::Refused(error.to_string()))
    }

    /// Takes over what all tell, and returns how many changes of revocations there were.
    fn look(&self, own: Told, answer: Value) -> Option<Vec<u8>> {
        let Value::Array(parts) = answer else { return None };
        let [present, previous, versions, count] = <[Value; 4]>::try_from(parts).ok()?;
        let (Value::BulkString(count), now) = (count, self.flights.clock.monotonic()) else { return None };
        let mut seen = self.seen();
        seen.versions = texts_of(versions)?;
        let mut refused = HashSet::new();
        for (keys, told) in self.keys().into_iter().zip([present, previous]) {
            for pair in texts_of(told)?.chunks_exact(2) {
                let [id, sealed] = pair else { continue };
                let Some(text) = keys.open(Purpose::Replica, name_of(keys, id), sealed) else {
                    refused.insert((id.clone(), sealed.clone()));
                    continue;
                };
                // What another version of the program tells may be no such state, and is no forgery.
                if let Ok(told) = serde_json::from_slice::<Told>(&text)
                    && told.replica.id != self.id
                {
                    seen.members.take(told, false, now);
                }
            }
        }
        seen.members.take(own, true, now);
        let before = mem::replace(&mut seen.refused, refused);
        for _ in seen.refused.difference(&before) {
            self.flights.metrics.refused(Refusal::Forged);
        }
        seen.was_present = true;
        seen.unknown_since = None;
        Some(count)
    }

    /// Each change leaves the state usable, so a poisoned lock does no harm.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that what a replica tells is sealed for.
fn name_of(keys: &Sealer, id: &[u8]) -> Name {
    keys.name(Purpose::Replica, &[id])
}

fn texts_of(value: Value) -> Option<Vec<Vec<u8>>> {
    let Value::Array(values) = value else { return None };
    let texts = values.into_iter().map(|value| match value {
        Value::BulkString(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

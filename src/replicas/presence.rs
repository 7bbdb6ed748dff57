//! What replicas tell of themselves, so that each can show the fleet and notice that others serve later templates.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use redis::{Value, cmd};
use serde::{Deserialize, Serialize};
use templates::fingerprint::Fingerprint;
use zeroize::Zeroizing;

use super::{
    connection::{CallError, Connection},
    flight::Sealers,
    names::Names,
    scripts,
    seal::{Name, Purpose},
};
use runtime::entropy::Entropy;

/// After this time without a word a replica is gone.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// If no replica told anything for so long, Redis was not there, and each was alone.
const SILENCE_MS: u64 = 1500;
/// How long it takes until all are back: the time to the next connection, and to make it.
const RETURN_TIME_MS: u64 = 3000;
/// Versions of the templates whose order is remembered.
const REMEMBERED_VERSIONS: u32 = 100;

/// A replica as it shows itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// A random name for the life of its process.
    pub id: String,
    /// The version of the program.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// The version of its templates.
    pub templates: String,
}

/// What was told last.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    /// The replicas, this one included, by their ids.
    pub(super) replicas: Vec<Replica>,
    /// Whether another serves a later version of the templates.
    pub(super) is_outdated: bool,
    /// How many changes of revocations there were.
    pub(super) revocation_count: Vec<u8>,
}

/// The presence of this replica.
#[derive(Debug)]
pub(super) struct Presence {
    id: String,
    started_at: Timestamp,
    fleet: Mutex<Fleet>,
    /// Whether it was ever told. A replica that was not cannot return from an outage.
    was_present: AtomicBool,
    connection: Arc<Connection>,
    names: Arc<Names>,
    sealers: Arc<Sealers>,
    entropy: Arc<dyn Entropy>,
}

impl Presence {
    pub(super) fn new(
        started_at: Timestamp,
        connection: Arc<Connection>,
        names: Arc<Names>,
        sealers: Arc<Sealers>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let id = entropy.hex_id();
        Self {
            id,
            started_at,
            fleet: Mutex::default(),
            was_present: AtomicBool::new(false),
            connection,
            names,
            sealers,
            entropy,
        }
    }

    /// The name of this replica.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What was told last.
    pub(super) fn fleet(&self) -> Fleet {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells that this replica lives and which templates it serves, and learns of the others.
    pub(super) async fn tell(&self, templates: Fingerprint) -> Result<Fleet, CallError> {
        let version = templates.short().to_string();
        let own = Replica {
            id: self.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            templates: version.clone(),
        };
        let mut command = cmd("EVAL");
        command.arg(scripts::HEARTBEAT).arg(5);
        command.arg(self.names.replicas()).arg(self.names.seen());
        command.arg(self.names.versions()).arg(self.names.revocation_count()).arg(self.names.outage());
        command.arg(&self.id).arg(self.sealed(&own)?).arg(GONE_AFTER.as_secs() * 1000);
        command.arg(version).arg(REMEMBERED_VERSIONS).arg(SILENCE_MS).arg(RETURN_TIME_MS);
        command.arg(u8::from(self.was_present.load(Ordering::Relaxed)));
        let told = self.connection.call(&command).await?;
        let fleet = self.parse(told, &own).ok_or_else(|| CallError::Refused("another answer".to_owned()))?;
        self.was_present.store(true, Ordering::Relaxed);
        *self.fleet.lock().unwrap_or_else(PoisonError::into_inner) = fleet.clone();
        Ok(fleet)
    }

    /// Forgets the others: they cannot be seen.
    pub(super) fn forget(&self) {
        *self.fleet.lock().unwrap_or_else(PoisonError::into_inner) = Fleet::default();
    }

    fn sealed(&self, own: &Replica) -> Result<Vec<u8>, CallError> {
        let keys = &self.sealers.present;
        let name = keys.name(Purpose::Replica, &[own.id.as_bytes()]);
        // Texts are written to memory, which does not fail.
        let text = Zeroizing::new(serde_json::to_vec(own).unwrap_or_default());
        let sealed = keys.seal(Purpose::Replica, name, text, &*self.entropy);
        sealed.map_err(|error| CallError::Refused(error.to_string()))
    }

    fn parse(&self, told: Value, own: &Replica) -> Option<Fleet> {
        let Value::Array(parts) = told else { return None };
        let [replicas, versions, count] = <[Value; 3]>::try_from(parts).ok()?;
        let replicas = bytes_of(replicas)?;
        let opened = replicas.chunks_exact(2).filter_map(|pair| match pair {
            [id, sealed] => self.open(id, sealed),
            _ => None,
        });
        let mut replicas: Vec<Replica> = opened.collect();
        replicas.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        let versions = bytes_of(versions)?;
        let age = |version: &str| versions.iter().position(|known| known == version.as_bytes());
        let is_outdated = replicas.iter().any(|other| age(&other.templates) > age(&own.templates));
        let Value::BulkString(revocation_count) = count else { return None };
        Some(Fleet { replicas, is_outdated, revocation_count })
    }

    /// Opens what a replica says, whichever of the two keys it has.
    fn open(&self, id: &[u8], sealed: &[u8]) -> Option<Replica> {
        let sealers = std::iter::once(&self.sealers.present).chain(&self.sealers.previous);
        let text = sealers.into_iter().find_map(|keys| {
            let name: Name = keys.name(Purpose::Replica, &[id]);
            keys.open(Purpose::Replica, name, sealed)
        })?;
        serde_json::from_slice(&text).ok()
    }
}

fn bytes_of(value: Value) -> Option<Vec<Vec<u8>>> {
    let Value::Array(values) = value else { return None };
    let bytes = values.into_iter().map(|value| match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    bytes.collect()
}

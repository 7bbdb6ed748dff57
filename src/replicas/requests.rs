//! Counts of users' requests over all replicas, for their rate limits.
//!
//! Knows no limit, only how far one request moves it, and decides nothing: who counts does.

use std::{sync::Arc, time::Duration};

use redis::{Value, cmd};
use templates::fingerprint::Fingerprint;

use super::{
    connection::Connection,
    flight::{Flights, Sealers},
    names::Names,
    scripts,
    seal::Purpose,
};

/// Requests of some users that this replica has admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestCounts {
    /// How many, by user.
    pub users: Vec<RequestCount>,
    /// The time since the first of them.
    pub age: Duration,
    /// How much of the limit a request uses.
    pub interval: Duration,
    /// More than this cannot be used.
    pub longest_use: Duration,
}

/// Requests of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// The user.
    pub user: Fingerprint,
    /// How many.
    pub requests: u32,
}

/// The way to the counts of all replicas.
#[derive(Debug)]
pub(super) struct Requests {
    connection: Arc<Connection>,
    names: Arc<Names>,
    sealers: Arc<Sealers>,
}

impl Requests {
    /// Uses the connection and keys of the flights.
    pub(super) fn new(flights: &Flights) -> Self {
        Self {
            connection: Arc::clone(&flights.connection),
            names: Arc::clone(&flights.names),
            sealers: Arc::clone(&flights.sealers),
        }
    }

    /// Adds counts, and returns how much of the limit each of these users has used at all replicas. Nothing if Redis does
    /// not say; then the counts are lost.
    pub(super) async fn count(&self, counts: &RequestCounts) -> Option<Vec<(Fingerprint, Duration)>> {
        let mut command = cmd("EVAL");
        command.arg(scripts::COUNT).arg(counts.users.len());
        for RequestCount { user, .. } in &counts.users {
            let name = self.sealers.present.name(Purpose::User, &[user.as_bytes()]);
            command.arg(self.names.requests(name));
        }
        command.arg(as_us(counts.interval).max(1)).arg(as_us(counts.age)).arg(as_us(counts.longest_use));
        for RequestCount { requests, .. } in &counts.users {
            command.arg(requests);
        }
        let Ok(Value::Array(used)) = self.connection.call(&command).await else { return None };
        let users = counts.users.iter().zip(used);
        Some(users.filter_map(|(count, used)| Some((count.user, duration(&used)?))).collect())
    }
}

/// Reads what the script returns. Redis may say anything.
fn duration(used: &Value) -> Option<Duration> {
    let Value::Int(microseconds) = used else { return None };
    Some(Duration::from_micros(u64::try_from(*microseconds).unwrap_or(0)))
}

fn as_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

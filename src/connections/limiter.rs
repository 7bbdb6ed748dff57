//! The limits of a listener, shared by its threads, and what each open connection holds of them.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ipnet::IpNet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    limits::{Client, Full, Limits, Table},
    metrics::{Metrics, Reason},
};

/// Decides which connections a listener takes.
#[derive(Debug, Clone)]
pub(super) struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    limits: Limits,
    /// Clients without a limit of their own.
    exempt: Vec<IpNet>,
    metrics: Metrics,
}

/// The place of an open connection, which it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limiter: Limiter,
    id: u64,
    gives_way: CancellationToken,
    total: Arc<AtomicUsize>,
    of_client: Option<Arc<AtomicUsize>>,
    is_served: AtomicBool,
    /// Why a request on the connection is no HTTP/1.1.
    malformed: OnceLock<String>,
}

impl Limiter {
    pub(super) fn new(limits: Limits, exempt: Vec<IpNet>, metrics: Metrics) -> Self {
        Self(Arc::new(Shared { table: Mutex::new(Table::new(limits)), limits, exempt, metrics }))
    }

    /// Takes a connection, or says why not.
    pub(super) fn admit(&self, peer: IpAddr, now: Instant) -> Result<Permit, Reason> {
        let peer = peer.to_canonical();
        let is_exempt = self.0.exempt.iter().any(|network| network.contains(&peer));
        let client = (!is_exempt).then(|| Client::of(peer));
        let admitted = self.table().admit(client, now);
        match admitted {
            Ok(admitted) => Ok(Permit {
                limiter: self.clone(),
                id: admitted.id,
                gives_way: admitted.gives_way,
                total: admitted.total,
                of_client: admitted.of_client,
                is_served: AtomicBool::new(false),
                malformed: OnceLock::new(),
            }),
            Err(full) => {
                let reason = match full {
                    Full::Total => Reason::Connections,
                    Full::Client => Reason::ConnectionsOfAddress,
                };
                self.count(reason);
                Err(reason)
            }
        }
    }

    /// Counts a connection that was refused.
    pub(super) fn count(&self, reason: Reason) {
        self.0.metrics.add_refused(reason);
    }

    /// Returns the number of open connections.
    pub(super) fn open(&self) -> usize {
        self.table().open()
    }

    /// Returns how many may be open.
    pub(super) fn limit(&self) -> usize {
        self.0.limits.total
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Returns when the connection has to give way to another one.
    pub(super) async fn gives_way(&self) {
        self.gives_way.cancelled().await;
    }

    /// A request has arrived whole: the connection does not give way any more.
    pub(super) fn serve(&self) {
        if !self.is_served.swap(true, Ordering::Relaxed) {
            self.limiter.table().serve(self.id);
        }
    }

    /// Counts why the connection is closed.
    pub(super) fn count(&self, reason: Reason) {
        self.limiter.count(reason);
    }

    /// Counts the connection as malformed, once, and returns the first cause that was given.
    pub(super) fn count_malformed(&self, cause: impl FnOnce() -> String) -> &str {
        self.malformed.get_or_init(|| {
            self.count(Reason::Malformed);
            cause()
        })
    }

    /// Returns whether so many connections are open that none should be kept for a later request.
    pub(super) fn is_crowded(&self) -> bool {
        let limits = self.limiter.0.limits;
        let of_client = self.of_client.as_ref().map_or(0, |open| open.load(Ordering::Relaxed));
        is_nearly(self.total.load(Ordering::Relaxed), limits.total) || is_nearly(of_client, limits.per_client)
    }
}

/// Three quarters or more of a limit.
fn is_nearly(open: usize, limit: usize) -> bool {
    open >= limit - limit / 4
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.table().close(self.id);
    }
}

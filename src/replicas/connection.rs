//! The connection to Redis: used while it answers, replaced in the background when it does not.
//!
//! Knows no key and no script. A call that fails takes the connection away from all others, so that a Redis that hangs
//! costs each request one time-out at most and not one for each call.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use redis::{Cmd, RedisError, Value, aio::MultiplexedConnection};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{
    connect::{Connected, Connector, PushHandler},
    metrics::{CallFailure, Metrics},
};
use runtime::{clock::Clock, entropy::Entropy};

/// The pause before the next connection, ± a quarter: replicas do not come back together.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// The connection to Redis, or to the present master.
pub(super) struct Connection {
    connector: Connector,
    /// None while Redis is not used.
    current: ArcSwapOption<Live>,
    /// Whether the first attempt to connect is over.
    was_tried: watch::Sender<bool>,
    /// Why there is no connection.
    problem: Mutex<Option<String>>,
    timeout: Duration,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// There is no connection, or it failed during the call.
    #[error("Redis does not answer")]
    Unavailable,
    /// Redis answered that it does not do this, for example because its memory is full.
    #[error("Redis refuses: {0}")]
    Refused(String),
}

/// A connection that is used.
struct Live {
    connection: MultiplexedConnection,
    /// Cancelled when a call failed.
    given_up: CancellationToken,
}

impl Connection {
    /// Returns a connection that is made once it is [kept up](Self::keep_up).
    pub(super) fn new(
        connector: Connector,
        timeout: Duration,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            connector,
            current: ArcSwapOption::empty(),
            was_tried: watch::Sender::new(false),
            problem: Mutex::new(Some("not connected yet".to_owned())),
            timeout,
            metrics,
            clock,
            entropy,
        }
    }

    /// Whether Redis is used now.
    pub(super) fn is_up(&self) -> bool {
        self.current.load().is_some()
    }

    /// Why Redis is not used; nothing while it is.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes one call.
    ///
    /// # Errors
    /// At once while there is no connection, else after `redis.timeout` at most.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, CallError> {
        let Some(live) = self.current.load_full() else { return Err(CallError::Unavailable) };
        let started = self.clock.monotonic();
        let mut connection = live.connection.clone();
        let answered = time::timeout(self.timeout, command.query_async::<Value>(&mut connection)).await;
        self.metrics.called(self.clock.monotonic().saturating_sub(started));
        let (failure, error, problem) = match answered {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if concerns_the_call_only(&error) => {
                self.metrics.failed(CallFailure::Refused);
                return Err(CallError::Refused(error.to_string()));
            }
            Ok(Err(error)) => (CallFailure::Connection, CallError::Unavailable, error.to_string()),
            Err(_) => (CallFailure::Timeout, CallError::Unavailable, "it did not answer in time".to_owned()),
        };
        self.metrics.failed(failure);
        self.give_up(&live, problem);
        Err(error)
    }

    /// Makes the connection, and again whenever it fails, until dropped.
    pub(super) async fn keep_up(&self, on_push: PushHandler) {
        loop {
            match self.connector.connect(Arc::clone(&on_push), self.timeout).await {
                Ok(connected) => self.use_while_well(connected).await,
                Err(error) => self.report_down(error.to_string()),
            }
            self.was_tried.send_replace(true);
            time::sleep(RECONNECT_INTERVAL.mul_f64(0.75 + self.entropy.unit() / 2.0)).await;
        }
    }

    /// Waits until Redis is used, or the first attempt to reach it is over.
    pub(super) async fn was_tried(&self) {
        // Cannot fail: the sender lives as long as this does.
        let _ = self.was_tried.subscribe().wait_for(|tried| *tried).await;
    }

    async fn use_while_well(&self, (connection, mut driver): Connected) {
        let live = Arc::new(Live { connection, given_up: CancellationToken::new() });
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.current.store(Some(Arc::clone(&live)));
        self.was_tried.send_replace(true);
        tracing::info!("Redis is used: replicas share keys, the quota and revocations");
        tokio::select! {
            _ = &mut driver => self.give_up(&live, "the connection was closed".to_owned()),
            () = live.given_up.cancelled() => driver.abort(),
        }
    }

    /// Takes the connection away from all calls.
    fn give_up(&self, failed: &Arc<Live>, problem: String) {
        let previous = self.current.compare_and_swap(failed, None);
        if previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, failed)) {
            self.report_down(problem);
            failed.given_up.cancel();
        }
    }

    /// Tells of a loss once, however long it lasts.
    fn report_down(&self, problem: String) {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(&problem) {
            tracing::warn!(
                problem,
                "Redis is not used: this replica goes on alone, with its share of the quota"
            );
        }
        *known = Some(problem);
    }
}

/// Whether an error says nothing of the connection: the next call may succeed. A replica that was a master refuses to
/// write (`READONLY`), and a node of a cluster that does not have the keys redirects (`MOVED`): then another is needed.
fn concerns_the_call_only(error: &RedisError) -> bool {
    let codes_of_another_server =
        ["READONLY", "MOVED", "ASK", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOAUTH"];
    error.code().is_some_and(|code| !codes_of_another_server.contains(&code))
}

//! The stop: first unready while new connections are still taken, then closing.

use std::time::Duration;

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::systemd;

/// The phases of a stop.
#[derive(Debug)]
pub(super) struct Stop {
    /// Cancelled when the service is told to stop: from then on it is not ready, and each answer ends its connection.
    pub(super) requested: CancellationToken,
    /// How long new connections are taken after that: load balancers must see that it is not ready.
    pub(super) drain_delay: Duration,
    /// Cancelled when the listeners close.
    pub(super) closing: CancellationToken,
}

impl Stop {
    /// Waits until the listeners have to close, and closes them.
    pub(super) async fn run(self) {
        self.requested.cancelled().await;
        systemd::notify_stopping();
        if !self.drain_delay.is_zero() {
            let seconds = self.drain_delay.as_secs_f64();
            tracing::info!(
                seconds,
                "stopping: not ready any more, new connections are taken for server.drain_delay"
            );
            select! {
                () = sleep(self.drain_delay) => {}
                () = second_signal() => tracing::info!("told to stop again: the delay ends"),
            }
        }
        tracing::info!("stopping: no new connections, running requests may finish");
        self.closing.cancel();
    }
}

/// Waits for SIGTERM or Ctrl-C. The first one was received elsewhere.
async fn second_signal() {
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    match signals {
        [Ok(mut terminate), Ok(mut interrupt)] => select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        // Without it, the delay ends by itself.
        _ => std::future::pending().await,
    }
}

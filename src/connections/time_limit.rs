//! Time limits that are fair after a suspension: bytes that came meanwhile count before time that has passed.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// How long to wait for bytes when a time limit has passed. A process that was suspended sees its timers first: only the
/// next turn of the runtime looks at the sockets.
pub(super) const OVERDUE_DELAY: Duration = Duration::from_millis(20);

/// Returns when a time has passed, and the runtime has looked at the sockets since.
pub(crate) async fn overdue(deadline: Instant) {
    sleep_until(deadline).await;
    sleep(OVERDUE_DELAY).await;
}

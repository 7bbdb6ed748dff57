//! Watches the files of the operator's source credentials, which may be rotated.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::sts::TencentSts;

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Uses rotated source credentials as soon as they are found, until dropped.
pub(super) async fn watch(sts: Arc<TencentSts>) {
    let mut polls = interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        polls.tick().await;
        let sts = Arc::clone(&sts);
        // A panic in there is reported by the hook; the next poll tries again.
        let _ = tokio::task::spawn_blocking(move || sts.reload_source_credentials()).await;
    }
}

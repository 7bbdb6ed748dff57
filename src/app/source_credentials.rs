//! Watches the files of the operator's source credentials, which may be rotated.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::sts::TencentSts;
use runtime::file_work::FileWorker;

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Uses rotated source credentials as soon as they are found, until dropped.
pub(super) async fn watch(sts: Arc<TencentSts>) {
    let mut polls = interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let worker = FileWorker::default();
    let mut last_failure = None;
    loop {
        polls.tick().await;
        let (sts, worker) = (Arc::clone(&sts), worker.clone());
        let read = move || worker.run(move || sts.reload_source_credentials());
        // A panic in there is reported by the hook; the next poll tries again.
        let Ok(read) = tokio::task::spawn_blocking(read).await else { continue };
        let failure = read.err();
        if let Some(failure) = failure.as_ref().filter(|failure| last_failure.as_ref() != Some(*failure)) {
            tracing::error!(%failure, help = failure.help(), "the file of the source credentials cannot be read again; the present ones stay in use");
        }
        last_failure = failure;
    }
}

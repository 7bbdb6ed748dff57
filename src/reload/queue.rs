//! Reloads that are requested at the same time: one runs, at most one waits, and all other requests share that one.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::{Reload, ReloadCause, TemplateStore};
use crate::audit::Audit;
use runtime::clock::Clock;

/// The reload that waits for the running one.
#[derive(Default)]
pub(super) struct ReloadQueue {
    waiting: Mutex<Option<WaitingReload>>,
    running: tokio::sync::Mutex<()>,
}

/// The outcome of a reload that several requests may wait for.
type WaitingReload = Shared<BoxFuture<'static, Result<Arc<Reload>, ReloadFailed>>>;

/// A reload that ended without an outcome.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the reload ended unexpectedly; the log says why")]
pub struct ReloadFailed;

impl fmt::Debug for ReloadQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadQueue")
    }
}

impl ReloadQueue {
    /// Whether a reload runs and none waits.
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.running.try_lock().is_err() && self.waiting().is_none()
    }

    fn waiting(&self) -> MutexGuard<'_, Option<WaitingReload>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TemplateStore {
    /// Loads the folder again, after the reload that runs. Requests that come before it begins share it, with the cause
    /// of the first. It continues if its callers leave.
    ///
    /// # Errors
    /// When it panicked, or the service stops.
    pub async fn request_reload(
        self: &Arc<Self>,
        audit: &Audit,
        cause: ReloadCause,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Reload>, ReloadFailed> {
        let reload =
            self.queue.waiting().get_or_insert_with(|| self.start_reload(audit, cause, clock)).clone();
        reload.await
    }

    fn start_reload(
        self: &Arc<Self>,
        audit: &Audit,
        cause: ReloadCause,
        clock: &Arc<dyn Clock>,
    ) -> WaitingReload {
        let (store, audit, clock) = (Arc::clone(self), audit.clone(), Arc::clone(clock));
        let task = tokio::spawn(async move {
            let _alone = store.queue.running.lock().await;
            // A request from now on may follow a change that this reload does not see.
            store.queue.waiting().take();
            let store = Arc::clone(&store);
            tokio::task::spawn_blocking(move || Arc::new(store.reload(&audit, cause, clock.now()))).await
        });
        async move { task.await.ok().and_then(Result::ok).ok_or(ReloadFailed) }.boxed().shared()
    }
}

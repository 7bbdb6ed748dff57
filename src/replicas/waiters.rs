//! Fetches of other replicas that this one waits for, and who wakes those that wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::seal::Name;

/// Fetches of others that this replica waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<HashMap<Name, Arc<Notify>>>>);

/// One wait. There is one for each credential at most, because a replica has one fetch for each.
pub(super) struct Waiter {
    waiters: Waiters,
    name: Name,
    pub(super) notify: Arc<Notify>,
}

impl Waiters {
    pub(super) fn register(&self, name: Name) -> Waiter {
        let notify = Arc::new(Notify::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&notify));
        Waiter { waiters: self.clone(), name, notify }
    }

    /// Wakes who waits for this credential.
    pub(super) fn wake(&self, name: Name) {
        if let Some(waiting) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            waiting.notify_one();
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

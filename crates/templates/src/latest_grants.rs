//! The latest grants of one identity, so that a cache hit renders nothing and looks nothing up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{grant::Grant, proof::Proved};

/// Grants that are remembered of one identity. An app requests one or two templates.
const MAX_GRANTS: usize = 4;

/// The latest grants of one identity, of one version of each template.
#[derive(Debug, Default)]
pub(super) struct LatestGrants(Mutex<Vec<Arc<Grant>>>);

impl LatestGrants {
    /// Returns the grant of a template. Another version of the template is another one.
    pub(super) fn of(&self, template: &Arc<Proved>) -> Option<Arc<Grant>> {
        self.grants().iter().find(|grant| Arc::ptr_eq(grant.proved(), template)).cloned()
    }

    pub(super) fn insert(&self, grant: Arc<Grant>) {
        let mut grants = self.grants();
        grants.retain(|known| known.template_name() != grant.template_name());
        if grants.len() >= MAX_GRANTS {
            grants.remove(0);
        }
        grants.push(grant);
    }

    /// A poisoned lock is usable: the list is consistent after each call.
    fn grants(&self) -> MutexGuard<'_, Vec<Arc<Grant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

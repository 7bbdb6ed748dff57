//! The latest grants of one identity, so that a cache hit renders nothing and looks nothing up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{grant::Grant, proof::Proved};

/// Grants that are remembered of one identity. An app requests one or two templates.
const MAX_GRANTS: usize = 4;

/// The latest grants of one identity, of one version of each template: in place, because a list elsewhere would take more
/// memory.
#[derive(Debug, Default)]
pub(super) struct LatestGrants(Mutex<NewestFirst>);

type NewestFirst = [Option<Arc<Grant>>; MAX_GRANTS];

impl LatestGrants {
    /// Returns the grant of a template. Another version of the template is another one.
    pub(super) fn of(&self, template: &Arc<Proved>) -> Option<Arc<Grant>> {
        self.grants().iter().flatten().find(|grant| Arc::ptr_eq(grant.proved(), template)).cloned()
    }

    /// Adds a grant in the place of the same template's, else of none, else of the oldest one's.
    pub(super) fn insert(&self, grant: Arc<Grant>) {
        let mut grants = self.grants();
        let is_replaced = |known: &Grant| known.template_name() == grant.template_name();
        let place = grants.iter().position(|known| known.as_deref().is_none_or(is_replaced));
        if let Some(moved) = grants.get_mut(..=place.unwrap_or(MAX_GRANTS - 1)) {
            moved.rotate_right(1);
        }
        let [newest, ..] = &mut *grants;
        *newest = Some(grant);
    }

    /// A poisoned lock is usable: the list is consistent after each call.
    fn grants(&self) -> MutexGuard<'_, NewestFirst> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

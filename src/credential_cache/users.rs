//! Who is active, and until when memory can serve each of them. Kept beside the keys: to walk through 36,000 of
//! those took 80 ms of a scrape, this takes less than one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::outage::Outage;
use runtime::clock::time_until;
use templates::fingerprint::Fingerprint;

/// Users remembered: some 16 MiB. With more, the first so many stand for all.
const MOST: usize = 200_000;

/// Between two searches of a full table for who has gone.
const PAUSE: Duration = Duration::from_mins(1);

/// Every active user, by [`Identity::principal`](templates::identity::Identity::person).
#[derive(Debug, Default)]
pub(super) struct Users(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    standing: HashMap<Fingerprint, Standing>,
    full_until: Timestamp,
}

/// How memory stands to a user.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// It can serve them until then.
    Served(Timestamp),
    /// It cannot; they count until then.
    Without(Timestamp),
}

impl Users {
    /// A key was made that can be handed out until then.
    pub(super) fn served(&self, principal: Fingerprint, until: Timestamp, now: Timestamp) {
        let mut table = self.table();
        let until = match table.standing.get(&principal) {
            Some(Standing::Served(before)) => until.max(*before),
            Some(Standing::Without(_)) | None => until,
        };
        table.set(principal, Standing::Served(until), now);
    }

    /// No key could be had, or one made room for others. Whatever other keys they hold, this user counts as
    /// without until then, or until they get one.
    pub(super) fn without(&self, principal: Fingerprint, until: Timestamp, now: Timestamp) {
        self.table().set(principal, Standing::Without(until), now);
    }

    /// For how long memory could stand in for STS. Looks at every user: for who watches, not for who asks.
    pub(super) fn outage(&self, now: Timestamp) -> Outage {
        let mut table = self.table();
        table.forget_before(now);
        let span = |standing: &Standing| match standing {
            Standing::Served(end) => time_until(*end, now),
            Standing::Without(_) => Duration::ZERO,
        };
        let spans = table.standing.values().map(span).collect();
        drop(table);
        Outage::of(spans)
    }

    /// The table is whole between two calls, so a poisoned lock is good.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn set(&mut self, principal: Fingerprint, standing: Standing, now: Timestamp) {
        if self.standing.len() >= MOST {
            // Not at every ask, or a full table would make each of them pay for all.
            if now >= self.full_until {
                self.forget_before(now);
                self.full_until = now.checked_add(PAUSE).unwrap_or(now);
            }
            if self.standing.len() >= MOST && !self.standing.contains_key(&principal) {
                return;
            }
        }
        self.standing.insert(principal, standing);
    }

    fn forget_before(&mut self, now: Timestamp) {
        self.standing.retain(|_, standing| match standing {
            Standing::Served(end) | Standing::Without(end) => *end > now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_who_has_gone_makes_room() {
        let users = Users::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let principal = |number: usize| Fingerprint::of(&[number.to_string()]);
        for number in 0..=MOST {
            users.served(principal(number), at(100), at(0));
        }
        assert_eq!(users.outage(at(0)).active, MOST);
        users.served(principal(MOST + 1), at(300), at(120));
        assert_eq!(users.outage(at(120)).active, 1);
    }
}

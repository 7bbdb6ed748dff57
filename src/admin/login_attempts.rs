//! Wrong tokens, by the address they come from. After a few, the address has to wait, longer each time, before another
//! token of it is looked at.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::connections::Client;

/// Wrong tokens that cost nothing: an operator may mistype.
const FREE_FAILURES: u32 = 5;
/// The wait after the next one. It doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const MAX_WAIT: Duration = Duration::from_mins(15);
/// Above this many addresses, those whose waits end first are forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// The clients that sent wrong tokens lately.
#[derive(Debug, Default)]
pub(super) struct LoginAttempts(Mutex<HashMap<Option<Client>, Failures>>);

/// The wrong tokens of one address.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    /// On the monotonic clock.
    wait_until: Duration,
}

impl LoginAttempts {
    /// Returns how long an address has to wait. `now` is on the monotonic clock.
    pub(super) fn wait(&self, client: Option<IpAddr>, now: Duration) -> Option<Duration> {
        let addresses = self.addresses();
        let wait = addresses.get(&client.map(Client::of))?.wait_until.checked_sub(now)?;
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a wrong token.
    pub(super) fn note_failure(&self, client: Option<IpAddr>, now: Duration) {
        let mut addresses = self.addresses();
        if addresses.len() >= MAX_ADDRESSES {
            forget_a_quarter(&mut addresses);
        }
        let failures = addresses.entry(client.map(Client::of)).or_default();
        if failures.wait_until + MAX_WAIT <= now {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.wait_until = now + wait_after(failures.count);
    }

    /// Forgets the wrong tokens of an address that has sent the right one.
    pub(super) fn note_success(&self, client: Option<IpAddr>) {
        self.addresses().remove(&client.map(Client::of));
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<Option<Client>, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the addresses whose waits ended, or end, first.
fn forget_a_quarter(addresses: &mut HashMap<Option<Client>, Failures>) {
    let mut ends: Vec<Duration> = addresses.values().map(|failures| failures.wait_until).collect();
    let quarter = ends.len() / 4;
    let (_, last, _) = ends.select_nth_unstable(quarter);
    let mut left = quarter + 1;
    addresses.retain(|_, failures| {
        let is_kept = failures.wait_until > *last || left == 0;
        left -= usize::from(!is_kept);
        is_kept
    });
}

/// Returns how long an address waits after its n-th wrong token.
fn wait_after(count: u32) -> Duration {
    match count.checked_sub(FREE_FAILURES) {
        None | Some(0) => Duration::ZERO,
        Some(beyond) => FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond - 1)).min(MAX_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESSER: &str = "203.0.113.7";

    fn wait(attempts: &LoginAttempts, address: &str, now: Duration) -> Option<Duration> {
        attempts.wait(address.parse().ok(), now)
    }

    fn fail(attempts: &LoginAttempts, address: &str, now: Duration) {
        attempts.note_failure(address.parse().ok(), now);
    }

    /// The tokens that a caller can try in an hour who comes back when told.
    fn tries_in_an_hour(attempts: &LoginAttempts) -> u32 {
        let (mut now, mut tries) = (Duration::ZERO, 0);
        while now < Duration::from_hours(1) {
            if let Some(wait) = wait(attempts, GUESSER, now) {
                now += wait;
            } else {
                fail(attempts, GUESSER, now);
                tries += 1;
            }
        }
        tries
    }

    #[test]
    fn a_guesser_gets_fifteen_tries_in_an_hour_instead_of_millions() {
        let attempts = LoginAttempts::default();
        let tries = tries_in_an_hour(&attempts);
        assert!((13..=16).contains(&tries), "{tries}");
        assert_eq!(wait(&attempts, "203.0.113.8", Duration::ZERO), None, "others are not held up");
    }

    #[test]
    fn an_operator_who_mistypes_five_times_does_not_wait() {
        let attempts = LoginAttempts::default();
        for _ in 0..5 {
            fail(&attempts, GUESSER, Duration::ZERO);
        }
        assert_eq!(wait(&attempts, GUESSER, Duration::ZERO), None);
        fail(&attempts, GUESSER, Duration::ZERO);
        assert_eq!(wait(&attempts, GUESSER, Duration::ZERO), Some(FIRST_WAIT));
        attempts.note_success(GUESSER.parse().ok());
        assert_eq!(wait(&attempts, GUESSER, Duration::ZERO), None);
    }

    #[test]
    fn the_addresses_of_one_home_count_as_one() {
        let attempts = LoginAttempts::default();
        for host in 1..=6 {
            fail(&attempts, &format!("2001:db8::{host}"), Duration::ZERO);
        }
        assert!(wait(&attempts, "2001:db8::7", Duration::ZERO).is_some());
        assert!(wait(&attempts, "2001:db8:0:1::7", Duration::ZERO).is_none());
    }

    #[test]
    fn memory_is_bounded_and_those_who_wait_longest_are_kept() {
        let attempts = LoginAttempts::default();
        for _ in 0..8 {
            fail(&attempts, GUESSER, Duration::ZERO);
        }
        for number in 0..50_000_u32 {
            attempts.note_failure(Some(IpAddr::from(number.to_be_bytes())), Duration::ZERO);
        }
        assert!(attempts.addresses().len() <= MAX_ADDRESSES);
        assert!(wait(&attempts, GUESSER, Duration::ZERO).is_some());
    }

    #[test]
    fn wrong_tokens_of_long_ago_do_not_count() {
        let attempts = LoginAttempts::default();
        for _ in 0..5 {
            fail(&attempts, GUESSER, Duration::ZERO);
        }
        fail(&attempts, GUESSER, MAX_WAIT);
        assert_eq!(wait(&attempts, GUESSER, MAX_WAIT), None);
    }
}

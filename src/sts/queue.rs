//! The order in which calls to STS are made: who waits, who was told to come back, and whether a newcomer can be
//! served in time.
//!
//! Plain data and arithmetic: knows no clock, no STS and no limiter. The caller says how long one call takes its turn.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

use super::Priority;
use templates::fingerprint::Fingerprint;

/// How long after its time a reservation holds room against newcomers, and puts its holder before them. `Retry-After` is
/// in whole seconds, and where thousands come at once, answers and requests take seconds themselves.
const RESERVATION_HOLD: Duration = Duration::from_secs(5);
/// How long after its time a reservation still lets its holder wait for longer than a newcomer. Room was not held for so
/// long: to go before those who are admitted would keep them from being served in time.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);
/// How much earlier than told a client may come, for clocks and networks.
const EARLY_TOLERANCE: Duration = Duration::from_millis(50);
/// Reservations kept, some 12 MB. Those refused beyond are told a time, but hold no room.
const MAX_RESERVATIONS: usize = 100_000;

/// A place in the queue; the lowest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: Priority,
    /// False for those who come back when they were told to: they go before all others.
    is_unreserved: bool,
    /// In the order of arrival.
    sequence: u64,
    /// Attempts of one request wait beside each other.
    attempt: u32,
}

impl Place {
    /// The place of another attempt for the same request: where the first one was.
    pub(super) fn of_attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// Whether it is behind all users who wait for their first attempts.
    pub(super) fn is_for_refresh(self) -> bool {
        self.priority == Priority::Refresh
    }

    /// The same place, behind all requests that wait for their first attempts.
    pub(super) fn behind_others(self) -> Self {
        Self { priority: Priority::Refresh, is_unreserved: true, ..self }
    }
}

/// What decides on an admission, beside the queue itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlook {
    pub(super) now: Duration,
    /// Until the next call can be made at all.
    pub(super) first_turn_in: Duration,
    /// From one served request to the next.
    pub(super) interval: Duration,
    /// The longest wait of a newcomer.
    pub(super) max_wait: Duration,
    /// The longest wait of one who comes back when told to.
    pub(super) max_wait_of_returning: Duration,
}

impl Outlook {
    /// Until the turn of a call that goes behind so many others.
    fn turn_behind(self, others: usize) -> Duration {
        self.first_turn_in + times(self.interval, others)
    }
}

/// The waiting calls and the reservations.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Place, Arc<Notify>>,
    /// When a refused caller was told to come back.
    due_by_caller: HashMap<Fingerprint, Reservation>,
    callers_by_due: BTreeMap<Reservation, Fingerprint>,
    last_turn: ReservedTurn,
    next_sequence: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reservation {
    due: Duration,
    sequence: u64,
}

/// When a caller comes, measured by their reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// Without one, or before its time.
    New,
    WhenTold,
    Late,
}

/// The last turn that was reserved, and from one turn to the next when it was.
#[derive(Debug, Default, Clone, Copy)]
struct ReservedTurn {
    at: Duration,
    interval: Duration,
}

impl ReservedTurn {
    /// Until this turn, if the turns before it follow each other in another interval by now: after STS throttled, what
    /// was reserved is served sooner than it was told.
    fn wait(self, outlook: Outlook) -> Duration {
        let wait = self.at.saturating_sub(outlook.now);
        if wait.is_zero() { wait } else { wait.mul_f64(outlook.interval.div_duration_f64(self.interval)) }
    }
}

impl Queue {
    /// Admits a caller, with the place where they wait; or refuses them, with the time after which to come back.
    /// Admitted is who can be served in time, behind those who wait and those who were told to come at that time.
    pub(super) fn admit(
        &mut self,
        caller: Fingerprint,
        priority: Priority,
        outlook: Outlook,
    ) -> Result<Place, Duration> {
        self.remove_expired_reservations(outlook.now);
        let arrival = self.arrival(caller, outlook.now);
        let is_unreserved = arrival != Arrival::WhenTold;
        let place = Place { priority, is_unreserved, sequence: self.next_sequence, attempt: 0 };
        let waiting = self.waiting_before(place);
        let max_wait = match arrival {
            Arrival::New => outlook.max_wait,
            Arrival::WhenTold | Arrival::Late => outlook.max_wait_of_returning,
        };
        let ahead = match arrival {
            Arrival::WhenTold => waiting,
            Arrival::New | Arrival::Late => self.with_reserved_before(waiting, max_wait, outlook),
        };
        if outlook.turn_behind(ahead) <= max_wait {
            self.next_sequence += 1;
            self.remove_reservation(caller);
            return Ok(place);
        }
        Err(self.refuse(caller, priority, outlook))
    }

    fn arrival(&self, caller: Fingerprint, now: Duration) -> Arrival {
        match self.due_by_caller.get(&caller) {
            Some(reserved) if now > reserved.due + RESERVATION_HOLD => Arrival::Late,
            Some(reserved) if now + EARLY_TOLERANCE >= reserved.due => Arrival::WhenTold,
            _ => Arrival::New,
        }
    }

    /// Returns the time after which a caller who is refused may come back. For a user without an active key, it is
    /// reserved.
    pub(super) fn refuse(&mut self, caller: Fingerprint, priority: Priority, outlook: Outlook) -> Duration {
        self.remove_expired_reservations(outlook.now);
        // Without the wait for the circuit: that can be waited for in the queue, and it may end at any time.
        let wait = times(outlook.interval, self.waiting.len());
        match (priority, self.due_by_caller.get(&caller)) {
            (Priority::NoActiveKey, Some(reserved)) if reserved.due > outlook.now + EARLY_TOLERANCE => {
                reserved.due.saturating_sub(outlook.now)
            }
            (Priority::NoActiveKey, _) => self.reserve(caller, outlook, wait),
            (Priority::KeyExpiresSoon | Priority::Refresh, _) => wait,
        }
    }

    /// The turn behind all that were reserved before. Whole seconds, as `Retry-After` is.
    fn reserve(&mut self, caller: Fingerprint, outlook: Outlook, wait: Duration) -> Duration {
        let wait = self.last_turn.wait(outlook).max(wait) + outlook.interval;
        self.last_turn = ReservedTurn { at: outlook.now + wait, interval: outlook.interval };
        let whole_seconds = wait.as_secs_f64().ceil().max(1.0);
        let retry_after = Duration::from_secs_f64(whole_seconds);
        self.remove_reservation(caller);
        if self.due_by_caller.len() < MAX_RESERVATIONS {
            let reservation = Reservation { due: outlook.now + retry_after, sequence: self.next_sequence };
            self.next_sequence += 1;
            self.due_by_caller.insert(caller, reservation);
            self.callers_by_due.insert(reservation, caller);
        }
        retry_after
    }

    /// Adds a call that waits at this place.
    pub(super) fn join(&mut self, place: Place) -> Arc<Notify> {
        Arc::clone(self.waiting.entry(place).or_default())
    }

    /// Removes a call that waits no more.
    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Whether the call at this place goes next.
    pub(super) fn is_first(&self, place: Place) -> bool {
        self.waiting.first_key_value().is_some_and(|(first, _)| *first == place)
    }

    /// Wakes the call that goes next.
    pub(super) fn wake_first(&self) {
        if let Some((_, waiter)) = self.waiting.first_key_value() {
            waiter.notify_one();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of waiting calls.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn waiting_before(&self, place: Place) -> usize {
        self.waiting.range(..place).count()
    }

    /// So many waiting calls, and the callers who are due to come back before all of these have had their turns.
    fn with_reserved_before(&self, waiting: usize, max_wait: Duration, outlook: Outlook) -> usize {
        if outlook.turn_behind(waiting).is_zero() {
            // A turn that nobody has taken. Who comes back now waits for one interval at most.
            return waiting;
        }
        let from = outlook.now.saturating_sub(RESERVATION_HOLD);
        let mut ahead = waiting;
        for (reservation, _) in self.callers_by_due.range(Reservation { due: from, sequence: 0 }..) {
            let turn_in = outlook.turn_behind(ahead);
            if turn_in > max_wait || reservation.due > outlook.now + turn_in {
                break;
            }
            ahead += 1;
        }
        ahead
    }

    fn remove_reservation(&mut self, caller: Fingerprint) {
        if let Some(reservation) = self.due_by_caller.remove(&caller) {
            self.callers_by_due.remove(&reservation);
        }
    }

    fn remove_expired_reservations(&mut self, now: Duration) {
        while let Some(first) = self.callers_by_due.first_entry()
            && first.key().due + RESERVATION_LIFETIME < now
        {
            let caller = first.remove();
            self.due_by_caller.remove(&caller);
        }
    }
}

fn times(interval: Duration, count: usize) -> Duration {
    interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn caller(number: u32) -> Fingerprint {
        Fingerprint::of(&[number.to_string()])
    }

    /// Ten calls a second; newcomers wait for at most a second.
    fn outlook(now: Duration) -> Outlook {
        Outlook {
            now,
            first_turn_in: Duration::ZERO,
            interval: Duration::from_millis(100),
            max_wait: SECOND,
            max_wait_of_returning: SECOND * 3 / 2,
        }
    }

    fn arrive(queue: &mut Queue, number: u32, priority: Priority, now: Duration) -> Result<Place, Duration> {
        let place = queue.admit(caller(number), priority, outlook(now))?;
        queue.join(place);
        Ok(place)
    }

    /// Forty users came at once: eleven wait, and 29 were told to come back after 2 to 4 seconds.
    fn crowded() -> Queue {
        let mut queue = Queue::default();
        for number in 0..40 {
            let _ = arrive(&mut queue, number, Priority::NoActiveKey, Duration::ZERO);
        }
        queue
    }

    /// The same, once those who waited have been served.
    fn after_a_crowd() -> Queue {
        let mut queue = crowded();
        queue.waiting.clear();
        queue
    }

    /// The outlook for one who comes just after another call was made.
    fn a_call_was_made(now: Duration) -> Outlook {
        Outlook { first_turn_in: Duration::from_millis(50), ..outlook(now) }
    }

    #[test]
    fn only_as_many_are_admitted_as_can_be_served_in_time_and_the_others_get_times_one_behind_the_other() {
        let mut queue = Queue::default();
        let results: Vec<_> =
            (0..40).map(|number| arrive(&mut queue, number, Priority::NoActiveKey, Duration::ZERO)).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 11);
        let retry_after: Vec<_> = results.iter().filter_map(|result| result.err()).collect();
        assert!(retry_after.is_sorted());
        assert_eq!((retry_after.first(), retry_after.last()), (Some(&(SECOND * 2)), Some(&(SECOND * 4))));
        for seconds in 2..=4 {
            let count = retry_after.iter().filter(|told| **told == SECOND * seconds).count();
            assert!(count <= 10, "no second is promised to more than can be served: {count}");
        }
    }

    #[test]
    fn who_comes_back_when_told_is_admitted_and_a_newcomer_does_not_take_their_turn() {
        let mut queue = after_a_crowd();
        let told = SECOND * 4;
        let newcomer = queue.admit(caller(1000), Priority::NoActiveKey, a_call_was_made(told));
        assert!(newcomer.is_err(), "the next second is promised to others");
        let returning: Vec<_> = (11..40)
            .filter(|number| {
                queue.due_by_caller.get(&caller(*number)).is_some_and(|reserved| reserved.due == told)
            })
            .collect();
        assert!(returning.len() > 5);
        for number in returning {
            let place = arrive(&mut queue, number, Priority::NoActiveKey, told).unwrap();
            assert!(!place.is_unreserved);
        }
    }

    #[test]
    fn who_comes_back_too_early_keeps_the_turn_and_is_told_the_same_time() {
        let mut queue = crowded();
        let told = arrive(&mut queue, 39, Priority::NoActiveKey, Duration::ZERO).unwrap_err();
        assert_eq!(told, SECOND * 4);
        let told = arrive(&mut queue, 39, Priority::NoActiveKey, Duration::from_millis(500)).unwrap_err();
        assert_eq!(told, Duration::from_millis(3500));
    }

    #[test]
    fn users_without_a_key_go_before_those_with_one_and_refreshes_go_last() {
        let mut queue = Queue::default();
        let refresh = arrive(&mut queue, 1, Priority::Refresh, Duration::ZERO).unwrap();
        let expiring = arrive(&mut queue, 2, Priority::KeyExpiresSoon, Duration::ZERO).unwrap();
        let new = arrive(&mut queue, 3, Priority::NoActiveKey, Duration::ZERO).unwrap();
        for place in [new, expiring, refresh] {
            assert!(queue.is_first(place), "{place:?}");
            queue.leave(place);
        }
    }

    #[test]
    fn a_turn_that_is_free_is_for_whoever_comes() {
        let mut queue = after_a_crowd();
        assert!(arrive(&mut queue, 1000, Priority::NoActiveKey, SECOND * 4).is_ok());
    }

    #[test]
    fn a_newcomer_has_the_turns_until_the_first_who_was_told_to_come_back() {
        let mut queue = after_a_crowd();
        let half_a_second_before = SECOND * 3 / 2;
        let admitted = (100..140)
            .filter(|newcomer| {
                arrive(&mut queue, *newcomer, Priority::NoActiveKey, half_a_second_before).is_ok()
            })
            .count();
        assert_eq!(admitted, 5, "ten turns a second, and those who are due at the second have the next ones");
    }

    #[test]
    fn who_comes_back_late_does_not_go_before_those_who_were_admitted() {
        let mut queue = after_a_crowd();
        let later = SECOND * 10;
        let newcomers: Vec<_> = (100..111)
            .map(|number| arrive(&mut queue, number, Priority::NoActiveKey, later).unwrap())
            .collect();
        let late: Vec<_> = (11..40)
            .filter_map(|number| arrive(&mut queue, number, Priority::NoActiveKey, later).ok())
            .collect();
        assert!(late.iter().all(|place| place > newcomers.last().unwrap()));
        assert_eq!(late.len(), 5, "they may wait for half a second more than newcomers");
    }

    #[test]
    fn once_calls_are_made_faster_who_is_refused_waits_shorter_than_those_before() {
        let mut queue = Queue::default();
        let slow = Outlook { interval: SECOND, ..outlook(Duration::ZERO) };
        let told: Vec<_> = (0..40)
            .filter_map(|number| match queue.admit(caller(number), Priority::NoActiveKey, slow) {
                Ok(place) => {
                    queue.join(place);
                    None
                }
                Err(retry_after) => Some(retry_after),
            })
            .collect();
        assert_eq!(told.last(), Some(&(SECOND * 40)));
        let fast = Outlook { first_turn_in: SECOND * 2, ..outlook(Duration::ZERO) };
        let told = queue.admit(caller(100), Priority::NoActiveKey, fast).unwrap_err();
        assert_eq!(told, SECOND * 5, "the 41st turn of 100 ms");
    }

    #[test]
    fn a_retry_waits_where_its_first_attempt_did() {
        let mut queue = Queue::default();
        let first = arrive(&mut queue, 1, Priority::NoActiveKey, Duration::ZERO).unwrap();
        let _second = arrive(&mut queue, 2, Priority::NoActiveKey, Duration::ZERO).unwrap();
        queue.leave(first);
        queue.join(first.of_attempt(1));
        assert!(queue.is_first(first.of_attempt(1)));
    }

    #[test]
    fn those_who_do_not_come_back_hold_room_for_five_seconds_and_are_forgotten() {
        let mut queue = after_a_crowd();
        let newcomer = |queue: &mut Queue, number, now| {
            queue.admit(caller(number), Priority::NoActiveKey, a_call_was_made(now))
        };
        assert!(newcomer(&mut queue, 1000, SECOND * 7).is_err(), "the last of them may still come");
        assert!(newcomer(&mut queue, 1001, SECOND * 10).is_ok());
        assert!(!queue.due_by_caller.is_empty());
        assert!(newcomer(&mut queue, 1002, SECOND * 50).is_ok());
        assert!(queue.due_by_caller.is_empty() && queue.callers_by_due.is_empty());
    }
}

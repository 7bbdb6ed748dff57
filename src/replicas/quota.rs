//! The quota that all replicas share: turns for calls to STS, given out by one script in Redis.
//!
//! A turn has a time, one interval after the one before it, whoever got that. So the calls of all replicas keep the pace
//! of one. A replica takes some turns at a time, as many as it has used lately, and uses each at its time or shortly
//! after; those that are not used lapse. Knows nothing of queues: the scheduler of `sts` asks for one call at a time.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Value, cmd};
use tokio::sync::Notify;

use super::{
    connection::{CallError, Connection},
    metrics::Metrics,
    names::Names,
    scripts,
};
use runtime::clock::Clock;

/// The share of the quota that is given out, in per cent. Together with [`LATENESS`], at most `0.96 × 1.01` of the quota
/// and one call fall into any second; the rest is for calls that reach STS closer together than they were sent.
const SHARE_PERCENT: u64 = 96;
/// How long after its time a turn may be used.
const LATENESS: Duration = Duration::from_millis(10);
/// How far ahead turns are given out. All replicas together may hold so much.
pub(super) const HORIZON: Duration = Duration::from_millis(100);
/// How long this replica goes on alone after Redis refused to count, for example because its memory is full.
const ALONE_AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// How long use counts as recent.
const RECENT: Duration = Duration::from_secs(1);

/// The turns of this replica.
#[derive(Debug)]
pub struct SharedQuota {
    calls_per_second: NonZeroU32,
    replicas: NonZeroU32,
    keys: [String; 2],
    connection: Arc<Connection>,
    turns: Mutex<Turns>,
    /// Whether this replica has told the others that it is back, since Redis is used.
    is_present: AtomicBool,
    /// The scheduler needs turns.
    asked: Notify,
    /// There are turns, or it is known when to ask again. One waiter at most, the first of the scheduler's queue.
    answered: Notify,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

/// What is known of the turns. Times are on the monotonic clock.
#[derive(Debug, Default)]
struct Turns {
    times: VecDeque<Duration>,
    /// Uses within [`RECENT`].
    used: VecDeque<Duration>,
    /// No turn can be had before.
    ask_from: Duration,
    /// Redis refused to count.
    alone_until: Duration,
    /// For a refresh, which gets a turn only while there are some to spare.
    is_for_refresh: bool,
    /// Others wait for turns as well.
    is_contended: bool,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedTurn {
    /// Yes. It is taken by [`SharedQuota::take`].
    Now,
    /// Not before this time has passed, or [`SharedQuota::answered`].
    In(Duration),
    /// Redis does not say: this replica has its share of the quota.
    Alone,
}

/// Turns that Redis gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    count: u32,
    /// Until the first of them, or, if there are none, until there may be some.
    first_in: Duration,
}

/// The arguments of the script that gives turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) count: u32,
    pub(super) is_for_refresh: bool,
}

impl SharedQuota {
    pub(super) fn new(
        calls_per_second: NonZeroU32,
        replicas: NonZeroU32,
        names: &Names,
        connection: Arc<Connection>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            calls_per_second,
            replicas,
            keys: [names.quota(), names.outage()],
            connection,
            turns: Mutex::default(),
            is_present: AtomicBool::new(false),
            asked: Notify::new(),
            answered: Notify::new(),
            metrics,
            clock,
        }
    }

    /// The part of the quota that this replica has while it is alone: at least one call a second.
    pub fn share(&self) -> NonZeroU32 {
        NonZeroU32::new(self.calls_per_second.get() / self.replicas.get()).unwrap_or(NonZeroU32::MIN)
    }

    /// How many replicas share the quota.
    pub fn replicas(&self) -> NonZeroU32 {
        self.replicas
    }

    /// Whether Redis gives the turns now.
    pub fn is_shared(&self) -> bool {
        self.can_be_shared() && self.turns().alone_until <= self.clock.monotonic()
    }

    /// Says whether the others know that this replica is there. Only then it takes turns: those who were alone during an
    /// outage may not be back yet.
    pub(super) fn set_present(&self, is_present: bool) {
        self.is_present.store(is_present, Ordering::Relaxed);
    }

    fn can_be_shared(&self) -> bool {
        self.connection.is_up() && self.is_present.load(Ordering::Relaxed)
    }

    /// Whether other replicas wait for turns as well.
    pub fn is_contended(&self) -> bool {
        self.turns().is_contended
    }

    /// Whether a call may be made now. Asks Redis for turns in the background if there are none.
    pub fn poll(&self, is_for_refresh: bool) -> SharedTurn {
        let now = self.clock.monotonic();
        let mut turns = self.turns();
        if !self.can_be_shared() || now < turns.alone_until {
            turns.times.clear();
            return SharedTurn::Alone;
        }
        self.metrics.turns_lapsed(turns.drop_lapsed(now));
        if let Some(first) = turns.times.front() {
            let wait = first.saturating_sub(now);
            return if wait.is_zero() { SharedTurn::Now } else { SharedTurn::In(wait) };
        }
        // A user does not wait for what a refresh was told.
        if now < turns.ask_from && (is_for_refresh || !turns.is_for_refresh) {
            return SharedTurn::In(turns.ask_from.saturating_sub(now));
        }
        turns.is_for_refresh = is_for_refresh;
        self.asked.notify_one();
        SharedTurn::In(self.connection.timeout())
    }

    /// Takes the turn that [`poll`](Self::poll) found.
    pub fn take(&self) {
        let now = self.clock.monotonic();
        let mut turns = self.turns();
        if turns.times.pop_front().is_some() {
            turns.used.push_back(now);
            self.metrics.turn_used();
        }
    }

    /// Waits for an answer to what [`poll`](Self::poll) asked.
    pub async fn answered(&self) {
        self.answered.notified().await;
    }

    /// Asks Redis for turns whenever the scheduler needs some, until dropped.
    pub(super) async fn run(&self) {
        loop {
            self.asked.notified().await;
            let ask = Ask { count: self.batch(), is_for_refresh: self.turns().is_for_refresh };
            let mut command = cmd("EVAL");
            command.arg(scripts::TURNS).arg(self.keys.len()).arg(&self.keys);
            self.add_arguments(&mut command, ask);
            let answer = self.connection.call(&command).await;
            match answer.map(|value| Given::parse(&value)) {
                Ok(Some(given)) => self.add(given, ask),
                Ok(None) | Err(CallError::Refused(_)) => self.go_alone(),
                Err(CallError::Unavailable) => {}
            }
            self.answered.notify_one();
        }
    }

    /// The turns to ask for together with a lease: one, unless there are some.
    pub(super) fn ask_with_lease(&self, is_for_refresh: bool) -> Ask {
        let is_needed = self.can_be_shared() && self.turns().times.is_empty();
        let count = if is_needed && is_for_refresh {
            1
        } else if is_needed {
            self.batch()
        } else {
            0
        };
        Ask { count, is_for_refresh }
    }

    /// The keys that [`scripts::TURNS`] has.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Appends the arguments that [`scripts::TURNS`] has.
    pub(super) fn add_arguments(&self, command: &mut redis::Cmd, ask: Ask) {
        command.arg(self.interval_us()).arg(ask.count).arg(as_us(HORIZON));
        command.arg(u8::from(ask.is_for_refresh)).arg(self.replicas.get());
    }

    /// Adds turns that Redis gave.
    pub(super) fn add(&self, given: Given, ask: Ask) {
        let now = self.clock.monotonic();
        let mut turns = self.turns();
        let (first, interval) = (now + given.first_in, Duration::from_micros(self.interval_us()));
        let count = given.count.min(ask.count);
        turns.times.extend((0..count).map(|number| first + interval * number));
        // Answers to several lookups may be read in another order than they were given.
        turns.times.make_contiguous().sort_unstable();
        turns.is_contended = ask.count > 0 && (count == 0 || given.first_in > HORIZON / 2);
        if count == 0 && ask.count > 0 {
            turns.ask_from = first.min(now + HORIZON);
        }
    }

    fn go_alone(&self) {
        self.turns().alone_until = self.clock.monotonic() + ALONE_AFTER_REFUSAL;
    }

    /// As many turns as were used in the last [`HORIZON`] half, and no more than a fair part of all that are given out.
    fn batch(&self) -> u32 {
        let now = self.clock.monotonic();
        let mut turns = self.turns();
        while turns.used.front().is_some_and(|used| now.saturating_sub(*used) > RECENT) {
            turns.used.pop_front();
        }
        let used = u32::try_from(turns.used.len()).unwrap_or(u32::MAX);
        batch(used, self.calls_per_second.get(), self.replicas.get())
    }

    fn interval_us(&self) -> u64 {
        (1_000_000 * 100_u64).div_ceil(u64::from(self.calls_per_second.get()) * SHARE_PERCENT)
    }

    /// Each change leaves the state complete, so a poisoned lock does no harm.
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many turns a replica takes at once that has made so many calls in the last second: what it needs for half of
/// [`HORIZON`], and no more than its part of what is given out ahead.
fn batch(recent_calls: u32, calls_per_second: u32, replicas: u32) -> u32 {
    let needed = recent_calls.div_ceil(20);
    let part = calls_per_second / 10 / replicas;
    needed.min(part).max(1)
}

impl Turns {
    /// Drops the turns whose time is over, and returns how many there were.
    fn drop_lapsed(&mut self, now: Duration) -> u64 {
        let mut lapsed = 0;
        while self.times.front().is_some_and(|time| *time + LATENESS < now) {
            self.times.pop_front();
            lapsed += 1;
        }
        lapsed
    }
}

impl Given {
    /// Reads what the script returns. Redis may say anything: no wait is longer than two seconds.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        let [Value::Int(count), Value::Int(first_in)] = values.as_slice() else { return None };
        Self::of(*count, *first_in)
    }

    pub(super) fn of(count: i64, first_in_us: i64) -> Option<Self> {
        let first_in = Duration::from_micros(u64::try_from(first_in_us).ok()?);
        Some(Self { count: u32::try_from(count).ok()?, first_in: first_in.min(Duration::from_secs(2)) })
    }
}

fn as_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_takes_what_it_needs_for_a_twentieth_of_a_second_and_no_more_than_its_part() {
        for (recent_calls, calls_per_second, replicas, expected) in [
            (0, 600, 4, 1),
            (20, 600, 4, 1),
            (100, 600, 4, 5),
            (600, 600, 4, 15),
            (600, 600, 1, 30),
            (9, 10, 4, 1),
        ] {
            assert_eq!(
                batch(recent_calls, calls_per_second, replicas),
                expected,
                "{recent_calls} {calls_per_second} {replicas}"
            );
        }
    }

    #[test]
    fn turns_lapse_shortly_after_their_time() {
        let ms = Duration::from_millis;
        let mut turns = Turns { times: [ms(0), ms(5), ms(20)].into(), ..Turns::default() };
        assert_eq!(turns.drop_lapsed(ms(10)), 0);
        assert_eq!(turns.drop_lapsed(ms(16)), 2);
        assert_eq!(turns.times, [ms(20)]);
    }

    #[test]
    fn an_answer_that_is_none_is_not_taken_for_one() {
        let (one, minus) = (Value::Int(1), Value::Int(-1));
        for answer in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![one.clone()]),
            Value::Array(vec![minus.clone(), one.clone()]),
            Value::Array(vec![one.clone(), minus]),
        ] {
            assert_eq!(Given::parse(&answer), None, "{answer:?}");
        }
        let far = Given::parse(&Value::Array(vec![one, Value::Int(i64::MAX)])).unwrap();
        assert_eq!(far.first_in, Duration::from_secs(2), "Redis cannot hold a replica up for long");
    }
}

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};
use runtime::clock::TestClock;
use tokio::time::advance;

use super::*;
use crate::credential_cache::second_level::COUNT_INTERVAL;

const MINUTE: Duration = Duration::from_mins(1);

/// Replicas that tell each other, in virtual time.
struct Fleet {
    replicas: Vec<SharedRateLimit>,
    /// When each tells its counts.
    tells_at: Vec<Option<Duration>>,
    /// When nothing of a user's limit is used any more; nothing while Redis is away.
    redis: Option<HashMap<Fingerprint, Duration>>,
    clock: Arc<dyn Clock>,
}

impl Fleet {
    fn new(replicas: u32, count: u32) -> Self {
        let clock: Arc<dyn Clock> = TestClock::at(0);
        let rate = Rate::Per { count: count.try_into().unwrap(), period: MINUTE };
        let replica = |_| SharedRateLimit::new(rate, replicas.try_into().unwrap(), &clock).unwrap();
        let (replicas, tells_at) = ((0..replicas).map(replica).collect(), vec![None; replicas as usize]);
        Self { replicas, tells_at, redis: Some(HashMap::new()), clock }
    }

    /// Sends a request to a replica, and returns whether it is admitted.
    async fn admits(&mut self, at: Duration, replica: usize, user: Fingerprint) -> bool {
        self.tell_until(at);
        advance(at.saturating_sub(self.clock.monotonic())).await;
        let is_admitted = self.replicas[replica].admit(user, at).is_ok();
        self.tells_at[replica].get_or_insert(at + COUNT_INTERVAL);
        is_admitted
    }

    fn tell_until(&mut self, now: Duration) {
        let due = |at: &Option<Duration>| at.filter(|at| *at <= now);
        while let Some((at, replica)) =
            self.tells_at.iter().enumerate().filter_map(|(replica, at)| Some((due(at)?, replica))).min()
        {
            self.tells_at[replica] = None;
            while let Some(counts) = self.replicas[replica].take_untold(at) {
                if let Some(redis) = &mut self.redis {
                    self.replicas[replica].learn(&count(redis, &counts, at), at);
                }
            }
        }
    }
}

/// What the script does: `replicas::scripts::COUNT`.
fn count(
    redis: &mut HashMap<Fingerprint, Duration>,
    counts: &RequestCounts,
    now: Duration,
) -> Vec<(Fingerprint, Duration)> {
    let add = |&RequestCount { user, requests }: &RequestCount| {
        let unused_from = redis.entry(user).or_default();
        let since = now.saturating_sub(counts.age);
        *unused_from = ((*unused_from).max(since) + counts.interval * requests).min(now + counts.longest_use);
        (user, unused_from.saturating_sub(now))
    };
    counts.users.iter().map(add).collect()
}

fn user(name: &str) -> Fingerprint {
    Fingerprint::of(&[name])
}

#[tokio::test(start_paused = true)]
async fn a_user_who_sends_all_to_one_replica_has_the_whole_limit() {
    let mut fleet = Fleet::new(4, 60);
    for second in 0..600 {
        assert!(fleet.admits(Duration::from_secs(second), 0, user("steady")).await, "second {second}");
    }
    let now = Duration::from_mins(10);
    for request in 0..60 {
        assert!(fleet.admits(now, 1, user("at once")).await, "request {request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_reaches_all_replicas_has_the_limit_once_and_a_quarter_more() {
    let mut fleet = Fleet::new(4, 60);
    let mut admitted = 0;
    for tick in 0..10 * 60 * 20 {
        let at = Duration::from_millis(50) * tick;
        admitted += u32::from(fleet.admits(at, tick as usize % 4, user("greedy")).await);
    }
    // The limit at once and ten times more, three requests at each replica that are not counted, and those that were
    // sent before the replicas knew of each other.
    let least = 60 * 11;
    assert!((least..least + 12 + 8).contains(&admitted), "{admitted}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_user_learns_when_the_next_request_is_allowed_and_others_are_not_refused() {
    let mut fleet = Fleet::new(2, 60);
    let now = Duration::from_secs(1);
    while fleet.admits(now, 0, user("greedy")).await {}
    let later = now + COUNT_INTERVAL;
    assert!(fleet.admits(later, 0, user("other")).await);
    let wait = fleet.replicas[0].admit(user("greedy"), later).unwrap_err();
    assert_eq!(wait, Duration::from_millis(900));
    assert!(fleet.admits(later + wait, 0, user("greedy")).await);
    assert!(!fleet.admits(later + wait, 0, user("greedy")).await);
}

#[tokio::test(start_paused = true)]
async fn without_redis_each_replica_has_the_limit_and_what_it_admitted_is_not_told_later() {
    let mut fleet = Fleet::new(2, 60);
    fleet.redis = None;
    for replica in [0, 1] {
        for request in 0..60 {
            assert!(fleet.admits(MINUTE, replica, user("alice")).await, "{replica}: request {request}");
        }
    }
    let later = MINUTE * 2;
    fleet.tell_until(later);
    fleet.redis = Some(HashMap::new());
    for request in 0..40 {
        assert!(fleet.admits(later, 0, user("alice")).await, "request {request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_forgets_does_not_make_a_replica_forget() {
    let mut fleet = Fleet::new(2, 60);
    while fleet.admits(MINUTE, 0, user("greedy")).await {}
    let later = MINUTE + COUNT_INTERVAL * 2;
    fleet.tell_until(later);
    fleet.redis = Some(HashMap::new());
    assert!(!fleet.admits(later, 0, user("greedy")).await);
}

#[tokio::test(start_paused = true)]
async fn users_who_send_few_requests_or_none_any_more_are_not_counted() {
    let mut fleet = Fleet::new(4, 60);
    for number in 0..1000 {
        assert!(fleet.admits(MINUTE, 0, user(&number.to_string())).await);
    }
    assert!(fleet.replicas[0].take_untold(MINUTE).is_none());
    for _ in 0..30 {
        fleet.admits(MINUTE, 0, user("busy")).await;
    }
    let later = MINUTE * 2;
    fleet.tell_until(later);
    fleet.replicas[0].remove_idle(later);
    let counted = fleet.replicas[0].counted();
    assert!(counted.users.is_empty() && !fleet.replicas[0].counts_any.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn the_counts_of_many_users_are_told_in_parts() {
    let clock: Arc<dyn Clock> = TestClock::at(0);
    let rate = "60/minute".parse().unwrap();
    let limit = SharedRateLimit::new(rate, 60.try_into().unwrap(), &clock).unwrap();
    for name in 0..MAX_TOLD_USERS + 5 {
        for _ in 0..3 {
            limit.admit(user(&name.to_string()), Duration::ZERO).unwrap();
        }
    }
    let (mut told, mut parts) = (BTreeMap::new(), 0);
    while let Some(counts) = limit.take_untold(COUNT_INTERVAL) {
        assert!(counts.users.len() <= MAX_TOLD_USERS && counts.age == COUNT_INTERVAL);
        told.extend(counts.users.iter().map(|count| (*count.user.as_bytes(), count.requests)));
        parts += 1;
    }
    assert_eq!((told.len(), parts), (MAX_TOLD_USERS + 5, 2));
    assert!(told.values().all(|requests| *requests == 2), "one of three is not counted");
}

#[derive(Debug, Clone)]
struct Traffic {
    replicas: u32,
    count: u32,
    /// Pauses, replicas and how many requests each gets then.
    requests: Vec<(u64, Index, u32)>,
}

fn traffic(longest_pause_ms: u64, most_at_once: u32) -> impl Strategy<Value = Traffic> {
    let requests = prop::collection::vec((0..longest_pause_ms, any::<Index>(), 1..=most_at_once), 1..400);
    (1..=6_u32, 4..=120_u32, requests).prop_map(|(replicas, count, requests)| Traffic {
        replicas,
        count,
        requests,
    })
}

fn in_virtual_time<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// The most requests that were sent within one interval.
fn most_in_an_interval(sent: &[Duration]) -> usize {
    let from = |(number, start): (usize, &Duration)| {
        sent[number..].iter().take_while(|at| **at <= *start + COUNT_INTERVAL).count()
    };
    sent.iter().enumerate().map(from).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The bound of docs/operate/replicas.md.
    #[test]
    fn all_replicas_admit_the_limit_a_quarter_more_and_what_each_did_not_know(traffic in traffic(600, 12)) {
        let (admitted, sent, took) = in_virtual_time(async {
            let mut fleet = Fleet::new(traffic.replicas, traffic.count);
            let (mut at, mut admitted) = (MINUTE, 0);
            let mut sent = vec![Vec::new(); fleet.replicas.len()];
            for (pause, replica, requests) in &traffic.requests {
                at += Duration::from_millis(*pause);
                for _ in 0..*requests {
                    let replica = replica.index(fleet.replicas.len());
                    sent[replica].push(at);
                    admitted += u32::from(fleet.admits(at, replica, user("greedy")).await);
                }
            }
            (f64::from(admitted), sent, at.saturating_sub(MINUTE))
        });
        // Requests count as sent when the first of those was that are told together.
        let periods = 1.0 + (took + COUNT_INTERVAL).as_secs_f64() / MINUTE.as_secs_f64();
        let limit = f64::from(traffic.count);
        let uncounted = (limit / 4.0).max(f64::from(traffic.replicas));
        // What each replica admits before it learns of the others.
        let unknown: usize = sent.iter().map(|sent| most_in_an_interval(sent)).sum();
        let most = ((limit + uncounted) * periods + f64::from(u32::try_from(unknown).unwrap())).ceil();
        prop_assert!(admitted <= most, "{admitted} admitted, at most {most}");
    }

    #[test]
    fn who_keeps_to_the_limit_is_never_refused_whichever_replicas_they_reach(traffic in traffic(3000, 3)) {
        let refused = in_virtual_time(async {
            let mut fleet = Fleet::new(traffic.replicas, traffic.count);
            let interval = MINUTE / traffic.count;
            // The counts of two replicas may come in another order than the requests did.
            let tolerance = MINUTE.saturating_sub(COUNT_INTERVAL * 2);
            let (mut at, mut unused_from) = (MINUTE, Duration::ZERO);
            for (pause, replica, requests) in &traffic.requests {
                at += Duration::from_millis(*pause);
                for _ in 0..*requests {
                    let next = unused_from.max(at) + interval;
                    if next > at + tolerance {
                        continue;
                    }
                    unused_from = next;
                    let replica = replica.index(fleet.replicas.len());
                    if !fleet.admits(at, replica, user("honest")).await {
                        return Some(at);
                    }
                }
            }
            None
        });
        prop_assert_eq!(refused, None);
    }
}

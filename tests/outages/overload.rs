//! More new users than the quota of STS allows. STS itself is healthy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::sleep,
};

use crate::{
    measured_sts::MeasuredSts,
    report::{number, percent, percentile, print},
    support::{Broker, Setup, raise_open_file_limit, token},
    user::{Visit, ask_until_served},
};

/// How long new users come.
const ARRIVALS: Duration = Duration::from_secs(20);
/// The rate of served requests is measured from then on.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long users come back at most, from the first one on.
const MAX_DURATION: Duration = Duration::from_secs(150);

pub(crate) fn broker(sts: &MeasuredSts, calls_per_second: u32) -> Broker {
    Setup::new(sts.address)
        .with("calls_per_second = 600", &format!("calls_per_second = {calls_per_second}"))
        .with_section("server", "max_connections = 20000")
        .start()
}

/// Looks at `/readyz` and counts the answers that are not 200.
struct Readiness {
    unready: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Readiness {
    fn watch(broker: &Broker) -> Self {
        let unready = Arc::new(AtomicUsize::new(0));
        let (counted, http, url) = (Arc::clone(&unready), broker.http.clone(), broker.url("/readyz"));
        let task: JoinHandle<()> = tokio::spawn(async move {
            loop {
                let answer = http.get(&url).send().await;
                let is_ready = answer.is_ok_and(|answer| answer.status() == 200);
                counted.fetch_add(usize::from(!is_ready), Ordering::Relaxed);
                sleep(Duration::from_millis(200)).await;
            }
        });
        Self { unready, task: task.abort_handle() }
    }

    fn unready(self) -> usize {
        self.task.abort();
        self.unready.load(Ordering::Relaxed)
    }
}

/// So many new users, the first at `start` and each so much later than the one before.
async fn visits(broker: &Broker, users: u32, interval: Duration, start: Instant) -> Vec<Visit> {
    let public = broker.public;
    let users = (0..users).map(|user| {
        let token = token(&format!("user{user}"));
        tokio::spawn(async move {
            tokio::time::sleep_until((start + interval * user).into()).await;
            ask_until_served(public, &token, start + MAX_DURATION).await
        })
    });
    let users: Vec<_> = users.collect();
    join_all(users).await.into_iter().map(Result::unwrap).collect()
}

/// How often the circuit to STS opened.
fn openings(broker: &Broker) -> usize {
    broker.log().matches(r#""message":"the circuit to STS is open"#).count()
}

fn sum(visits: &[Visit], count: impl Fn(&Visit) -> usize) -> usize {
    visits.iter().map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_too_small_is_used_up_and_those_refused_are_served_when_they_come_back() {
    raise_open_file_limit();
    print(
        "| new users/s | served/s | refusals, told when | returns served | readyz not 200 | openings | most arrivals/s | lost |",
    );
    let mut misses = Vec::new();
    for rate in [110, 150, 300] {
        let sts = MeasuredSts::start(Duration::from_millis(200)).await;
        let broker = broker(&sts, 100);
        let readiness = Readiness::watch(&broker);
        let users = rate * 20;
        let start = Instant::now() + Duration::from_secs(3);
        let visits = visits(&broker, users, ARRIVALS / users, start).await;
        let in_window = |at: &Instant| *at >= start + WARM_UP && *at < start + ARRIVALS;
        let served = visits.iter().filter_map(|visit| visit.served_at).filter(in_window).count();
        let per_second = number(served) / ARRIVALS.saturating_sub(WARM_UP).as_secs_f64();
        let (returns, returns_served) =
            (sum(&visits, |visit| visit.returns), sum(&visits, |visit| visit.returns_served));
        let returning = percent(returns_served, returns);
        let (unready, openings, most) = (readiness.unready(), openings(&broker), sts.most_in_a_second());
        print(&format!(
            "| {rate} | {per_second:.1} | {}, {} | {returns_served} of {returns}: {returning:.1} % | {unready} | {openings} | {most} | {} |",
            sum(&visits, |visit| visit.refusals),
            sum(&visits, |visit| visit.told),
            sum(&visits, |visit| visit.lost),
        ));
        if per_second < 90.0 || returning < 95.0 || unready > 0 || openings > 0 || most > 100 {
            misses.push(rate);
        }
    }
    assert!(misses.is_empty(), "missed at {misses:?} new users a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_everybody_has_a_key_as_soon_as_the_quota_allows() {
    const USERS: u32 = 5000;
    raise_open_file_limit();
    print(
        "| STS, ms | users with a key | s until the last | tries, median | tries, most | refusals | returns served | openings | readyz not 200 | most arrivals/s | lost |",
    );
    let mut misses = Vec::new();
    for latency in [0, 200] {
        let sts = MeasuredSts::start(Duration::from_millis(latency)).await;
        let broker = broker(&sts, 100);
        let readiness = Readiness::watch(&broker);
        let start = Instant::now() + Duration::from_secs(3);
        let visits = visits(&broker, USERS, Duration::ZERO, start).await;
        let served: Vec<Instant> = visits.iter().filter_map(|visit| visit.served_at).collect();
        let last = served.iter().max().map(|at| at.duration_since(start)).unwrap_or_default();
        let mut tries: Vec<usize> = visits.iter().map(|visit| visit.requests).collect();
        tries.sort_unstable();
        let (median, most_tries) = (tries.get(tries.len() / 2).unwrap(), tries.last().unwrap());
        let returning =
            percent(sum(&visits, |visit| visit.returns_served), sum(&visits, |visit| visit.returns));
        let openings = openings(&broker);
        print(&format!(
            "| {latency} | {} of {USERS} | {:.1} | {median} | {most_tries} | {} | {returning:.1} % | {openings} | {} | {} | {} |",
            served.len(),
            last.as_secs_f64(),
            sum(&visits, |visit| visit.refusals),
            readiness.unready(),
            sts.most_in_a_second(),
            sum(&visits, |visit| visit.lost),
        ));
        if served.len() < visits.len() || last > Duration::from_secs(53) || *median > 2 || openings > 0 {
            misses.push(latency);
        }
    }
    assert!(misses.is_empty(), "missed with answers of STS after {misses:?} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_used_and_never_exceeded_as_sts_counts_it() {
    raise_open_file_limit();
    print("| calls per second allowed | most arrivals in any second | calls/s on average | s |");
    for (limit, rate) in [(100, 140), (600, 700)] {
        let sts = MeasuredSts::start(Duration::ZERO).await;
        let broker = broker(&sts, limit);
        let start = Instant::now() + Duration::from_secs(5);
        let visits = visits(&broker, rate * 20, ARRIVALS / (rate * 20), start).await;
        let took = start.elapsed();
        let mut served: Vec<Duration> =
            visits.iter().filter_map(|visit| visit.served_at).map(|at| at.duration_since(start)).collect();
        let most = sts.most_in_a_second();
        let average = number(sts.calls()) / percentile(&mut served, 100).as_secs_f64();
        print(&format!("| {limit} | {most} | {average:.1} | {:.1} |", took.as_secs_f64()));
        assert!(most <= usize::try_from(limit).unwrap(), "{most} of {limit}");
    }
}

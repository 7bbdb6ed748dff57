//! STS is gone for half a minute and comes back, while users try as they are told.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::sleep;

use crate::{
    measured_sts::MeasuredSts,
    overload::broker,
    random_errors::fault,
    report::{percentile, print},
    support::{raise_open_file_limit, token},
    user::{Visit, ask_until_served},
};

const USERS: u32 = 500;
const OUTAGE: Duration = Duration::from_secs(30);
/// Two seconds, and what the quota of 600 calls a second needs for everybody.
const GOAL: Duration = Duration::from_millis(2000 + 870);
/// After throttling, the quota is an eighth at first.
const GOAL_AFTER_THROTTLING: Duration = Duration::from_millis(2000 + 870 * 8);

struct Figures {
    kind: &'static str,
    calls: usize,
    after: Vec<Duration>,
    visits: Vec<Visit>,
}

async fn measure(kind: &'static str) -> Figures {
    let sts = MeasuredSts::start(Duration::ZERO).await;
    let broker = broker(&sts, 600);
    sts.fault(&fault(kind, 1.0)).await;
    let (public, start) = (broker.public, Instant::now());
    let users = (0..USERS).map(|user| {
        let token = token(&format!("user{user}"));
        tokio::spawn(async move {
            // Users do not all come in the same moment.
            sleep(Duration::from_millis(10) * user).await;
            ask_until_served(public, &token, start + OUTAGE * 4).await
        })
    });
    let users: Vec<_> = users.collect();
    sleep(OUTAGE).await;
    let calls = sts.calls();
    sts.clear_faults().await;
    let end = Instant::now();
    let visits: Vec<Visit> = join_all(users).await.into_iter().map(Result::unwrap).collect();
    let served = visits.iter().filter_map(|visit| visit.served_at);
    let after = served.map(|at| at.saturating_duration_since(end)).collect();
    Figures { kind, calls, after, visits }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_everybody_has_a_key_within_two_seconds_and_what_the_quota_needs() {
    raise_open_file_limit();
    print(
        "| outage | calls to STS in it | users with a key | s until half | s until 99 % | s until the last | requests per user | lost |",
    );
    let mut misses = Vec::new();
    for kind in ["error", "html", "reset", "truncated", "throttle", "hang"] {
        let mut of = measure(kind).await;
        let requests: usize = of.visits.iter().map(|visit| visit.requests).sum();
        let lost: usize = of.visits.iter().map(|visit| visit.lost).sum();
        let slowest = percentile(&mut of.after, 100);
        print(&format!(
            "| {} | {} | {} of {USERS} | {:.2} | {:.2} | {:.2} | {} | {lost} |",
            of.kind,
            of.calls,
            of.after.len(),
            percentile(&mut of.after, 50).as_secs_f64(),
            percentile(&mut of.after, 99).as_secs_f64(),
            slowest.as_secs_f64(),
            requests / of.visits.len(),
        ));
        let goal = if of.kind == "throttle" { GOAL_AFTER_THROTTLING } else { GOAL };
        if of.after.len() < of.visits.len() || slowest > goal {
            misses.push(of.kind);
        }
    }
    assert!(misses.is_empty(), "missed: {misses:?}");
}

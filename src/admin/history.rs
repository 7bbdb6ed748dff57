//! The last hour, moment by moment: counters as they stood, and what went on between.
//!
//! Knows counts and times only; who counts them is for `status`.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{metrics::Distribution, sts::Calls};

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(15);
/// How far back they go.
pub(super) const KEPT: Duration = Duration::from_hours(1);
/// What a rate is taken over: long enough to be steady, short enough to be now.
const WINDOW: Duration = Duration::from_mins(1);

/// What had been counted at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) monotonic: Duration,
    pub(super) requests: Requests,
    /// Asks that came to the cache and found no key of enough life.
    pub(super) misses: u64,
    pub(super) calls: Calls,
    /// How long asks took that memory answered.
    pub(super) from_memory: Distribution,
    /// How long asks took that waited for STS.
    pub(super) from_sts: Distribution,
}

/// Asks, by what the asker saw of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) hits: u64,
    pub(super) waited: u64,
    pub(super) stale: u64,
    pub(super) refused: u64,
}

/// What went on in a span of time.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Flow {
    /// The span's end.
    pub(super) until: Timestamp,
    /// How long it was.
    pub(super) seconds: f64,
    /// Share of hits among hits and misses; none where nobody asked.
    pub(super) hit_rate: Option<f64>,
    pub(super) asks_per_second: f64,
    pub(super) refused_per_second: f64,
    pub(super) sts_calls_per_second: f64,
    pub(super) sts_failures_per_second: f64,
    pub(super) from_memory: Percentiles,
    pub(super) from_sts: Percentiles,
    /// The span's end on the monotonic clock, by which charts are drawn.
    #[serde(skip)]
    pub(super) monotonic: Duration,
}

/// In how many seconds so many of a hundred were answered; none where none was.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

impl Requests {
    pub(super) fn all(self) -> u64 {
        self.hits + self.waited + self.stale + self.refused
    }
}

impl Percentiles {
    fn of(distribution: &Distribution) -> Self {
        let at = |q| distribution.quantile(q).map(|duration| duration.as_secs_f64());
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

impl Sample {
    fn since(&self, earlier: &Self) -> Flow {
        let seconds = self.monotonic.saturating_sub(earlier.monotonic).as_secs_f64();
        let count = |now: u64, before: u64| share(now.saturating_sub(before), 1.0);
        let rate = |now, before| if seconds > 0.0 { count(now, before) / seconds } else { 0.0 };
        let hits = count(self.requests.hits, earlier.requests.hits);
        let looks = hits + count(self.misses, earlier.misses);
        Flow {
            until: self.at,
            seconds,
            hit_rate: (looks > 0.0).then(|| hits / looks),
            asks_per_second: rate(self.requests.all(), earlier.requests.all()),
            refused_per_second: rate(self.requests.refused, earlier.requests.refused),
            sts_calls_per_second: rate(self.calls.made, earlier.calls.made),
            sts_failures_per_second: rate(self.calls.failed, earlier.calls.failed),
            from_memory: Percentiles::of(&self.from_memory.since(&earlier.from_memory)),
            from_sts: Percentiles::of(&self.from_sts.since(&earlier.from_sts)),
            monotonic: self.monotonic,
        }
    }
}

/// `count / whole`.
#[expect(clippy::cast_precision_loss, reason = "no more than 2^53 of anything is counted")]
pub(super) fn share(count: u64, whole: f64) -> f64 {
    count as f64 / whole
}

/// Samples of the last hour, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

impl History {
    pub(super) fn note(&self, sample: Sample) {
        let oldest = sample.monotonic.saturating_sub(KEPT + WINDOW);
        let mut samples = self.samples();
        samples.retain(|kept| kept.monotonic >= oldest);
        samples.push_back(sample);
    }

    /// What went on in the minutes before each sample of the hour, and at last before `now`.
    pub(super) fn until(&self, now: &Sample) -> Vec<Flow> {
        let samples = self.samples();
        let mut begin = samples.iter().peekable();
        let mut flows = Vec::with_capacity(samples.len());
        for sample in samples.iter().skip(1).chain([now]) {
            let oldest = sample.monotonic.saturating_sub(WINDOW);
            while begin.next_if(|earlier| earlier.monotonic < oldest).is_some() {}
            // The gap after a stop of the machine has no sample within the window.
            if let Some(earlier) = begin.peek().filter(|earlier| earlier.monotonic < sample.monotonic) {
                flows.push(sample.since(earlier));
            }
        }
        flows
    }

    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that answers ten asks a second from the start, all of them from memory after `cold` seconds.
    fn sample(second: u64, cold: u64) -> Sample {
        let waited = second.min(cold) * 10;
        let requests = Requests { hits: second * 10 - waited, waited, ..Requests::default() };
        Sample {
            at: Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
            monotonic: Duration::from_secs(second),
            requests,
            misses: waited,
            calls: Calls { made: waited, failed: 0 },
            from_memory: Distribution::default(),
            from_sts: Distribution::default(),
        }
    }

    fn rates(flows: &[Flow]) -> Vec<Option<u32>> {
        let percent = |flow: &Flow| flow.hit_rate.map(|rate| format!("{:.0}", rate * 100.0).parse().unwrap());
        flows.iter().map(percent).collect()
    }

    #[test]
    fn a_rate_is_of_the_last_minute_however_long_the_broker_runs() {
        let history = History::default();
        (0..=8).for_each(|step| history.note(sample(step * 15, 60)));
        let flows = history.until(&sample(125, 60));
        assert_eq!(rates(&flows), [0, 0, 0, 0, 25, 50, 75, 100, 100].map(Some));
        assert!(flows.iter().all(|flow| (flow.asks_per_second - 10.0).abs() < 1e-9));
        assert!(
            (flows.last().unwrap().seconds - 50.0).abs() < 1e-9,
            "from the first sample within the minute"
        );
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::default();
        (0..1000).for_each(|step| history.note(sample(step * 15, 0)));
        assert_eq!(history.until(&sample(15_000, 0)).len(), 245);
    }

    #[test]
    fn where_nobody_asked_or_nobody_looked_there_is_no_rate() {
        let history = History::default();
        assert!(history.until(&sample(0, 0)).is_empty());
        history.note(sample(60, 60));
        let mut quiet = sample(60, 60);
        quiet.monotonic = Duration::from_secs(75);
        assert_eq!(rates(&history.until(&quiet)), [None]);
        assert!(history.until(&sample(4000, 60)).is_empty(), "the machine slept for an hour");
    }
}

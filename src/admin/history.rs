//! The samples of the last hour and, with fewer details, of the last day, and the rates between them.
//!
//! Knows counts and times only; `status` reads the counters.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{metrics::Distribution, sts::Calls};

/// The interval between two samples.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(15);
/// The time that samples are kept.
pub(super) const HISTORY_SPAN: Duration = Duration::from_hours(1);
/// The interval between two samples that are kept for a day.
const LONG_SAMPLE_INTERVAL: Duration = Duration::from_mins(5);
/// The time that those are kept.
pub(super) const LONG_HISTORY_SPAN: Duration = Duration::from_hours(24);
/// The time that a rate is taken over: long enough to be steady, short enough to be current.
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// The counters at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) monotonic: Duration,
    pub(super) requests: RequestCounts,
    /// Requests that got no key, through no fault of the caller.
    pub(super) server_errors: u64,
    pub(super) misses: u64,
    pub(super) calls: Calls,
    /// The response times of requests that were served from the cache.
    pub(super) cache_latency: Distribution,
    /// The response times of requests that waited for STS.
    pub(super) sts_latency: Distribution,
}

/// Requests by how they were served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RequestCounts {
    pub(super) hits: u64,
    pub(super) waited: u64,
    pub(super) stale: u64,
    pub(super) refused: u64,
}

/// The rates over one window.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Rates {
    /// The end of the window.
    pub(super) until: Timestamp,
    /// The length of the window.
    pub(super) seconds: f64,
    /// The share of hits among hits and misses; none without any.
    pub(super) hit_rate: Option<f64>,
    pub(super) requests_per_second: f64,
    pub(super) refused_per_second: f64,
    /// Of those refused, the ones that are not the caller's fault.
    pub(super) server_errors_per_second: f64,
    pub(super) sts_calls_per_second: f64,
    pub(super) sts_failures_per_second: f64,
    pub(super) cache_latency_seconds: Percentiles,
    pub(super) sts_latency_seconds: Percentiles,
    /// The end of the window on the monotonic clock, for charts.
    #[serde(skip)]
    pub(super) monotonic: Duration,
}

/// Percentiles of response times, in seconds; none without any.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

impl RequestCounts {
    pub(super) fn total(self) -> u64 {
        self.hits + self.waited + self.stale + self.refused
    }
}

impl Percentiles {
    fn of(distribution: &Distribution) -> Self {
        let [p50, p95, p99] = [0.5, 0.95, 0.99]
            .map(|quantile| distribution.quantile(quantile).map(|duration| duration.as_secs_f64()));
        Self { p50, p95, p99 }
    }
}

impl Sample {
    fn rates_since(&self, earlier: &Self) -> Rates {
        let seconds = self.monotonic.saturating_sub(earlier.monotonic).as_secs_f64();
        let hits = increase(earlier.requests.hits, self.requests.hits);
        let lookups = hits + increase(earlier.misses, self.misses);
        let (requests, before) = (self.requests, earlier.requests);
        Rates {
            until: self.at,
            seconds,
            hit_rate: (lookups > 0.0).then(|| hits / lookups),
            requests_per_second: increase(before.total(), requests.total()) / seconds,
            refused_per_second: increase(before.refused, requests.refused) / seconds,
            server_errors_per_second: increase(earlier.server_errors, self.server_errors) / seconds,
            sts_calls_per_second: increase(earlier.calls.made, self.calls.made) / seconds,
            sts_failures_per_second: increase(earlier.calls.failed, self.calls.failed) / seconds,
            cache_latency_seconds: Percentiles::of(&self.cache_latency.since(&earlier.cache_latency)),
            sts_latency_seconds: Percentiles::of(&self.sts_latency.since(&earlier.sts_latency)),
            monotonic: self.monotonic,
        }
    }
}

/// Returns by how much a counter increased.
#[expect(clippy::cast_precision_loss, reason = "no counter reaches 2^53")]
pub(super) fn increase(before: u64, now: u64) -> f64 {
    now.saturating_sub(before) as f64
}

/// The samples of the last hour and of the last day.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Samples>);

/// Samples, the oldest first.
#[derive(Debug, Default)]
struct Samples {
    hour: VecDeque<Sample>,
    day: VecDeque<Sample>,
}

/// A range of time on the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Range {
    QuarterHour,
    #[default]
    Hour,
    Day,
}

impl Range {
    pub(super) const ALL: [Self; 3] = [Self::QuarterHour, Self::Hour, Self::Day];

    pub(super) fn span(self) -> Duration {
        match self {
            Self::QuarterHour => Duration::from_mins(15),
            Self::Hour => HISTORY_SPAN,
            Self::Day => LONG_HISTORY_SPAN,
        }
    }
}

impl History {
    /// Adds a sample, and removes those that are no longer needed.
    pub(super) fn record(&self, sample: Sample) {
        let mut samples = self.samples();
        let Samples { hour, day } = &mut *samples;
        let is_due = |last: &Sample| sample.monotonic.saturating_sub(last.monotonic) >= LONG_SAMPLE_INTERVAL;
        if day.back().is_none_or(is_due) {
            keep(day, sample.clone(), LONG_HISTORY_SPAN + LONG_SAMPLE_INTERVAL);
        }
        keep(hour, sample, HISTORY_SPAN + RATE_WINDOW);
    }

    /// Returns the rates over the window before each sample of the last hour, and at last before `now`.
    pub(super) fn rates_until(&self, now: &Sample) -> Vec<Rates> {
        let samples = self.samples();
        let mut begin = samples.hour.iter().peekable();
        let mut rates = Vec::with_capacity(samples.hour.len());
        for sample in samples.hour.iter().skip(1).chain([now]) {
            let oldest = sample.monotonic.saturating_sub(RATE_WINDOW);
            while begin.next_if(|earlier| earlier.monotonic < oldest).is_some() {}
            // After the machine slept, no sample lies within the window.
            if let Some(earlier) = begin.peek().filter(|earlier| earlier.monotonic < sample.monotonic) {
                rates.push(sample.rates_since(earlier));
            }
        }
        rates
    }

    /// Returns the rates over the window before the last sample; none before the second one.
    pub(super) fn latest(&self) -> Option<Rates> {
        let samples = self.samples();
        let last = samples.hour.back()?;
        let oldest = last.monotonic.saturating_sub(RATE_WINDOW);
        let earlier = samples.hour.iter().find(|sample| sample.monotonic >= oldest)?;
        (earlier.monotonic < last.monotonic).then(|| last.rates_since(earlier))
    }

    /// Returns the rates between the samples of the last day, and at last until `now`.
    pub(super) fn rates_of_day(&self, now: &Sample) -> Vec<Rates> {
        let samples = self.samples();
        let later = samples.day.iter().skip(1).chain([now]);
        let pairs = samples.day.iter().zip(later);
        pairs
            .filter(|(earlier, later)| earlier.monotonic < later.monotonic)
            .map(|(earlier, later)| later.rates_since(earlier))
            .collect()
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(samples: &mut VecDeque<Sample>, sample: Sample, span: Duration) {
    let oldest = sample.monotonic.saturating_sub(span);
    samples.retain(|kept| kept.monotonic >= oldest);
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that serves ten requests a second from the start, all of them from the cache after `cold` seconds.
    fn sample(second: u64, cold: u64) -> Sample {
        let waited = second.min(cold) * 10;
        let requests = RequestCounts { hits: second * 10 - waited, waited, ..RequestCounts::default() };
        Sample {
            at: Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
            monotonic: Duration::from_secs(second),
            requests,
            server_errors: 0,
            misses: waited,
            calls: Calls { made: waited, failed: 0 },
            cache_latency: Distribution::default(),
            sts_latency: Distribution::default(),
        }
    }

    /// The hit rates in percent.
    fn hit_rates(rates: &[Rates]) -> Vec<Option<u32>> {
        rates
            .iter()
            .map(|rates| rates.hit_rate.map(|rate| format!("{:.0}", rate * 100.0).parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_rate_covers_the_last_minute_however_long_the_broker_runs() {
        let history = History::default();
        history.record(sample(0, 60));
        assert!(history.latest().is_none());
        (1..=8).for_each(|step| history.record(sample(step * 15, 60)));
        let rates = history.rates_until(&sample(125, 60));
        assert_eq!(hit_rates(&rates), [0, 0, 0, 0, 25, 50, 75, 100, 100].map(Some));
        assert!(rates.iter().all(|rates| (rates.requests_per_second - 10.0).abs() < 1e-9));
        assert!(
            (rates.last().unwrap().seconds - 50.0).abs() < 1e-9,
            "from the first sample within the minute"
        );
        assert!((history.latest().unwrap().seconds - 60.0).abs() < 1e-9, "until the last sample");
    }

    #[test]
    fn samples_of_an_hour_are_kept() {
        let history = History::default();
        (0..1000).for_each(|step| history.record(sample(step * 15, 0)));
        assert_eq!(history.rates_until(&sample(15_000, 0)).len(), 245);
    }

    #[test]
    fn a_day_is_kept_in_steps_of_five_minutes() {
        let history = History::default();
        (0..7000).for_each(|step| history.record(sample(step * 15, 0)));
        let rates = history.rates_of_day(&sample(7000 * 15, 0));
        assert!((288..=290).contains(&rates.len()), "{}", rates.len());
        assert!(rates.iter().all(|rates| (rates.requests_per_second - 10.0).abs() < 1e-9));
    }

    #[test]
    fn without_requests_or_samples_there_is_no_rate() {
        let history = History::default();
        assert!(history.rates_until(&sample(0, 0)).is_empty());
        history.record(sample(60, 60));
        let mut quiet = sample(60, 60);
        quiet.monotonic = Duration::from_secs(75);
        assert_eq!(hit_rates(&history.rates_until(&quiet)), [None]);
        assert!(history.rates_until(&sample(4000, 60)).is_empty(), "the machine slept for an hour");
    }
}

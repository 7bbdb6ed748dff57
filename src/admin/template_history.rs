//! The samples of each template in the last hour, and what happened meanwhile: for the page.
//!
//! Knows counts and times only. What the present figures need, some 300 bytes for each sample of a template, is kept for two
//! minutes; of the last hour, the requests alone are.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::history::{HISTORY_SPAN, LONG_HISTORY_SPAN, increase};
use crate::http::TemplateCounts;

/// The interval between two samples: a change shows within it.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(30);
/// The time that the present figures are taken over.
const RATE_WINDOW: Duration = Duration::from_mins(2);
/// The marks that are kept: a day of reloads every few minutes.
const MAX_MARKS: usize = 200;

/// The samples of the templates, and the marks.
#[derive(Debug, Default)]
pub(super) struct TemplateHistory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The samples within the window, and one before it.
    samples: VecDeque<(Duration, Vec<TemplateCounts>)>,
    /// When each template had how many requests in all.
    totals: BTreeMap<String, VecDeque<(Duration, u64)>>,
    marks: VecDeque<Mark>,
    versions: Option<Versions>,
}

/// What changes at a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    /// When the active templates were loaded.
    pub(super) loaded_at: Timestamp,
    /// The number of the source credentials.
    pub(super) source_credentials: u64,
}

/// A moment that explains a change in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// On the monotonic clock.
    pub(super) at: Duration,
    pub(super) event: MarkedEvent,
}

/// What happened at a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkedEvent {
    Started,
    Reloaded,
    Rotated,
}

/// How one template was used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TemplateUse {
    pub(super) name: String,
    /// Over the last two minutes, if there were requests.
    pub(super) hit_rate: Option<f64>,
    /// In seconds, over the same time.
    pub(super) p99: Option<f64>,
    pub(super) requests_per_second: f64,
    pub(super) refused_per_second: f64,
    /// Requests per second between the samples, the oldest first.
    pub(super) past: Vec<f64>,
}

impl TemplateHistory {
    /// Adds a sample if one is due; `counts` is called only then.
    pub(super) fn record(&self, now: Duration, counts: impl FnOnce() -> Vec<TemplateCounts>) {
        let mut state = self.state();
        let is_due =
            |(last, _): &(Duration, Vec<TemplateCounts>)| now.saturating_sub(*last) >= SAMPLE_INTERVAL;
        if state.samples.back().is_none_or(is_due) {
            state.add(now, counts());
        }
    }

    /// Marks what has changed since the last call.
    pub(super) fn observe(&self, now: Duration, versions: Versions) {
        let mut state = self.state();
        let events = match state.versions.replace(versions) {
            None => [Some(MarkedEvent::Started), None],
            Some(before) => [
                (before.loaded_at != versions.loaded_at).then_some(MarkedEvent::Reloaded),
                (before.source_credentials != versions.source_credentials).then_some(MarkedEvent::Rotated),
            ],
        };
        state.marks.extend(events.into_iter().flatten().map(|event| Mark { at: now, event }));
        let oldest = now.saturating_sub(LONG_HISTORY_SPAN);
        state.marks.retain(|mark| mark.at >= oldest);
        let excess = state.marks.len().saturating_sub(MAX_MARKS);
        state.marks.drain(..excess);
    }

    /// Returns the marks, the oldest first.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.state().marks.iter().copied().collect()
    }

    /// Returns how the templates were used until now, in the order of `counts`.
    pub(super) fn uses(&self, now: Duration, counts: Vec<TemplateCounts>) -> Vec<TemplateUse> {
        let state = self.state();
        counts.into_iter().map(|counts| state.template_use(now, &counts)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, now: Duration, counts: Vec<TemplateCounts>) {
        let oldest = now.saturating_sub(HISTORY_SPAN);
        for totals in self.totals.values_mut() {
            totals.retain(|(at, _)| *at >= oldest);
        }
        self.totals.retain(|_, totals| !totals.is_empty());
        for counts in &counts {
            let totals = self.totals.entry(counts.name.clone()).or_default();
            totals.push_back((now, total(counts)));
        }
        self.samples.push_back((now, counts));
        let begin = now.saturating_sub(RATE_WINDOW);
        while self.samples.get(1).is_some_and(|(second, _)| *second <= begin) {
            self.samples.pop_front();
        }
    }

    fn template_use(&self, now: Duration, counts: &TemplateCounts) -> TemplateUse {
        let first = self.samples.front().map(|(at, all)| (*at, find(all, &counts.name)));
        let (begin, earlier) = first.unwrap_or((now, None));
        let seconds = now.saturating_sub(begin).as_secs_f64().max(1.0);
        let [hits, served, refused, latency] = [
            |counts: &TemplateCounts| counts.hits,
            |counts: &TemplateCounts| counts.served,
            |counts: &TemplateCounts| counts.refused,
            total,
        ]
        .map(|count| increase(earlier.map_or(0, count), count(counts)));
        let took = match earlier {
            Some(earlier) => counts.latency.since(&earlier.latency),
            None => counts.latency.clone(),
        };
        TemplateUse {
            name: counts.name.clone(),
            hit_rate: (served > 0.0).then(|| hits / served),
            p99: took.quantile(0.99).map(|took| took.as_secs_f64()),
            requests_per_second: latency / seconds,
            refused_per_second: refused / seconds,
            past: self.totals.get(&counts.name).map(past_rates).unwrap_or_default(),
        }
    }
}

fn find<'a>(all: &'a [TemplateCounts], name: &str) -> Option<&'a TemplateCounts> {
    all.binary_search_by(|counts| counts.name.as_str().cmp(name)).ok().and_then(|index| all.get(index))
}

fn total(counts: &TemplateCounts) -> u64 {
    counts.served + counts.refused
}

/// Returns the requests per second between the samples.
fn past_rates(totals: &VecDeque<(Duration, u64)>) -> Vec<f64> {
    let pairs = totals.iter().zip(totals.iter().skip(1));
    pairs
        .map(|((begin, before), (end, after))| {
            increase(*before, *after) / end.saturating_sub(*begin).as_secs_f64().max(1.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Distribution;

    fn counts(name: &str, hits: u64, served: u64, refused: u64) -> TemplateCounts {
        TemplateCounts { name: name.to_owned(), hits, served, refused, latency: Distribution::default() }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn a_template_shows_its_present_use_and_its_last_hour() {
        let history = TemplateHistory::default();
        for minute in 0..=120 {
            history.record(minutes(minute), || {
                vec![counts("a", minute * 30, minute * 60, 0), counts("b", 0, 0, 7)]
            });
        }
        assert!(history.state().samples.len() <= 3, "what the present figures need is kept no longer");
        let uses = history.uses(minutes(121), vec![counts("a", 121 * 30, 121 * 60, 0), counts("b", 0, 0, 7)]);
        assert_eq!(uses[0].hit_rate, Some(0.5));
        assert!((uses[0].requests_per_second - 1.0).abs() < 1e-9, "{uses:?}");
        assert_eq!(uses[0].past.len(), 60);
        assert_eq!((uses[1].hit_rate, uses[1].requests_per_second), (None, 0.0));
    }

    #[test]
    fn a_template_that_was_just_added_counts_from_nothing() {
        let history = TemplateHistory::default();
        history.record(minutes(0), Vec::new);
        let uses = history.uses(minutes(1), vec![counts("new", 30, 60, 60)]);
        assert_eq!((uses[0].hit_rate, uses[0].requests_per_second), (Some(0.5), 2.0));
        assert!(uses[0].past.is_empty(), "it was never sampled");
    }

    #[test]
    fn a_burst_is_in_the_line_within_half_a_minute() {
        let history = TemplateHistory::default();
        for (second, requests) in [(0, 0), (15, 0), (30, 60), (45, 60), (60, 60)] {
            history.record(Duration::from_secs(second), || vec![counts("a", 0, requests, 0)]);
        }
        let uses = history.uses(Duration::from_secs(61), vec![counts("a", 0, 60, 0)]);
        assert_eq!(uses[0].past, [2.0, 0.0]);
    }

    #[test]
    fn a_start_a_reload_and_a_rotation_are_marked_once() {
        let history = TemplateHistory::default();
        let versions = |loaded, source_credentials| Versions {
            loaded_at: Timestamp::from_second(loaded).unwrap(),
            source_credentials,
        };
        for (minute, now) in
            [(0, versions(0, 1)), (1, versions(0, 1)), (2, versions(9, 1)), (3, versions(9, 2))]
        {
            history.observe(minutes(minute), now);
        }
        let marks: Vec<_> = history.marks().into_iter().map(|mark| (mark.at, mark.event)).collect();
        let expected = [(0, MarkedEvent::Started), (2, MarkedEvent::Reloaded), (3, MarkedEvent::Rotated)];
        assert_eq!(marks, expected.map(|(minute, event)| (minutes(minute), event)));
    }
}

//! Comparison of settings: which ones are tried, whether the recorded requests reach far enough back, and the
//! figures of each.

use std::time::Duration;

use super::{
    super::freshness,
    Alternative, Figures, NoAdvice, WhatIf,
    recorder::Recording,
    replay::{Settings, Tally, replay},
};
use crate::{config, sts::Allowance};
use diagnostics::{HumanDuration, Size};

/// Lifetimes that are tried, as far as STS allows them and the requests reach back.
const TRIED_LIFETIMES: [Duration; 6] = [
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(12),
];
/// Values of `cache.min_remaining` that are tried.
const TRIED_MIN_REMAINING: [Duration; 3] =
    [Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(10)];

/// Compares settings on a recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) recording: &'a Recording,
    pub(super) rules: config::Cache,
    pub(super) allowed: Allowance,
    /// Shortest lifetime of the recorded credentials.
    pub(super) shortest: Duration,
    /// Longest lifetime of the recorded credentials.
    pub(super) longest: Duration,
}

impl Comparison<'_> {
    /// `Ok` if the recording suffices to judge these settings.
    pub(super) fn can_judge(&self, what_if: &WhatIf) -> Result<(), NoAdvice> {
        let longest = self.longest_lifetime(what_if);
        let shortest = what_if.lifetime.map_or(self.shortest, |lifetime| lifetime.0);
        let least = freshness::min_ttl(self.settings(what_if).min_remaining, shortest);
        if longest > self.allowed.max_ttl {
            return Err(NoAdvice::BeyondSts {
                lifetime: HumanDuration(longest),
                longest: HumanDuration(self.allowed.max_ttl),
            });
        }
        if least >= shortest {
            return Err(NoAdvice::NeverEnough {
                lifetime: HumanDuration(shortest),
                least: HumanDuration(least),
            });
        }
        for lifetime in [self.longest, longest] {
            if !self.reaches_back_for(lifetime) {
                let span = seconds(self.recording.span());
                return Err(NoAdvice::TooShort { lifetime: HumanDuration(lifetime), span });
            }
        }
        Ok(())
    }

    /// One lifetime to fill the cache, and another to measure.
    fn reaches_back_for(&self, lifetime: Duration) -> bool {
        lifetime * 2 <= self.recording.span()
    }

    /// Longest lifetime of a credential under these settings.
    pub(super) fn longest_lifetime(&self, what_if: &WhatIf) -> Duration {
        what_if.lifetime.map_or(self.longest, |lifetime| lifetime.0)
    }

    fn settings(&self, what_if: &WhatIf) -> Settings {
        let rules = config::Cache {
            min_remaining: what_if.min_remaining.map(|least| least.0).or(self.rules.min_remaining),
            max_bytes: what_if.max_bytes.map_or(self.rules.max_bytes, |bytes| bytes.0),
            ..self.rules
        };
        Settings { lifetime: what_if.lifetime.map(|lifetime| lifetime.0), ..rules.into() }
    }

    /// Settings to try: one changed at a time, as far as they can be judged.
    pub(super) fn candidates(&self) -> Vec<WhatIf> {
        let lifetimes = TRIED_LIFETIMES
            .into_iter()
            .filter(|lifetime| *lifetime != self.shortest || *lifetime != self.longest)
            .map(WhatIf::with_lifetime);
        let min_remaining = TRIED_MIN_REMAINING
            .into_iter()
            .filter(|least| !self.is_present_min_remaining(*least))
            .map(WhatIf::with_min_remaining);
        let sizes = [self.rules.max_bytes / 2, self.rules.max_bytes.saturating_mul(2)]
            .into_iter()
            .map(WhatIf::with_max_bytes);
        let all = lifetimes.chain(min_remaining).chain(sizes);
        all.filter(|what_if| self.can_judge(what_if).is_ok()).collect()
    }

    fn is_present_min_remaining(&self, least: Duration) -> bool {
        [self.shortest, self.longest]
            .iter()
            .all(|lifetime| freshness::min_ttl(self.rules.min_remaining, *lifetime) == least)
    }

    /// Replays the recording under these settings, and compares the result with `present`.
    pub(super) fn replay(
        &self,
        what_if: WhatIf,
        measured_from: Duration,
        present: Option<&Alternative>,
    ) -> Alternative {
        let one_in = self.recording.one_in;
        let tally = replay(self.recording.requests(), one_in, measured_from, &self.settings(&what_if));
        let figures = figures(&tally, one_in, self.recording.now.saturating_sub(measured_from));
        let calls_before = present.map_or(figures.calls, |present| present.figures.calls);
        Alternative {
            settings: what_if,
            figures,
            calls_change: (calls_before > 0).then(|| share(figures.calls, calls_before) - 1.0),
            peak_bytes: tally.peak_bytes * one_in,
            outlives_revocation: HumanDuration(self.longest_lifetime(&what_if)),
        }
    }
}

impl WhatIf {
    fn with_lifetime(lifetime: Duration) -> Self {
        Self { lifetime: Some(HumanDuration(lifetime)), ..Self::default() }
    }

    fn with_min_remaining(least: Duration) -> Self {
        Self { min_remaining: Some(HumanDuration(least)), ..Self::default() }
    }

    fn with_max_bytes(bytes: u64) -> Self {
        Self { max_bytes: Some(Size(bytes)), ..Self::default() }
    }
}

/// Figures of a tally, scaled up from the recorded credentials to all.
pub(super) fn figures(tally: &Tally, one_in: u64, measured: Duration) -> Figures {
    let hours = measured.as_secs_f64() / 3600.0;
    let calls = tally.calls * one_in;
    Figures {
        requests: tally.requests * one_in,
        hits: tally.hits * one_in,
        hit_rate: share(tally.hits, tally.requests),
        calls,
        calls_per_hour: number(calls) / hours,
        busiest_calls_per_second: number(tally.busiest_minute * one_in) / 60.0,
        refused: tally.refused * one_in,
    }
}

pub(super) fn share(part: u64, whole: u64) -> f64 {
    number(part) / number(whole)
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 requests")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

pub(super) fn seconds(duration: Duration) -> HumanDuration {
    HumanDuration(Duration::from_secs(duration.as_secs()))
}

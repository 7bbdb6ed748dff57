//! Which settings are worth a look, whether the asks reach far enough to judge them, and their figures.

use std::time::Duration;

use super::{
    Alternative, Figures, NoAdvice, WhatIf,
    replay::{Settings, Tally, replay},
    ring::Recording,
};
use crate::{config, sts::Allowance};
use diagnostics::{HumanDuration, Size};

/// Lives that are tried, as far as STS gives them and the asks reach back.
const LIFETIMES: [Duration; 6] = [
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(12),
];
/// Values of `cache.min_remaining` that are tried.
const MIN_REMAININGS: [Duration; 3] =
    [Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(10)];

/// What settings are tried on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) recording: &'a Recording,
    pub(super) rules: config::Cache,
    pub(super) allowed: Allowance,
    /// The shortest and the longest life of the keys that were asked for.
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

impl Trial<'_> {
    pub(super) fn can_be_judged(&self, what_if: &WhatIf) -> Result<(), NoAdvice> {
        let longest = self.longest_under(what_if);
        let shortest = what_if.lifetime.map_or(self.shortest, |life| life.0);
        let least = self.settings(what_if).cache.min_remaining(shortest);
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

    /// A life for memory to fill, and another to be measured.
    fn reaches_back_for(&self, lifetime: Duration) -> bool {
        lifetime * 2 <= self.recording.span()
    }

    pub(super) fn longest_under(&self, what_if: &WhatIf) -> Duration {
        what_if.lifetime.map_or(self.longest, |life| life.0)
    }

    fn settings(&self, what_if: &WhatIf) -> Settings {
        let cache = config::Cache {
            min_remaining: what_if.min_remaining.map(|least| least.0).or(self.rules.min_remaining),
            max_bytes: what_if.max_bytes.map_or(self.rules.max_bytes, |bytes| bytes.0),
            ..self.rules
        };
        Settings { lifetime: what_if.lifetime.map(|life| life.0), cache }
    }

    /// Settings worth a look: one changed at a time, as far as it can be judged.
    pub(super) fn candidates(&self) -> Vec<WhatIf> {
        let lifetime = |life| WhatIf { lifetime: Some(HumanDuration(life)), ..WhatIf::default() };
        let least = |least| WhatIf { min_remaining: Some(HumanDuration(least)), ..WhatIf::default() };
        let size = |bytes| WhatIf { max_bytes: Some(Size(bytes)), ..WhatIf::default() };
        let is_present =
            |least| [self.shortest, self.longest].iter().all(|life| self.rules.min_remaining(*life) == least);
        let lifetimes = LIFETIMES.into_iter().filter(|life| *life != self.shortest || *life != self.longest);
        let leasts = MIN_REMAININGS.into_iter().filter(|least| !is_present(*least));
        let sizes = [self.rules.max_bytes / 2, self.rules.max_bytes.saturating_mul(2)];
        let all = lifetimes.map(lifetime).chain(leasts.map(least)).chain(sizes.into_iter().map(size));
        all.filter(|settings| self.can_be_judged(settings).is_ok()).collect()
    }

    pub(super) fn replay(
        &self,
        what_if: WhatIf,
        from: Duration,
        present: Option<&Alternative>,
    ) -> Alternative {
        let one_in = self.recording.one_in;
        let tally = replay(self.recording.requests(), one_in, from, &self.settings(&what_if));
        let figures = figures(&tally, one_in, self.recording.now.saturating_sub(from));
        let change = |before: u64| share(figures.calls, before) - 1.0;
        let before = present.map_or(figures.calls, |present| present.figures.calls);
        Alternative {
            settings: what_if,
            figures,
            calls_change: (before > 0).then(|| change(before)),
            peak_bytes: tally.peak_bytes * one_in,
            outlives_revocation: HumanDuration(self.longest_under(&what_if)),
        }
    }
}

pub(super) fn figures(tally: &Tally, one_in: u64, measured: Duration) -> Figures {
    let scaled = |count: u64| count * one_in;
    let hours = measured.as_secs_f64() / 3600.0;
    Figures {
        requests: scaled(tally.requests),
        hits: scaled(tally.hits),
        hit_rate: share(tally.hits, tally.requests),
        calls: scaled(tally.calls),
        calls_per_hour: number(scaled(tally.calls)) / hours,
        busiest_calls_per_second: number(scaled(tally.busiest)) / 60.0,
        refused: scaled(tally.refused),
    }
}

pub(super) fn share(part: u64, whole: u64) -> f64 {
    number(part) / number(whole)
}

#[expect(clippy::cast_precision_loss, reason = "nobody asks 2^52 times")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

pub(super) fn seconds(duration: Duration) -> HumanDuration {
    HumanDuration(Duration::from_secs(duration.as_secs()))
}

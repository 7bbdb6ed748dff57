//! Advice on cache settings: the latest requests, replayed under other settings.
//!
//! Knows the times and TTLs of requests, and nothing of who sent them. `recorder` records, `replay` simulates the
//! cache, `comparison` chooses the settings to try, `summary` writes the sentence.

mod comparison;
mod recorder;
mod replay;
mod summary;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::recorder::Recorder;
use self::{
    comparison::{Comparison, figures, seconds},
    recorder::Recording,
    replay::Tally,
};
use super::CredentialCache;
use crate::{config, sts::Allowance};
use diagnostics::{HumanDuration, Size};

/// With fewer requests than this, shares are noise: one in fourteen, for a share of a half.
const MIN_REQUESTS: u64 = 200;

/// Settings to try. What is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// Lifetime of every template's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<HumanDuration>,
    /// Value of `cache.min_remaining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_remaining: Option<HumanDuration>,
    /// Value of `cache.max_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
}

/// What other settings would have given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// The advice in one sentence.
    pub advice: String,
    /// The requests that it is based on.
    pub recorded: Recorded,
    /// Calls per second that this broker may make to STS.
    pub calls_allowed_per_second: u32,
    /// What the cache counted.
    pub counted: Figures,
    /// Replay of the settings in force: shows how accurate a replay is.
    pub present: Alternative,
    /// Replays of other settings.
    pub alternatives: Vec<Alternative>,
    /// Replay of the settings that were named, if any.
    pub asked: Option<Alternative>,
}

/// The recorded requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Number of requests.
    pub requests: u64,
    /// Sampling factor: requests for 1 in N keys are recorded; counts are multiplied by N.
    pub of_one_key_in: u64,
    /// How far they reach back.
    pub span: HumanDuration,
    /// The last part of it, from which the figures are; before, the cache fills.
    pub measured: HumanDuration,
}

/// What the requests came to, or would have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Number of requests.
    pub requests: u64,
    /// Served without an STS call of their own: from the cache, or by a call that another request started.
    pub hits: u64,
    /// Share of `hits` in `requests`.
    pub hit_rate: f64,
    /// Successful STS calls, refreshes included.
    pub calls: u64,
    /// Calls per hour.
    pub calls_per_hour: f64,
    /// Calls per second in the busiest minute.
    pub busiest_calls_per_second: f64,
    /// Requests that got no credential: STS failed, or they asked for too long a TTL.
    pub refused: u64,
}

/// Settings, and what they would have given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// What differs from the settings in force; nothing for those themselves.
    pub settings: WhatIf,
    /// What the requests would have come to.
    #[serde(flatten)]
    pub figures: Figures,
    /// Change in STS calls, as a share of those of the settings in force; negative for fewer calls.
    pub calls_change: Option<f64>,
    /// Peak size of the cache.
    pub peak_bytes: u64,
    /// How long a key may stay active after its user is revoked: the longest lifetime.
    pub outlives_revocation: HumanDuration,
}

/// Why there is no advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAdvice {
    /// Recording is off.
    #[error(
        "no requests are recorded, because cache.advice_bytes is \"off\"; set it to a size like \"4MiB\" and restart"
    )]
    Off,
    /// Too few requests are recorded yet.
    #[error("{requests} requests can be measured, and at least {MIN_REQUESTS} are needed; try again later")]
    TooFew {
        /// Number of requests.
        requests: u64,
    },
    /// The requests do not reach far enough back.
    #[error(
        "keys of {lifetime} can be judged from requests of {}, and those recorded reach back {span}; try again later, or raise cache.advice_bytes if this does not grow",
        HumanDuration(lifetime.0 * 2)
    )]
    TooShort {
        /// Lifetime to be judged.
        lifetime: HumanDuration,
        /// How far the requests reach back.
        span: HumanDuration,
    },
    /// STS does not issue such credentials.
    #[error("STS issues keys of {longest} at most, not of {lifetime}; name a shorter lifetime")]
    BeyondSts {
        /// Lifetime to be judged.
        lifetime: HumanDuration,
        /// The longest lifetime.
        longest: HumanDuration,
    },
    /// No credential could ever be served.
    #[error(
        "keys of {lifetime} never have a TTL of min_remaining, {least}; name a longer lifetime or a shorter min_remaining"
    )]
    NeverEnough {
        /// Shortest lifetime of a credential.
        lifetime: HumanDuration,
        /// TTL that it should have.
        least: HumanDuration,
    },
}

impl CredentialCache {
    /// Replays the recorded requests under other settings, `what_if` among them. Takes a while.
    ///
    /// # Errors
    /// What is missing for an advice.
    pub fn advice(&self, what_if: &WhatIf) -> Result<Advice, NoAdvice> {
        let recording = self.0.recorder.recording().ok_or(NoAdvice::Off)?;
        advise(&recording, self.0.rules, self.0.sts.allowance(), what_if)
    }
}

fn advise(
    recording: &Recording,
    rules: config::Cache,
    allowed: Allowance,
    what_if: &WhatIf,
) -> Result<Advice, NoAdvice> {
    let lifetimes = recording.requests().map(|request| request.lifetime);
    let (Some(shortest), Some(longest)) = (lifetimes.clone().min(), lifetimes.max()) else {
        return Err(NoAdvice::TooFew { requests: 0 });
    };
    let comparison = Comparison { recording, rules, allowed, shortest, longest };
    comparison.can_judge(what_if)?;
    let candidates = comparison.candidates();
    let tried = candidates.iter().copied().chain([*what_if, WhatIf::default()]);
    let warm_up = tried.map(|settings| comparison.longest_lifetime(&settings)).max().unwrap_or(longest);
    let measured = recording.span().saturating_sub(warm_up);
    let measured_from = recording.now.saturating_sub(measured);
    let counted = count(recording, measured_from);
    if counted.requests < MIN_REQUESTS {
        return Err(NoAdvice::TooFew { requests: counted.requests });
    }
    let present = comparison.replay(WhatIf::default(), measured_from, None);
    let alternatives: Vec<_> = candidates
        .into_iter()
        .map(|settings| comparison.replay(settings, measured_from, Some(&present)))
        .filter(|other| other.settings.max_bytes.is_none() || other.figures != present.figures)
        .collect();
    let asked =
        (*what_if != WhatIf::default()).then(|| comparison.replay(*what_if, measured_from, Some(&present)));
    let recorded = Recorded {
        requests: recording.requests().count() as u64,
        of_one_key_in: recording.one_in,
        span: seconds(recording.span()),
        measured: seconds(measured),
    };
    Ok(Advice {
        advice: summary::summarize(&present, &alternatives, asked.as_ref()),
        recorded,
        calls_allowed_per_second: allowed.calls_per_second,
        counted: figures(&counted, recording.one_in, measured),
        present,
        alternatives,
        asked,
    })
}

/// Counts what the cache did with the requests from then on.
fn count(recording: &Recording, measured_from: Duration) -> Tally {
    let mut counted = Tally::default();
    for request in recording.requests().filter(|request| request.at >= measured_from) {
        counted.count(request.at, request.outcome);
    }
    counted
}

#[cfg(test)]
mod tests;

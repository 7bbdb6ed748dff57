//! What other settings would have given: the latest asks, replayed.
//!
//! Knows when asks came and for how much life, of keys that nobody can name; nothing of who asked. What is
//! recorded stands in `ring`, the cache's rules once more in `replay`, which settings are tried in `trial`, what
//! is said about it in `words`.

mod replay;
mod ring;
mod trial;
mod words;

use serde::{Deserialize, Serialize};

pub(super) use self::ring::Recorder;
use self::{
    replay::Tally,
    ring::{Ask, Recording},
    trial::{Trial, figures, seconds},
};
use super::CredentialCache;
use crate::{config, sts::Allowance};
use diagnostics::{HumanDuration, Size};

/// With fewer asks than this, shares are noise: one in fourteen, for a share of a half.
const LEAST_ASKS: u64 = 200;

/// Settings to try; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// How long every template's keys live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<HumanDuration>,
    /// `cache.min_remaining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_remaining: Option<HumanDuration>,
    /// `cache.max_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
}

/// What other settings would have given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// In a sentence.
    pub advice: String,
    /// What it is from.
    pub recorded: Recorded,
    /// Calls a second that this broker may make to STS.
    pub calls_allowed_per_second: u32,
    /// What was counted.
    pub counted: Figures,
    /// The settings in force, replayed: how near the replay comes.
    pub present: Alternative,
    /// Others.
    pub alternatives: Vec<Alternative>,
    /// What was asked about, if anything.
    pub asked: Option<Alternative>,
}

/// Which asks it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// So many.
    pub requests: u64,
    /// They are all asks of every so manieth key; figures are scaled up by it.
    pub of_one_key_in: u64,
    /// How far they reach back.
    pub span: HumanDuration,
    /// Figures are from the last so much of it; before, memory fills.
    pub measured: HumanDuration,
}

/// What came, or would have come, of the asks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// All of them.
    pub requests: u64,
    /// Answered without a call to STS of their own: from memory, or by a call that another had started.
    pub hits: u64,
    /// Their share.
    pub hit_rate: f64,
    /// Keys that STS was asked for, refreshes included, retries and failures not.
    pub calls: u64,
    /// The same for each hour.
    pub calls_per_hour: f64,
    /// The same a second, in the minute with the most of them.
    pub busiest_calls_per_second: f64,
    /// Answered without a key: STS failed, or more life was wanted than keys have.
    pub refused: u64,
}

/// Settings, and what they would have given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// What would be another; nothing for the settings in force.
    pub settings: WhatIf,
    /// What would have come of it.
    #[serde(flatten)]
    pub figures: Figures,
    /// Calls beyond those of the settings in force, as a share of these; negative where there are fewer.
    pub calls_change: Option<f64>,
    /// The most memory that keys would have taken.
    pub peak_bytes: u64,
    /// How long a key may live on after its user is revoked: the longest life of one.
    pub outlives_revocation: HumanDuration,
}

/// Why there is no advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAdvice {
    /// Nothing is recorded.
    #[error(
        "no asks are recorded, as cache.advice_bytes is \"off\"; set it to a size like \"4MiB\" and start anew"
    )]
    Off,
    /// Too little is recorded yet.
    #[error("{requests} asks could be measured, and fewer than {LEAST_ASKS} tell little; ask again later")]
    TooFew {
        /// So many are.
        requests: u64,
    },
    /// The asks do not reach far enough back.
    #[error(
        "keys of {lifetime} can be judged from asks of {}, and those recorded reach back {span}; ask again later, or raise cache.advice_bytes if this does not grow",
        HumanDuration(lifetime.0 * 2)
    )]
    TooShort {
        /// The life to be judged.
        lifetime: HumanDuration,
        /// How far they reach.
        span: HumanDuration,
    },
    /// STS gives no such keys.
    #[error("STS gives keys of {longest} at most, not of {lifetime}; name a shorter lifetime")]
    BeyondSts {
        /// What was asked about.
        lifetime: HumanDuration,
        /// What there is.
        longest: HumanDuration,
    },
    /// No key would ever be handed out.
    #[error(
        "keys of {lifetime} never have min_remaining, {least}, left to hand out; name a longer lifetime or a shorter min_remaining"
    )]
    NeverEnough {
        /// The shortest life of a key.
        lifetime: HumanDuration,
        /// What it should have left.
        least: HumanDuration,
    },
}

impl CredentialCache {
    /// What other settings would have given, these among them. Takes a while, as it replays every recorded ask
    /// under each.
    ///
    /// # Errors
    /// What is missing.
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
    let lives = recording.requests().map(|ask| ask.life);
    let (Some(shortest), Some(longest)) = (lives.clone().min(), lives.max()) else {
        return Err(NoAdvice::TooFew { requests: 0 });
    };
    let trial = Trial { recording, rules, allowed, shortest, longest };
    trial.can_be_judged(what_if)?;
    let candidates = trial.candidates();
    let tried = candidates.iter().copied().chain([*what_if, WhatIf::default()]);
    let warm_up = tried.map(|settings| trial.longest_under(&settings)).max().unwrap_or(longest);
    let measured = recording.span().saturating_sub(warm_up);
    let from = recording.now.saturating_sub(measured);
    let mut counted = Tally::default();
    for Ask { at, outcome, .. } in recording.requests().filter(|ask| ask.at >= from) {
        counted.count(at, outcome);
    }
    if counted.requests < LEAST_ASKS {
        return Err(NoAdvice::TooFew { requests: counted.requests });
    }
    let present = trial.replay(WhatIf::default(), from, None);
    let other = |settings: WhatIf| trial.replay(settings, from, Some(&present));
    let matters = |one: &Alternative| one.settings.max_bytes.is_none() || one.figures != present.figures;
    let alternatives: Vec<_> = candidates.into_iter().map(other).filter(matters).collect();
    let asked = Some(*what_if).filter(|what_if| *what_if != WhatIf::default()).map(other);
    let recorded = Recorded {
        requests: recording.requests().count() as u64,
        of_one_key_in: recording.one_in,
        span: seconds(recording.span()),
        measured: seconds(measured),
    };
    Ok(Advice {
        advice: words::advice(&present, &alternatives, asked.as_ref()),
        recorded,
        calls_allowed_per_second: allowed.calls_per_second,
        counted: figures(&counted, recording.one_in, measured),
        present,
        alternatives,
        asked,
    })
}

#[cfg(test)]
mod tests;

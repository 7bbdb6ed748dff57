//! `[cache]`: how temporary keys are kept in memory.

use std::{ops::RangeInclusive, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::context::Context;
use diagnostics::{Diagnostic, HumanDuration, Size, SizeLimit};

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCache {
    max_bytes: Size,
    min_remaining: Option<HumanDuration>,
    refresh_at: Spanned<f64>,
    advice_bytes: Spanned<SizeLimit>,
}

impl Default for RawCache {
    fn default() -> Self {
        Self {
            max_bytes: Size(256 << 20),
            min_remaining: None,
            refresh_at: Spanned::new(0..0, 0.3),
            advice_bytes: Spanned::new(0..0, SizeLimit(Some(4 << 20))),
        }
    }
}

/// How temporary keys are kept in memory.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// Bound on the memory of all keys and of what belongs to them.
    pub max_bytes: u64,
    /// The minimum lifetime left of a key that is served, if the operator set one; its default stands in
    /// `credential_cache::freshness`.
    pub min_remaining: Option<Duration>,
    /// The share of a key's lifetime below which a hit starts a refresh; in `0.0..1.0`.
    pub refresh_at: f64,
    /// Memory for the requests that advice is computed from; nothing is recorded if absent.
    pub advice_bytes: Option<u64>,
}

/// Parts into which `max_bytes` is divided: eleven for the keys, three for verified tokens with their rendered policies,
/// and two for the list of active keys.
const PARTS: u64 = 16;
const PARTS_FOR_KEYS: u64 = 11;
const PARTS_FOR_TOKENS: u64 = 3;
const PARTS_FOR_INVENTORY: u64 = 2;
/// Memory for the list of active keys of a very small cache.
const MIN_INVENTORY_BYTES: u64 = 1 << 20;

/// From some 2,700 requests to 2.8 million.
const ADVICE_BYTES_RANGE: RangeInclusive<u64> = 64 << 10..=64 << 20;

impl Cache {
    /// Bound on the memory of the cached keys.
    pub(crate) fn key_bytes(&self) -> u64 {
        self.max_bytes / PARTS * PARTS_FOR_KEYS
    }

    /// Bound on the memory of verified tokens and the policies that are rendered for them.
    pub(crate) fn token_bytes(&self) -> u64 {
        self.max_bytes / PARTS * PARTS_FOR_TOKENS
    }

    /// Bound on the memory of the list of active keys.
    pub(crate) fn inventory_bytes(&self) -> u64 {
        (self.max_bytes / PARTS * PARTS_FOR_INVENTORY).max(MIN_INVENTORY_BYTES)
    }
}

impl RawCache {
    /// `min_remaining` as written.
    pub(super) fn min_remaining(&self) -> Option<Duration> {
        self.min_remaining.map(|duration| duration.0)
    }

    pub(super) fn check(&self, context: &Context<'_>) -> Result<Cache, Diagnostic> {
        let refresh_at = *self.refresh_at.get_ref();
        if !(0.0..1.0).contains(&refresh_at) {
            return Err(context.problem(
                self.refresh_at.span(),
                format!("refresh_at = {refresh_at} is not a share of a key's lifetime"),
                "give a number from 0.0 (never refresh ahead) to below 1.0, like 0.3",
            ));
        }
        let advice_bytes = self.advice_bytes.get_ref().0;
        if advice_bytes.is_some_and(|bytes| !ADVICE_BYTES_RANGE.contains(&bytes)) {
            return Err(context.problem(
                self.advice_bytes.span(),
                "advice_bytes holds too few requests for advice, or more than can be replayed in reasonable time",
                "give \"64KiB\" to \"64MiB\", or \"off\"",
            ));
        }
        Ok(Cache {
            max_bytes: self.max_bytes.0,
            min_remaining: self.min_remaining(),
            refresh_at,
            advice_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{MINIMAL, assert_refused, parse};

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let cache = parse(MINIMAL).unwrap().into_parts().cache;
        assert_eq!((cache.max_bytes, cache.advice_bytes), (256 << 20, Some(4 << 20)));
        assert_eq!(cache.min_remaining, None);
    }

    #[test]
    fn bad_values_are_refused() {
        for (section, message) in [
            ("[cache]\nrefresh_at = 1.0", "not a share"),
            ("[cache]\nrefresh_at = nan", "not a share"),
            ("[cache]\nmin_remaining = \"5\"", "not a duration"),
            ("[cache]\nadvice_bytes = \"63KiB\"", "holds too few requests"),
            ("[cache]\nadvice_bytes = \"65MiB\"", "more than can be replayed"),
            ("[cache]\nadvice_bytes = \"none\"", "or \"off\""),
        ] {
            assert_refused(section, message);
        }
    }
}

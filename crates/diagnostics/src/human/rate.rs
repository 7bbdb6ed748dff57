//! Rates, such as `"60/minute"`.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use serde::Deserialize;

use super::InvalidQuantity;

/// A rate limit, written like `"60/minute"`, or no limit (`"off"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Rate {
    /// There is no limit.
    Off,
    /// `count` at once, and as many again in every `period`.
    Per {
        /// How many may happen in a period, and at once.
        count: NonZeroU32,
        /// The period in which `count` more may happen.
        period: Duration,
    },
}

impl Rate {
    fn read(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self::Off);
        }
        let (count, period) = text.split_once('/')?;
        let period = Duration::from_secs(match period.trim() {
            "s" | "second" => 1,
            "m" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return None,
        });
        let count: NonZeroU32 = count.trim().parse().ok()?;
        // A limiter counts in nanoseconds: more than one in a nanosecond is no limit.
        let is_limit = !(period / count.get()).is_zero();
        is_limit.then_some(Self::Per { count, period })
    }
}

impl FromStr for Rate {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        Self::read(text).ok_or_else(|| InvalidQuantity {
            text: text.to_owned(),
            kind: "rate",
            example: "\"60/minute\" (second, minute, hour) or \"off\"",
        })
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_counts_per_period_or_off() {
        assert_eq!("off".parse(), Ok(Rate::Off));
        let Ok(Rate::Per { count, period }) = "60/minute".parse() else { panic!("a rate") };
        assert_eq!((count.get(), period.as_secs()), (60, 60));
        for text in ["", "60", "0/minute", "60/fortnight", "on", "-1/s", "4000000000/second"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}

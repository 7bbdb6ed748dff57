//! Durations, such as `"30m"`.

use std::{fmt, str::FromStr, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize, Serializer};

use super::InvalidQuantity;

/// A positive duration, written like `"30m"`, `"2s"` or `"1h30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub struct HumanDuration(pub Duration);

/// A duration that may be zero or negative, written like `"25m"`, `"0s"` or `"-20m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub struct SignedHumanDuration(pub SignedDuration);

impl FromStr for HumanDuration {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        text.parse::<SignedDuration>()
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
            .filter(|duration| !duration.is_zero())
            .map(Self)
            .ok_or_else(|| InvalidQuantity {
                text: text.to_owned(),
                kind: "duration",
                example: "\"30m\", \"2s\" or \"1h30m\"",
            })
    }
}

impl FromStr for SignedHumanDuration {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        text.parse().map(Self).map_err(|_| InvalidQuantity {
            text: text.to_owned(),
            kind: "duration",
            example: "\"25m\", \"90s\", \"0s\" or \"-20m\"",
        })
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl TryFrom<String> for SignedHumanDuration {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(signed) => write!(f, "{signed:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

/// Writes `-20m`, where jiff writes `20m ago`.
impl fmt::Display for SignedHumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0.is_negative() { "-" } else { "" };
        write!(f, "{sign}{}", HumanDuration(self.0.unsigned_abs()))
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for SignedHumanDuration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_users_write_them() {
        for (text, seconds) in [("30m", 1800), ("2s", 2), ("1h30m", 5400), ("24h", 86_400)] {
            assert_eq!(
                HumanDuration::try_from(text.to_owned()),
                Ok(HumanDuration(Duration::from_secs(seconds)))
            );
        }
        assert_eq!(
            HumanDuration::try_from("250ms".to_owned()),
            Ok(HumanDuration(Duration::from_millis(250)))
        );
        for text in ["", "30", "-5s", "0s", "soon", "1 fortnight"] {
            assert!(HumanDuration::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn signed_durations_may_be_zero_or_negative_and_are_written_as_they_are_read() {
        for (text, seconds) in [("25m", 1500), ("0s", 0), ("-20m", -1200), ("-1h 30s", -3630)] {
            let read = SignedHumanDuration::try_from(text.to_owned()).unwrap();
            assert_eq!((read.0.as_secs(), read.to_string()), (seconds, text.to_owned()));
        }
        for text in ["", "25", "soon", "1d"] {
            assert!(SignedHumanDuration::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}

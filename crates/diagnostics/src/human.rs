//! How a person writes a duration, a size and a rate: `"30m"`, `"256MiB"`, `"60/minute"`.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize, Serializer};

/// A positive span of time, written like `"30m"`, `"2s"` or `"1h30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub struct HumanDuration(pub Duration);

impl TryFrom<String> for HumanDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse::<SignedDuration>()
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
            .filter(|duration| !duration.is_zero())
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a duration; write it like \"30m\", \"2s\" or \"1h30m\""))
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

/// A span of time that may also be none or lie in the past, written like `"25m"`, `"0s"` or `"-20m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub struct SignedHumanDuration(pub SignedDuration);

impl TryFrom<String> for SignedHumanDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is not a duration; write it like \"25m\", \"90s\", \"0s\" or \"-20m\"")
        })
    }
}

/// A number of bytes, written like `"256MiB"`; the units are B, KiB, MiB and GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write it like \"256MiB\" (B, KiB, MiB, GiB)");
        let (digits, unit) = text
            .split_at_checked(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
            .ok_or_else(wrong)?;
        let factor: u64 = match unit.trim() {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let count: u64 = digits.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        count.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

impl Size {
    /// For people, in the largest unit and tenths of it: `640 B`, `1.2 MiB`.
    pub fn rounded(self) -> String {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = units.into_iter().find(|(shift, _)| self.0 >> shift > 0) else {
            return format!("{} B", self.0);
        };
        let tenths = (u128::from(self.0) * 10) >> shift;
        match tenths % 10 {
            0 => format!("{} {unit}", tenths / 10),
            tenth => format!("{}.{tenth} {unit}", tenths / 10),
        }
    }
}

/// A [`Size`] that may not be exceeded, or no such bound (`"off"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SizeLimit(pub Option<u64>);

impl TryFrom<String> for SizeLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        Size::try_from(text).map(|size| Self(Some(size.0))).map_err(|fault| format!("{fault} or \"off\""))
    }
}

/// How often something may happen: so many per period, or without a bound (`"off"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Rate {
    /// No bound.
    Off,
    /// `count` at once, and as many again in every `period`.
    Per {
        /// How many.
        count: NonZeroU32,
        /// In how long.
        period: Duration,
    },
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a rate; write it like \"60/minute\" (second, minute, hour) or \"off\"")
        };
        if text == "off" {
            return Ok(Self::Off);
        }
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let period = match period.trim() {
            "s" | "second" => 1,
            "m" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return Err(wrong()),
        };
        let count: NonZeroU32 = count.trim().parse().map_err(|_| wrong())?;
        let period = Duration::from_secs(period);
        // More than one in a nanosecond is no limit, whatever was meant.
        if (period / count.get()).is_zero() { Err(wrong()) } else { Ok(Self::Per { count, period }) }
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
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

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0.trailing_zeros() {
            30.. => (30, "GiB"),
            20.. => (20, "MiB"),
            10.. => (10, "KiB"),
            _ => (0, "B"),
        };
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// `-20m`, not the `20m ago` of people who talk.
impl fmt::Display for SignedHumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0.is_negative() { "-" } else { "" };
        write!(f, "{sign}{}", HumanDuration(self.0.unsigned_abs()))
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
    fn durations_read_as_people_write_them() {
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
    fn offsets_may_be_none_or_lie_in_the_past_and_are_written_as_they_are_read() {
        for (text, seconds) in [("25m", 1500), ("0s", 0), ("-20m", -1200), ("-1h 30s", -3630)] {
            let read = SignedHumanDuration::try_from(text.to_owned()).unwrap();
            assert_eq!((read.0.as_secs(), read.to_string()), (seconds, text.to_owned()));
        }
        for text in ["", "25", "soon", "1d"] {
            assert!(SignedHumanDuration::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_need_a_binary_unit_and_fit_in_memory() {
        assert_eq!(Size::try_from("256MiB".to_owned()), Ok(Size(268_435_456)));
        assert_eq!(Size::try_from("4 KiB".to_owned()), Ok(Size(4096)));
        for text in ["3GiB", "256MiB", "1536KiB", "1025B"] {
            assert_eq!(Size::try_from(text.to_owned()).unwrap().to_string(), text, "written as it is read");
        }
        for text in ["", "256", "256MB", "0MiB", "-1MiB", "99999999999999999999GiB", "GiB"] {
            assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_for_people_are_rounded_to_tenths() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (268_435_456, "256 MiB"),
            (1 << 40, "1024 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(Size(bytes).rounded(), shown);
        }
    }

    #[test]
    fn a_bound_in_bytes_is_a_size_or_off() {
        assert_eq!(SizeLimit::try_from("off".to_owned()), Ok(SizeLimit(None)));
        assert_eq!(SizeLimit::try_from("1KiB".to_owned()), Ok(SizeLimit(Some(1024))));
        assert!(SizeLimit::try_from("none".to_owned()).unwrap_err().ends_with("or \"off\""));
    }

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

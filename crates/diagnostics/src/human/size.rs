//! Sizes in bytes, such as `"256MiB"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};

use super::InvalidQuantity;

/// A positive number of bytes, written like `"256MiB"`; the units are B, KiB, MiB and GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

/// A limit for a number of bytes: a [`Size`], or no limit (`"off"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SizeLimit(pub Option<u64>);

impl Size {
    /// Returns the size in the largest unit that fits, with tenths: `640 B`, `1.2 MiB`.
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

/// Returns the number of bytes, or `None` for a text that is not a size.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|count| *count > 0)?.checked_mul(factor)
}

impl FromStr for Size {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        bytes(text).map(Self).ok_or_else(|| InvalidQuantity {
            text: text.to_owned(),
            kind: "size",
            example: "\"256MiB\" (B, KiB, MiB, GiB)",
        })
    }
}

impl FromStr for SizeLimit {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        if text == "off" {
            return Ok(Self(None));
        }
        bytes(text).map(|bytes| Self(Some(bytes))).ok_or_else(|| InvalidQuantity {
            text: text.to_owned(),
            kind: "size",
            example: "\"256MiB\" (B, KiB, MiB, GiB) or \"off\"",
        })
    }
}

impl TryFrom<String> for Size {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl TryFrom<String> for SizeLimit {
    type Error = InvalidQuantity;

    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_binary_unit_and_fit_in_64_bits() {
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
    fn rounded_sizes_have_tenths() {
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
    fn a_size_limit_is_a_size_or_off() {
        assert_eq!(SizeLimit::try_from("off".to_owned()), Ok(SizeLimit(None)));
        assert_eq!(SizeLimit::try_from("1KiB".to_owned()), Ok(SizeLimit(Some(1024))));
        assert!(SizeLimit::try_from("none".to_owned()).unwrap_err().to_string().ends_with("or \"off\""));
    }
}

//! Counts, such as `10M`.

use std::{fmt, num::NonZeroU32, str::FromStr};

use super::InvalidQuantity;

/// A positive number of things, written like `250000`, `500K` or `10M`: the letters are thousands and millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub NonZeroU32);

/// Returns the number, or `None` for a text that is not a count.
fn number(text: &str) -> Option<NonZeroU32> {
    let (digits, factor) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    // The standard library would also read a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse::<u32>().ok().filter(|_| is_number)?.checked_mul(factor)?;
    NonZeroU32::new(count)
}

impl FromStr for Count {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        number(text).map(Self).ok_or_else(|| InvalidQuantity {
            text: text.to_owned(),
            kind: "count",
            example: "250000, 500K or 10M",
        })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get() {
            count if count.is_multiple_of(1_000_000) => write!(f, "{}M", count / 1_000_000),
            count if count.is_multiple_of(1_000) => write!(f, "{}K", count / 1_000),
            count => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_with_thousands_and_millions_and_written_as_they_are_read() {
        for (text, number) in [("1", 1), ("250001", 250_001), ("500K", 500_000), ("10M", 10_000_000)] {
            let count: Count = text.parse().unwrap();
            assert_eq!((count.0.get(), count.to_string()), (number, text.to_owned()));
        }
        for text in ["", "0", "0M", "-1", "+1", "1.5M", "10m", "10 M", "M", "5000M", "ten"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }
}

//! The mistakes that an emulated COS can be told to make, so that a test of isolation can be seen to find them.

use std::str::FromStr;

/// A mistake of a COS, which a test of isolation must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// What a rule of data processing writes or reads, and what a callback writes, is not checked with the caller's key.
    UncheckedProcessing,
    /// A path of slashes only lists the bucket, whatever the caller's key allows.
    UncheckedSlashes,
}

impl Weakness {
    /// All weaknesses.
    pub const ALL: [Self; 2] = [Self::UncheckedProcessing, Self::UncheckedSlashes];

    /// Returns the name that the sandbox's option takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::UncheckedProcessing => "unchecked-processing",
            Self::UncheckedSlashes => "unchecked-slashes",
        }
    }
}

/// The error for a name that no weakness has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write unchecked-processing or unchecked-slashes")]
pub struct UnknownWeakness;

impl FromStr for Weakness {
    type Err = UnknownWeakness;

    fn from_str(text: &str) -> Result<Self, UnknownWeakness> {
        Self::ALL.into_iter().find(|weakness| weakness.name() == text).ok_or(UnknownWeakness)
    }
}

//! Counts, durations, sizes and rates as users write them: `10M`, `"30m"`, `"256MiB"`, `"60/minute"`.

mod count;
mod duration;
mod rate;
mod size;

pub use self::{
    count::Count,
    duration::{HumanDuration, SignedHumanDuration},
    rate::Rate,
    size::{Size, SizeLimit},
};

/// The error for a text that is not a count, a duration, a size or a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}; write it like {example}")]
pub struct InvalidQuantity {
    text: String,
    kind: &'static str,
    example: &'static str,
}

//! The figures, printed as rows of a table.

use std::{io::Write, time::Duration};

/// Prints a line, also while the test harness captures what tests print.
pub(crate) fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A part of a whole, in percent.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * number(part) / number(whole.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

/// The value that this percentage of the durations does not exceed.
pub(crate) fn percentile(durations: &mut [Duration], percentage: usize) -> Duration {
    durations.sort_unstable();
    let rank = (durations.len() * percentage).div_ceil(100).max(1);
    durations.get(rank - 1).copied().unwrap_or_default()
}

//! How long an outage of STS could be survived from memory, were it to begin now.

use std::time::Duration;

/// Of so many active users one may be without a key before an outage counts as felt.
const ONE_IN: usize = 10;

/// Who is active, and for how long memory alone could serve them.
///
/// Active is who has a key in memory that may still be handed out, so asked within its life; and who was
/// refused one less than a key's life ago, or whose key would still live had it not made room. Who went away
/// leaves with their key: nobody comes to harm by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Users who hold a key or want one.
    pub active: usize,
    /// Those of them whom memory can serve.
    pub covered: usize,
    /// How long nine in ten of the active can be served; nothing where nobody is active.
    pub survivable: Option<Duration>,
}

impl Outage {
    /// From how long each active user's key can still be handed out; zero where there is none.
    pub(super) fn of(mut spans: Vec<Duration>) -> Self {
        let active = spans.len();
        let covered = spans.iter().filter(|span| !span.is_zero()).count();
        // The first whose end leaves less than nine in ten: a tenth may end before.
        let first_felt = active / ONE_IN;
        let survivable = (first_felt < active).then(|| *spans.select_nth_unstable(first_felt).1);
        Self { active, covered, survivable }
    }

    /// The share of active users whom memory can serve; not a number where nobody is active.
    #[expect(clippy::cast_precision_loss, reason = "there are no 2^52 users")]
    pub fn covered_ratio(&self) -> f64 {
        self.covered as f64 / self.active as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(minutes: &[u64]) -> (usize, usize, Option<u64>) {
        let outage = Outage::of(minutes.iter().map(|minutes| Duration::from_mins(*minutes)).collect());
        (outage.active, outage.covered, outage.survivable.map(|span| span.as_secs() / 60))
    }

    #[test]
    fn an_outage_is_survived_until_less_than_nine_in_ten_can_be_served() {
        for (minutes, expected) in [
            (&[][..], (0, 0, None)),
            (&[7], (1, 1, Some(7))),
            (&[7, 30, 30, 30, 30, 30, 30, 30, 30], (9, 9, Some(7))),
            (&[7, 30, 30, 30, 30, 30, 30, 30, 30, 9], (10, 10, Some(9))),
            (&[0, 30, 30, 30, 30, 30, 30, 30, 30, 9], (10, 9, Some(9))),
            (&[0, 30, 30, 30, 30, 30, 30, 30, 30, 0], (10, 8, Some(0))),
        ] {
            assert_eq!(of(minutes), expected, "{minutes:?}");
        }
    }

    #[test]
    fn with_nobody_there_is_no_share() {
        assert!(Outage::of(Vec::new()).covered_ratio().is_nan());
        let half = Outage::of(vec![Duration::ZERO, Duration::from_secs(1)]);
        assert!((half.covered_ratio() - 0.5).abs() < f64::EPSILON);
    }
}

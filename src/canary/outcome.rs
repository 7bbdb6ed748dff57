//! The outcome of a canary run.

use serde::Serialize;

use super::probe::Verdict;

/// The outcome of a canary run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Each user wrote in their own folder, and was denied in the other's.
    Passed,
    /// A user reached the other's objects.
    Breached,
    /// A user was denied in their own folder.
    OwnDenied,
    /// There were no credentials to probe with.
    NoCredentials,
    /// COS was not reached, or failed.
    Unreachable,
}

impl RunOutcome {
    pub(super) const ALL: [Self; 5] =
        [Self::Passed, Self::Breached, Self::OwnDenied, Self::NoCredentials, Self::Unreachable];

    /// Returns the name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Breached => "breached",
            Self::OwnDenied => "own_denied",
            Self::NoCredentials => "no_credentials",
            Self::Unreachable => "unreachable",
        }
    }

    /// Returns whether users are isolated, if the run could tell.
    pub(super) fn is_isolated(self) -> Option<bool> {
        match self {
            Self::Passed => Some(true),
            Self::Breached => Some(false),
            Self::OwnDenied | Self::NoCredentials | Self::Unreachable => None,
        }
    }

    /// The worst outcome of all probes is the outcome of the run. A breach outweighs everything, and a denial,
    /// which an operator must fix, outweighs a failure that may pass by itself.
    pub(super) fn severity(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::NoCredentials | Self::Unreachable => 1,
            Self::OwnDenied => 2,
            Self::Breached => 3,
        }
    }
}

impl From<Verdict> for RunOutcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::AsExpected => Self::Passed,
            Verdict::Reached => Self::Breached,
            Verdict::FalseDeny => Self::OwnDenied,
            Verdict::Inconclusive => Self::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_name_of_an_outcome_is_its_metric_label() {
        for outcome in RunOutcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }
}

//! Why STS issues no temporary key: what the cache and `http` see. STS error codes are classed by who must act in the
//! crate `tencent-sts` (`ErrorClass`); `failure.rs` turns a class into one of these.

use std::time::Duration;

/// Wait before another try, where the operator must act first.
const FINAL_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why STS issued no temporary key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StsError {
    /// STS throttled this account until the deadline.
    #[error("STS throttles this account ({detail})")]
    Throttled {
        /// Code and request id.
        detail: String,
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// STS could not be reached or understood until the deadline.
    #[error("STS cannot be reached or understood ({detail}); check sts.endpoint and the network")]
    Unavailable {
        /// The failure of the last attempt.
        detail: String,
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// The quota of this process is used up for longer than a request may wait.
    #[error("the quota of STS calls is used up")]
    QuotaExhausted {
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// The circuit is open: STS is not called for a while.
    #[error("the circuit to STS is open after repeated failures")]
    CircuitOpen {
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// STS rejects the source credentials, or the clocks differ. The operator must act.
    #[error(
        "STS rejects the source credentials or the clock ({detail}); check the keys that [sts] names, their rights, and this machine's clock"
    )]
    SourceCredentialsRejected {
        /// Code and request id.
        detail: String,
    },
    /// STS rejects what the template or the configuration requests. The operator must act.
    #[error(
        "STS rejects what template `{template}` requests ({detail}); check its bucket, region and duration, and sts.role_arn"
    )]
    RequestRejected {
        /// The name of the template.
        template: String,
        /// Code and request id.
        detail: String,
    },
}

impl StsError {
    /// Whether the same call cannot succeed a moment later.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::SourceCredentialsRejected { .. } | Self::RequestRejected { .. })
    }

    /// When another try may succeed.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::QuotaExhausted { retry_after }
            | Self::CircuitOpen { retry_after }
            | Self::Throttled { retry_after, .. }
            | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::SourceCredentialsRejected { .. } | Self::RequestRejected { .. } => FINAL_RETRY_AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_the_operator_must_correct_is_final_and_retried_after_half_a_minute() {
        let detail = String::new;
        for (error, seconds, is_final) in [
            (StsError::Throttled { detail: detail(), retry_after: Duration::from_secs(3) }, 3, false),
            (StsError::Unavailable { detail: detail(), retry_after: Duration::from_secs(4) }, 4, false),
            (StsError::QuotaExhausted { retry_after: Duration::from_secs(7) }, 7, false),
            (StsError::CircuitOpen { retry_after: Duration::from_secs(8) }, 8, false),
            (StsError::SourceCredentialsRejected { detail: detail() }, 30, true),
            (StsError::RequestRejected { template: detail(), detail: detail() }, 30, true),
        ] {
            assert_eq!((error.retry_after().as_secs(), error.is_final()), (seconds, is_final), "{error}");
        }
    }
}

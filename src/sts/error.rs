//! Why STS gives no key, sorted by who must act.

use std::time::Duration;

/// What an answer of STS that is not a key calls for (`docs/tencent.md`, the table of codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Slow down, then try again.
    Throttled,
    /// Try again.
    Transient,
    /// The operator's keys or clock: never retried.
    SourceCredentialsRejected,
    /// The template or the configuration: never retried.
    Refused,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StsError {
    /// STS throttled us to the end of the deadline.
    #[error("STS throttles this account ({detail})")]
    Throttled {
        /// Code and request id.
        detail: String,
    },
    /// STS could not be reached or understood to the end of the deadline.
    #[error("STS cannot be reached or understood ({detail}); check sts.endpoint and the network")]
    Unavailable {
        /// What the last attempt met.
        detail: String,
    },
    /// Too many already wait for the quota.
    #[error("the quota of STS calls is used up")]
    Busy {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// STS has failed so often that it is left alone for a while.
    #[error("STS is left alone after repeated failures")]
    CircuitOpen {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// STS does not take the operator's keys, or the clocks differ: for the operator to mend.
    #[error(
        "STS does not accept the operator's keys or clock ({detail}); check the keys that [sts] names, their rights, and this machine's clock"
    )]
    SourceCredentialsRejected {
        /// Code and request id.
        detail: String,
    },
    /// STS does not take what the template or the configuration asks for: for the operator to mend.
    #[error(
        "STS refuses what template `{template}` asks for ({detail}); check its bucket, region and duration, and sts.role_arn"
    )]
    Refused {
        /// The template.
        template: String,
        /// Code and request id.
        detail: String,
    },
}

impl StsError {
    /// Whether the same call cannot succeed a moment later.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::SourceCredentialsRejected { .. } | Self::Refused { .. })
    }

    /// When it is worth asking again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Busy { retry_after } | Self::CircuitOpen { retry_after } => *retry_after,
            Self::Throttled { .. } | Self::Unavailable { .. } => Duration::from_secs(2),
            Self::SourceCredentialsRejected { .. } | Self::Refused { .. } => Duration::from_secs(30),
        }
    }
}

/// What stands for a call's answer in figures: one of a closed set, whatever STS says.
pub(super) mod code {
    /// A key was given.
    pub(in crate::sts) const NONE: &str = "none";
    /// Nothing came back, or not to its end.
    pub(in crate::sts) const NO_ANSWER: &str = "no_answer";
    /// What came back is neither a key nor an error of STS.
    pub(in crate::sts) const UNREADABLE: &str = "unreadable";
    /// No call was made: there was no key to sign it with.
    pub(in crate::sts) const NO_SOURCE_CREDENTIALS: &str = "no_source_credentials";
    /// An error of STS that is none of [`FAMILIES`].
    const OTHER: &str = "other";

    /// What error codes begin with.
    const FAMILIES: [&str; 16] = [
        "AuthFailure",
        "FailedOperation",
        "InternalError",
        "InvalidAction",
        "InvalidParameter",
        "InvalidParameterValue",
        "InvalidRequest",
        "IpInBlacklist",
        "IpNotInWhitelist",
        "LimitExceeded",
        "MissingParameter",
        "RequestLimitExceeded",
        "ResourceNotFound",
        "UnauthorizedOperation",
        "UnknownParameter",
        "UnsupportedOperation",
    ];

    /// The family of an error code.
    pub(in crate::sts) fn family(code: &str) -> &'static str {
        let first = code.split('.').next().unwrap_or(code);
        FAMILIES.into_iter().find(|family| *family == first).unwrap_or(OTHER)
    }
}

/// The class of an error code. An unknown one is taken for transient: a few retries do no harm.
pub(super) fn classify(code: &str) -> Class {
    let family = code.split('.').next().unwrap_or(code);
    match code {
        "InvalidParameter.OverLimit" => Class::Throttled,
        "InvalidParameter.AccessKeyNotSupport"
        | "InvalidParameter.AccountNotAvaliable"
        | "FailedOperation.TempKeyNotAllowed" => Class::SourceCredentialsRejected,
        _ => match family {
            "RequestLimitExceeded" | "LimitExceeded" => Class::Throttled,
            "AuthFailure" | "UnauthorizedOperation" | "IpInBlacklist" | "IpNotInWhitelist" => {
                Class::SourceCredentialsRejected
            }
            "InvalidParameter"
            | "InvalidParameterValue"
            | "MissingParameter"
            | "UnknownParameter"
            | "ResourceNotFound"
            | "UnsupportedOperation"
            | "InvalidAction"
            | "UnsupportedRegion"
            | "NoSuchVersion"
            | "InvalidRequest" => Class::Refused,
            _ => Class::Transient,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_is_classed_as_it_says() {
        for (class, codes) in [
            (
                Class::Throttled,
                &[
                    "RequestLimitExceeded",
                    "RequestLimitExceeded.UinLimitExceeded",
                    "RequestLimitExceeded.IPLimitExceeded",
                    "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
                    "InvalidParameter.OverLimit",
                ][..],
            ),
            (
                Class::Transient,
                &[
                    "InternalError",
                    "InternalError.DbError",
                    "InternalError.SystemError",
                    "InternalError.UnknownError",
                    "InternalError.GetAppIdError",
                    "InternalError.GetSeedTokenError",
                    "SomethingNew",
                ],
            ),
            (
                Class::SourceCredentialsRejected,
                &[
                    "AuthFailure.SecretIdNotFound",
                    "AuthFailure.SignatureFailure",
                    "AuthFailure.SignatureExpire",
                    "AuthFailure.AccessKeyIllegal",
                    "InvalidParameter.AccessKeyNotSupport",
                    "InvalidParameter.AccountNotAvaliable",
                    "FailedOperation.TempKeyNotAllowed",
                    "UnauthorizedOperation",
                ],
            ),
            (
                Class::Refused,
                &[
                    "InvalidParameter.StrategyFormatError",
                    "InvalidParameter.StrategyInvalid",
                    "InvalidParameter.ResouceError",
                    "InvalidParameter.PolicyTooLong",
                    "InvalidParameter.ExtendStrategyOverSize",
                    "InvalidParameter.GrantOtherResource",
                    "InvalidParameter.ParamError",
                    "InvalidParameter.OverTimeError",
                    "ResourceNotFound.RoleNotFound",
                ],
            ),
        ] {
            for code in codes {
                assert_eq!(classify(code), class, "{code}");
            }
        }
    }

    #[test]
    fn figures_name_the_family_of_a_code_and_nothing_that_sts_makes_up() {
        for (said, shown) in [
            ("AuthFailure.SecretIdNotFound", "AuthFailure"),
            ("InvalidParameter.StrategyFormatError", "InvalidParameter"),
            ("RequestLimitExceeded", "RequestLimitExceeded"),
            ("SomethingNew.Altogether", "other"),
            ("", "other"),
        ] {
            assert_eq!(code::family(said), shown);
        }
    }

    #[test]
    fn the_common_codes_of_the_api_too() {
        for (class, codes) in [
            (Class::Throttled, &["LimitExceeded"][..]),
            (Class::SourceCredentialsRejected, &["IpInBlacklist", "IpNotInWhitelist"]),
            (
                Class::Refused,
                &[
                    "InvalidParameterValue",
                    "MissingParameter",
                    "UnknownParameter",
                    "UnsupportedOperation",
                    "InvalidAction",
                    "UnsupportedRegion",
                    "NoSuchVersion",
                    "InvalidRequest",
                ],
            ),
        ] {
            for code in codes {
                assert_eq!(classify(code), class, "{code}");
            }
        }
    }

    #[test]
    fn what_the_operator_must_mend_is_asked_for_again_in_half_a_minute() {
        let detail = String::new;
        for (error, seconds, is_final) in [
            (StsError::Throttled { detail: detail() }, 2, false),
            (StsError::Unavailable { detail: detail() }, 2, false),
            (StsError::Busy { retry_after: Duration::from_secs(7) }, 7, false),
            (StsError::CircuitOpen { retry_after: Duration::from_secs(8) }, 8, false),
            (StsError::SourceCredentialsRejected { detail: detail() }, 30, true),
            (StsError::Refused { template: detail(), detail: detail() }, 30, true),
        ] {
            assert_eq!((error.retry_after().as_secs(), error.is_final()), (seconds, is_final), "{error}");
        }
    }
}

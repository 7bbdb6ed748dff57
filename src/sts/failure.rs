//! A call that brought no temporary key, as metrics, spans and errors show it.

use tencent_sts::{Error, ErrorClass};

/// Why a call brought no temporary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: ErrorClass,
    /// For metrics: one of a fixed set.
    pub(super) code: &'static str,
    /// Code and request id, or what was wrong with the response; never a part of a body.
    pub(super) detail: String,
    /// The id that STS gave the call.
    pub(super) request_id: Option<String>,
}

impl Failure {
    /// The attempt used up its time.
    pub(super) fn no_answer_in_time() -> Self {
        Self {
            class: ErrorClass::Transient,
            code: code::NO_ANSWER,
            detail: "no answer in time".to_owned(),
            request_id: None,
        }
    }

    /// There are no source credentials to call STS with.
    pub(super) fn no_source_credentials(detail: &str) -> Self {
        Self {
            class: ErrorClass::SourceCredentialsRejected,
            code: code::NO_SOURCE_CREDENTIALS,
            detail: detail.to_owned(),
            request_id: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Rejected(rejection) => code::family(rejection.code()),
            Error::Interrupted(_) => code::NO_ANSWER,
            Error::UnreadableResponse(_) => code::UNREADABLE,
            Error::InvalidSourceCredentials => code::NO_SOURCE_CREDENTIALS,
            Error::InvalidRequest(_) => code::OTHER,
        };
        Self {
            class: error.class(),
            code,
            detail: error.to_string(),
            request_id: error.request_id().map(str::to_owned),
        }
    }
}

/// The label `code` of a call's outcome: one of a fixed set, whatever STS answers.
pub(super) mod code {
    /// STS issued a temporary key.
    pub(in crate::sts) const NONE: &str = "none";
    /// No response came, or an incomplete one.
    pub(in crate::sts) const NO_ANSWER: &str = "no_answer";
    /// The response is neither a temporary key nor an error of STS.
    pub(in crate::sts) const UNREADABLE: &str = "unreadable";
    /// No call was made for want of source credentials.
    pub(in crate::sts) const NO_SOURCE_CREDENTIALS: &str = "no_source_credentials";
    /// An error code outside [`FAMILIES`].
    pub(in crate::sts) const OTHER: &str = "other";

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

    /// Returns the family of an error code.
    pub(in crate::sts) fn family(code: &str) -> &'static str {
        let first = code.split('.').next().unwrap_or(code);
        FAMILIES.into_iter().find(|family| *family == first).unwrap_or(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_show_the_family_of_a_code_and_no_text_that_sts_makes_up() {
        for (code, label) in [
            ("AuthFailure.SecretIdNotFound", "AuthFailure"),
            ("InvalidParameter.StrategyFormatError", "InvalidParameter"),
            ("RequestLimitExceeded", "RequestLimitExceeded"),
            ("SomethingNew.Altogether", "other"),
            ("", "other"),
        ] {
            assert_eq!(code::family(code), label);
        }
    }
}

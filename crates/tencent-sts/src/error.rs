use std::fmt;

/// Who must act on an error (`docs/understand/tencent.md`, the table of codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The caller: call less often, then try again.
    Throttled,
    /// No one: the same call may succeed a moment later.
    Transient,
    /// The operator: the source credentials, their rights or the clock must be corrected.
    SourceCredentialsRejected,
    /// The developer: the same request will always be rejected.
    RequestRejected,
}

/// Why a call brought no temporary key. [`class`](Self::class) tells who must act.
///
/// No variant holds a part of a response's body, a key or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// STS answered with an error code.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// No complete response came.
    #[error("STS was not reached: {0}")]
    Interrupted(#[from] Interrupted),
    /// The response is neither a temporary key nor an error code of STS.
    #[error("{0}")]
    UnreadableResponse(#[from] UnreadableResponse),
    /// The source credentials hold bytes that a header cannot carry. Nothing was sent.
    #[error("the source credentials hold bytes that cannot stand in a header")]
    InvalidSourceCredentials,
    /// The request cannot be sent. Nothing was sent.
    #[error("{0}")]
    InvalidRequest(#[from] InvalidRequest),
}

/// An error code of STS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    pub(crate) class: ErrorClass,
    pub(crate) code: String,
    pub(crate) request_id: Option<String>,
}

impl Rejection {
    /// The error code, such as `AuthFailure.SecretIdNotFound`.
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request_id {
            Some(request_id) => write!(f, "{}, request {request_id}", self.code),
            None => write!(f, "{}, without a request id", self.code),
        }
    }
}

/// What stopped a call before its response was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The connection or the response took too long.
    #[error("time-out")]
    Timeout,
    /// There is no connection.
    #[error("no connection")]
    NoConnection,
    /// The response ended too early.
    #[error("the answer broke off")]
    Truncated,
    /// Another fault of the exchange.
    #[error("the exchange failed")]
    Other,
}

impl From<&reqwest::Error> for Interrupted {
    /// Keeps the kind of the error, without the URL and what stands in it.
    fn from(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::NoConnection
        } else if error.is_body() || error.is_decode() {
            Self::Truncated
        } else {
            Self::Other
        }
    }
}

/// Why a response is neither a temporary key nor an error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableResponse {
    /// The body is longer than any response of STS.
    #[error("an answer larger than {max_bytes} bytes")]
    TooLarge {
        /// The most bytes that are read.
        max_bytes: usize,
    },
    /// The body is not JSON in the form of STS.
    #[error("HTTP {status} with a body that is not an answer of STS")]
    NotAnAnswer {
        /// The HTTP status.
        status: u16,
    },
    /// The temporary key lacks its id, its key or its token.
    #[error("a key with an empty part, request {request_id}")]
    EmptyPart {
        /// The id that STS gave this call.
        request_id: String,
    },
    /// The temporary key has expired already.
    #[error("a key that is already expired, request {request_id}")]
    Expired {
        /// The id that STS gave this call.
        request_id: String,
    },
}

/// Why a request cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The policy is empty, which STS would take for all rights.
    #[error("the policy is empty, which STS takes for all rights; give one")]
    EmptyPolicy,
    /// `traceparent` holds bytes that a header cannot carry.
    #[error("traceparent holds bytes that cannot stand in a header")]
    Traceparent,
    /// The body cannot be written as JSON.
    #[error("the request cannot be written as JSON")]
    Body,
}

impl Error {
    /// Returns who must act.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Rejected(rejection) => rejection.class,
            Self::Interrupted(_) | Self::UnreadableResponse(_) => ErrorClass::Transient,
            Self::InvalidSourceCredentials => ErrorClass::SourceCredentialsRejected,
            Self::InvalidRequest(_) => ErrorClass::RequestRejected,
        }
    }

    /// The error code of STS, such as `AuthFailure.SecretIdNotFound`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Rejected(rejection) => Some(&rejection.code),
            _ => None,
        }
    }

    /// The id that STS gave the call. Quote it when you ask Tencent's support.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Rejected(rejection) => rejection.request_id.as_deref(),
            Self::UnreadableResponse(
                UnreadableResponse::EmptyPart { request_id } | UnreadableResponse::Expired { request_id },
            ) => Some(request_id),
            _ => None,
        }
    }
}

/// Returns the class of an error code. An unknown code counts as transient: a few retries do no harm.
pub(crate) fn classify(code: &str) -> ErrorClass {
    let family = code.split('.').next().unwrap_or(code);
    match code {
        "InvalidParameter.OverLimit" => ErrorClass::Throttled,
        "InvalidParameter.AccessKeyNotSupport"
        | "InvalidParameter.AccountNotAvaliable"
        | "FailedOperation.CheckMFAError"
        | "FailedOperation.MFATypeNotSupported"
        | "FailedOperation.TempKeyNotAllowed" => ErrorClass::SourceCredentialsRejected,
        "InternalError.IllegalRole" => ErrorClass::RequestRejected,
        _ => match family {
            "RequestLimitExceeded" | "LimitExceeded" => ErrorClass::Throttled,
            "AuthFailure" | "UnauthorizedOperation" | "IpInBlacklist" | "IpNotInWhitelist" => {
                ErrorClass::SourceCredentialsRejected
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
            | "InvalidRequest" => ErrorClass::RequestRejected,
            _ => ErrorClass::Transient,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_has_the_class_that_it_states() {
        for (class, codes) in [
            (
                ErrorClass::Throttled,
                &[
                    "RequestLimitExceeded",
                    "RequestLimitExceeded.UinLimitExceeded",
                    "RequestLimitExceeded.IPLimitExceeded",
                    "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
                    "InvalidParameter.OverLimit",
                ][..],
            ),
            (
                ErrorClass::Transient,
                &[
                    "InternalError",
                    "InternalError.DbError",
                    "InternalError.SystemError",
                    "InternalError.UnknownError",
                    "InternalError.GetAppIdError",
                    "InternalError.GetSeedTokenError",
                    "InternalError.EncryptError",
                    "InternalError.GetRoleError",
                    "InternalError.PbSerializeError",
                    "SomethingNew",
                ],
            ),
            (
                ErrorClass::SourceCredentialsRejected,
                &[
                    "AuthFailure.SecretIdNotFound",
                    "AuthFailure.SignatureFailure",
                    "AuthFailure.SignatureExpire",
                    "AuthFailure.AccessKeyIllegal",
                    "InvalidParameter.AccessKeyNotSupport",
                    "InvalidParameter.AccountNotAvaliable",
                    "FailedOperation.TempKeyNotAllowed",
                    "FailedOperation.CheckMFAError",
                    "FailedOperation.MFATypeNotSupported",
                    "UnauthorizedOperation",
                ],
            ),
            (
                ErrorClass::RequestRejected,
                &[
                    "InvalidParameter.StrategyFormatError",
                    "InvalidParameter.StrategyInvalid",
                    "InvalidParameter.ResouceError",
                    "InvalidParameter.PolicyTooLong",
                    "InvalidParameter.ExtendStrategyOverSize",
                    "InvalidParameter.GrantOtherResource",
                    "InvalidParameter.ParamError",
                    "InvalidParameter.OverTimeError",
                    "InvalidParameter.TempCodeNotAvaliable",
                    "InvalidParameter.WebIdentityTokenError",
                    "InternalError.IllegalRole",
                    "UnsupportedOperation",
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
    fn the_common_codes_of_the_api_have_a_class_too() {
        for (class, codes) in [
            (ErrorClass::Throttled, &["LimitExceeded"][..]),
            (ErrorClass::SourceCredentialsRejected, &["IpInBlacklist", "IpNotInWhitelist"]),
            (
                ErrorClass::RequestRejected,
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
}

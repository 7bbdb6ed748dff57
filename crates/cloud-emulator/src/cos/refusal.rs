//! Why COS refuses, in its own codes and words (docs 436/7730), and the XML they are told in.

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;

use super::xml;
use crate::storage::{Incomplete, Unkept};
use tencent_sign::cos::Malformed;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Unsigned, or not allowed by the key's policy; with what is only for the sandbox's log.
    #[error("Access Denied.")]
    AccessDenied(String),
    /// The SDKs know these very words, and correct their clock.
    #[error("Request has expired")]
    Expired,
    #[error("The difference between the request time and the server's time is too large.")]
    RequestTimeTooSkewed,
    #[error("The provided token has expired.")]
    ExpiredToken,
    #[error("The Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId,
    #[error(
        "The Signature you specified is invalid. The HttpString and the StringToSign of the sandbox differ from yours."
    )]
    SignatureDoesNotMatch,
    #[error("The authorization is malformed: {0}.")]
    Authorization(#[from] Malformed),
    #[error("The specified key does not exist.")]
    NoSuchKey,
    #[error("{0}")]
    Upload(#[from] Incomplete),
    #[error("{0}")]
    InvalidArgument(String),
    #[error("Your key is too long: at most {0} bytes")]
    KeyTooLong(usize),
    /// `x-cos-forbid-overwrite`
    #[error("The object you specified already exists and can not be overwritten.")]
    FileAlreadyExists,
    #[error("The XML you provided was not well-formed: {0}")]
    MalformedXml(String),
    #[error("The Content-MD5 you specified did not match what we received.")]
    BadDigest,
    #[error("{0}")]
    Unkept(#[from] Unkept),
    #[error("The requested range is not satisfiable")]
    InvalidRange,
    #[error("At least one of the pre-conditions you specified did not hold")]
    PreconditionFailed,
    #[error("The body of your POST request is not well-formed multipart/form-data.")]
    MalformedForm,
    #[error("Your metadata headers exceed the maximum allowed metadata size: {0} bytes")]
    MetadataTooLarge(usize),
    /// The form of a form upload.
    #[error("Invalid according to Policy: {0}")]
    FormPolicy(String),
    #[error("The sandbox does not have this: {0}")]
    NotImplemented(String),
}

#[derive(Serialize)]
#[serde(rename = "Error", rename_all = "PascalCase")]
struct Told<'a> {
    code: &'a str,
    message: &'a str,
    resource: &'a str,
    request_id: &'a str,
    trace_id: &'a str,
}

impl Refusal {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AccessDenied(_) | Self::Expired | Self::FormPolicy(_) => {
                (StatusCode::FORBIDDEN, "AccessDenied")
            }
            Self::RequestTimeTooSkewed => (StatusCode::FORBIDDEN, "RequestTimeTooSkewed"),
            Self::ExpiredToken => (StatusCode::FORBIDDEN, "ExpiredToken"),
            Self::InvalidAccessKeyId => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            Self::SignatureDoesNotMatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
            Self::Authorization(_) | Self::InvalidArgument(_) => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            Self::NoSuchKey => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::Upload(Incomplete::NoSuchUpload) => (StatusCode::NOT_FOUND, "NoSuchUpload"),
            Self::Upload(Incomplete::InvalidPart) => (StatusCode::BAD_REQUEST, "InvalidPart"),
            Self::Upload(Incomplete::InvalidPartOrder) => (StatusCode::BAD_REQUEST, "InvalidPartOrder"),
            Self::Upload(Incomplete::EntityTooSmall) => (StatusCode::BAD_REQUEST, "EntityTooSmall"),
            Self::KeyTooLong(_) => (StatusCode::BAD_REQUEST, "KeyTooLong"),
            Self::FileAlreadyExists => (StatusCode::CONFLICT, "FileAlreadyExists"),
            Self::MalformedForm => (StatusCode::BAD_REQUEST, "MalformedPOSTRequest"),
            Self::MetadataTooLarge(_) => (StatusCode::BAD_REQUEST, "MetadataTooLarge"),
            Self::MalformedXml(_) => (StatusCode::BAD_REQUEST, "MalformedXML"),
            Self::BadDigest => (StatusCode::BAD_REQUEST, "BadDigest"),
            Self::Unkept(Unkept::BrokenOff) => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            Self::Unkept(Unkept::TooLarge(_)) => (StatusCode::BAD_REQUEST, "EntityTooLarge"),
            Self::Unkept(Unkept::Full(_)) => (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage"),
            Self::Unkept(Unkept::Disk(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            Self::InvalidRange => (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            Self::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    /// As COS tells it; the body of an answer to `HEAD` never leaves.
    pub(super) fn response(&self, resource: &str, request_id: &str) -> HttpResponse {
        let (status, code) = self.code();
        if let Self::AccessDenied(why) = self {
            tracing::info!(request_id, resource, why, "COS refuses: AccessDenied");
        } else {
            tracing::info!(request_id, resource, why = %self, "COS refuses: {code}");
        }
        error(status, code, &self.to_string(), resource, request_id)
    }
}

/// An error as COS tells it.
pub(crate) fn error(
    status: StatusCode,
    code: &str,
    message: &str,
    resource: &str,
    request_id: &str,
) -> HttpResponse {
    let told = Told { code, message, resource, request_id, trace_id: request_id };
    super::headed(xml::answer(status, &told), request_id)
}

//! Why COS refuses a request, with COS's own codes and messages (docs 436/7730).

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    form_error::FormError,
    response,
    xml::{NotDeleted, XmlError},
};
use crate::storage::{CompleteError, StorageError, UploadError};
use tencent_sign::cos::{Malformed, SignedText};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum CosError {
    /// The request is unsigned or not allowed by the key's policy. The reason goes only to the sandbox's log.
    #[error("Access Denied.")]
    AccessDenied(String),
    /// The SDKs recognise exactly this message, and correct their clock.
    #[error("Request has expired")]
    Expired,
    #[error("The difference between the request time and the server's time is too large.")]
    RequestTimeTooSkewed,
    #[error("The provided token has expired.")]
    ExpiredToken,
    #[error("The Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId,
    #[error(
        "The Signature you specified is invalid. Compare the FormatString and the StringToSign with those that you signed."
    )]
    WrongSignature(SignedText),
    /// The signature of a form's policy.
    #[error("The Signature you specified is invalid: it is not over the form's policy.")]
    WrongFormSignature,
    #[error("The authorization is malformed: {0}.")]
    Authorization(#[from] Malformed),
    #[error("The specified key does not exist.")]
    NoSuchKey,
    #[error("{0}")]
    Upload(#[from] UploadError),
    #[error("{0}")]
    InvalidArgument(String),
    #[error("The form is malformed: {0}.")]
    Form(#[from] FormError),
    #[error("Your key is too long: at most {0} bytes")]
    KeyTooLong(usize),
    /// The request has `x-cos-forbid-overwrite`.
    #[error("The object you specified already exists and can not be overwritten.")]
    FileAlreadyExists,
    /// Every bucket of the emulator exists already.
    #[error("The bucket you tried to create already exists, and you own it.")]
    BucketAlreadyOwnedByYou,
    /// The object was not made by appending.
    #[error("The object is not appendable.")]
    ObjectNotAppendable,
    #[error("The position is not the length of the object, which is {0} bytes.")]
    AppendPosition(u64),
    #[error("The XML you provided was not well-formed: {0}")]
    MalformedXml(#[from] XmlError),
    #[error("The Content-MD5 you specified did not match what we received.")]
    BadDigest,
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The range has no byte of an object of this length.
    #[error("The requested range is not satisfiable")]
    InvalidRange(u64),
    #[error("At least one of the pre-conditions you specified did not hold")]
    PreconditionFailed,
    #[error("The body of your POST request is not well-formed multipart/form-data.")]
    NotAForm,
    #[error("Your metadata headers exceed the maximum allowed metadata size: {0} bytes")]
    MetadataTooLarge(usize),
    /// The policy of a form upload does not allow the form.
    #[error("Invalid according to Policy: {0}")]
    FormPolicy(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    InvalidTag(String),
    #[error("The policy is malformed: {0}")]
    MalformedPolicy(String),
    #[error("The bucket has no policy.")]
    NoSuchBucketPolicy,
    #[error("The sandbox does not have this: {0}")]
    NotImplemented(String),
}

impl From<CompleteError> for CosError {
    fn from(error: CompleteError) -> Self {
        match error {
            CompleteError::Upload(error) => error.into(),
            CompleteError::Storage(error) => error.into(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "Error", rename_all = "PascalCase")]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    resource: &'a str,
    request_id: &'a str,
    trace_id: &'a str,
    /// SDKs correct their clock by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_to_sign: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_string: Option<&'a str>,
}

impl<'a> ErrorBody<'a> {
    fn new(code: &'a str, message: &'a str, resource: Option<&'a str>, request_id: &'a str) -> Self {
        let resource = resource.unwrap_or_default();
        Self {
            code,
            message,
            resource,
            request_id,
            trace_id: request_id,
            server_time: None,
            string_to_sign: None,
            format_string: None,
        }
    }
}

impl CosError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AccessDenied(_) | Self::Expired | Self::FormPolicy(_) => {
                (StatusCode::FORBIDDEN, "AccessDenied")
            }
            Self::RequestTimeTooSkewed => (StatusCode::FORBIDDEN, "RequestTimeTooSkewed"),
            Self::ExpiredToken => (StatusCode::FORBIDDEN, "ExpiredToken"),
            Self::InvalidAccessKeyId => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            Self::WrongSignature(_) | Self::WrongFormSignature => {
                (StatusCode::FORBIDDEN, "SignatureDoesNotMatch")
            }
            Self::Authorization(_) | Self::InvalidArgument(_) | Self::Form(_) => {
                (StatusCode::BAD_REQUEST, "InvalidArgument")
            }
            Self::NoSuchKey => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::Upload(UploadError::NoSuchUpload) => (StatusCode::NOT_FOUND, "NoSuchUpload"),
            Self::Upload(UploadError::InvalidPart) => (StatusCode::BAD_REQUEST, "InvalidPart"),
            Self::Upload(UploadError::InvalidPartOrder) => (StatusCode::BAD_REQUEST, "InvalidPartOrder"),
            Self::Upload(UploadError::EntityTooSmall) => (StatusCode::BAD_REQUEST, "EntityTooSmall"),
            Self::KeyTooLong(_) => (StatusCode::BAD_REQUEST, "KeyTooLong"),
            Self::FileAlreadyExists => (StatusCode::CONFLICT, "FileAlreadyExists"),
            Self::BucketAlreadyOwnedByYou => (StatusCode::CONFLICT, "BucketAlreadyOwnedByYou"),
            Self::ObjectNotAppendable => (StatusCode::CONFLICT, "ObjectNotAppendable"),
            Self::AppendPosition(_) => (StatusCode::CONFLICT, "AppendPositionErr"),
            Self::NotAForm => (StatusCode::BAD_REQUEST, "MalformedPOSTRequest"),
            Self::MetadataTooLarge(_) => (StatusCode::BAD_REQUEST, "MetadataTooLarge"),
            Self::MalformedXml(_) => (StatusCode::BAD_REQUEST, "MalformedXML"),
            Self::BadDigest => (StatusCode::BAD_REQUEST, "BadDigest"),
            Self::Storage(StorageError::BodyIncomplete) => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            Self::Storage(StorageError::TooLarge(_)) => (StatusCode::BAD_REQUEST, "EntityTooLarge"),
            Self::Storage(StorageError::MemoryFull(_)) => {
                (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage")
            }
            Self::Storage(StorageError::Disk(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            Self::InvalidRange(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::InvalidTag(_) => (StatusCode::BAD_REQUEST, "InvalidTag"),
            Self::MalformedPolicy(_) => (StatusCode::BAD_REQUEST, "MalformedPolicy"),
            Self::NoSuchBucketPolicy => (StatusCode::NOT_FOUND, "NoSuchBucketPolicy"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            Self::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
        }
    }

    /// Returns the error as the reason why one of several objects was not deleted, and logs it.
    pub(super) fn of_deleted(&self, key: String) -> NotDeleted {
        let (_, code) = self.status_and_code();
        if let Self::AccessDenied(reason) = self {
            tracing::info!(key, reason, "COS did not delete an object: AccessDenied");
        }
        NotDeleted { key, code, message: self.to_string() }
    }

    /// Returns the error as a response, and logs it. The server sends no body in response to `HEAD`.
    pub(super) fn response(&self, resource: Option<&str>, request_id: &str, now: Timestamp) -> HttpResponse {
        let (status, code) = self.status_and_code();
        let message = self.to_string();
        if let Self::AccessDenied(reason) = self {
            tracing::info!(request_id, resource, reason, "COS refused a request: AccessDenied");
        } else {
            tracing::info!(request_id, resource, reason = %self, "COS refused a request: {code}");
        }
        let mut body = ErrorBody::new(code, &message, resource, request_id);
        body.server_time = (status == StatusCode::FORBIDDEN).then(|| response::iso8601(now));
        if let Self::WrongSignature(text) = self {
            body.string_to_sign = Some(&text.string_to_sign);
            body.format_string = Some(&text.http_string);
        }
        let mut response = response::xml(status, &body);
        if let Self::InvalidRange(length) = self
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{length}"))
        {
            // RFC 9110 §15.5.17
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        response::with_common_headers(response, request_id)
    }
}

/// Returns an error response as COS writes it.
pub(crate) fn error_response(
    status: StatusCode,
    code: &str,
    message: &str,
    resource: Option<&str>,
    request_id: &str,
) -> HttpResponse {
    let body = ErrorBody::new(code, message, resource, request_id);
    response::with_common_headers(response::xml(status, &body), request_id)
}

//! What is wrong with the form of a form upload.

use std::str::Utf8Error;

use actix_multipart::MultipartError;

/// Why a form cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("it has no field `file`")]
    NoFile,
    #[error("`file` is not its last field")]
    FileNotLast,
    #[error("its fields are too long")]
    FieldsTooLong,
    #[error("{0}")]
    Utf8(#[from] Utf8Error),
    #[error("{0}")]
    Multipart(#[from] MultipartError),
}

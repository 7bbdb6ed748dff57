//! Why bytes are not stored, or an upload is not completed.

use std::io;

/// Why bytes were not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The client stopped sending.
    #[error("the request's body ended too early")]
    BodyIncomplete,
    /// The body is larger than one blob may be.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    #[error(
        "the sandbox keeps at most {0} bytes in memory; delete something, or start it with --data DIR to keep objects in a folder"
    )]
    MemoryFull(u64),
    #[error("the sandbox's folder cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// Why an upload in parts does not make an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadError {
    /// There is no such upload, it has ended, or it belongs to another object.
    #[error("The specified multipart upload does not exist.")]
    NoSuchUpload,
    /// A named part does not exist, or has another `ETag`.
    #[error("One or more of the specified parts could not be found.")]
    InvalidPart,
    #[error("The list of parts was not in ascending order.")]
    InvalidPartOrder,
    /// A part before the last is smaller than a part may be.
    #[error("Your proposed upload is smaller than the minimum allowed size.")]
    EntityTooSmall,
}

/// Why completing an upload failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompleteError {
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

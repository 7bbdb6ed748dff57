//! An upload in parts, and what its parts must be to make an object (docs 436/7742).

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use md5::{Digest, Md5};

use super::{Blob, Headers, Object, blob};

/// The least that a part may have, save for the last (docs 436/14112).
const SMALLEST_PART: u64 = 1 << 20;

/// An upload that has not ended.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    /// What the object will be told with.
    headers: Headers,
    /// When it began.
    pub(crate) initiated: Timestamp,
    parts: BTreeMap<u16, Part>,
}

/// One part.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Its bytes.
    blob: Arc<Blob>,
    /// When it came.
    pub(crate) modified: Timestamp,
}

/// Why there is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomplete {
    /// It never began, or has ended, or is another object's.
    #[error("The specified multipart upload does not exist.")]
    NoSuchUpload,
    /// One that was named is not there, or is another.
    #[error("One or more of the specified parts could not be found.")]
    InvalidPart,
    /// They are not named from the first to the last.
    #[error("The list of parts was not in ascending order.")]
    InvalidPartOrder,
    /// One before the last is less than a part may be.
    #[error("Your proposed upload is smaller than the minimum allowed size.")]
    EntityTooSmall,
}

impl Part {
    /// With its quotes.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", hex::encode(self.blob.md5))
    }

    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        self.blob.length
    }
}

impl Upload {
    /// An upload that begins.
    pub(crate) fn of(bucket: &str, key: &str, headers: Headers, initiated: Timestamp) -> Self {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Self { bucket, key, headers, initiated, parts: BTreeMap::new() }
    }

    pub(super) fn is_of(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && self.key == key
    }

    /// Takes a part, in place of the one of that number.
    pub(crate) fn put(&mut self, number: u16, blob: Blob, modified: Timestamp) {
        self.parts.insert(number, Part { blob: Arc::new(blob), modified });
    }

    /// Its parts after a number.
    pub(crate) fn parts_after(&self, number: u16) -> impl Iterator<Item = (u16, &Part)> {
        self.parts.iter().filter(move |(one, _)| **one > number).map(|(one, part)| (*one, part))
    }

    /// The object that the parts named make.
    pub(super) fn complete(&self, named: &[(u16, String)], now: Timestamp) -> Result<Object, Incomplete> {
        if !named.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(Incomplete::InvalidPartOrder);
        }
        let found = |(number, etag): &(u16, String)| {
            let part = self.parts.get(number)?;
            (etag.trim_matches('"') == hex::encode(part.blob.md5)).then(|| Arc::clone(&part.blob))
        };
        let blobs: Vec<Arc<Blob>> =
            named.iter().map(found).collect::<Option<_>>().ok_or(Incomplete::InvalidPart)?;
        let (_, before) = blobs.split_last().ok_or(Incomplete::InvalidPart)?;
        if before.iter().any(|blob| blob.length < SMALLEST_PART) {
            return Err(Incomplete::EntityTooSmall);
        }
        let md5 = blobs.iter().fold(Md5::new(), |md5, blob| md5.chain_update(blob.md5)).finalize();
        Ok(Object {
            headers: self.headers.clone(),
            etag: format!("\"{}-{}\"", hex::encode(md5), blobs.len()),
            crc64: blob::crc64_of(blobs.iter().map(AsRef::as_ref)),
            modified: now,
            length: blobs.iter().map(|blob| blob.length).sum(),
            blobs,
        })
    }
}

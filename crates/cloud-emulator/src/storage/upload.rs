//! An upload in parts, and the rules for making an object of its parts (docs 436/7742).

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    blob::Blob,
    error::UploadError,
    object::{Headers, Object},
};

/// The minimum size of all parts but the last (docs 436/14112).
const MIN_PART_BYTES: u64 = 1 << 20;

/// Names an upload: its bucket, key and id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UploadRef<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) id: &'a str,
}

/// An unfinished upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    /// The headers of the future object.
    headers: Headers,
    pub(crate) initiated: Timestamp,
    parts: BTreeMap<u16, Part>,
}

/// One part of an upload.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    blob: Arc<Blob>,
    pub(crate) modified: Timestamp,
}

impl Part {
    /// Returns the `ETag` with its quotes.
    pub(crate) fn etag(&self) -> String {
        self.blob.etag()
    }

    /// Returns the length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.blob.length
    }
}

impl Upload {
    /// Creates an upload without parts.
    pub(crate) fn new(bucket: &str, key: &str, headers: Headers, initiated: Timestamp) -> Self {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Self { bucket, key, headers, initiated, parts: BTreeMap::new() }
    }

    pub(super) fn is_at(&self, at: UploadRef<'_>) -> bool {
        self.bucket == at.bucket && self.key == at.key
    }

    /// Stores a part, in place of the previous part of that number.
    pub(crate) fn put(&mut self, number: u16, blob: Blob, modified: Timestamp) {
        self.parts.insert(number, Part { blob: Arc::new(blob), modified });
    }

    /// Iterates over the parts after a number.
    pub(crate) fn parts_after(&self, number: u16) -> impl Iterator<Item = (u16, &Part)> {
        self.parts.iter().filter(move |(one, _)| **one > number).map(|(one, part)| (*one, part))
    }

    /// Returns the object made of the named parts.
    pub(super) fn complete(
        &self,
        named_parts: &[(u16, String)],
        now: Timestamp,
    ) -> Result<Object, UploadError> {
        if !named_parts.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(UploadError::InvalidPartOrder);
        }
        let blobs: Vec<Arc<Blob>> = named_parts
            .iter()
            .map(|(number, etag)| self.blob_of_part(*number, etag))
            .collect::<Option<_>>()
            .ok_or(UploadError::InvalidPart)?;
        let (_, before_last) = blobs.split_last().ok_or(UploadError::InvalidPart)?;
        if before_last.iter().any(|blob| blob.length < MIN_PART_BYTES) {
            return Err(UploadError::EntityTooSmall);
        }
        Ok(Object::of_blobs(self.headers.clone(), blobs, now))
    }

    fn blob_of_part(&self, number: u16, etag: &str) -> Option<Arc<Blob>> {
        let part = self.parts.get(&number)?;
        (etag.trim_matches('"') == part.etag().trim_matches('"')).then(|| Arc::clone(&part.blob))
    }
}

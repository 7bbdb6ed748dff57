//! A stored object.

use std::{collections::BTreeMap, io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::blob::{self, Blob};

/// The headers that are stored with an object; names are in lower case.
pub(crate) type Headers = BTreeMap<String, String>;

/// A stored object. It never changes; a write replaces it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) headers: Headers,
    /// The `ETag` with its quotes.
    pub(crate) etag: String,
    /// The CRC-64 of all bytes.
    pub(crate) crc64: u64,
    pub(crate) modified: Timestamp,
    pub(crate) length: u64,
    pub(super) blobs: Vec<Arc<Blob>>,
}

impl Object {
    /// Creates an object that was uploaded in one piece.
    pub(crate) fn new(headers: Headers, blob: Blob, modified: Timestamp) -> Self {
        let (crc64, length) = (blob.crc64, blob.length);
        Self { headers, etag: blob.etag(), crc64, modified, length, blobs: vec![Arc::new(blob)] }
    }

    /// Creates an object of several blobs, one after the other.
    pub(super) fn of_blobs(headers: Headers, blobs: Vec<Arc<Blob>>, modified: Timestamp) -> Self {
        let md5 = blobs.iter().fold(Md5::new(), |md5, blob| md5.chain_update(blob.md5)).finalize();
        Self {
            headers,
            etag: format!("\"{}-{}\"", hex::encode(md5), blobs.len()),
            crc64: blob::crc64_of(blobs.iter().map(AsRef::as_ref)),
            modified,
            length: blobs.iter().map(|blob| blob.length).sum(),
            blobs,
        }
    }

    /// Streams a range of the object's bytes.
    pub(crate) fn read(&self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + use<> {
        blob::read(self.blobs.clone(), range)
    }

    /// Marks the files of the object's blobs as named by an object on disk or not.
    pub(super) fn set_persistent(&self, persistent: bool) {
        for blob in &self.blobs {
            blob.set_persistent(persistent);
        }
    }
}

//! The objects and unfinished uploads of the COS emulator, in memory or in a folder.
//!
//! This module knows nothing of requests, keys or policies.

mod blob;
mod error;
mod folder;
mod listing;
mod memory;
mod object;
mod upload;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    ops::{Bound, RangeBounds},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;

use self::{
    blob::Backend,
    folder::{Buckets, Folder},
    memory::MemoryBudget,
};
pub(crate) use self::{
    blob::Blob,
    error::{CompleteError, StorageError, UploadError},
    listing::{ListQuery, Page},
    object::{Headers, Object},
    upload::{Part, Upload, UploadRef},
};

/// Stores objects and unfinished uploads.
#[derive(Debug)]
pub struct Storage {
    backend: Backend,
    folder: Option<Folder>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: Buckets,
    uploads: BTreeMap<String, Upload>,
}

impl State {
    fn upload(&self, at: UploadRef<'_>) -> Result<&Upload, UploadError> {
        self.uploads.get(at.id).filter(|upload| upload.is_at(at)).ok_or(UploadError::NoSuchUpload)
    }
}

/// An unfinished upload in a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListedUpload {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) initiated: Timestamp,
}

impl Storage {
    /// Stores objects in memory, `max_bytes` in total.
    pub fn in_memory(max_bytes: u64) -> Self {
        let backend = Backend::Memory(MemoryBudget::new(max_bytes));
        Self { backend, folder: None, state: Mutex::default() }
    }

    /// Stores objects in a folder, and reads those that are already there.
    ///
    /// # Errors
    /// If the folder cannot be created, read or written, or if it holds other files.
    pub fn in_folder(dir: &Path) -> io::Result<Self> {
        let (folder, buckets) = Folder::open(dir)?;
        let state = State { buckets, uploads: BTreeMap::new() };
        let backend = Backend::Folder(folder.blobs());
        Ok(Self { backend, folder: Some(folder), state: Mutex::new(state) })
    }

    /// Stores the bytes of a body (at most `max_bytes`). They are deleted on drop unless an object claims them.
    pub(crate) async fn receive<S, E>(&self, body: S, max_bytes: u64) -> Result<Blob, StorageError>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        blob::receive(&self.backend, body, max_bytes).await
    }

    /// Stores an object under a key, in place of the previous one.
    pub(crate) fn put(&self, bucket: &str, key: &str, object: Object) -> Result<Arc<Object>, StorageError> {
        self.put_locked(&mut self.state(), bucket, key, object)
    }

    fn put_locked(
        &self,
        state: &mut State,
        bucket: &str,
        key: &str,
        object: Object,
    ) -> Result<Arc<Object>, StorageError> {
        let object = Arc::new(object);
        if let Some(folder) = &self.folder {
            folder.put(bucket, key, &object)?;
        }
        let objects = state.buckets.entry(bucket.to_owned()).or_default();
        if let Some(replaced) = objects.insert(key.to_owned(), Arc::clone(&object)) {
            replaced.set_persistent(false);
        }
        Ok(object)
    }

    /// Returns the object of a key.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.state().buckets.get(bucket)?.get(key).cloned()
    }

    /// Returns a new object with the bytes of another and these headers.
    pub(crate) fn copy(
        &self,
        object: &Object,
        headers: Headers,
        now: Timestamp,
    ) -> Result<Object, StorageError> {
        Ok(Object {
            headers,
            etag: object.etag.clone(),
            crc64: object.crc64,
            modified: now,
            length: object.length,
            blobs: self.copied_blobs(object)?,
        })
    }

    /// Returns a new object with the bytes of another and a blob after them.
    pub(crate) fn extended(
        &self,
        object: &Object,
        blob: Blob,
        now: Timestamp,
    ) -> Result<Object, StorageError> {
        let mut blobs = self.copied_blobs(object)?;
        blobs.push(Arc::new(blob));
        Ok(Object::of_blobs(object.headers.clone(), blobs, now))
    }

    fn copied_blobs(&self, object: &Object) -> Result<Vec<Arc<Blob>>, StorageError> {
        object.blobs.iter().map(|blob| blob.copy(&self.backend).map(Arc::new)).collect()
    }

    /// Deletes the object of a key, if there is one.
    pub(crate) fn delete(&self, bucket: &str, key: &str) -> Result<(), StorageError> {
        let mut state = self.state();
        let Some(objects) = state.buckets.get_mut(bucket) else { return Ok(()) };
        let Entry::Occupied(object) = objects.entry(key.to_owned()) else { return Ok(()) };
        if let Some(folder) = &self.folder {
            folder.delete(bucket, key)?;
        }
        object.remove().set_persistent(false);
        Ok(())
    }

    /// Returns the buckets that hold an object, each with the time of its oldest object.
    pub(crate) fn buckets(&self) -> Vec<(String, Timestamp)> {
        let state = self.state();
        let buckets = state.buckets.iter().filter_map(|(name, objects)| {
            let oldest = objects.values().map(|object| object.modified).min()?;
            Some((name.clone(), oldest))
        });
        buckets.collect()
    }

    /// Returns a page of a bucket's objects.
    pub(crate) fn list(&self, bucket: &str, query: &ListQuery) -> Page<(String, Arc<Object>)> {
        let state = self.state();
        let objects = state.buckets.get(bucket).into_iter();
        let range = objects.flat_map(|objects| objects.range::<str, _>((query.start(), Bound::Unbounded)));
        query.page(range.map(|(key, object)| (key.as_str(), (key.clone(), Arc::clone(object)))))
    }

    /// Starts an upload in parts with this id.
    pub(crate) fn initiate(&self, id: String, upload: Upload) {
        self.state().uploads.insert(id, upload);
    }

    /// Calls `f` with an unfinished upload.
    pub(crate) fn with_upload<T>(
        &self,
        at: UploadRef<'_>,
        f: impl FnOnce(&mut Upload) -> T,
    ) -> Result<T, UploadError> {
        let mut state = self.state();
        let upload = state.uploads.get_mut(at.id).filter(|upload| upload.is_at(at));
        upload.map(f).ok_or(UploadError::NoSuchUpload)
    }

    /// Stores an object made of the named parts, and ends the upload. After a failure the upload continues.
    pub(crate) fn complete(
        &self,
        at: UploadRef<'_>,
        named_parts: &[(u16, String)],
        now: Timestamp,
    ) -> Result<Arc<Object>, CompleteError> {
        let mut state = self.state();
        let object = state.upload(at)?.complete(named_parts, now)?;
        let object = self.put_locked(&mut state, at.bucket, at.key, object)?;
        state.uploads.remove(at.id);
        Ok(object)
    }

    /// Ends an upload and deletes its parts.
    pub(crate) fn abort(&self, at: UploadRef<'_>) -> Result<(), UploadError> {
        let mut state = self.state();
        state.upload(at)?;
        state.uploads.remove(at.id);
        Ok(())
    }

    /// Returns a page of a bucket's unfinished uploads. Of the marker's own key, the page has the uploads after
    /// `id_marker`, if there is one.
    pub(crate) fn uploads(
        &self,
        bucket: &str,
        query: &ListQuery,
        id_marker: Option<&str>,
    ) -> Page<ListedUpload> {
        let state = self.state();
        let mut uploads: Vec<_> = state
            .uploads
            .iter()
            .filter(|(id, upload)| upload.bucket == bucket && is_after(&upload.key, id, query, id_marker))
            .collect();
        uploads.sort_by_key(|(id, upload)| (&upload.key, *id));
        query.page(uploads.into_iter().map(|(id, upload)| {
            let (key, id) = (upload.key.clone(), id.clone());
            (upload.key.as_str(), ListedUpload { key, id, initiated: upload.initiated })
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an upload is after the markers of a list request.
fn is_after(key: &str, id: &str, query: &ListQuery, id_marker: Option<&str>) -> bool {
    RangeBounds::<str>::contains(&(query.start(), Bound::Unbounded), key)
        || key == query.marker && id_marker.is_some_and(|marker| id > marker)
}

#[cfg(test)]
mod tests;

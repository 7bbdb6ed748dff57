//! What the COS emulator keeps: objects and unfinished uploads, in memory or in a folder.
//!
//! Knows nothing of requests, keys or policies.

mod blob;
mod folder;
mod listing;
mod upload;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    ops::{Bound, Range, RangeBounds},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;

use self::{blob::Place, folder::Folder};
pub(super) use self::{
    blob::{Blob, Unkept},
    listing::{Page, Wanted},
    upload::{Incomplete, Part, Upload},
};

/// What an object is told with: header names in lower case, and their values.
pub(super) type Headers = BTreeMap<String, String>;

/// One object. It does not change; another takes its place.
#[derive(Debug)]
pub(super) struct Object {
    /// What it was stored with and is answered with.
    pub(super) headers: Headers,
    /// With its quotes.
    pub(super) etag: String,
    /// Over all of it.
    pub(super) crc64: u64,
    /// When it was stored.
    pub(super) modified: Timestamp,
    /// In bytes.
    pub(super) length: u64,
    blobs: Vec<Arc<Blob>>,
}

impl Object {
    /// An object that came in one piece.
    pub(super) fn of(headers: Headers, blob: Blob, modified: Timestamp) -> Self {
        let etag = format!("\"{}\"", hex::encode(blob.md5));
        let (crc64, length) = (blob.crc64, blob.length);
        Self { headers, etag, crc64, modified, length, blobs: vec![Arc::new(blob)] }
    }

    /// A range of its bytes.
    pub(super) fn read(&self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + use<> {
        blob::read(self.blobs.clone(), range)
    }
}

/// The place for objects.
#[derive(Debug)]
pub struct Storage {
    place: Place,
    folder: Option<Folder>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Arc<Object>>>,
    uploads: BTreeMap<String, Upload>,
}

impl Storage {
    /// Objects in memory, of so many bytes together at most.
    pub fn in_memory(bound: u64) -> Self {
        Self { place: Place::Memory(blob::Memory::of(bound)), folder: None, state: Mutex::default() }
    }

    /// Objects in a folder, those that are already there among them.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written, or holds something else.
    pub fn in_folder(dir: &Path) -> io::Result<Self> {
        let (folder, buckets) = Folder::open(dir)?;
        let state = State { buckets, uploads: BTreeMap::new() };
        Ok(Self { place: Place::Folder(folder.blobs()), folder: Some(folder), state: Mutex::new(state) })
    }

    /// Keeps the bytes of a body, `most` at most. They are nobody's until an object takes them, and go if
    /// none does.
    pub(super) async fn receive<S, E>(&self, body: S, most: u64) -> Result<Blob, Unkept>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        blob::receive(&self.place, body, most).await
    }

    /// Puts an object in its place, and says what it is now.
    pub(super) fn put(&self, bucket: &str, key: &str, object: Object) -> Result<Arc<Object>, Unkept> {
        self.put_in(&mut self.state(), bucket, key, object)
    }

    fn put_in(
        &self,
        state: &mut State,
        bucket: &str,
        key: &str,
        object: Object,
    ) -> Result<Arc<Object>, Unkept> {
        let object = Arc::new(object);
        if let Some(folder) = &self.folder {
            folder.put(bucket, key, &object)?;
        }
        let objects = state.buckets.entry(bucket.to_owned()).or_default();
        if let Some(old) = objects.insert(key.to_owned(), Arc::clone(&object)) {
            old.blobs.iter().for_each(|blob| blob.keep(false));
        }
        Ok(object)
    }

    /// The object of a key.
    pub(super) fn get(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.state().buckets.get(bucket)?.get(key).cloned()
    }

    /// An object of the same bytes with other headers, to be put somewhere.
    pub(super) fn copy(&self, object: &Object, headers: Headers, now: Timestamp) -> Result<Object, Unkept> {
        let blobs = object.blobs.iter().map(|blob| blob.copy(&self.place).map(Arc::new));
        let blobs = blobs.collect::<Result<_, _>>()?;
        Ok(Object {
            headers,
            etag: object.etag.clone(),
            crc64: object.crc64,
            modified: now,
            length: object.length,
            blobs,
        })
    }

    /// Lets an object go.
    pub(super) fn delete(&self, bucket: &str, key: &str) -> Result<(), Unkept> {
        let mut state = self.state();
        let Some(objects) = state.buckets.get_mut(bucket) else { return Ok(()) };
        let Entry::Occupied(object) = objects.entry(key.to_owned()) else { return Ok(()) };
        if let Some(folder) = &self.folder {
            folder.delete(bucket, key)?;
        }
        object.remove().blobs.iter().for_each(|blob| blob.keep(false));
        Ok(())
    }

    /// A page of a bucket's keys.
    pub(super) fn list(&self, bucket: &str, wanted: &Wanted) -> Page<(String, Arc<Object>)> {
        let state = self.state();
        let objects = state.buckets.get(bucket).into_iter();
        let range = objects.flat_map(|objects| objects.range::<str, _>((wanted.from(), Bound::Unbounded)));
        wanted.page(range.map(|(key, object)| (key.as_str(), (key.clone(), Arc::clone(object)))))
    }

    /// Begins an upload in parts, of this name.
    pub(super) fn initiate(&self, id: String, upload: Upload) {
        self.state().uploads.insert(id, upload);
    }

    /// What is known of an upload of this object.
    pub(super) fn upload<T>(
        &self,
        (bucket, key, id): (&str, &str, &str),
        see: impl FnOnce(&mut Upload) -> T,
    ) -> Result<T, Incomplete> {
        let mut state = self.state();
        let upload = state.uploads.get_mut(id).filter(|upload| upload.is_of(bucket, key));
        upload.map(see).ok_or(Incomplete::NoSuchUpload)
    }

    /// Puts an object made of the parts named in its place, and ends the upload. If it fails, the upload goes on.
    pub(super) fn complete(
        &self,
        (bucket, key, id): (&str, &str, &str),
        named: &[(u16, String)],
        now: Timestamp,
    ) -> Result<Result<Arc<Object>, Unkept>, Incomplete> {
        let mut state = self.state();
        let upload = state.uploads.get(id).filter(|upload| upload.is_of(bucket, key));
        let object = upload.ok_or(Incomplete::NoSuchUpload)?.complete(named, now)?;
        let put = self.put_in(&mut state, bucket, key, object);
        if put.is_ok() {
            state.uploads.remove(id);
        }
        Ok(put)
    }

    /// Ends an upload, and lets its parts go.
    pub(super) fn abort(&self, bucket: &str, key: &str, id: &str) -> Result<(), Incomplete> {
        let mut state = self.state();
        state.uploads.get(id).filter(|upload| upload.is_of(bucket, key)).ok_or(Incomplete::NoSuchUpload)?;
        state.uploads.remove(id);
        Ok(())
    }

    /// A page of a bucket's unfinished uploads: key, id, when it was initiated. Of the marker's own key, those
    /// after `id_marker`, if there is one.
    pub(super) fn uploads(
        &self,
        bucket: &str,
        wanted: &Wanted,
        id_marker: Option<&str>,
    ) -> Page<(String, String, Timestamp)> {
        let state = self.state();
        let after = |id: &str, key: &str| {
            RangeBounds::<str>::contains(&(wanted.from(), Bound::Unbounded), key)
                || key == wanted.marker && id_marker.is_some_and(|marker| id > marker)
        };
        let mut uploads: Vec<_> = state
            .uploads
            .iter()
            .filter(|(id, upload)| upload.bucket == bucket && after(id, &upload.key))
            .collect();
        uploads.sort_by_key(|(id, upload)| (&upload.key, *id));
        let one = |(id, upload): (&'_ String, &'_ Upload)| (upload.key.clone(), id.clone(), upload.initiated);
        wanted.page(uploads.iter().map(|(id, upload)| (upload.key.as_str(), one((id, upload)))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

//! Objects in a folder: `objects/<bucket>/<sha256 of the key>.json` describes an object and names the files in
//! `blobs/` that hold its bytes. A key may be any text, a file name may not.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    blob::Blob,
    object::{Headers, Object},
};

/// The JSON file of an object.
#[derive(Serialize, Deserialize)]
struct Record {
    key: String,
    headers: Headers,
    etag: String,
    crc64: u64,
    modified: Timestamp,
    blobs: Vec<BlobRecord>,
}

#[derive(Serialize, Deserialize)]
struct BlobRecord {
    file: String,
    length: u64,
    md5: [u8; 16],
    crc64: u64,
}

/// Marks a folder as a sandbox's, and is locked while a sandbox uses the folder.
const LOCK_FILE: &str = "cosbroker-sandbox.lock";

/// A folder with objects.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Holds the lock until it is dropped.
    _lock: File,
}

/// Objects by bucket and key.
pub(super) type Buckets = BTreeMap<String, BTreeMap<String, Arc<Object>>>;

impl Folder {
    /// Opens or creates the folder and reads its objects. Deletes blobs that no object names: no other program
    /// has files in this folder.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Buckets)> {
        let folder = Self { dir: dir.to_owned(), _lock: lock(dir)? };
        fs::create_dir_all(folder.objects())?;
        fs::create_dir_all(folder.blobs())?;
        let mut buckets = Buckets::new();
        let mut named_blobs = BTreeSet::new();
        for bucket in fs::read_dir(folder.objects())? {
            let bucket = bucket?;
            if !bucket.file_type()?.is_dir() {
                continue;
            }
            let objects = buckets.entry(bucket.file_name().to_string_lossy().into_owned()).or_default();
            for file in fs::read_dir(bucket.path())? {
                let file = file?.path();
                if file.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let record = Record::read(&file)?;
                named_blobs.extend(record.blobs.iter().map(|blob| OsString::from(&blob.file)));
                objects.insert(record.key.clone(), Arc::new(folder.object(record)));
            }
        }
        folder.delete_blobs_except(&named_blobs)?;
        Ok((folder, buckets))
    }

    fn delete_blobs_except(&self, named_blobs: &BTreeSet<OsString>) -> io::Result<()> {
        for blob in fs::read_dir(self.blobs())? {
            let blob = blob?;
            if !named_blobs.contains(&blob.file_name()) {
                fs::remove_file(blob.path())?;
            }
        }
        Ok(())
    }

    /// Returns the folder of the blobs.
    pub(super) fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    fn record_path(&self, bucket: &str, key: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(key));
        self.objects().join(bucket).join(format!("{name}.json"))
    }

    /// Writes an object's record, in place of the previous one of that key.
    pub(super) fn put(&self, bucket: &str, key: &str, object: &Object) -> io::Result<()> {
        let path = self.record_path(bucket, key);
        fs::create_dir_all(self.objects().join(bucket))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        serde_json::to_writer(&mut file, &Record::new(key, object))?;
        file.persist(path).map_err(|error| error.error)?;
        object.set_persistent(true);
        Ok(())
    }

    /// Deletes an object's record.
    pub(super) fn delete(&self, bucket: &str, key: &str) -> io::Result<()> {
        fs::remove_file(self.record_path(bucket, key))
    }

    fn object(&self, record: Record) -> Object {
        let blobs: Vec<_> = record
            .blobs
            .into_iter()
            .map(|blob| {
                let path = self.blobs().join(blob.file);
                Arc::new(Blob::of_file(path, blob.length, blob.md5, blob.crc64))
            })
            .collect();
        Object {
            headers: record.headers,
            etag: record.etag,
            crc64: record.crc64,
            modified: record.modified,
            length: blobs.iter().map(|blob| blob.length).sum(),
            blobs,
        }
    }
}

impl Record {
    fn new(key: &str, object: &Object) -> Self {
        let blobs = object.blobs.iter().filter_map(|blob| {
            let file = blob.file()?.file_name()?.to_str()?.to_owned();
            Some(BlobRecord { file, length: blob.length, md5: blob.md5, crc64: blob.crc64 })
        });
        Self {
            key: key.to_owned(),
            headers: object.headers.clone(),
            etag: object.etag.clone(),
            crc64: object.crc64,
            modified: object.modified,
            blobs: blobs.collect(),
        }
    }

    fn read(file: &Path) -> io::Result<Self> {
        let record: Self = serde_json::from_slice(&fs::read(file)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
        match record.blobs.iter().find(|blob| !is_file_name(&blob.file)) {
            Some(blob) => Err(io::Error::other(format!(
                "{}: `{}` is not the name of a file in `blobs`",
                file.display(),
                blob.file
            ))),
            None => Ok(record),
        }
    }
}

/// Locks a folder for this sandbox, if it is empty or was a sandbox's before.
fn lock(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let lock_file = dir.join(LOCK_FILE);
    if !lock_file.try_exists()? && fs::read_dir(dir)?.next().is_some() {
        return Err(io::Error::other("it holds other files; give a folder that is empty or does not exist"));
    }
    let lock_file = File::options().create(true).truncate(false).write(true).open(lock_file)?;
    match lock_file.try_lock() {
        Ok(()) => Ok(lock_file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another sandbox keeps its objects there; stop it, or give another folder"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the text is a plain file name without a path.
fn is_file_name(file: &str) -> bool {
    Path::new(file).file_name().is_some_and(|name| name == file)
}

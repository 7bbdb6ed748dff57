//! Objects in a folder: `objects/<bucket>/<sha256 of the key>.json` tells an object, and names the files of
//! `blobs/` that have its bytes. A key is anything; a file's name is not.

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

use super::{Headers, Object, blob::Blob};

/// An object as it is written down.
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

/// Says that a folder is a sandbox's, and is locked while one keeps its objects there.
const MARK: &str = "cosbroker-sandbox.lock";

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Holds the lock.
    _mark: File,
}

type Buckets = BTreeMap<String, BTreeMap<String, Arc<Object>>>;

impl Folder {
    /// Opens it, makes it if need be, and reads the objects it tells. Bytes that no object names go; nobody
    /// else has files in this folder or uses it.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Buckets)> {
        let folder = Self { dir: dir.to_owned(), _mark: claimed(dir)? };
        fs::create_dir_all(folder.objects())?;
        fs::create_dir_all(folder.blobs())?;
        let mut buckets = Buckets::new();
        let mut named = BTreeSet::new();
        for bucket in fs::read_dir(folder.objects())? {
            let bucket = bucket?;
            if !bucket.file_type()?.is_dir() {
                continue;
            }
            let objects: &mut BTreeMap<_, _> =
                buckets.entry(bucket.file_name().to_string_lossy().into_owned()).or_default();
            for file in fs::read_dir(bucket.path())? {
                let file = file?.path();
                if file.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let broken = |why: &str| io::Error::other(format!("{}: {why}", file.display()));
                let record = serde_json::from_slice::<Record>(&fs::read(&file)?)
                    .map_err(|error| broken(&error.to_string()))?;
                if let Some(blob) = record.blobs.iter().find(|blob| !is_name(&blob.file)) {
                    return Err(broken(&format!("`{}` names no file of `blobs`", blob.file)));
                }
                named.extend(record.blobs.iter().map(|blob| OsString::from(&blob.file)));
                objects.insert(record.key.clone(), Arc::new(folder.object(record)));
            }
        }
        for blob in fs::read_dir(folder.blobs())? {
            let blob = blob?;
            if !named.contains(&blob.file_name()) {
                fs::remove_file(blob.path())?;
            }
        }
        Ok((folder, buckets))
    }

    /// Where bytes go.
    pub(super) fn blobs(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    fn record_of(&self, bucket: &str, key: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(key));
        self.objects().join(bucket).join(format!("{name}.json"))
    }

    /// Writes an object down, in place of the one of that key.
    pub(super) fn put(&self, bucket: &str, key: &str, object: &Object) -> io::Result<()> {
        let path = self.record_of(bucket, key);
        let dir = self.objects().join(bucket);
        fs::create_dir_all(&dir)?;
        let blobs = object.blobs.iter().filter_map(|blob| {
            let file = blob.file()?.file_name()?.to_str()?.to_owned();
            Some(BlobRecord { file, length: blob.length, md5: blob.md5, crc64: blob.crc64 })
        });
        let record = Record {
            key: key.to_owned(),
            headers: object.headers.clone(),
            etag: object.etag.clone(),
            crc64: object.crc64,
            modified: object.modified,
            blobs: blobs.collect(),
        };
        let mut written = tempfile::NamedTempFile::new_in(&self.dir)?;
        serde_json::to_writer(&mut written, &record)?;
        written.persist(path).map_err(|error| error.error)?;
        object.blobs.iter().for_each(|blob| blob.keep(true));
        Ok(())
    }

    /// Lets an object go.
    pub(super) fn delete(&self, bucket: &str, key: &str) -> io::Result<()> {
        fs::remove_file(self.record_of(bucket, key))
    }

    fn object(&self, record: Record) -> Object {
        let blob = |blob: BlobRecord| {
            let path = self.blobs().join(blob.file);
            Arc::new(Blob::of_file(path, blob.length, blob.md5, blob.crc64))
        };
        let length = record.blobs.iter().map(|blob| blob.length).sum();
        Object {
            headers: record.headers,
            etag: record.etag,
            crc64: record.crc64,
            modified: record.modified,
            length,
            blobs: record.blobs.into_iter().map(blob).collect(),
        }
    }
}

/// Takes a folder for this sandbox, if it is empty or was one's before, and no other uses it.
fn claimed(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let mark = dir.join(MARK);
    if !mark.try_exists()? && fs::read_dir(dir)?.next().is_some() {
        return Err(io::Error::other("it holds something else; give a folder that is empty or not there"));
    }
    let mark = File::options().create(true).truncate(false).write(true).open(mark)?;
    match mark.try_lock() {
        Ok(()) => Ok(mark),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::other("another sandbox keeps its objects there; stop it, or give another folder"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether it names a file and no way to one.
fn is_name(file: &str) -> bool {
    Path::new(file).file_name().is_some_and(|name| name == file)
}

//! Stored bytes, in memory or in a file, with their checksums.
//!
//! Bytes are received piece by piece; a blob in a file is never in memory as a whole.

use std::{
    io::{self, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::{
    error::StorageError,
    memory::{MemoryBudget, MemoryReservation},
};

/// The size of the pieces that are held in memory, written and read.
const PIECE_BYTES: usize = 256 << 10;

/// COS's `crc64ecma`: ECMA-182's polynomial, reflected (docs 436/40334), as the Python SDK computes it.
const CRC64: CrcAlgorithm = CrcAlgorithm::Crc64Xz;

/// Where blobs are stored.
#[derive(Debug)]
pub(super) enum Backend {
    /// In memory, up to a limit.
    Memory(Arc<MemoryBudget>),
    /// As files of this folder.
    Folder(PathBuf),
}

/// Stored bytes that never change.
#[derive(Debug)]
pub(crate) struct Blob {
    data: BlobData,
    pub(crate) length: u64,
    pub(crate) md5: [u8; 16],
    /// The `crc64ecma` of the bytes.
    pub(crate) crc64: u64,
}

#[derive(Debug)]
enum BlobData {
    Memory { pieces: Vec<Bytes>, reservation: MemoryReservation },
    File(BlobFile),
}

/// A file that is deleted with its blob, unless an object on disk names it.
#[derive(Debug)]
struct BlobFile {
    path: PathBuf,
    persistent: AtomicBool,
}

impl BlobFile {
    fn temporary(path: PathBuf) -> Self {
        Self { path, persistent: AtomicBool::new(false) }
    }
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        if !self.persistent.load(Ordering::Relaxed)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), %error, "a file of the sandbox cannot be removed");
        }
    }
}

/// Writes received bytes to the backend.
enum BlobWriter {
    Memory { pieces: Vec<Bytes>, last: BytesMut, reservation: MemoryReservation },
    File { file: BufWriter<tokio::fs::File>, blob: BlobFile },
}

impl BlobWriter {
    fn open(backend: &Backend) -> Result<Self, StorageError> {
        Ok(match backend {
            Backend::Memory(budget) => Self::Memory {
                pieces: Vec::new(),
                last: BytesMut::new(),
                reservation: MemoryReservation::empty(budget),
            },
            Backend::Folder(dir) => {
                let (file, path) = tempfile::Builder::new().prefix("").tempfile_in(dir)?.into_parts();
                let path = path.keep().map_err(|error| error.error)?;
                let file = BufWriter::with_capacity(PIECE_BYTES, tokio::fs::File::from_std(file));
                Self::File { file, blob: BlobFile::temporary(path) }
            }
        })
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), StorageError> {
        match self {
            Self::File { file, .. } => file.write_all(&bytes).await?,
            Self::Memory { pieces, last, reservation } => {
                reservation.grow(bytes.len() as u64)?;
                while !bytes.is_empty() {
                    let next = bytes.split_to(bytes.len().min(PIECE_BYTES - last.len()));
                    last.reserve(PIECE_BYTES - last.len());
                    last.extend_from_slice(&next);
                    if last.len() == PIECE_BYTES {
                        pieces.push(last.split().freeze());
                    }
                }
            }
        }
        Ok(())
    }

    async fn close(self) -> Result<BlobData, StorageError> {
        match self {
            Self::Memory { mut pieces, last, reservation } => {
                // A copy, because the buffer of the last piece may be much larger than its content.
                pieces.extend((!last.is_empty()).then(|| Bytes::copy_from_slice(&last)));
                Ok(BlobData::Memory { pieces, reservation })
            }
            Self::File { mut file, blob } => {
                file.flush().await?;
                Ok(BlobData::File(blob))
            }
        }
    }
}

/// Stores the bytes of a stream (at most `max_bytes`).
pub(super) async fn receive<S, E>(backend: &Backend, body: S, max_bytes: u64) -> Result<Blob, StorageError>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut body = std::pin::pin!(body);
    let mut writer = BlobWriter::open(backend)?;
    let (mut length, mut md5, mut crc64) = (0, Md5::new(), crc_fast::Digest::new(CRC64));
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| StorageError::BodyIncomplete)?;
        length += bytes.len() as u64;
        if length > max_bytes {
            return Err(StorageError::TooLarge(max_bytes));
        }
        md5.update(&bytes);
        crc64.update(&bytes);
        writer.write(bytes).await?;
    }
    Ok(Blob { data: writer.close().await?, length, md5: md5.finalize().into(), crc64: crc64.finalize() })
}

impl Blob {
    /// Creates the blob of a file that an object on disk names.
    pub(super) fn of_file(path: PathBuf, length: u64, md5: [u8; 16], crc64: u64) -> Self {
        let file = BlobFile { path, persistent: AtomicBool::new(true) };
        Self { data: BlobData::File(file), length, md5, crc64 }
    }

    /// Returns the `ETag` of these bytes, with its quotes.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", hex::encode(self.md5))
    }

    /// Returns the blob's file, if it is in a file.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.data {
            BlobData::Memory { .. } => None,
            BlobData::File(blob) => Some(&blob.path),
        }
    }

    /// Sets whether an object on disk names the blob's file. Such a file is not deleted with the blob.
    pub(super) fn set_persistent(&self, persistent: bool) {
        if let BlobData::File(blob) = &self.data {
            blob.persistent.store(persistent, Ordering::Relaxed);
        }
    }

    /// Returns a second blob of the same bytes, with a file or memory reservation of its own.
    pub(super) fn copy(&self, backend: &Backend) -> Result<Self, StorageError> {
        let data = match (&self.data, backend) {
            (BlobData::Memory { pieces, reservation }, _) => {
                BlobData::Memory { pieces: pieces.clone(), reservation: reservation.duplicate()? }
            }
            (BlobData::File(blob), Backend::Folder(dir)) => {
                let linked = tempfile::Builder::new()
                    .prefix("")
                    .make_in(dir, |path| std::fs::hard_link(&blob.path, path))?;
                let path = linked.into_temp_path().keep().map_err(|error| error.error)?;
                BlobData::File(BlobFile::temporary(path))
            }
            (BlobData::File(_), Backend::Memory(_)) => {
                return Err(io::Error::from(io::ErrorKind::Unsupported).into());
            }
        };
        Ok(Self { data, ..*self })
    }

    /// Reads at most one piece of the bytes from `start` up to `end`. `file` holds the opened file between calls.
    async fn read_piece(
        &self,
        start: u64,
        end: u64,
        file: &mut Option<tokio::fs::File>,
    ) -> io::Result<Bytes> {
        match &self.data {
            BlobData::Memory { pieces, .. } => slice_of_piece(pieces, start, end),
            BlobData::File(blob) => {
                let file = if let Some(file) = file {
                    file
                } else {
                    let mut opened = tokio::fs::File::open(&blob.path).await?;
                    opened.seek(SeekFrom::Start(start)).await?;
                    file.insert(opened)
                };
                let max_bytes = usize::try_from(end - start).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                let mut piece = BytesMut::with_capacity(max_bytes);
                if file.take(max_bytes as u64).read_buf(&mut piece).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(piece.freeze())
            }
        }
    }
}

/// Returns the bytes from `start` up to `end`, but not beyond the piece that holds `start`.
fn slice_of_piece(pieces: &[Bytes], start: u64, end: u64) -> io::Result<Bytes> {
    let index = usize::try_from(start / PIECE_BYTES as u64).map_err(io::Error::other)?;
    let piece = pieces.get(index).ok_or(io::ErrorKind::UnexpectedEof)?;
    let piece_start = index as u64 * PIECE_BYTES as u64;
    let from = usize::try_from(start - piece_start).unwrap_or(usize::MAX);
    let to = usize::try_from(end - piece_start).unwrap_or(usize::MAX).min(piece.len());
    if from >= to {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(piece.slice(from..to))
}

/// Streams a range of the bytes of consecutive blobs.
pub(super) fn read<B>(blobs: B, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>>
where
    B: IntoIterator<Item = Arc<Blob>>,
{
    let mut blob_start = 0;
    let mut sections = Vec::new();
    for blob in blobs {
        let (from, to) = (range.start.max(blob_start), range.end.min(blob_start + blob.length));
        let section = from.saturating_sub(blob_start)..to.saturating_sub(blob_start);
        blob_start += blob.length;
        if !section.is_empty() {
            sections.push((blob, section));
        }
    }
    stream::iter(sections).flat_map(|(blob, section)| {
        stream::try_unfold((blob, section, None), |(blob, section, mut file)| async move {
            if section.is_empty() {
                return Ok(None);
            }
            let piece = blob.read_piece(section.start, section.end, &mut file).await?;
            let rest = section.start + piece.len() as u64..section.end;
            Ok(Some((piece, (blob, rest, file))))
        })
        .into_stream()
        .boxed_local()
    })
}

/// Returns the `crc64ecma` of consecutive blobs.
pub(super) fn crc64_of<'a>(blobs: impl IntoIterator<Item = &'a Blob>) -> u64 {
    let empty = crc_fast::Digest::new(CRC64).finalize();
    blobs.into_iter().fold(empty, |sum, blob| crc_fast::checksum_combine(CRC64, sum, blob.crc64, blob.length))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) async fn read_all(stream: impl Stream<Item = io::Result<Bytes>>) -> Vec<u8> {
        stream.map(Result::unwrap).collect::<Vec<_>>().await.concat()
    }

    async fn store(
        backend: &Backend,
        chunks: &[&'static [u8]],
        max_bytes: u64,
    ) -> Result<Blob, StorageError> {
        let body = stream::iter(chunks.iter().map(|chunk| Ok::<_, ()>(Bytes::from_static(chunk))));
        receive(backend, body, max_bytes).await
    }

    fn backends(dir: &tempfile::TempDir) -> [Backend; 2] {
        [Backend::Memory(MemoryBudget::new(1 << 20)), Backend::Folder(dir.path().to_owned())]
    }

    #[tokio::test]
    async fn every_range_is_read_back_as_it_was_stored() {
        let pattern: Vec<u8> = (0..=250).cycle().take(600_000).collect();
        let bytes: &'static [u8] = pattern.leak();
        let dir = tempfile::tempdir().unwrap();
        for backend in backends(&dir) {
            let first = Arc::new(store(&backend, &[b"ab", b"", b"cde"], 9).await.unwrap());
            let long = Arc::new(
                store(&backend, &[&bytes[..7], &bytes[7..400_000], &bytes[400_000..]], 1 << 20)
                    .await
                    .unwrap(),
            );
            let all = [b"abcde", bytes, b"abcde"].concat();
            let blobs = [Arc::clone(&first), Arc::clone(&long), first];
            let edges = [0, 1, 4, 5, 6, 262_144 + 5, 262_150, 600_004, 600_005, 600_009, 600_010];
            for from in edges {
                for to in edges.into_iter().filter(|to| *to >= from) {
                    let bytes = read_all(read(blobs.clone(), from..to)).await;
                    assert!(
                        bytes == all[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()],
                        "{from}..{to}"
                    );
                }
            }
            assert_eq!(crc64_of(blobs.iter().map(AsRef::as_ref)), crc_fast::checksum(CRC64, &all));
        }
    }

    /// The check values of their specifications: RFC 1321 §A.5 and the CRC catalogue's CRC-64/XZ.
    #[tokio::test]
    async fn checksums_match_the_check_values_of_their_specifications() {
        let backend = Backend::Memory(MemoryBudget::new(100));
        let digits = store(&backend, &[b"1234", b"56789"], 9).await.unwrap();
        assert_eq!((digits.crc64, digits.length), (0x995d_c9bb_df19_39fa, 9));
        let abc = store(&backend, &[b"a", b"bc"], 9).await.unwrap();
        assert_eq!(hex::encode(abc.md5), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[tokio::test]
    async fn memory_is_limited_and_returned_on_drop() {
        let backend = Backend::Memory(MemoryBudget::new(10));
        let held = store(&backend, &[b"123456"], 99).await.unwrap();
        assert!(matches!(store(&backend, &[b"123", b"45"], 99).await, Err(StorageError::MemoryFull(10))));
        assert!(matches!(held.copy(&backend), Err(StorageError::MemoryFull(10))));
        drop(held);
        let again = store(&backend, &[b"12345"], 99).await.unwrap();
        assert!(again.copy(&backend).is_ok());
        assert!(matches!(store(&backend, &[b"123456"], 5).await, Err(StorageError::TooLarge(5))));
    }

    #[tokio::test]
    async fn a_file_is_deleted_with_its_blob_unless_it_is_persistent() {
        let dir = tempfile::tempdir().unwrap();
        let backend = Backend::Folder(dir.path().to_owned());
        let files = || std::fs::read_dir(dir.path()).unwrap().count();
        let blob = store(&backend, &[b"1234"], 9).await.unwrap();
        let copy = blob.copy(&backend).unwrap();
        copy.set_persistent(true);
        assert_eq!(files(), 2);
        drop((blob, copy));
        assert_eq!(files(), 1, "the copy has a file of its own");
        let broken = stream::iter([Ok(Bytes::from_static(b"12")), Err(())]);
        assert!(matches!(receive(&backend, broken, 9).await, Err(StorageError::BodyIncomplete)));
        assert!(matches!(store(&backend, &[b"1234"], 3).await, Err(StorageError::TooLarge(3))));
        assert_eq!(files(), 1, "an incomplete body leaves no file");
    }
}

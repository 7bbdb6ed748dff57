//! Bytes received, in memory or in a file, and what was computed on their way: they pass once, piece by
//! piece, and are never whole in memory unless memory is where they are kept.

use std::{
    io::{self, SeekFrom},
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

/// How much is held, written or read at a time.
const PIECE: usize = 256 << 10;

/// COS's `crc64ecma`: ECMA-182's polynomial, reflected (docs 436/40334), as the Python SDK computes it.
const CRC64: CrcAlgorithm = CrcAlgorithm::Crc64Xz;

/// Where blobs are kept.
#[derive(Debug)]
pub(super) enum Place {
    /// In memory, up to a bound.
    Memory(Arc<Memory>),
    /// As files of this folder.
    Folder(PathBuf),
}

/// The memory that blobs may take.
#[derive(Debug)]
pub(super) struct Memory {
    bound: u64,
    used: AtomicU64,
}

/// Why bytes were not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unkept {
    /// The client broke off.
    #[error("the request's body ended before its end")]
    BrokenOff,
    /// More bytes than one blob may have.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    /// No room.
    #[error(
        "the sandbox keeps at most {0} bytes in memory; delete something, or start it with --data DIR to keep objects in a folder"
    )]
    Full(u64),
    /// The folder's disk.
    #[error("the sandbox's folder cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// Bytes that do not change any more.
#[derive(Debug)]
pub(crate) struct Blob {
    held: Held,
    /// How many.
    pub(crate) length: u64,
    /// Their MD5.
    pub(crate) md5: [u8; 16],
    /// Their `crc64ecma`.
    pub(crate) crc64: u64,
}

#[derive(Debug)]
enum Held {
    Memory { pieces: Vec<Bytes>, room: Room },
    File(BlobFile),
}

impl Memory {
    pub(super) fn of(bound: u64) -> Arc<Self> {
        Arc::new(Self { bound, used: AtomicU64::new(0) })
    }
}

/// A share of the memory, given back when dropped.
#[derive(Debug)]
struct Room {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Room {
    fn none(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), bytes: 0 }
    }

    fn grow(&mut self, by: u64) -> Result<(), Unkept> {
        let bound = self.memory.bound;
        let fits = |used: u64| used.checked_add(by).filter(|sum| *sum <= bound);
        let grown = self.memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        grown.map_err(|_| Unkept::Full(bound))?;
        self.bytes += by;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file that goes with its blob, unless an object on disk names it.
#[derive(Debug)]
struct BlobFile {
    path: PathBuf,
    kept: AtomicBool,
}

impl Drop for BlobFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), %error, "a file of the sandbox cannot be removed");
        }
    }
}

/// Where the bytes go as they come in.
enum Sink {
    Memory { pieces: Vec<Bytes>, last: BytesMut, room: Room },
    File { file: BufWriter<tokio::fs::File>, blob: BlobFile },
}

impl Sink {
    fn open(place: &Place) -> Result<Self, Unkept> {
        Ok(match place {
            Place::Memory(memory) => {
                Self::Memory { pieces: Vec::new(), last: BytesMut::new(), room: Room::none(memory) }
            }
            Place::Folder(dir) => {
                let (file, path) = tempfile::Builder::new().prefix("").tempfile_in(dir)?.into_parts();
                let path = path.keep().map_err(|error| error.error)?;
                let blob = BlobFile { path, kept: AtomicBool::new(false) };
                Self::File { file: BufWriter::with_capacity(PIECE, tokio::fs::File::from_std(file)), blob }
            }
        })
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Unkept> {
        match self {
            Self::File { file, .. } => file.write_all(&bytes).await?,
            Self::Memory { pieces, last, room } => {
                room.grow(bytes.len() as u64)?;
                while !bytes.is_empty() {
                    let next = bytes.split_to(bytes.len().min(PIECE - last.len()));
                    last.reserve(PIECE - last.len());
                    last.extend_from_slice(&next);
                    if last.len() == PIECE {
                        pieces.push(last.split().freeze());
                    }
                }
            }
        }
        Ok(())
    }

    async fn close(self) -> Result<Held, Unkept> {
        match self {
            Self::Memory { mut pieces, last, room } => {
                // As small as it is: the buffer it grew in may be much larger.
                pieces.extend((!last.is_empty()).then(|| Bytes::copy_from_slice(&last)));
                Ok(Held::Memory { pieces, room })
            }
            Self::File { mut file, blob } => {
                file.flush().await?;
                Ok(Held::File(blob))
            }
        }
    }
}

/// Keeps a stream's bytes.
pub(super) async fn receive<S, E>(place: &Place, body: S, most: u64) -> Result<Blob, Unkept>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut body = std::pin::pin!(body);
    let mut sink = Sink::open(place)?;
    let (mut length, mut md5, mut crc64) = (0, Md5::new(), crc_fast::Digest::new(CRC64));
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| Unkept::BrokenOff)?;
        length += bytes.len() as u64;
        if length > most {
            return Err(Unkept::TooLarge(most));
        }
        md5.update(&bytes);
        crc64.update(&bytes);
        sink.write(bytes).await?;
    }
    Ok(Blob { held: sink.close().await?, length, md5: md5.finalize().into(), crc64: crc64.finalize() })
}

impl Blob {
    /// The blob of a file that an object on disk names.
    pub(super) fn of_file(path: PathBuf, length: u64, md5: [u8; 16], crc64: u64) -> Self {
        Self { held: Held::File(BlobFile { path, kept: AtomicBool::new(true) }), length, md5, crc64 }
    }

    /// The file it is kept in, if it is.
    pub(super) fn file(&self) -> Option<&std::path::Path> {
        match &self.held {
            Held::Memory { .. } => None,
            Held::File(blob) => Some(&blob.path),
        }
    }

    /// Says whether an object on disk names its file, which then outlives it.
    pub(super) fn keep(&self, kept: bool) {
        if let Held::File(blob) = &self.held {
            blob.kept.store(kept, Ordering::Relaxed);
        }
    }

    /// The same bytes once more, to be let go of by themselves.
    pub(super) fn copy(&self, place: &Place) -> Result<Self, Unkept> {
        let held = match (&self.held, place) {
            (Held::Memory { pieces, room }, _) => {
                let mut copy = Room::none(&room.memory);
                copy.grow(room.bytes)?;
                Held::Memory { pieces: pieces.clone(), room: copy }
            }
            (Held::File(blob), Place::Folder(dir)) => {
                let linked = tempfile::Builder::new()
                    .prefix("")
                    .make_in(dir, |path| std::fs::hard_link(&blob.path, path))?;
                let path = linked.into_temp_path().keep().map_err(|error| error.error)?;
                Held::File(BlobFile { path, kept: AtomicBool::new(false) })
            }
            (Held::File(_), Place::Memory(_)) => {
                return Err(io::Error::from(io::ErrorKind::Unsupported).into());
            }
        };
        Ok(Self { held, ..*self })
    }

    /// Up to a piece of them from `at`, and not beyond `end`.
    async fn piece(&self, at: u64, end: u64, file: &mut Option<tokio::fs::File>) -> io::Result<Bytes> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        match &self.held {
            Held::Memory { pieces, .. } => {
                let index = usize::try_from(at / PIECE as u64).map_err(io::Error::other)?;
                let piece = pieces.get(index).ok_or_else(gone)?;
                let start = index as u64 * PIECE as u64;
                let within = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX);
                let (from, to) = (within(at), within(end).min(piece.len()));
                if from >= to { Err(gone()) } else { Ok(piece.slice(from..to)) }
            }
            Held::File(blob) => {
                let file = if let Some(file) = file {
                    file
                } else {
                    let mut opened = tokio::fs::File::open(&blob.path).await?;
                    opened.seek(SeekFrom::Start(at)).await?;
                    file.insert(opened)
                };
                let wanted = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
                let mut piece = BytesMut::with_capacity(wanted);
                if file.take(wanted as u64).read_buf(&mut piece).await? == 0 {
                    return Err(gone());
                }
                Ok(piece.freeze())
            }
        }
    }
}

/// A range of the bytes of several blobs that follow one another.
pub(super) fn read<B>(blobs: B, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>>
where
    B: IntoIterator<Item = Arc<Blob>>,
{
    let mut start = 0;
    let mut spans = Vec::new();
    for blob in blobs {
        let (from, to) = (range.start.max(start), range.end.min(start + blob.length));
        let span = from.saturating_sub(start)..to.saturating_sub(start);
        start += blob.length;
        if !span.is_empty() {
            spans.push((blob, span));
        }
    }
    stream::iter(spans).flat_map(|(blob, span)| {
        stream::try_unfold((blob, span, None), |(blob, span, mut file)| async move {
            if span.is_empty() {
                return Ok(None);
            }
            let piece = blob.piece(span.start, span.end, &mut file).await?;
            let rest = span.start + piece.len() as u64..span.end;
            Ok(Some((piece, (blob, rest, file))))
        })
        .into_stream()
        .boxed_local()
    })
}

/// The `crc64ecma` of blobs that follow one another.
pub(super) fn crc64_of<'a>(blobs: impl IntoIterator<Item = &'a Blob>) -> u64 {
    let empty = crc_fast::Digest::new(CRC64).finalize();
    blobs.into_iter().fold(empty, |sum, blob| crc_fast::checksum_combine(CRC64, sum, blob.crc64, blob.length))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) async fn whole(stream: impl Stream<Item = io::Result<Bytes>>) -> Vec<u8> {
        stream.map(Result::unwrap).collect::<Vec<_>>().await.concat()
    }

    async fn kept(place: &Place, chunks: &[&'static [u8]], most: u64) -> Result<Blob, Unkept> {
        let body = stream::iter(chunks.iter().map(|chunk| Ok::<_, ()>(Bytes::from_static(chunk))));
        receive(place, body, most).await
    }

    fn places(dir: &tempfile::TempDir) -> [Place; 2] {
        [Place::Memory(Memory::of(1 << 20)), Place::Folder(dir.path().to_owned())]
    }

    #[tokio::test]
    async fn every_range_of_every_cut_comes_back_as_it_was() {
        let pattern: Vec<u8> = (0..=250).cycle().take(600_000).collect();
        let bytes: &'static [u8] = pattern.leak();
        let dir = tempfile::tempdir().unwrap();
        for place in places(&dir) {
            let first = Arc::new(kept(&place, &[b"ab", b"", b"cde"], 9).await.unwrap());
            let long = Arc::new(
                kept(&place, &[&bytes[..7], &bytes[7..400_000], &bytes[400_000..]], 1 << 20).await.unwrap(),
            );
            let all = [b"abcde", bytes, b"abcde"].concat();
            let blobs = [Arc::clone(&first), Arc::clone(&long), first];
            let edges = [0, 1, 4, 5, 6, 262_144 + 5, 262_150, 600_004, 600_005, 600_009, 600_010];
            for from in edges {
                for to in edges.into_iter().filter(|to| *to >= from) {
                    let bytes = whole(read(blobs.clone(), from..to)).await;
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
    async fn what_is_computed_on_the_way_is_what_the_specifications_say() {
        let place = Place::Memory(Memory::of(100));
        let digits = kept(&place, &[b"1234", b"56789"], 9).await.unwrap();
        assert_eq!((digits.crc64, digits.length), (0x995d_c9bb_df19_39fa, 9));
        let abc = kept(&place, &[b"a", b"bc"], 9).await.unwrap();
        assert_eq!(hex::encode(abc.md5), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[tokio::test]
    async fn memory_is_bounded_and_given_back() {
        let place = Place::Memory(Memory::of(10));
        let held = kept(&place, &[b"123456"], 99).await.unwrap();
        assert!(matches!(kept(&place, &[b"123", b"45"], 99).await, Err(Unkept::Full(10))));
        assert!(matches!(held.copy(&place), Err(Unkept::Full(10))));
        drop(held);
        let again = kept(&place, &[b"12345"], 99).await.unwrap();
        assert!(again.copy(&place).is_ok());
        assert!(matches!(kept(&place, &[b"123456"], 5).await, Err(Unkept::TooLarge(5))));
    }

    #[tokio::test]
    async fn a_file_goes_with_its_blob_unless_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Folder(dir.path().to_owned());
        let files = || std::fs::read_dir(dir.path()).unwrap().count();
        let blob = kept(&place, &[b"1234"], 9).await.unwrap();
        let copy = blob.copy(&place).unwrap();
        copy.keep(true);
        assert_eq!(files(), 2);
        drop((blob, copy));
        assert_eq!(files(), 1, "the copy is on its own");
        let broken = stream::iter([Ok(Bytes::from_static(b"12")), Err(())]);
        assert!(matches!(receive(&place, broken, 9).await, Err(Unkept::BrokenOff)));
        assert!(matches!(kept(&place, &[b"1234"], 3).await, Err(Unkept::TooLarge(3))));
        assert_eq!(files(), 1, "what was not received whole leaves nothing");
    }
}

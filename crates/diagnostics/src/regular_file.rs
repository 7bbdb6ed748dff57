//! Reading of whole files that operators name and that anybody may have replaced by something else. It waits for
//! no writer, reads from no device, and reads no more than a limit.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatfs, fstatvfs},
    io::Errno,
};
use zeroize::Zeroizing;

/// Room beyond a file's size, so that its end is found without a copy of the bytes read so far.
const SPARE_BYTES: u64 = 64;
/// statfs(2): the types of file systems that are kept in memory.
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a folder, a device, a pipe or a socket.
    #[error("is {0}")]
    NotAFile(&'static str),
    /// It has more bytes than such a file may have.
    #[error("is larger than {0} bytes, the limit for this kind of file")]
    TooLarge(u64),
    /// Others than its owner can read it or write it.
    #[error("holds a secret, and its mode {0:04o} lets others read or write it")]
    Exposed(u32),
}

impl ReadFault {
    /// Returns how to fix it.
    pub fn help(&self, path: &Path) -> String {
        match self {
            Self::Unreadable(error) => match error.kind() {
                ErrorKind::NotFound => "create it, or correct its path",
                ErrorKind::PermissionDenied => "let this user read it, and enter its folders",
                ErrorKind::InvalidData => "save it as text in UTF-8",
                _ => "check that it is a file of a disk that works",
            }
            .to_owned(),
            Self::NotAFile(_) => "name a file".to_owned(),
            Self::TooLarge(_) => "remove it, or name another file".to_owned(),
            Self::Exposed(_) => format!("run `chmod 600 {}`", path.display()),
        }
    }
}

/// Reads a regular file of at most `max_bytes`. A symbolic link is followed, as Kubernetes mounts files behind links.
///
/// # Errors
/// When it is something else, is larger, or cannot be read.
pub fn read_regular_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ReadFault> {
    read_to_limit(open_regular_file(path)?, max_bytes)
}

/// Reads a regular file that holds a secret. Only its owner may write it, and only its owner and group may read it.
///
/// A file that was mounted for this service may have any owner's usual mode: Kubernetes mounts secrets as 0644.
///
/// # Errors
/// When others can read or write it, and as [`read_regular_file`].
pub fn read_secret_file(path: &Path, max_bytes: u64) -> Result<Zeroizing<Vec<u8>>, ReadFault> {
    let file = open_regular_file(path)?;
    let mode = fstat(&file).map_err(io::Error::from)?.st_mode & 0o7777;
    if mode & refused_mode_bits(Mount::of(&file)?) != 0 {
        return Err(ReadFault::Exposed(mode));
    }
    read_to_limit(file, max_bytes).map(Zeroizing::new)
}

/// Where a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mount {
    ReadOnly,
    Memory,
    Other,
}

impl Mount {
    fn of(file: &File) -> io::Result<Self> {
        if fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Ok(Self::ReadOnly);
        }
        #[expect(clippy::useless_conversion, reason = "the type differs between architectures")]
        let kind = i64::from(fstatfs(file)?.f_type);
        Ok(if [TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind) { Self::Memory } else { Self::Other })
    }
}

/// Returns the bits that a secret's mode must not have. Container platforms mount secrets read-only or in memory, for
/// one service alone, and choose their modes.
fn refused_mode_bits(mount: Mount) -> u32 {
    match mount {
        Mount::ReadOnly => 0,
        Mount::Memory => 0o022,
        Mount::Other => 0o027,
    }
}

/// Opens a file and looks at what was opened: what has the name may change between a look and the opening.
fn open_regular_file(path: &Path) -> Result<File, ReadFault> {
    // open(2): without O_NONBLOCK, opening a FIFO waits for a writer; O_NOCTTY takes no terminal.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NXIO) => return Err(ReadFault::NotAFile("a socket")),
        Err(error) => return Err(ReadFault::Unreadable(error.into())),
    };
    let kind = match FileType::from_raw_mode(fstat(&file).map_err(io::Error::from)?.st_mode) {
        FileType::RegularFile => return Ok(file),
        FileType::Directory => "a folder",
        FileType::Fifo => "a pipe",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something special",
    };
    Err(ReadFault::NotAFile(kind))
}

fn read_to_limit(file: File, max_bytes: u64) -> Result<Vec<u8>, ReadFault> {
    let expected = file.metadata()?.len().min(max_bytes) + SPARE_BYTES;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > max_bytes { Err(ReadFault::TooLarge(max_bytes)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    };

    use rustix::fs::{CWD, mknodat};

    use super::*;

    fn fault(path: &Path) -> String {
        let fault = read_regular_file(path, 10).unwrap_err();
        format!("{fault}; {}", fault.help(path))
    }

    #[test]
    fn only_a_regular_file_is_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink(at("fifo"), at("link-to-fifo")).unwrap();
        for (path, message) in [
            (dir.path().to_owned(), "is a folder; name a file"),
            (at("fifo"), "is a pipe; name a file"),
            (at("link-to-fifo"), "is a pipe; name a file"),
            (at("socket"), "is a socket; name a file"),
            ("/dev/zero".into(), "is a device; name a file"),
            (
                at("missing"),
                "cannot be read: No such file or directory (os error 2); create it, or correct its path",
            ),
            (at("file/below"), "correct its path"),
        ] {
            assert!(fault(&path).contains(message), "{path:?}: {}", fault(&path));
        }
    }

    #[test]
    fn a_file_behind_links_is_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("..data")).unwrap();
        std::fs::write(at("..data/key"), "0123456789").unwrap();
        symlink("..data/key", at("key")).unwrap();
        assert_eq!(read_regular_file(&at("key"), 10).unwrap(), b"0123456789");
        assert_eq!(read_secret_file_of(&at("..data/key"), 0o600).unwrap(), b"0123456789");
        std::fs::write(at("key"), "0123456789a").unwrap();
        assert!(fault(&at("key")).contains("is larger than 10 bytes"), "{}", fault(&at("key")));
        // A file that tells no size.
        assert!(read_regular_file("/proc/self/status".as_ref(), 10).is_err());
        assert!(read_regular_file("/proc/self/status".as_ref(), 1 << 20).unwrap().len() > 100);
    }

    fn read_secret_file_of(path: &Path, mode: u32) -> Result<Vec<u8>, String> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = read_secret_file(path, 100).map(|bytes| bytes.to_vec());
        read.map_err(|fault| format!("{fault}; {}", fault.help(path)))
    }

    #[test]
    fn a_secret_that_others_can_write_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for mode in [0o400, 0o600, 0o640, 0o440] {
            assert!(read_secret_file_of(file.path(), mode).is_ok(), "{mode:o}");
        }
        for mode in [0o602, 0o620, 0o660, 0o666] {
            let refused = read_secret_file_of(file.path(), mode).unwrap_err();
            let expected = format!("its mode {mode:04o} lets others read or write it; run `chmod 600 ");
            assert!(refused.contains(&expected), "{refused}");
        }
    }

    #[test]
    fn what_others_may_do_with_a_secret_depends_on_the_mount() {
        let refused = |mount: Mount| {
            [0o400, 0o640, 0o644, 0o664, 0o666].map(|mode| mode & refused_mode_bits(mount) != 0)
        };
        assert_eq!(refused(Mount::Other), [false, false, true, true, true]);
        assert_eq!(refused(Mount::Memory), [false, false, false, true, true]);
        assert_eq!(refused(Mount::ReadOnly), [false; 5]);
    }

    #[test]
    fn a_mount_in_memory_is_told_from_others() {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        if mounts.lines().any(|line| line.contains(" /dev/shm tmpfs rw")) {
            let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
            assert_eq!(Mount::of(file.as_file()).unwrap(), Mount::Memory);
        }
        let repository = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert_ne!(Mount::of(&repository).unwrap(), Mount::Memory);
    }
}

//! What can be wrong with the directory of names, and with putting a name there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::FileKind;
use crate::shortage::in_words;

/// Why the directory of names cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It is not a directory; a symbolic link is none either.
    NotADirectory {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// It belongs to somebody else.
    Owner {
        /// Where.
        path: PathBuf,
        /// The uid that should own it.
        expected: u32,
        /// The uid that does.
        found: u32,
    },
    /// Everybody may put something there, and it is not this user's to change that: `/tmp`, say.
    Public {
        /// Where.
        path: PathBuf,
    },
    /// Others may change it.
    Mode {
        /// Where.
        path: PathBuf,
        /// The permission bits that it may have at most.
        expected: u32,
        /// The permission bits that it has.
        found: u32,
    },
    /// A uid is the one that stands for every user outside the user namespace.
    OverflowUid {
        /// Where.
        path: PathBuf,
        /// The uid.
        uid: u32,
    },
    /// The file system is read-only.
    ReadOnlyFileSystem {
        /// Where.
        path: PathBuf,
    },
    /// The system refused.
    System {
        /// Where.
        path: PathBuf,
        /// What it refused, and why.
        source: io::Error,
    },
}

impl DirectoryError {
    pub(super) fn system(path: &Path, error: Errno) -> DirectoryError {
        let path = path.to_path_buf();
        match error {
            Errno::ROFS => DirectoryError::ReadOnlyFileSystem { path },
            _ => DirectoryError::System { path, source: error.into() },
        }
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ELSE: &str = "or set WHARF_DIR to a directory of your own";
        match self {
            DirectoryError::NotADirectory { path, found } => {
                write!(f, "expected a directory at {}, found {found}; remove it {ELSE}", path.display())
            }
            DirectoryError::Owner { path, expected, found } => write!(
                f,
                "expected the directory {} to belong to uid {expected}, found uid {found}; have it removed {ELSE}",
                path.display()
            ),
            DirectoryError::Public { path } => write!(
                f,
                "expected a directory that only its owner or a group may change, but everybody may write in {}; name a directory of your own in it, e.g. {}",
                path.display(),
                path.join("wharf").display()
            ),
            DirectoryError::Mode { path, expected, found } => write!(
                f,
                "expected the directory {path} to have mode {expected:04o} at most, found {found:04o}; run `chmod {expected:04o} {path}` {ELSE}",
                path = path.display()
            ),
            DirectoryError::OverflowUid { path, uid } => write!(
                f,
                "expected a user of this user namespace for {}, found uid {uid}, which stands for every user outside it; run as a mapped user {ELSE}",
                path.display()
            ),
            DirectoryError::ReadOnlyFileSystem { path } => write!(
                f,
                "expected a file system that can be written at {}, found a read-only one; remount it writable {ELSE}",
                path.display()
            ),
            DirectoryError::System { path, source } => {
                write!(
                    f,
                    "cannot use {} as the directory of names: {source}; make it accessible {ELSE}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for DirectoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DirectoryError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DirectoryError> for io::Error {
    fn from(error: DirectoryError) -> io::Error {
        let kind = match &error {
            DirectoryError::NotADirectory { .. } => io::ErrorKind::NotADirectory,
            DirectoryError::Owner { .. }
            | DirectoryError::Public { .. }
            | DirectoryError::Mode { .. }
            | DirectoryError::OverflowUid { .. } => io::ErrorKind::PermissionDenied,
            DirectoryError::ReadOnlyFileSystem { .. } => io::ErrorKind::ReadOnlyFilesystem,
            DirectoryError::System { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// Why a file did not get its name. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError<E> {
    /// The name exists already.
    Taken,
    /// The file could not be built: the builder's own error.
    Build(E),
    /// The system refused.
    System(io::Error),
}

impl<E: fmt::Display> fmt::Display for PublishError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Taken => f.write_str("the name is taken; attach to it, unlink it, or choose another"),
            PublishError::Build(error) => error.fmt(f),
            PublishError::System(error) => write!(f, "cannot publish the name: {error}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for PublishError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PublishError::Taken => None,
            PublishError::Build(error) => Some(error),
            PublishError::System(error) => Some(error),
        }
    }
}

/// What stands where a lock file should is none of ours, and is left alone: a lock file is empty and
/// belongs to this user, or in a group's directory to one of its members.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotALockFile {
    /// Where.
    pub path: PathBuf,
    /// What is there.
    pub found: String,
}

impl fmt::Display for NotALockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotALockFile { path, found } = self;
        write!(f, "expected an empty lock file or nothing at {}, found {found}; choose another path", path.display())
    }
}

impl std::error::Error for NotALockFile {}

impl From<NotALockFile> for io::Error {
    fn from(error: NotALockFile) -> io::Error {
        io::Error::new(io::ErrorKind::AlreadyExists, error)
    }
}

/// Something that is no plain file stands under the name of a `suffix`.
pub(super) fn not_the_file(path: &Path, found: FileKind, suffix: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} is {found}, not a {suffix}; remove it or choose another name", path.display()),
    )
}

/// A refusal by the system while doing `what` in `path`, as one sentence that says what to do.
pub(super) fn refused(what: &str, path: &Path, error: Errno) -> io::Error {
    let plain = io::Error::from(error);
    let advice = match error {
        Errno::ROFS => "the file system is read-only; remount it writable or set WHARF_DIR to another directory",
        Errno::ACCESS | Errno::PERM => "permission denied; ask its owner or set WHARF_DIR to a directory of your own",
        Errno::NOSPC | Errno::DQUOT => "no room is left there; unlink what is not needed",
        Errno::MFILE => "this process has too many open files; close some or raise the limit (`ulimit -n`)",
        // Callers tell this one apart by its kind and say it in their own words.
        Errno::NOENT => return plain,
        _ => {
            return in_words(error, format!("cannot {what} {}: {plain}", path.display()));
        }
    };
    in_words(error, format!("cannot {what} {}: {advice}", path.display()))
}

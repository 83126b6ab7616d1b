//! Where names live: one private directory for the regions and sockets of a user.
//!
//! A name appears whole or not at all, and what a dead process left behind is proved dead by a kernel
//! lock before it is replaced, never by guess.

mod dead_locks;
mod domain;
mod error;
mod fifo_name;
mod folder;
mod folder_watch;
mod kind;
mod lock;
mod name;
mod private_fifos;
mod publish;
mod replace;
mod sample;
mod socket_name;

pub use dead_locks::remove_dead_locks;
pub use domain::Domain;
pub use error::{DirectoryError, NotALockFile, PublishError};
pub use fifo_name::{FifoListenerFd, FifoMouth, FifoPlace};
pub use folder::Folder;
pub use folder_watch::FolderWatch;
pub use kind::FileKind;
pub use lock::{NameLock, PathLock, lock_path};
pub use name::{Name, NameError};
pub use private_fifos::{PairId, PrivateFifos, VisitorFifos, remove_dead_fifos};
pub use publish::publish_file;
pub use replace::Replacement;
pub use socket_name::UnixListenerFd;

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

/// What the kernel says about an open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileFacts {
    /// Its owner; the overflow uid when the owner is outside our user namespace.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
    /// How many names it has; zero when unlinked.
    pub nlink: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The device that it is on.
    pub device: u64,
    /// Its number on the device.
    pub inode: u64,
    /// A plain file (anonymous memory is one too), not a pipe, socket, device or directory.
    pub is_regular: bool,
}

/// Asks the kernel about an open file.
pub fn facts(fd: impl AsFd) -> io::Result<FileFacts> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileFacts {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        nlink: stat.st_nlink as u64,
        len: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_dev,
        inode: stat.st_ino,
        is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
    })
}

/// 128 bits of FNV-1a: tells names apart, and proves nothing against whoever chooses them.
pub fn name_hash(name: &[u8]) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in name {
        hash ^= u128::from(*byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    hash
}

/// A short hidden name that belongs to `file_name` alone.
fn aside(file_name: &Path) -> PathBuf {
    PathBuf::from(format!(".bind-{:032x}", name_hash(file_name.as_os_str().as_encoded_bytes())))
}

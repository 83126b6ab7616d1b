//! Being told that something in a folder has changed.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::Folder;
use crate::memory::proc_path;

/// How many events one look takes at most; what is left is there at the next.
const EVENTS: usize = 1024;

/// A watch on the files of one folder: made, removed, written, and closed by whoever could write them, a process that is
/// killed included.
#[derive(Debug)]
pub struct FolderWatch {
    fd: OwnedFd,
}

impl FolderWatch {
    /// Watches a folder; `None` when this user watches as much as the system lets him (fs.inotify.max_user_instances, 128
    /// usually), or where the system cannot watch: then look again now and then.
    pub fn new(folder: &Folder) -> io::Result<Option<FolderWatch>> {
        let fd = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOSYS) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&fd, proc_path(folder), flags) {
            Ok(_) => Ok(Some(FolderWatch { fd })),
            // The limit on watches, or no /proc to name the folder by.
            Err(Errno::NOSPC | Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether anything has changed since the last look.
    pub fn has_changed(&self) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.fd, &mut space);
        let mut changed = false;
        for _ in 0..EVENTS {
            match events.next() {
                Ok(_) => changed = true,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(changed)
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

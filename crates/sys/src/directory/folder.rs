//! A directory inside a domain: names that come and go with processes, and the directory with the last of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::error::refused;
use super::{Domain, FileKind, PublishError, publish};
use crate::memory::Access;
use crate::socket::{self, Kind};

/// How often a folder that somebody emptied and removed meanwhile is made again. Each time another process has left, so
/// somebody gets on.
const TRIES: u32 = 100;

/// A directory inside a [`Domain`], used through one open descriptor.
///
/// It may be removed as soon as it is empty, by anybody; using it then is [`io::ErrorKind::NotFound`].
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Domain {
    /// Works in the folder that these parts lead to; it is made when it is not there. `work` may find that somebody has
    /// removed the folder ([`io::ErrorKind::NotFound`]); then it is made again.
    pub fn in_folder<T>(&self, parts: &[&str], work: impl Fn(&Folder) -> io::Result<T>) -> io::Result<T> {
        for _ in 0..TRIES {
            match self.make_folder(parts).and_then(|folder| work(&folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => return outcome,
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("the folder {} was removed {TRIES} times while it was used", self.folder_path(parts).display()),
        ))
    }

    /// The folder that these parts lead to, if it is there.
    pub fn folder(&self, parts: &[&str]) -> io::Result<Option<Folder>> {
        match self.open_folder(parts) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The owner of the plain file of this name in the folder that these parts lead to; `None` when it is not there. Opens
    /// nothing, so that a process answers it which may not open more.
    pub fn owner_of(&self, parts: &[&str], name: &str) -> io::Result<Option<u32>> {
        let look = |path: &Path| match rustix::fs::statat(self.fd(), path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((FileKind::of(stat.st_mode), stat.st_uid))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(refused("look at", &self.path().join(path), error)),
        };
        // No part may be a link. Bounded by the parts.
        for len in 1..=parts.len() {
            let path = relative(parts.get(..len).unwrap_or(parts));
            match look(&path)? {
                Some((FileKind::Directory, _)) => {}
                Some((found, _)) => return Err(no_file(&self.path().join(path), found)),
                None => return Ok(None),
            }
        }
        let path = relative(parts).join(name);
        match look(&path)? {
            Some((FileKind::File, uid)) => Ok(Some(uid)),
            Some((found, _)) => Err(no_file(&self.path().join(path), found)),
            None => Ok(None),
        }
    }

    /// Removes the folder that these parts lead to, and those around it, as far as they are empty.
    pub fn remove_empty_folders(&self, parts: &[&str]) {
        // Bounded by the parts.
        for len in (1..=parts.len()).rev() {
            let path = relative(parts.get(..len).unwrap_or(parts));
            // One that somebody is in stays, and whoever is in the way of the outer ones as well.
            if rustix::fs::unlinkat(self.fd(), &path, AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
    }

    fn make_folder(&self, parts: &[&str]) -> io::Result<Folder> {
        // What is made in a group's folder belongs to that group (the set-group-id bit), whoever makes it.
        let mode = self.group().map_or(Mode::RWXU, |_| Mode::RWXU | Mode::RWXG | Mode::SGID);
        // Bounded by the parts.
        for len in 1..=parts.len() {
            let part = relative(parts.get(..len).unwrap_or(parts));
            match rustix::fs::mkdirat(self.fd(), &part, mode) {
                Ok(()) => {
                    let group = self.group().map(Gid::from_raw);
                    // Whoever may not give it to the group is none of its members, and makes it for himself.
                    let _ = rustix::fs::chownat(self.fd(), &part, None, group, AtFlags::SYMLINK_NOFOLLOW);
                    // A strange mask may have cut the mode down.
                    let _ = rustix::fs::chmodat(self.fd(), &part, mode, AtFlags::empty());
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(refused("make the folder", &self.path().join(part), error)),
            }
        }
        self.open_folder(parts)
    }

    fn open_folder(&self, parts: &[&str]) -> io::Result<Folder> {
        let path = self.folder_path(parts);
        let fail = |error| refused("open the folder", &path, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut fd: Option<OwnedFd> = None;
        // One part at a time, so that no part may be a link. Bounded by the parts.
        for part in parts {
            let around = fd.as_ref().map_or(self.fd(), |fd| fd.as_fd());
            let inner = retry_on_intr(|| rustix::fs::openat(around, *part, flags, Mode::empty())).map_err(fail)?;
            fd = Some(inner);
        }
        let fd = fd.ok_or_else(|| fail(Errno::INVAL))?;
        Ok(Folder { fd, path })
    }

    fn folder_path(&self, parts: &[&str]) -> PathBuf {
        self.path().join(relative(parts))
    }
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Publishes a new file: `build` fills it while it has no name, then it appears in one step.
    pub fn publish<E>(
        &self,
        name: &str,
        mode: u32,
        build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
    ) -> Result<OwnedFd, PublishError<E>> {
        publish::publish_in(self.fd.as_fd(), Path::new(name), &self.path.join(name), mode, build)
    }

    /// Binds a record socket under a new name and listens.
    pub fn listen(&self, name: &str, mode: u32, backlog: u32) -> io::Result<OwnedFd> {
        let path = self.path.join(name);
        let socket = socket::bind_in(self.fd.as_fd(), Path::new(name), Kind::SeqPacket, &path)?;
        rustix::fs::chmodat(&self.fd, name, Mode::from_raw_mode(mode & 0o777), AtFlags::empty())
            .map_err(|error| refused("listen at", &path, error))?;
        socket::listen(&socket, backlog)?;
        Ok(socket)
    }

    /// Opens a plain file. Whatever else stands there is [`io::ErrorKind::InvalidData`].
    pub fn open_file(&self, name: &str, access: Access) -> io::Result<OwnedFd> {
        // A pipe put there must not make us wait.
        let flags = access.open_flags() | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = self.path.join(name);
        match retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty())) {
            Ok(file) => match FileKind::of(rustix::fs::fstat(&file)?.st_mode) {
                FileKind::File => Ok(file),
                found => Err(no_file(&path, found)),
            },
            Err(Errno::NOENT) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => match FileKind::at(self.fd.as_fd(), Path::new(name)) {
                Ok(found) if found != FileKind::File => Err(no_file(&path, found)),
                _ => Err(refused("open", &path, error)),
            },
        }
    }

    /// Gives a file of `from` one more name, here. Where the file system has no second names an empty file stands in.
    pub fn link(&self, from: &Folder, their_name: &str, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        match rustix::fs::linkat(&from.fd, their_name, &self.fd, name, AtFlags::empty()) {
            Err(Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::XDEV) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR))
                    .map_err(|error| refused("make", &path, error))?;
                Ok(())
            }
            other => other.map_err(|error| refused("link", &path, error)),
        }
    }

    /// Removes a name, if it is there.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(refused("unlink", &self.path.join(name), error)),
        }
    }

    /// The names in it, at most `limit`, in no order. What is not UTF-8 was not made by this library and is left out.
    pub fn list(&self, limit: usize) -> io::Result<Vec<String>> {
        let fail = |error| refused("list", &self.path, error);
        let mut names = Vec::new();
        // Bounded by the limit and the two names that every directory has.
        for entry in Dir::read_from(&self.fd).map_err(fail)?.take(limit.saturating_add(2)) {
            let entry = entry.map_err(fail)?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn relative(parts: &[&str]) -> PathBuf {
    parts.iter().collect()
}

fn no_file(path: &Path, found: FileKind) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected a file at {}, found {found}", path.display()))
}

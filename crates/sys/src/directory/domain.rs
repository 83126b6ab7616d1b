//! The directory of names itself: found, checked, and used through one open descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::error::{not_the_file, refused};
use super::{
    DirectoryError, FifoListenerFd, FileKind, Name, NameLock, PublishError, UnixListenerFd, fifo_name, lock, publish,
    socket_name,
};
use crate::memory::Access;
use crate::socket::{my_gid, my_uid, overflow_uid};

/// A directory of names. Clones share it.
///
/// It is used through one open descriptor, so what was checked when it was opened stays checked. If it is
/// removed, every use fails; open it again.
#[derive(Clone, Debug)]
pub struct Domain {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    directory: OwnedFd,
    /// Permission bits of files made here: the group's as well when it may write in the directory.
    file_mode: u32,
    /// The group that may write in it, if one may.
    group: Option<u32>,
    identity: (u64, u64),
}

/// Who may own a directory and who may change it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Ours alone.
    Private,
    /// Chosen by the user: ours, root's or our group's, as long as not everybody may change it.
    Chosen,
}

impl Domain {
    /// The user's directory: `$WHARF_DIR` when that is set, else `/dev/shm/wharf-UID`. It is made when it is not there.
    pub fn open() -> Result<Domain, DirectoryError> {
        let (path, rule) = usual();
        make(&path)?;
        Domain::prepare(&path, rule)
    }

    /// The user's directory if it is there, for whoever only looks.
    pub fn existing() -> Result<Option<Domain>, DirectoryError> {
        let (path, rule) = usual();
        match Domain::prepare(&path, rule) {
            Ok(domain) => Ok(Some(domain)),
            Err(DirectoryError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the user's directory is, or would be.
    pub fn usual_path() -> PathBuf {
        usual().0
    }

    /// The directory at `path`, made with mode 0700 when it is not there (its parent must be).
    ///
    /// It must belong to this user, to root, or to a group of this user that may write in it, and not
    /// everybody may write in it. A symbolic link is refused.
    pub fn at(path: &Path) -> Result<Domain, DirectoryError> {
        make(path)?;
        Domain::prepare(path, Rule::Chosen)
    }

    fn prepare(path: &Path, rule: Rule) -> Result<Domain, DirectoryError> {
        let fail = |error| DirectoryError::system(path, error);
        known_user(path)?;
        let directory = open(path)?;
        let stat = rustix::fs::fstat(&directory).map_err(fail)?;
        let mode = stat.st_mode & 0o7777;
        check(path, rule, stat.st_uid, stat.st_gid, mode)?;
        Ok(Domain {
            shared: Arc::new(Shared {
                // Names of sockets lead through the path, also when the working directory is another one by then.
                path: std::path::absolute(path)
                    .map_err(|error| DirectoryError::System { path: path.to_path_buf(), source: error })?,
                directory,
                file_mode: if mode & 0o020 == 0 { 0o600 } else { 0o660 },
                group: (mode & 0o020 != 0).then_some(stat.st_gid),
                identity: (stat.st_dev, stat.st_ino),
            }),
        })
    }

    /// The directory that holds `path`, whoever owns it: for a path that the user gave in full.
    pub fn around(path: &Path) -> io::Result<Domain> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| rustix::fs::open(parent, flags, Mode::empty()))
            .map_err(|error| refused("open", parent, error))?;
        let stat = rustix::fs::fstat(&directory).map_err(|error| refused("open", parent, error))?;
        Ok(Domain {
            shared: Arc::new(Shared {
                path: parent.to_path_buf(),
                directory,
                file_mode: 0o600,
                group: None,
                identity: (stat.st_dev, stat.st_ino),
            }),
        })
    }

    /// Where it is: an absolute path, also where it was given as a relative one.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The path of a name's file: `NAME.SUFFIX` in this directory.
    ///
    /// A socket's path may be longer than a socket address holds; [`connect`](crate::socket::connect) and
    /// [`bind_socket`](Domain::bind_socket) take any length.
    pub fn file(&self, name: &Name, suffix: &str) -> PathBuf {
        self.path().join(format!("{name}.{suffix}"))
    }

    /// Publishes a new file, readable and writable by those who may write in the directory: `build` fills
    /// it while it has no name, then it appears in one step.
    pub fn publish_new<E>(
        &self,
        name: &Name,
        suffix: &str,
        build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
    ) -> Result<OwnedFd, PublishError<E>> {
        self.publish_new_with_mode(name, suffix, self.file_mode(), build)
    }

    /// [`publish_new`](Domain::publish_new) with permission bits of the caller's choice.
    pub fn publish_new_with_mode<E>(
        &self,
        name: &Name,
        suffix: &str,
        mode: u32,
        build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
    ) -> Result<OwnedFd, PublishError<E>> {
        let file_name = file_name(name, suffix).map_err(PublishError::System)?;
        publish::publish_in(self.fd(), &file_name, &self.path().join(&file_name), mode, build)
    }

    /// Opens a name's file. A name that does not exist is [`io::ErrorKind::NotFound`]; a link, a pipe, a
    /// directory or whatever else is no plain file is [`io::ErrorKind::InvalidData`].
    pub fn open_file(&self, name: &Name, suffix: &str, access: Access) -> io::Result<OwnedFd> {
        let file_name = file_name(name, suffix)?;
        // A pipe put there must not make us wait.
        let flags = access.open_flags() | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| rustix::fs::openat(self.fd(), &file_name, flags, Mode::empty()));
        let kind = match &opened {
            Ok(file) => rustix::fs::fstat(file).map(|stat| FileKind::of(stat.st_mode)),
            Err(_) => FileKind::at(self.fd(), &file_name),
        };
        match (opened, kind) {
            (_, Ok(kind)) if kind != FileKind::File => Err(not_the_file(&self.path().join(&file_name), kind, suffix)),
            (Ok(file), _) => Ok(file),
            (Err(error), _) => Err(refused("open", &self.path().join(&file_name), error)),
        }
    }

    /// Removes a name. What it stood for lives until the last process that uses it is gone. A directory is
    /// left alone.
    pub fn unlink(&self, name: &Name, suffix: &str) -> io::Result<()> {
        let file_name = file_name(name, suffix)?;
        rustix::fs::unlinkat(self.fd(), &file_name, AtFlags::empty()).map_err(|error| {
            let path = self.path().join(&file_name);
            match FileKind::at(self.fd(), &file_name) {
                Ok(FileKind::Directory) => not_the_file(&path, FileKind::Directory, suffix),
                _ => refused("unlink", &path, error),
            }
        })
    }

    /// The names that have a file with this suffix, sorted.
    pub fn list(&self, suffix: &str) -> io::Result<Vec<String>> {
        let fail = |error| refused("list", self.path(), error);
        let ending = format!(".{suffix}");
        let mut names = Vec::new();
        // Bounded by the directory's entries.
        for entry in rustix::fs::Dir::read_from(self.fd()).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            // What is not UTF-8 was not made by this library.
            let Ok(file_name) = entry.file_name().to_str() else {
                continue;
            };
            let Some(name) = file_name.strip_suffix(&ending) else {
                continue;
            };
            if Name::new(name).is_ok() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Takes the lock of a name; `None` when somebody alive holds it.
    pub fn lock(&self, name: &Name, suffix: &str) -> io::Result<Option<NameLock>> {
        lock::take(self, &file_name(name, suffix)?)
    }

    /// Listens under a name whose lock is held: a record socket is bound aside, made to listen, and moved
    /// into place, so that whoever finds the name can connect.
    pub fn bind_socket(&self, lock: &NameLock, name: &Name, suffix: &str, backlog: u32) -> io::Result<UnixListenerFd> {
        socket_name::bind(self, lock, file_name(name, suffix)?, self.file_mode(), backlog)
    }

    /// Listens at a FIFO under a name whose lock is held: it is made aside, opened, and moved into place, so that
    /// whoever finds the name finds somebody who reads there.
    pub fn make_fifo(&self, lock: &NameLock, name: &Name, suffix: &str) -> io::Result<FifoListenerFd> {
        fifo_name::make(self, lock, file_name(name, suffix)?)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.directory.as_fd()
    }

    /// The permission bits of files made here: readable and writable for those who may write in the
    /// directory, the owner or also the group.
    pub fn file_mode(&self) -> u32 {
        self.shared.file_mode
    }

    /// The group that may write in the directory, if one may.
    pub(super) fn group(&self) -> Option<u32> {
        self.shared.group
    }

    pub(super) fn same(&self, other: &Domain) -> bool {
        self.shared.identity == other.shared.identity
    }
}

/// Where the user's directory is, and who may own it.
fn usual() -> (PathBuf, Rule) {
    match std::env::var_os("WHARF_DIR").filter(|path| !path.is_empty()) {
        Some(path) => (PathBuf::from(path), Rule::Chosen),
        None => (PathBuf::from(format!("/dev/shm/wharf-{}", my_uid())), Rule::Private),
    }
}

fn known_user(path: &Path) -> Result<(), DirectoryError> {
    match my_uid() {
        uid if uid == overflow_uid() => Err(DirectoryError::OverflowUid { path: path.to_path_buf(), uid }),
        _ => Ok(()),
    }
}

/// Makes a directory for this user alone, unless something is there.
fn make(path: &Path) -> Result<(), DirectoryError> {
    known_user(path)?;
    match rustix::fs::mkdir(path, Mode::RWXU) {
        // A strange mask may have cut the mode down.
        Ok(()) => rustix::fs::fchmod(&open(path)?, Mode::RWXU).map_err(|error| DirectoryError::system(path, error)),
        Err(Errno::EXIST) => Ok(()),
        // A read-only file system says so even when the directory is there.
        Err(Errno::ROFS) if path.is_dir() => Ok(()),
        Err(error) => Err(DirectoryError::system(path, error)),
    }
}

fn open(path: &Path) -> Result<OwnedFd, DirectoryError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(|error| match error {
        Errno::NOTDIR | Errno::LOOP => {
            DirectoryError::NotADirectory { path: path.to_path_buf(), found: what_is_at(path) }
        }
        error => DirectoryError::system(path, error),
    })
}

fn file_name(name: &Name, suffix: &str) -> io::Result<PathBuf> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if suffix.is_empty() || suffix.len() > 16 || !suffix.bytes().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected a suffix of 1 to 16 small letters, digits and dashes, found {suffix:?}"),
        ));
    }
    Ok(PathBuf::from(format!("{name}.{suffix}")))
}

fn check(path: &Path, rule: Rule, owner: u32, group: u32, mode: u32) -> Result<(), DirectoryError> {
    let path = path.to_path_buf();
    let me = my_uid();
    if owner == overflow_uid() {
        return Err(DirectoryError::OverflowUid { path, uid: owner });
    }
    let group_may_write = mode & 0o020 != 0;
    let owner_fits = match rule {
        Rule::Private => owner == me,
        Rule::Chosen => owner == me || owner == 0 || (group_may_write && in_group(group)),
    };
    if !owner_fits {
        return Err(DirectoryError::Owner { path, expected: me, found: owner });
    }
    let allowed = match rule {
        Rule::Private => 0o700,
        Rule::Chosen => 0o775,
    };
    let theirs_or_sticky = owner != me || mode & 0o1000 != 0;
    if rule == Rule::Chosen && mode & 0o002 != 0 && theirs_or_sticky {
        return Err(DirectoryError::Public { path });
    }
    if mode & 0o777 & !allowed != 0 {
        let expected = if rule == Rule::Private { 0o700 } else { mode & 0o777 & allowed };
        return Err(DirectoryError::Mode { path, expected, found: mode });
    }
    Ok(())
}

fn in_group(group: u32) -> bool {
    my_gid() == group || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|gid| gid.as_raw() == group))
}

fn what_is_at(path: &Path) -> String {
    let Ok(facts) = std::fs::symlink_metadata(path) else {
        return "nothing".to_owned();
    };
    match FileKind::of(facts.mode()) {
        FileKind::Link => {
            let target = std::fs::read_link(path).unwrap_or_default();
            format!("a symbolic link to {}", target.display())
        }
        kind => kind.to_string(),
    }
}

//! Publishing a file: built without a name, linked in one step, so that nobody ever sees half of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::error::{PublishError, refused};
use crate::memory::proc_path;

/// How hidden files begin: never the beginning of a [`Name`](super::Name).
const HIDDEN: &str = ".new-";

/// How often a hidden name that exists already is tried again under another number.
const TRIES: u32 = 100;

/// How many dead hidden files one publication removes at most.
const SWEEP: usize = 64;

/// Publishes a file at `path` with permission bits `mode`: `build` fills it while it has no name, then it
/// is linked in one step. Killed at any time it leaves the whole file or nothing.
///
/// On a file system without nameless files a hidden one stands in, which a kill can leave behind; the
/// next publication in that directory finds it unlocked and removes it.
pub fn publish_file<E>(
    path: &Path,
    mode: u32,
    build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
) -> Result<OwnedFd, PublishError<E>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(PublishError::System(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected the path of a file, found {}; name a file in a directory", path.display()),
        )));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = retry_on_intr(|| rustix::fs::openat(CWD, parent, flags, Mode::empty()))
        .map_err(|error| PublishError::System(refused("open", parent, error)))?;
    publish_in(directory.as_fd(), Path::new(name), path, mode, build)
}

/// Publishes `name` in `directory`; `path` is for messages.
pub(super) fn publish_in<E>(
    directory: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    mode: u32,
    build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
) -> Result<OwnedFd, PublishError<E>> {
    let system = |error| PublishError::System(refused("publish", path, error));
    // A name that exists is told before the work of building; the link at the end decides.
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => return Err(PublishError::Taken),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(system(error)),
    }
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let bits = Mode::from_raw_mode(mode & 0o777);
    match retry_on_intr(|| rustix::fs::openat(directory, ".", flags, bits)) {
        Ok(file) => publish_nameless(directory, name, path, bits, file, build),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => publish_hidden(directory, name, path, bits, build),
        Err(error) => Err(system(error)),
    }
}

fn publish_nameless<E>(
    directory: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    bits: Mode,
    file: OwnedFd,
    build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
) -> Result<OwnedFd, PublishError<E>> {
    // The mode at opening was cut down by the process's mask.
    rustix::fs::fchmod(&file, bits).map_err(|error| PublishError::System(refused("publish", path, error)))?;
    build(file.as_fd()).map_err(PublishError::Build)?;
    crate::crash_point!("publish.before-link");
    let linked = match rustix::fs::linkat(CWD, proc_path(&file).as_str(), directory, name, AtFlags::SYMLINK_FOLLOW) {
        // Without /proc: by the descriptor itself, which needs a privilege on older kernels.
        Err(Errno::NOENT) => rustix::fs::linkat(&file, "", directory, name, AtFlags::EMPTY_PATH),
        other => other,
    };
    crate::crash_point!("publish.after-link");
    match linked {
        Ok(()) => Ok(file),
        Err(Errno::EXIST) => Err(PublishError::Taken),
        Err(error) => Err(PublishError::System(refused("publish", path, error))),
    }
}

/// For file systems without nameless files. The hidden file is locked while it is built: one that is not
/// locked belongs to nobody alive.
pub(super) fn publish_hidden<E>(
    directory: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    bits: Mode,
    build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
) -> Result<OwnedFd, PublishError<E>> {
    let system = |error| PublishError::System(refused("publish", path, error));
    sweep(directory).map_err(system)?;
    let (hidden, file) = make_hidden(directory).map_err(system)?;
    let published = (|| {
        rustix::fs::fchmod(&file, bits).map_err(system)?;
        build(file.as_fd()).map_err(PublishError::Build)?;
        match place(directory, &hidden, name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(PublishError::Taken),
            Err(error) => Err(system(error)),
        }
    })();
    if let Err(error) = published {
        let _ = rustix::fs::unlinkat(directory, hidden.as_str(), AtFlags::empty());
        return Err(error);
    }
    // The lock was the proof that a hidden file has a living builder; the published file has none.
    retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::Unlock)).map_err(system)?;
    Ok(file)
}

/// Gives a hidden file its name, unless the name exists.
fn place(directory: BorrowedFd<'_>, hidden: &str, name: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(directory, hidden, directory, name, RenameFlags::NOREPLACE) {
        // The file system cannot refuse to replace. Linking can; for an instant the file has two names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(directory, hidden, directory, name, AtFlags::empty())?;
            rustix::fs::unlinkat(directory, hidden, AtFlags::empty())
        }
        other => other,
    }
}

fn make_hidden(directory: BorrowedFd<'_>) -> Result<(String, OwnedFd), Errno> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let pid = std::process::id();
    for _ in 0..TRIES {
        let hidden = format!("{HIDDEN}{pid}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            match retry_on_intr(|| rustix::fs::openat(directory, hidden.as_str(), flags, Mode::RUSR | Mode::WUSR)) {
                Ok(file) => file,
                // A leftover, or a process of the same number in another namespace.
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error),
            };
        // A sweep may have come between the making and the locking; then the file has lost its name.
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        if locked.is_ok() && rustix::fs::fstat(&file)?.st_nlink == 1 {
            return Ok((hidden, file));
        }
    }
    Err(Errno::EXIST)
}

/// Removes hidden files whose builders are gone.
fn sweep(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut removed = 0;
    // Bounded by the directory's entries.
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().starts_with(HIDDEN.as_bytes()) {
            continue;
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(directory, name, flags, Mode::empty()) else {
            continue;
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Whether it worked or another sweep was faster does not matter.
            let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
            removed += 1;
            if removed == SWEEP {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn entries(path: &Path) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    fn hidden<E>(
        place: &Path,
        name: &str,
        build: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
    ) -> Result<OwnedFd, PublishError<E>> {
        let directory = fs::File::open(place).map_err(PublishError::System)?;
        publish_hidden(directory.as_fd(), Path::new(name), &place.join(name), Mode::from_raw_mode(0o640), build)
    }

    #[test]
    fn without_nameless_files_a_hidden_one_stands_in() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let file = hidden(place.path(), "n", |fd| {
            assert!(entries(place.path())?.iter().all(|name| name.starts_with(HIDDEN)));
            fs::File::from(fd.try_clone_to_owned()?).write_all(b"whole")
        })
        .map_err(io::Error::other)?;
        assert_eq!(entries(place.path())?, ["n"]);
        assert_eq!(fs::read(place.path().join("n"))?, b"whole");
        let facts = super::super::facts(&file)?;
        assert_eq!((facts.mode, facts.nlink), (0o640, 1));
        let taken = hidden(place.path(), "n", |_| Ok::<(), io::Error>(()));
        assert!(matches!(taken, Err(PublishError::Taken)));
        let failed = hidden(place.path(), "m", |_| Err("no"));
        assert!(matches!(failed, Err(PublishError::Build("no"))));
        assert_eq!(entries(place.path())?, ["n"]);
        Ok(())
    }

    #[test]
    fn a_killed_builders_hidden_file_is_swept_and_a_living_ones_is_not() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        fs::write(place.path().join(".new-77-0"), "half")?;
        let directory = fs::File::open(place.path())?;
        let (living, _builder) = make_hidden(directory.as_fd())?;
        hidden(place.path(), "n", |_| Ok::<(), io::Error>(())).map_err(io::Error::other)?;
        assert_eq!(entries(place.path())?, [living, "n".to_owned()]);
        Ok(())
    }

    #[test]
    fn a_path_that_names_no_file_is_refused() {
        for path in ["/", ".."] {
            let published = publish_file(Path::new(path), 0o600, |_| Ok::<(), io::Error>(()));
            assert!(matches!(published, Err(PublishError::System(_))), "{path}");
        }
        let nowhere = publish_file(Path::new("/nonexistent/x"), 0o600, |_| Ok::<(), io::Error>(()));
        assert!(matches!(nowhere, Err(PublishError::System(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}

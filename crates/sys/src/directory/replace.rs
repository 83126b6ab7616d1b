//! A file that is written out of sight and takes its name, in place of one before it, when it is complete.
//!
//! Where the file system has nameless files it is one until then, so that a kill leaves nothing. Elsewhere, and for the moment
//! that taking somebody's place takes, it has a hidden name beside its own and is locked: whoever writes to the same place later
//! finds it unlocked, and removes it. A file whose writer lives is locked, whatever its name says.
//!
//! A file that takes another's place takes over who may do what with it: owner, group, permissions and list of rights, as far as this
//! process may give them away. Until then nobody but this user reads it.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::memory::proc_path;

/// What a hidden name says behind the name of its file; two numbers follow.
const UNFINISHED: &[u8] = b".unfinished-";

/// Bytes of the file's name in a hidden one: with what is around them they fit what a file system allows.
const MOST_OF_A_NAME: usize = 200;

/// How often a hidden name that exists already is tried again under another number.
const TRIES: u32 = 100;

/// The most entries of a directory that are looked through for what others left.
const MOST_ENTRIES: usize = 65_536;

/// The mode of a file that takes nobody's place, less the process's mask.
const MODE: Mode = Mode::from_raw_mode(0o666);

/// The mode, until it has that of the file whose place it takes.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// What is kept of a mode. Not the bits that lend the owner's rights to whoever runs the file: they were given to what was in it.
const PERMISSIONS: u32 = 0o777;

/// A file on its way. Dropped before it is complete, it is gone.
#[derive(Debug)]
pub struct Replacement {
    /// Where it will be, opened for nothing but paths.
    directory: OwnedFd,
    name: OsString,
    file: OwnedFd,
    /// Its name so far, where it has to have one.
    hidden: Option<OsString>,
}

/// The list of rights of a file (acl(5)), as an attribute of it. Where there is one the group's permissions in the mode are no longer those
/// of the group, but the most that anybody has whom the list names.
const LIST: &str = "system.posix_acl_access";

/// The most bytes that the system keeps in an attribute.
const MOST_OF_A_LIST: usize = 64 << 10;

/// Who may do what with the file whose place is taken.
#[derive(Clone, Debug)]
struct Rights {
    uid: u32,
    gid: u32,
    mode: u32,
    /// Empty where there is none; `None` where that cannot be known.
    list: Option<Vec<u8>>,
}

impl Rights {
    /// Those of the file of this name, if there is one. Refuses one that this user may not write: its directory would let him replace
    /// it, and whoever protects a file from being written means its content.
    fn of(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Rights>> {
        let there = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::RegularFile => there,
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        rustix::fs::accessat(directory, name, Access::WRITE_OK, AtFlags::empty())?;
        let list = list_of(directory, name)?;
        Ok(Some(Rights { uid: there.st_uid, gid: there.st_gid, mode: there.st_mode & PERMISSIONS, list }))
    }

    /// Gives them to a new file of this user, as far as he may.
    fn give(&self, file: &OwnedFd) -> io::Result<()> {
        let ours = rustix::fs::fstat(file)?;
        // One that its directory gives to every new file is not the one that this file had.
        let has_none = matches!(
            rustix::fs::fremovexattr(file, LIST),
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS)
        );
        if ours.st_uid != self.uid {
            // Refused to all but a few: then it is this user's, with the owner's permissions.
            let _ = rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), None);
        }
        let has_group =
            ours.st_gid == self.gid || rustix::fs::fchown(file, None, Some(Gid::from_raw(self.gid))).is_ok();
        // Another group than was meant has been among all others, and may do no more than they. Neither may one of which only a list
        // said what it may do that is lost, or not known.
        let keeps = has_group
            && match self.list.as_deref() {
                Some([]) => has_none,
                Some(list) => rustix::fs::fsetxattr(file, LIST, list, XattrFlags::empty()).is_ok(),
                None => false,
            };
        let mode = if keeps { self.mode } else { self.mode & !0o070 | (self.mode & 0o007) << 3 };
        match rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
            // A file system without permissions of its own.
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Replacement {
    /// Begins one, for `path`, and removes what killed processes have left there.
    ///
    /// A file that is there keeps its owner and group, where this process may give files to them, its permissions without set-id bits and
    /// its list of rights; other attributes are not kept. [`io::ErrorKind::PermissionDenied`] when it may not be written.
    pub fn begin(path: &Path) -> io::Result<Replacement> {
        let (directory, name) = open_parent(path)?;
        sweep(directory.as_fd(), &name);
        let rights = Rights::of(directory.as_fd(), &name)?;
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(&directory, ".", flags, first_mode(rights.as_ref()))) {
            // It gets its name through /proc.
            Ok(file) if rustix::fs::stat(proc_path(&file).as_str()).is_ok() => {
                lock(&file)?;
                rights.as_ref().map_or(Ok(()), |rights| rights.give(&file))?;
                Ok(Replacement { directory, name, file, hidden: None })
            }
            Ok(_) | Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                Replacement::begin_hidden(directory, name, rights)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn begin_hidden(directory: OwnedFd, name: OsString, rights: Option<Rights>) -> io::Result<Replacement> {
        for hidden in hidden_names(&name) {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file =
                match retry_on_intr(|| rustix::fs::openat(&directory, &hidden, flags, first_mode(rights.as_ref()))) {
                    Ok(file) => file,
                    Err(Errno::EXIST) => continue,
                    Err(error) => return Err(error.into()),
                };
            // A sweep may have come between the making and the locking; then it holds the lock, or the name is gone.
            if lock(&file)? && rustix::fs::fstat(&file)?.st_nlink == 1 {
                // From here on it is removed again when something fails.
                let begun = Replacement { directory, name, file, hidden: Some(hidden) };
                rights.as_ref().map_or(Ok(()), |rights| rights.give(&begun.file))?;
                return Ok(begun);
            }
        }
        Err(Errno::EXIST.into())
    }

    /// What is written to.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// It is complete: gives it its name in one step, whether there is one of that name or not.
    pub fn complete(mut self) -> io::Result<()> {
        if self.hidden.is_none() {
            match self.link(&self.name) {
                Ok(()) => return Ok(()),
                // Linking does not replace; renaming does, and takes a name to begin with.
                Err(Errno::EXIST) => self.hide()?,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(hidden) = &self.hidden {
            rustix::fs::renameat(&self.directory, hidden, &self.directory, &self.name)?;
            self.hidden = None;
        }
        // The lock said that it has a writer; the complete file has none, though its descriptor may be open for a while.
        let _ = retry_on_intr(|| rustix::fs::flock(&self.file, FlockOperation::Unlock));
        Ok(())
    }

    fn link(&self, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::linkat(CWD, proc_path(&self.file).as_str(), &self.directory, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Gives a nameless file a hidden name. It is locked from its beginning.
    fn hide(&mut self) -> Result<(), Errno> {
        for hidden in hidden_names(&self.name) {
            match self.link(&hidden) {
                Ok(()) => {
                    self.hidden = Some(hidden);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            // What cannot be removed is found unlocked by the next one.
            let _ = rustix::fs::unlinkat(&self.directory, hidden, AtFlags::empty());
        }
    }
}

/// The list of rights of a file; empty where it has none, or the file system knows none. `None` where the system does not tell, or there
/// is no `/proc`, through which alone it is found; and of a file that is gone.
fn list_of(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let mut path = proc_path(&directory).as_bytes().to_vec();
    path.push(b'/');
    path.extend_from_slice(name.as_bytes());
    let mut list = vec![0; MOST_OF_A_LIST];
    match rustix::fs::lgetxattr(path.as_slice(), LIST, &mut list[..]) {
        Ok(len) => {
            list.truncate(len);
            Ok(Some(list))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(Some(Vec::new())),
        Err(Errno::NOENT | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Of a new file: one that takes a file's place is nobody else's before it has that one's rights.
fn first_mode(rights: Option<&Rights>) -> Mode {
    if rights.is_some() { PRIVATE } else { MODE }
}

fn open_parent(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let name = path.file_name().ok_or_else(|| {
        let told = format!("expected the path of a file, found {}; name a file in a directory", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, told)
    })?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = retry_on_intr(|| rustix::fs::openat(CWD, parent, flags, Mode::empty()))?;
    Ok((directory, name.to_owned()))
}

/// Locks a file that nobody else has reason to lock, `false` when somebody has. A file system that knows no locks lets nobody sweep.
fn lock(file: &OwnedFd) -> io::Result<bool> {
    match retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn hidden_prefix(name: &OsStr) -> Vec<u8> {
    let name = name.as_bytes();
    [b".", name.get(..MOST_OF_A_NAME).unwrap_or(name), UNFINISHED].concat()
}

/// Names to try, one after the other.
fn hidden_names(name: &OsStr) -> impl Iterator<Item = OsString> + use<> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (prefix, pid) = (hidden_prefix(name), std::process::id());
    (0..TRIES).map(move |_| {
        let number = format!("{pid}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        OsStr::from_bytes(&[&prefix, number.as_bytes()].concat()).to_owned()
    })
}

/// Whether an entry is the hidden name of a file with that prefix.
fn is_hidden(entry: &[u8], prefix: &[u8]) -> bool {
    let Some(numbers) = entry.strip_prefix(prefix) else { return false };
    let parts: Vec<&[u8]> = numbers.split(|byte| *byte == b'-').collect();
    parts.len() == 2 && parts.iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
}

/// Removes hidden files for that name whose writers are gone. A directory that may not be read, or is too full, keeps them.
fn sweep(directory: BorrowedFd<'_>, name: &OsStr) {
    let prefix = hidden_prefix(name);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(readable) = rustix::fs::openat(directory, ".", flags, Mode::empty()) else { return };
    let Ok(entries) = rustix::fs::Dir::new(readable) else { return };
    for entry in entries.take(MOST_ENTRIES).flatten() {
        let hidden = entry.file_name();
        if !is_hidden(hidden.to_bytes(), &prefix) {
            continue;
        }
        let Ok(file) = open_to_lock(directory, hidden) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        // Only whoever holds the lock takes the name away from a file, so what it names now it names until we have removed it.
        let there = rustix::fs::statat(directory, hidden, AtFlags::SYMLINK_NOFOLLOW);
        let is_it = rustix::fs::fstat(&file)
            .is_ok_and(|ours| there.is_ok_and(|there| (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)));
        if is_it {
            // Somebody else's, in a directory of many, stays.
            let _ = rustix::fs::unlinkat(directory, hidden, AtFlags::empty());
        }
    }
}

/// Opens a file for its lock alone. Over NFS that takes a descriptor that may write; a file that may only be read has one elsewhere.
fn open_to_lock(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags | OFlags::WRONLY, Mode::empty())
        .or_else(|_| rustix::fs::openat(directory, name, flags | OFlags::RDONLY, Mode::empty()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::process::{Child, Command, Stdio};

    use super::*;

    const ACTS: &str = "WHARF_TEST_REPLACES";

    fn entries(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).expect("a directory").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn write(to: &Replacement, bytes: &[u8]) {
        let file = to.file().try_clone_to_owned().expect("a descriptor");
        File::from(file).write_all(bytes).expect("room");
    }

    fn begin_hidden(path: &Path) -> Replacement {
        let (directory, name) = open_parent(path).expect("a directory");
        let rights = Rights::of(directory.as_fd(), &name).expect("a file that may be written, or none");
        Replacement::begin_hidden(directory, name, rights).expect("a hidden file")
    }

    /// Both ways to begin one.
    const WAYS: [fn(&Path) -> Replacement; 2] = [|path| Replacement::begin(path).expect("a file"), begin_hidden];

    #[test]
    fn a_file_that_takes_a_place_takes_over_its_rights_but_not_to_be_run_as_its_owner() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        let mode = |of: &fs::Metadata| of.mode() & 0o7777;
        for (begin, (before, after)) in WAYS.iter().flat_map(|begin| {
            [(0o4755, 0o755), (0o2755, 0o755), (0o7777, 0o777), (0o600, 0o600), (0o640, 0o640), (0o606, 0o606)]
                .map(|modes| (begin, modes))
        }) {
            fs::write(&path, "old").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).expect("its mode");
            // Only a few may give a file away; they give it back.
            let foreign = std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).is_ok();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).expect("its mode");
            begin(&path).complete().expect("its name");
            let there = fs::metadata(&path).expect("a file");
            assert_eq!((mode(&there), there.len()), (after, 0), "{before:o}");
            assert!(!foreign || (there.uid(), there.gid()) == (12_345, 54_321), "{there:?}");
            fs::remove_file(&path).expect("ours");
        }
        // Another group has been among all others.
        let mine = File::create(&path).expect("a file");
        let rights = Rights {
            uid: fs::metadata(&path).expect("a file").uid(),
            gid: u32::MAX - 1,
            mode: 0o664,
            list: Some(Vec::new()),
        };
        let no_group = rustix::fs::fchown(&mine, None, Some(Gid::from_raw(rights.gid))).is_err();
        rights.give(&mine.into()).expect("a mode");
        assert_eq!(mode(&fs::metadata(&path).expect("a file")), if no_group { 0o644 } else { 0o664 });
    }

    /// Version 2 of acl(5)'s attribute: the owner reads and writes, and so does one more user; the group does nothing.
    fn a_list() -> Vec<u8> {
        let nobody_in_particular = u32::MAX;
        let entries: [(u16, u16, u32); 5] = [
            (0x01, 6, nobody_in_particular),
            (0x02, 6, 12_346),
            (0x04, 0, nobody_in_particular),
            (0x10, 6, nobody_in_particular),
            (0x20, 0, nobody_in_particular),
        ];
        let entry = |(tag, rights, who): (u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &who.to_le_bytes()].concat()
        };
        2_u32.to_le_bytes().into_iter().chain(entries.into_iter().flat_map(entry)).collect()
    }

    #[test]
    fn a_list_of_rights_is_taken_over() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        let list = |of: &Path| {
            let mut list = vec![0; MOST_OF_A_LIST];
            rustix::fs::lgetxattr(of, LIST, &mut list[..]).map(|len| list[..len].to_vec())
        };
        let mode = |of: &fs::Metadata| of.mode() & 0o7777;
        for begin in WAYS {
            fs::write(&path, "secret").expect("a file");
            if rustix::fs::setxattr(&path, LIST, &a_list(), XattrFlags::empty()).is_err() {
                println!("skipped: a_list_of_rights: {} has none", path.display());
                return;
            }
            begin(&path).complete().expect("its name");
            assert_eq!((list(&path), mode(&fs::metadata(&path).expect("a file"))), (Ok(a_list()), 0o660));
            fs::remove_file(&path).expect("ours");
            // What the directory gives to new files is none of one that had none.
            fs::write(&path, "secret").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).expect("its mode");
            rustix::fs::setxattr(place.path(), "system.posix_acl_default", &a_list(), XattrFlags::empty())
                .expect("a directory of ours");
            begin(&path).complete().expect("its name");
            assert_eq!((list(&path), mode(&fs::metadata(&path).expect("a file"))), (Err(Errno::NODATA), 0o660));
            rustix::fs::removexattr(place.path(), "system.posix_acl_default").expect("a directory of ours");
            fs::remove_file(&path).expect("ours");
        }
    }

    #[test]
    fn a_list_of_rights_that_cannot_be_set_or_known_gives_the_group_nothing() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        for (list, mode) in [(Some(vec![1]), 0o644), (None, 0o644), (Some(Vec::new()), 0o664)] {
            let mine = File::create(&path).expect("a file");
            let there = mine.metadata().expect("a file");
            let rights = Rights { uid: there.uid(), gid: there.gid(), mode: 0o664, list };
            rights.give(&mine.into()).expect("a mode");
            assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o7777, mode, "{rights:?}");
            fs::remove_file(&path).expect("ours");
        }
        let (directory, name) = open_parent(&path).expect("a directory");
        assert_eq!(list_of(directory.as_fd(), &name).expect("nothing there is no failure"), None);
    }

    #[test]
    fn nobody_else_reads_what_will_be_private() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        let mode = |it: &Replacement| rustix::fs::fstat(it.file()).expect("its status").st_mode & 0o7777;
        let public = WAYS.map(|begin| mode(&begin(&path)));
        assert!(public.iter().all(|mode| mode & 0o600 == 0o600), "{public:?}");
        fs::write(&path, "secret").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        assert_eq!(WAYS.map(|begin| mode(&begin(&path))), [0o600; 2]);
        assert_eq!(first_mode(Some(&Rights { uid: 0, gid: 0, mode: 0o644, list: Some(Vec::new()) })), PRIVATE);
    }

    #[test]
    fn a_file_that_may_not_be_written_is_not_replaced() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        fs::write(&path, "precious").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("its mode");
        // Some may write everything.
        let may = File::options().write(true).open(&path).is_ok();
        match Replacement::begin(&path) {
            Err(error) => assert!(!may && error.kind() == io::ErrorKind::PermissionDenied, "{error}"),
            Ok(begun) => {
                assert!(may);
                begun.complete().expect("its name");
                assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o7777, 0o444);
            }
        }
    }

    #[test]
    fn other_names_of_a_file_keep_what_it_was() {
        let place = tempfile::tempdir().expect("a directory");
        let (path, other) = (place.path().join("n"), place.path().join("other"));
        for begin in WAYS {
            fs::write(&path, "old").expect("a file");
            fs::hard_link(&path, &other).expect("another name");
            let begun = begin(&path);
            write(&begun, b"new");
            begun.complete().expect("its name");
            assert_eq!([&path, &other].map(|it| fs::read(it).expect("a file")), [b"new", b"old"]);
            fs::remove_file(&other).expect("ours");
        }
    }

    #[test]
    fn whoever_looks_sees_the_old_file_or_the_new_one() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        for (at, begin) in WAYS.iter().cycle().take(4).enumerate() {
            let before = fs::read(&path).ok();
            let begun = begin(&path);
            write(&begun, &[b'0' + at as u8]);
            assert_eq!(fs::read(&path).ok(), before);
            begun.complete().expect("its name");
            assert_eq!(fs::read(&path).expect("a file"), [b'0' + at as u8]);
            assert_eq!(entries(place.path()), ["n"]);
            drop(begin(&path));
            assert_eq!(entries(place.path()), ["n"]);
        }
    }

    /// What a process does that the test below starts: it begins a file, says so, and goes on for as long as it lives.
    #[test]
    fn actor() {
        let Some(path) = std::env::var_os(ACTS) else { return };
        let begun = begin_hidden(Path::new(&path));
        write(&begun, b"half");
        println!("\nit writes");
        let _ended = io::stdin().read_line(&mut String::new());
    }

    fn writer(path: &Path) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "directory::replace::tests::actor", "--nocapture", "--test-threads=1"]);
        command.env(ACTS, path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let said = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
        assert!(said.map_while(Result::ok).any(|line| line == "it writes"));
        child
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n");
        // A user's own, which only looks alike.
        for own in [".n.unfinished-7", ".n.unfinished-7-x", ".n.unfinished-7-7-7", ".m.unfinished-7-7"] {
            fs::write(place.path().join(own), "precious").expect("a file");
        }
        let own = entries(place.path());
        let (mut living, mut killed) = (writer(&path), writer(&path));
        killed.kill().and_then(|()| killed.wait()).expect("a killed process");
        assert_eq!(entries(place.path()).len(), own.len() + 2);
        drop(Replacement::begin(&path).expect("a file"));
        let theirs: Vec<String> = entries(place.path()).into_iter().filter(|it| !own.contains(it)).collect();
        assert_eq!(theirs.len(), 1, "{theirs:?}");
        assert!(theirs[0].starts_with(&format!(".n.unfinished-{}-", living.id())), "{theirs:?}");
        living.kill().and_then(|()| living.wait()).expect("a killed process");
        Replacement::begin(&path).expect("a file").complete().expect("its name");
        assert_eq!(entries(place.path()), [own, vec!["n".to_owned()]].concat());
    }

    #[test]
    fn a_long_name_has_a_hidden_one_that_fits() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("n".repeat(255));
        for _ in 0..2 {
            begin_hidden(&path).complete().expect("its name");
            Replacement::begin(&path).expect("a file").complete().expect("its name");
        }
        assert_eq!(entries(place.path()).len(), 1);
        assert!(Replacement::begin(Path::new("/")).is_err() && Replacement::begin(Path::new("..")).is_err());
    }
}

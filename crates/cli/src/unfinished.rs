//! A file that appears when it is complete.

use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use wharf_sys::directory::Replacement;
use wharf_sys::{inherit, outlet};

use crate::ending::{Ending, SLICE};
use crate::failure::Failure;
use crate::units;

/// As many links as the system follows.
const MOST_LINKS: usize = 40;

/// A file that is being written out of sight. Dropped before it is complete, it is gone; a kill leaves nothing, or what the next one
/// for the same place removes.
pub(crate) struct Unfinished {
    path: PathBuf,
    /// `None` where the path leads to a descriptor, a device or a pipe, which is written as it is, and when it is complete.
    replacement: Option<Replacement>,
}

/// Lets so much time pass, or fails with what ends the command meanwhile.
type Pause<'a> = dyn FnMut(Duration) -> Result<(), Failure> + 'a;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// To what this process has open already: `/dev/stdout`, `/dev/fd/3`.
    Descriptor(RawFd),
    /// To a FIFO.
    Pipe,
    /// To a device, or what else is no file.
    Device,
    /// To a file, or to where one will be: where a link leads, a file is replaced there.
    File(PathBuf),
}

impl Unfinished {
    /// Looks whether what this option names can be written, and leaves nothing.
    pub(crate) fn check(option: &str, path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        if path.as_os_str().is_empty() {
            return Err(Failure::Usage(format!("{option}: expected the path of a file, found nothing")));
        }
        match Place::of(path) {
            _ if fs::metadata(path).is_ok_and(|there| there.is_dir()) => {
                Err(Failure::Usage(format!("{option}: '{shown}' is a directory: name a file in it")))
            }
            _ if names_a_directory(path) => Err(Failure::Usage(format!(
                "{option}: '{shown}' names a directory, and a file is to be written: leave out what follows its name"
            ))),
            Ok(Place::File(place)) => Replacement::begin(&place).map(drop).map_err(|error| unwritable(path, error)),
            Ok(Place::Descriptor(number)) => {
                inherit::duplicate(number).map(drop).map_err(|error| unwritable(path, error))
            }
            // Opening a pipe waits for its other end, and opening a device may do something.
            Ok(Place::Pipe | Place::Device) => Ok(()),
            Err(error) => Err(unwritable(path, error)),
        }
    }

    /// Begins it. A pipe is waited for until somebody reads it.
    pub(crate) fn begin(path: &Path) -> Result<(Unfinished, File), Failure> {
        Unfinished::open(path, None, &mut |time| {
            thread::sleep(time);
            Ok(())
        })
    }

    /// The same; a pipe is waited for so long at most, and a signal ends that.
    pub(crate) fn begin_within(
        path: &Path,
        limit: Option<Duration>,
        ending: &mut Ending,
    ) -> Result<(Unfinished, File), Failure> {
        Unfinished::open(path, limit, &mut |time| ending.pause(time))
    }

    fn open(path: &Path, limit: Option<Duration>, pause: &mut Pause<'_>) -> Result<(Unfinished, File), Failure> {
        let as_it_is = |file| (Unfinished { path: path.to_owned(), replacement: None }, file);
        match Place::of(path).map_err(|error| unwritable(path, error))? {
            Place::Descriptor(number) => inherit::duplicate(number).map(|it| as_it_is(File::from(it))),
            Place::Pipe => Ok(as_it_is(open_pipe(path, limit, pause)?)),
            Place::Device => File::options().write(true).custom_flags(outlet::NO_WAITING).open(path).map(as_it_is),
            Place::File(place) => Replacement::begin(&place).and_then(|replacement| {
                let file = File::from(replacement.file().try_clone_to_owned()?);
                Ok((Unfinished { path: place, replacement: Some(replacement) }, file))
            }),
        }
        .map_err(|error| unwritable(path, error))
    }

    /// Whether it is a file of its own, of which nobody else has a part.
    pub(crate) fn is_new(&self) -> bool {
        self.replacement.is_some()
    }

    /// It is complete: gives it its name.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let path = self.path;
        self.replacement.map_or(Ok(()), Replacement::complete).map_err(|error| unwritable(&path, error))
    }
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::Failed(format!("cannot write '{}': {error}", path.display()))
}

/// Whether only a directory can be at a path.
fn names_a_directory(path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    matches!(path, b"." | b"..") || [&b"/"[..], b"/.", b"/.."].iter().any(|end| path.ends_with(end))
}

/// Opens a FIFO that somebody reads, or will read.
fn open_pipe(path: &Path, limit: Option<Duration>, pause: &mut Pause<'_>) -> Result<File, Failure> {
    let began = Instant::now();
    // Ends with a reader, the limit, a signal, or an error.
    loop {
        match File::options().write(true).custom_flags(outlet::NO_WAITING).open(path) {
            Ok(pipe) => return Ok(pipe),
            Err(error) if error.raw_os_error() == Some(outlet::NOBODY_READS) => {}
            Err(error) => return Err(unwritable(path, error)),
        }
        let left = limit.map(|limit| (limit, limit.saturating_sub(began.elapsed())));
        if let Some((limit, Duration::ZERO)) = left {
            let limit = units::nanos(limit.as_nanos() as f64);
            return Err(Failure::Timeout(format!(
                "timeout: nobody opened '{}' to read it within {limit}",
                path.display()
            )));
        }
        pause(left.map_or(SLICE, |(_, left)| left.min(SLICE)))?;
    }
}

impl Place {
    fn of(path: &Path) -> io::Result<Place> {
        if let Some(number) = own_descriptor(path) {
            return Ok(Place::Descriptor(number));
        }
        match fs::metadata(path) {
            Ok(there) if there.is_file() => fs::canonicalize(path).map(Place::File),
            Ok(there) if there.file_type().is_fifo() => Ok(Place::Pipe),
            Ok(_) => Ok(Place::Device),
            // As the shell does it, a link that leads nowhere says where the file will be.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::File(end_of_links(path))),
            Err(error) => Err(error),
        }
    }
}

/// The number of the descriptor of this process that a path leads to, if it does.
fn own_descriptor(path: &Path) -> Option<RawFd> {
    let descriptors = fs::canonicalize("/proc/self/fd").ok()?;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = fs::canonicalize(parent).ok()?;
        if parent == descriptors {
            return path.file_name()?.to_str()?.parse().ok();
        }
        path = parent.join(fs::read_link(&path).ok()?);
    }
    None
}

/// Where a path leads at which there is nothing, or a link to nothing.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map_or(target.clone(), |parent| parent.join(&target));
    }
    path
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn begin(path: &Path) -> (Unfinished, File) {
        Unfinished::begin(path).expect("a file")
    }

    #[test]
    fn whoever_looks_sees_the_old_file_or_the_new_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        fs::write(&path, "old").expect("a file");
        assert!(Unfinished::check("--file", &path).is_ok());
        let (unfinished, mut file) = begin(&path);
        file.write_all(b"new").expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"old");
        unfinished.finish().expect("complete");
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        drop(begin(&path));
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        assert_eq!(entries(directory.path()), ["a"]);
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("sub")).expect("a directory");
        fs::write(at("sub/file"), "old").expect("a file");
        symlink("sub/file", at("link")).expect("a link");
        symlink("sub/new", at("dangling")).expect("a link");
        symlink("dangling", at("twice")).expect("a link");
        for (name, target) in [("link", "sub/file"), ("twice", "sub/new")] {
            let (unfinished, mut file) = begin(&at(name));
            file.write_all(name.as_bytes()).expect("written");
            unfinished.finish().expect("complete");
            assert!(fs::symlink_metadata(at(name)).expect("a link").is_symlink());
            assert_eq!(fs::read(at(target)).expect("a file"), name.as_bytes());
        }
    }

    #[test]
    fn what_is_no_file_is_written_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        // Through /dev/fd, and through a link to it.
        let link = directory.path().join("link");
        symlink(format!("/dev/fd/{}", writer.as_raw_fd()), &link).expect("a link");
        for path in [PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd())), link] {
            assert!(Unfinished::check("--file", &path).is_ok(), "{path:?}");
            let (unfinished, mut file) = begin(&path);
            file.write_all(b"through").expect("room");
            unfinished.finish().expect("nothing to do");
            let mut read = [0; 7];
            reader.read_exact(&mut read).expect("what was written");
            assert_eq!(&read, b"through");
        }
        // A file that somebody opened for us is written where he is in it, and keeps what is in front.
        let path = directory.path().join("a");
        let mut open = File::create(&path).expect("a file");
        open.write_all(b"first ").expect("room");
        let (unfinished, mut file) = begin(&PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())));
        file.write_all(b"second").expect("room");
        unfinished.finish().expect("nothing to do");
        open.write_all(b" third").expect("room");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "first second third");
        assert_eq!(Place::of(Path::new("/dev/null")).expect("a device"), Place::Device);
        begin(Path::new("/dev/null")).1.write_all(b"gone").expect("a device");
        let closed =
            Unfinished::check("--file", Path::new("/dev/fd/1000000")).expect_err("no such descriptor").to_string();
        assert!(closed.starts_with("cannot write '/dev/fd/1000000': "), "{closed}");
    }

    #[test]
    fn what_cannot_be_written_is_said_before_anything_is_received() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = Unfinished::check("--file", &directory.path().join("missing/a")).expect_err("no such directory");
        assert!(missing.to_string().starts_with("cannot write '"), "{missing}");
        for odd in
            [PathBuf::new(), directory.path().to_owned(), directory.path().join("new/"), directory.path().join("new/.")]
        {
            let refused = Unfinished::check("--output", &odd).expect_err("no place for a file");
            assert!(matches!(&refused, Failure::Usage(why) if why.starts_with("--output: ")), "{odd:?}: {refused}");
        }
        assert_eq!(entries(directory.path()), [""; 0]);
        assert!(Unfinished::check("--file", Path::new("/dev/null")).is_ok());
    }
}

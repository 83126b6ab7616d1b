//! Whether an error is a shortage of this process or this machine, which may pass.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::poll::most_descriptors;

/// Whether the system lacked descriptors or memory: the same may succeed a moment later, and says nothing about anybody
/// else.
pub fn is_shortage(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(code) => is_one(Errno::from_raw_os_error(code)),
        None => error.get_ref().is_some_and(|inner| inner.is::<Shortage>()),
    }
}

/// An error in words. The system's words for too many open files say nothing of what to do; these do.
pub fn told(error: &io::Error) -> impl fmt::Display + '_ {
    Told(error)
}

struct Told<'a>(&'a io::Error);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE) => {
                f.write_str("this process has too many open files")?;
                if let Ok(most) = most_descriptors() {
                    write!(f, ", at most {most} are allowed")?;
                }
                f.write_str("; close some or raise the limit (`ulimit -n`)")
            }
            Some(Errno::NFILE) => f.write_str(
                "all processes together have too many open files; close some or have fs.file-max raised with sysctl",
            ),
            _ => self.0.fmt(f),
        }
    }
}

/// Says it in these words; a shortage is still known as one.
pub(crate) fn in_words(error: Errno, words: String) -> io::Error {
    let kind = io::Error::from(error).kind();
    if is_one(error) { io::Error::new(kind, Shortage(words)) } else { io::Error::new(kind, words) }
}

fn is_one(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

#[derive(Debug)]
struct Shortage(String);

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Shortage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_known_in_the_systems_words_and_in_ours() {
        for (error, expected) in [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::NOMEM, true), (Errno::IO, false)]
        {
            assert_eq!(is_shortage(&error.into()), expected, "{error}");
            assert_eq!(is_shortage(&in_words(error, "in words".to_owned())), expected, "{error}");
        }
        assert!(!is_shortage(&io::ErrorKind::NotFound.into()));
    }

    #[test]
    fn too_many_open_files_come_with_the_limit_and_a_remedy() {
        let limit = most_descriptors().unwrap();
        let said = told(&Errno::MFILE.into()).to_string();
        assert!(said.contains(&format!("at most {limit} ")) && said.contains("ulimit -n"), "{said}");
        assert!(told(&Errno::NFILE.into()).to_string().contains("fs.file-max"));
        let other = io::Error::from(Errno::ACCESS);
        assert_eq!(told(&other).to_string(), other.to_string());
    }
}

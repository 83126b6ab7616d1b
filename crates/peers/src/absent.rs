//! A library that takes no part, by name and with the reason.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wharf_bench::contender::Home;
use wharf_bench::meeting::{AnyContender, Match};

/// A contender that every run leaves out.
pub struct Absent {
    /// Its name in tables.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
}

impl Absent {
    fn error(&self) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, self.reason)
    }
}

impl AnyContender for Absent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn start(self: Arc<Self>, _at: PathBuf, _theirs: usize) -> io::Result<Box<dyn Match>> {
        Err(self.error())
    }

    fn serve(&self, _at: &Path, _own: usize, _orders: UnixStream) -> io::Result<()> {
        Err(self.error())
    }
}

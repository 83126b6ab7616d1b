//! With which options the two sides meet at an address of any kind, `tls:` included.

use std::net::Ipv4Addr;
use std::path::Path;

use wharf_message_passing::Options;
use wharf_sys::directory::Domain;

use crate::certificates;

/// A directory of a certificate for both sides, and its key.
pub(crate) fn secrets() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    certificates::both_sides(directory.path(), Ipv4Addr::LOCALHOST.into());
    directory
}

/// Options whose names live in the one directory, and whose secrets in the other.
pub(crate) fn options(names: &Path, secrets: &Path) -> Options {
    Options::new().domain(Domain::at(names).unwrap()).tls(certificates::read(secrets))
}

//! What trying to write another's memory comes to.

use std::io;
use std::os::fd::AsFd;

use wharf_sys::memory::trial::{self, WriteOutcome};
use wharf_sys::memory::{self, Access, Mapping, Seals};

use crate::forked::alone;

fn refused_by_the_kernel(outcome: &WriteOutcome) -> bool {
    matches!(outcome, WriteOutcome::Refused(error) if error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn plain_memory_changes() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("open")?;
    memory::set_len(&memfd, 4096)?;
    let own = Mapping::map(memfd.as_fd(), 4096, Access::ReadWrite)?;
    let view = Mapping::map(memfd.as_fd(), 4096, Access::ReadOnly)?;
    assert!(matches!(trial::store(&own, 100)?, WriteOutcome::Changed));
    assert!(matches!(trial::store(&view, 100)?, WriteOutcome::Killed(libc::SIGSEGV)));
    assert!(matches!(trial::make_writable(&view)?, WriteOutcome::Changed));
    assert!(matches!(trial::map_writable(memfd.as_fd(), 4096)?, WriteOutcome::Changed));
    assert!(trial::store(&own, 4096).is_err());
    Ok(())
}

#[test]
fn sealed_memory_does_not() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("sealed")?;
    memory::set_len(&memfd, 4096)?;
    let _own = Mapping::map(memfd.as_fd(), 4096, Access::ReadWrite)?;
    memory::seal(&memfd, Seals::LINK)?;
    let view = Mapping::map(memfd.as_fd(), 4096, Access::ReadOnly)?;
    assert!(matches!(trial::store(&view, 0)?, WriteOutcome::Killed(libc::SIGSEGV)));
    assert!(matches!(trial::make_writable(&view)?, WriteOutcome::Refused(_)));
    assert!(refused_by_the_kernel(&trial::map_writable(memfd.as_fd(), 4096)?));
    Ok(())
}

#[test]
fn memory_that_has_gone_is_another_signal() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("gone")?;
    memory::set_len(&memfd, 4096)?;
    let own = Mapping::map(memfd.as_fd(), 4096, Access::ReadWrite)?;
    memory::set_len(&memfd, 0)?;
    assert!(matches!(trial::store(&own, 0)?, WriteOutcome::Killed(libc::SIGBUS)));
    Ok(())
}

//! An anchor: keeps an open file description, and with it its locks, when every descriptor of it is closed.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::fork;

/// File systems whose mappings keep the description that was mapped, by the number that `statfs` gives: tmpfs, hugetlbfs,
/// ramfs, ext4 and its forerunners, XFS, Btrfs, F2FS.
const KEEPING: [u32; 7] = [0x0102_1994, 0x9584_58f6, 0x8584_58f6, 0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// Whether an [`Anchor`] in the file behind `fd` does what it is for. An overlay, for one, maps the file that lies beneath
/// through a description of its own, and lets go of that one whose locks count. What is not known counts as no.
pub fn anchors_hold(fd: BorrowedFd<'_>) -> bool {
    // The number has 32 bits; some platforms hand it out signed, or in a wider type.
    rustix::fs::fstatfs(fd).is_ok_and(|facts| KEEPING.contains(&(facts.f_type as u32)))
}

/// Bytes mapped; the kernel rounds them up to a page. Never touched.
const LEN: usize = 1;

/// A page of a file that is mapped for its description's sake: the description lives as long as this process does and has
/// not become another program, whatever becomes of the descriptors.
///
/// A forked child does not inherit it. An ordinary mapping through the same description would do the opposite: the child
/// would keep the description, and every lock on it, beyond its parent's death.
///
/// It depends on the file system: see [`anchors_hold`].
#[derive(Debug)]
pub struct Anchor {
    start: NonNull<u8>,
    epoch: u32,
}

// SAFETY: an anchor gives out no memory; it is a number that is unmapped once, by whoever owns it.
unsafe impl Send for Anchor {}
// SAFETY: as for Send: nothing can be done through `&Anchor`.
unsafe impl Sync for Anchor {}

impl Anchor {
    /// Keeps the description behind `fd`, which must be open for reading and not be empty.
    ///
    /// A fork in another thread in the middle of this call may leave the child a copy.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Anchor> {
        fork::watch();
        // SAFETY: without a fixed address the kernel chooses a range that nothing else uses, and nobody may touch it.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), LEN, ProtFlags::empty(), MapFlags::SHARED, fd, 0) }?;
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::other("the kernel mapped the file at address 0"))?;
        let anchor = Anchor { start, epoch: fork::epoch() };
        // SAFETY: the range is ours until drop, and the advice concerns children only.
        unsafe { rustix::mm::madvise(start.as_ptr().cast(), LEN, Advice::LinuxDontFork) }?;
        Ok(anchor)
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // In a forked child the range was never there; something else may be there by now.
        if self.epoch == fork::epoch() {
            // SAFETY: the range came from mmap with this length, in this process, and nobody else unmaps it.
            let _kept_if_it_fails = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), LEN) };
        }
    }
}

//! Seals: promises about an anonymous file that nobody, not even its maker, can take back.

use std::fmt;
use std::io;
use std::ops::BitOr;
use std::os::fd::AsFd;

use rustix::fs::SealFlags;
use rustix::io::Errno;

/// A set of seals.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seals(u32);

impl Seals {
    /// The file cannot become shorter: no SIGBUS for those who map it.
    pub const SHRINK: Seals = Seals(libc::F_SEAL_SHRINK as u32);
    /// The file cannot become longer.
    pub const GROW: Seals = Seals(libc::F_SEAL_GROW as u32);
    /// Nobody can write any more. Refused while a writable mapping exists.
    pub const WRITE: Seals = Seals(libc::F_SEAL_WRITE as u32);
    /// Nobody can *begin* to write: writable mappings that exist stay so, new ones are refused.
    pub const FUTURE_WRITE: Seals = Seals(libc::F_SEAL_FUTURE_WRITE as u32);
    /// No seal can be added.
    pub const SEAL: Seals = Seals(libc::F_SEAL_SEAL as u32);
    /// What a sealed buffer carries: its length is final and its bytes are, whoever holds it.
    pub const BUFFER: Seals = Seals(Self::SHRINK.0 | Self::GROW.0 | Self::WRITE.0 | Self::SEAL.0);
    /// What the memory of a link carries: its length is final and its maker is the only writer.
    pub const LINK: Seals = Seals(Self::SHRINK.0 | Self::GROW.0 | Self::FUTURE_WRITE.0 | Self::SEAL.0);

    /// Whether every seal of `other` is in this set.
    pub const fn contains(self, other: Seals) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for Seals {
    type Output = Seals;
    fn bitor(self, other: Seals) -> Seals {
        Seals(self.0 | other.0)
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Seals::SHRINK, "SHRINK"),
            (Seals::GROW, "GROW"),
            (Seals::WRITE, "WRITE"),
            (Seals::FUTURE_WRITE, "FUTURE_WRITE"),
            (Seals::SEAL, "SEAL"),
        ];
        let mut set = f.debug_set();
        for (seal, name) in names {
            if self.contains(seal) {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}

/// Adds seals to an anonymous file made by [`memfd`](super::memfd).
///
/// [`Seals::WRITE`] is refused with [`io::ErrorKind::ResourceBusy`] while anybody maps it for writing.
pub fn seal(fd: impl AsFd, seals: Seals) -> io::Result<()> {
    match rustix::fs::fcntl_add_seals(fd, SealFlags::from_bits_retain(seals.0)) {
        Err(Errno::INVAL) => Err(not_sealable()),
        other => Ok(other?),
    }
}

/// The seals that a file carries; an error when it is not the kind of file that can carry any.
///
/// Safe to ask of a descriptor that a hostile peer sent: the kernel answers by itself. Asking for the size or the kind of
/// such a descriptor first could wait for a file system that the peer runs.
pub fn seals(fd: impl AsFd) -> io::Result<Seals> {
    match rustix::fs::fcntl_get_seals(fd) {
        Ok(flags) => Ok(Seals(flags.bits())),
        Err(Errno::INVAL) => Err(not_sealable()),
        Err(error) => Err(error.into()),
    }
}

fn not_sealable() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "expected sealable anonymous memory, found another kind of file; only memory made by memfd_create can be sealed",
    )
}

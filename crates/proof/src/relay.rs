//! How the parts of a broadcast reach another process in a test: by the numbers of descriptors that it may open.
//!
//! What a real program passes through a socket, a test says in a line: the process and the descriptor, which anybody of the
//! same user opens through `/proc`.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use wharf_shared_memory::log::{Barriers, Geometry, ReaderTerms, SeatTerms, Start};
use wharf_sys::barrier;
use wharf_sys::clock::Deadline;

/// The rings of a test's broadcast: small, so that dropping and going around happen at once.
pub fn geometry() -> Geometry {
    Geometry::new(4096, 1 << 15, 8).expect("sizes that a log can have")
}

/// Both sides are registered for membarrier where the system has it, and fence where it has not.
fn barriers() -> Barriers {
    let registered = barrier::register_by(Deadline::after(Duration::from_secs(20)));
    Barriers { own: registered, peer: registered }
}

/// The terms of a seat that holds frames.
pub fn seat_terms() -> SeatTerms {
    SeatTerms { trusted: true, barriers: barriers() }
}

/// The terms of the reader in it.
pub fn reader_terms() -> ReaderTerms {
    ReaderTerms { hostile: false, max_message: 1 << 20, barriers: barriers(), may_drop: true, hold_bytes: 1 << 14 }
}

/// A descriptor of this process, said.
pub fn say_fd(fd: BorrowedFd<'_>) -> String {
    format!("{} {}", std::process::id(), fd.as_raw_fd())
}

/// A start, said.
pub fn say_start(start: &Start) -> String {
    start.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens what [`say_fd`] said. An error when its process is gone.
pub fn open_fd(said: &str) -> io::Result<OwnedFd> {
    let (process, fd) = said.split_once(' ').ok_or(io::ErrorKind::InvalidInput)?;
    let path = format!("/proc/{process}/fd/{fd}");
    Ok(OpenOptions::new().read(true).write(true).open(path)?.into())
}

/// Reads what [`say_start`] said.
pub fn hear_start(said: &str) -> Option<Start> {
    let mut bytes = [0; Start::BYTES];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(said.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Start::from_bytes(&bytes)
}

/// Splits `FD-WORDS;START`, in which a log's memory and a start are said together.
pub fn hear_both(said: &str) -> Option<(&str, Start)> {
    let (fd, start) = said.split_once(';')?;
    Some((fd, hear_start(start)?))
}

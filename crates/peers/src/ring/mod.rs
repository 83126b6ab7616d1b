//! ringfire: a ring for each direction, in a file of the match's directory, made by the side that writes it.

pub mod blobs;
pub mod fixed;

use ringfire::RingfireError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wharf_bench::contender::{failed, foreign};

/// For so long a side waits until the other has made its ring.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Where the ring lies that the measuring side writes.
fn there(at: &Path) -> PathBuf {
    at.join("there")
}

/// Where the ring lies that its peer writes.
fn back(at: &Path) -> PathBuf {
    at.join("back")
}

/// Attaches to a ring as soon as its writer has made it.
fn attach<T>(mut attempt: impl FnMut() -> Result<T, RingfireError>) -> io::Result<T> {
    let start = Instant::now();
    // The clock ends the loop.
    loop {
        match attempt() {
            Ok(ring) => return Ok(ring),
            Err(error) if start.elapsed() > PATIENCE => return Err(foreign(error)),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// The error of a reader that the writer overtook.
fn overtaken(messages: u64) -> io::Error {
    failed(format!("the writer overtook its reader by {messages} messages"))
}

//! Where links with ports meet in a test, so that no two tests, and no other program, ever want the same place.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the system gives away by itself.
const FIRST_PORT: u16 = 7_500;

/// A place that nobody else uses: the whole of 127.0.0.0/8 is this machine, so each process has an address there of its
/// own, and each call gives another port of it.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    // Relaxed: only that numbers differ matters.
    SocketAddr::from(([127, 128 | a & 0x3f, b, c], NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// An address of this scheme: with a port of its own, or with this name.
pub fn address(scheme: &str, name: &str) -> String {
    match scheme {
        "tcp" | "tls" | "ws" => format!("{scheme}:{}", free()),
        _ => format!("{scheme}:{name}"),
    }
}

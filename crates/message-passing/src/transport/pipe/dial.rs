//! Knocking at the FIFO of whoever listens.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::directory::{Domain, FifoPlace, PrivateFifos, remove_dead_fifos};
use wharf_sys::poll::{self, Interest};

use super::knock;
use super::knocking::KnockingWire;
use crate::options::Options;
use crate::voice::Voice;

/// One of so many connections looks for what killed processes left, on average: to look is to read the whole directory.
/// Whoever listens looks, too.
const SWEEP_ONE_IN: u8 = 16;

/// Knocks at a FIFO that was found in `domain`, and whose owner is one to talk to. Nobody listening is [`io::ErrorKind::NotFound`] or
/// [`io::ErrorKind::ConnectionRefused`], no room for a knock until the deadline [`io::ErrorKind::TimedOut`], and something
/// else than a FIFO [`io::ErrorKind::InvalidData`].
pub(crate) fn dial(found: &FifoPlace, domain: &Domain, options: &Options, deadline: Deadline) -> io::Result<Voice> {
    let mouth = found.open()?;
    let fifos = PrivateFifos::make(domain)?;
    let [chance, ..] = fifos.id();
    if chance % SWEEP_ONE_IN == 0 {
        remove_dead_fifos(domain);
    }
    crash_point!("pipe.dial.made");
    let record = knock::write(fifos.id());
    // Ends with a knock, with the listener or with the deadline.
    loop {
        match mouth.leave(&record) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Err(error) => return Err(error),
        }
        if poll::wait(&[(mouth.as_fd(), Interest::WRITE)], Some(deadline))?.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    crash_point!("pipe.dial.knocked");
    let wire = KnockingWire::new(fifos, mouth, options.capacity_bytes())?;
    Ok(Voice::pipe(Arc::new(wire)))
}

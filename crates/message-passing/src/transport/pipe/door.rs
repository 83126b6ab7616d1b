//! The FIFO at which a listening process hears who knocks.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use wharf_sys::directory::{FifoListenerFd, VisitorFifos, remove_dead_fifos};
use wharf_sys::socket::{self, Credentials};

use super::knock::{Heard, KNOCK, Next};
use super::wire::PipeWire;
use crate::error::ConnectError;
use crate::options::Options;
use crate::peer::Origin;
use crate::voice::Voice;

/// See the top of the file.
pub(crate) struct PipeDoor {
    fifo: FifoListenerFd,
    heard: Heard,
}

/// Who stands at the door.
pub(crate) enum Knocking {
    /// A peer whose pair of FIFOs is open.
    Peer(Voice, Origin),
    /// Nobody: what was left there leads to no peer.
    Nonsense(Origin, ConnectError),
    /// Nobody is there now.
    Nobody,
}

impl PipeDoor {
    pub(crate) fn new(fifo: FifoListenerFd) -> Self {
        remove_dead_fifos(fifo.domain());
        Self { fifo, heard: Heard::default() }
    }

    /// The FIFO, to wait at.
    pub(crate) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fifo.fd()
    }

    /// Hears one knock, if somebody has knocked. What was not read yet shows at the FIFO.
    pub(crate) fn take(&mut self, options: &Options) -> io::Result<Knocking> {
        // Two rounds for a whole knock, or one more for each piece of nonsense, of which the first ends it.
        loop {
            match self.heard.next() {
                Next::Pair(id) => {
                    let found = self.open(&id, options)?;
                    if matches!(found, Knocking::Peer(..)) {
                        self.heard.accept();
                    } else {
                        self.heard.reject();
                    }
                    return Ok(found);
                }
                Next::Nonsense(what) => return Ok(Knocking::Nonsense(somebody(), ConnectError::Protocol(what))),
                Next::More(missing) => {
                    let mut bytes = [0; KNOCK];
                    let place = bytes.get_mut(..missing).unwrap_or_default();
                    match self.fifo.read(place) {
                        Ok(read) => self.heard.add(place.get(..read).unwrap_or_default()),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(match self.heard.give_up() {
                                Some(what) => Knocking::Nonsense(somebody(), ConnectError::Protocol(what)),
                                None => Knocking::Nobody,
                            });
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    fn open(&self, id: &[u8; 16], options: &Options) -> io::Result<Knocking> {
        let VisitorFifos { ends, uid, gid } = match VisitorFifos::open(self.fifo.domain(), id) {
            Ok(visitor) => visitor,
            Err(error) => {
                let gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
                let why = match error.kind() {
                    _ if gone => ConnectError::Protocol("it knocked and was gone before it was heard".to_owned()),
                    io::ErrorKind::InvalidData => ConnectError::Protocol(format!("its FIFOs are of no use: {error}")),
                    _ => return Err(error),
                };
                return Ok(Knocking::Nonsense(somebody(), why));
            }
        };
        let wire = PipeWire::new(ends, options.capacity_bytes())?;
        // A pipe tells whose it is, and not which process made it.
        Ok(Knocking::Peer(Voice::pipe(Arc::new(wire)), Origin::Local(Credentials { pid: 0, uid, gid })))
    }
}

/// Whoever may write into the FIFO: this user.
fn somebody() -> Origin {
    Origin::Local(Credentials { pid: 0, uid: socket::my_uid(), gid: socket::my_gid() })
}

//! A TLS session as a wire. It encrypts all that it takes; what the connection has no room for it keeps, and takes nothing
//! more until that is gone.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use super::fault;
use crate::transport::stream::{Patience, Wire};
use crate::transport::tcp::TcpWire;

/// Encrypted bytes read at once: a little more than one record of 16 KiB, and two at most.
const BUFFER: usize = 32 << 10;

/// The same before the handshake is done: many may be at that, and most of them may be nobody.
const SMALL_BUFFER: usize = 4 << 10;

/// The most bytes of a handshake that are taken from the other side, since some of them are kept until it is done: several
/// certificates.
const MOST_OF_A_HANDSHAKE: usize = 32 << 10;

/// The most bytes that one look takes without finding any in them: tickets, of which a server may send any number, and whoever
/// does not wait is not to read them as long as they come. What is left shows at the descriptor.
const MOST_IN_VAIN: usize = 256 << 10;

/// See [`Wire`].
pub(super) struct TlsWire {
    tcp: TcpWire,
    /// Both directions encrypt and decrypt here, one after the other, and neither waits for the network meanwhile.
    session: Mutex<Connection>,
    /// Encrypted bytes of what was written last that the session keeps. Whoever holds the session changes it.
    kept: AtomicUsize,
    incoming: Mutex<Encrypted>,
}

/// What came and was not decrypted yet. Whoever reads holds it.
struct Encrypted {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes that are decrypted and were not asked for yet.
    decrypted: usize,
    /// Bytes that came before the handshake was done.
    of_handshake: usize,
    ended: bool,
    /// Why nothing that comes after what was decrypted can be.
    broken: Option<String>,
}

impl TlsWire {
    pub(super) fn new(tcp: TcpWire, mut session: Connection) -> Self {
        // Bounded by what one call is given: nothing is taken while anything is kept.
        session.set_buffer_limit(None);
        let buffer = vec![0; SMALL_BUFFER].into_boxed_slice();
        let incoming =
            Encrypted { buffer, start: 0, end: 0, decrypted: 0, of_handshake: 0, ended: false, broken: None };
        Self { tcp, session: Mutex::new(session), kept: AtomicUsize::new(0), incoming: Mutex::new(incoming) }
    }

    fn session(&self) -> MutexGuard<'_, Connection> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Encrypted> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends on what is encrypted; `false` when some of it is left.
    fn send_on(&self, session: &mut Connection) -> io::Result<bool> {
        // Every round sends some of what is kept.
        while session.wants_write() {
            match session.write_tls(&mut Outlet(&self.tcp)) {
                Ok(0) => return Ok(false),
                // Relaxed, as everywhere: the session's lock orders it, and whoever asks without that has asked too early at worst.
                Ok(sent) => self.kept.store(self.kept.load(Ordering::Relaxed).saturating_sub(sent), Ordering::Relaxed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.kept.store(0, Ordering::Relaxed);
        Ok(true)
    }
}

impl Wire for TlsWire {
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session();
        if !self.send_on(&mut session)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = session.writer().write_vectored(parts).map_err(said)?;
        // What is left of it goes with the next flush, and nothing stands behind it yet.
        if !self.send_on(&mut session)? {
            let left = session.process_new_packets().map_or(usize::MAX, |state| state.tls_bytes_to_write());
            self.kept.store(left, Ordering::Relaxed);
        }
        Ok(taken)
    }

    fn in_one(&self) -> usize {
        self.tcp.in_one()
    }

    fn widen(&self, wide: bool) {
        self.tcp.widen(wide);
    }

    fn flush(&self) -> io::Result<bool> {
        self.send_on(&mut self.session())
    }

    fn keeps_back(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > 0
    }

    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        let mut incoming = self.incoming();
        let room: usize = parts.iter().map(|part| part.len()).sum();
        let (mut filled, mut in_vain) = (0, 0);
        // Every round decrypts something, or reads more of it; it ends when something is there, or nothing comes, and without
        // patience also when there was nothing in what came.
        loop {
            let mut session = self.session();
            while incoming.decrypted > 0 && filled < room {
                let taken = match take_into(&mut session, parts, filled) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    taken => taken?,
                };
                filled += taken;
                incoming.decrypted = if taken == 0 { 0 } else { incoming.decrypted.saturating_sub(taken) };
            }
            if filled == room {
                return Ok(filled);
            }
            if let Some(why) = &incoming.broken {
                let ended = || io::Error::new(io::ErrorKind::InvalidData, why.clone());
                return if filled > 0 { Ok(filled) } else { Err(ended()) };
            }
            if incoming.start < incoming.end || incoming.ended {
                if let Err(error) = decrypt(&mut session, &mut incoming) {
                    // The other side is told why, if it still listens. What was decrypted before is given first: how much
                    // that is the session does not say any more, but it says when there is nothing left.
                    let _told = self.send_on(&mut session);
                    incoming.broken = Some(error.to_string());
                    incoming.decrypted = usize::MAX;
                    continue;
                }
                // Answers of the session itself.
                let _later = self.send_on(&mut session);
                if incoming.decrypted == 0 && incoming.start == incoming.end {
                    if filled > 0 {
                        return Ok(filled);
                    }
                    // Says whether this is an end, and of which kind.
                    match session.reader().read(&mut [0]) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        outcome => return outcome.map(|_| 0),
                    }
                }
                continue;
            }
            if filled > 0 {
                return Ok(filled);
            }
            let handshaking = session.is_handshaking();
            drop(session);
            let Encrypted { buffer, start, end, of_handshake, ended, .. } = &mut *incoming;
            if handshaking && *of_handshake >= MOST_OF_A_HANDSHAKE {
                let what = format!("the other side's handshake has more than {MOST_OF_A_HANDSHAKE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if !handshaking && buffer.len() < BUFFER {
                *buffer = vec![0; BUFFER].into_boxed_slice();
            }
            if in_vain >= MOST_IN_VAIN && patience == Patience::Now {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let read = self.tcp.read(&mut [IoSliceMut::new(buffer)], patience)?;
            in_vain += read;
            (*start, *end, *ended) = (0, read, read == 0);
            *of_handshake += if handshaking { read } else { 0 };
        }
    }

    fn holds(&self) -> bool {
        let incoming = self.incoming();
        incoming.decrypted > 0 || incoming.start < incoming.end || incoming.broken.is_some()
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.tcp.inlet()
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.tcp.outlet()
    }

    fn is_ours(&self) -> bool {
        self.tcp.is_ours()
    }

    fn end(&self) {
        let mut session = self.session();
        session.send_close_notify();
        self.tcp.widen(true);
        // What finds no room is lost, and the peer takes this for a death.
        let _said = self.send_on(&mut session);
        self.tcp.end();
    }
}

/// Decrypts some of what came.
fn decrypt(session: &mut Connection, incoming: &mut Encrypted) -> io::Result<()> {
    let Encrypted { buffer, start, end, decrypted, .. } = incoming;
    let mut rest = buffer.get(*start..*end).unwrap_or(&[]);
    *start += session.read_tls(&mut rest)?;
    let state = session
        .process_new_packets()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, fault::sentence(&error)))?;
    *decrypted = state.plaintext_bytes_to_read();
    Ok(())
}

/// Takes what is decrypted, as much as there is room for behind the first `filled` bytes.
fn take_into(session: &mut Connection, parts: &mut [IoSliceMut<'_>], filled: usize) -> io::Result<usize> {
    let mut before = filled;
    for part in parts {
        if before >= part.len() {
            before -= part.len();
            continue;
        }
        return session.reader().read(part.get_mut(before..).unwrap_or(&mut []));
    }
    Ok(0)
}

/// An error of the session, told in its own words.
fn said(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => io::Error::new(io::ErrorKind::InvalidData, fault::sentence(inner)),
        None => error,
    }
}

/// Where encrypted bytes go.
struct Outlet<'a>(&'a TcpWire);

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

//! Two FIFOs between two processes, with an eight-byte header as streams have one: one `writev` and one `readv` for each message,
//! or the system calls that a `pipe:` link makes, which reads ahead.
#![allow(unsafe_code)]

use crate::by_hand::ahead::Framed;
use crate::contender::{Contender, End, Home, failed, foreign};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const HEADER: usize = 8;

/// The FIFOs by hand, both sides blocking in the kernel.
pub struct Fifos {
    name: &'static str,
    ahead: bool,
}

impl Fifos {
    /// Each message is read by a call of its own.
    pub fn one_by_one(name: &'static str) -> Fifos {
        Fifos { name, ahead: false }
    }

    /// What has come is read at once.
    pub fn reading_ahead(name: &'static str) -> Fifos {
        Fifos { name, ahead: true }
    }

    fn end(&self, to: File, from: File) -> FifoEnd {
        FifoEnd { to, from, framed: self.ahead.then(Framed::default) }
    }
}

/// Both FIFOs, from the side that listens.
pub struct FifoDoor {
    up: PathBuf,
    down: PathBuf,
}

/// One side.
pub struct FifoEnd {
    to: File,
    from: File,
    /// Where it reads ahead.
    framed: Option<Framed>,
}

fn make(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(foreign)?;
    // SAFETY: the name is a live C string.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn place(at: &Path) -> FifoDoor {
    FifoDoor { up: at.join("up"), down: at.join("down") }
}

impl Drop for FifoDoor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.up);
        let _ = std::fs::remove_file(&self.down);
    }
}

impl End for FifoEnd {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(framed) = &mut self.framed {
            return framed.send(&self.to, message);
        }
        let header = (message.len() as u64).to_le_bytes();
        let mut parts = [IoSlice::new(&header), IoSlice::new(message)];
        let mut rest = &mut parts[..];
        // Ends with the last byte; a blocking write is cut by signals only.
        while !rest.is_empty() {
            let written = self.to.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(framed) = &mut self.framed {
            return framed.recv(&self.from, into);
        }
        let mut header = [0; HEADER];
        let mut done = self.from.read_vectored(&mut [IoSliceMut::new(&mut header), IoSliceMut::new(into)])?;
        // Ends with the last byte of the message, or with the stream.
        loop {
            if done < HEADER {
                return Err(failed(format!("the stream ended after {done} bytes of a header")));
            }
            let len = u64::from_le_bytes(header) as usize;
            let missing = match len + HEADER {
                whole if whole == done => return Ok(len),
                whole if whole > done => into.get_mut(done - HEADER..len),
                _ => None,
            };
            let Some(missing) = missing else { return Err(failed(format!("{done} bytes for a message of {len}"))) };
            match self.from.read(missing)? {
                0 => return Err(failed("the stream ended within a message")),
                read => done += read,
            }
        }
    }
}

impl Contender for Fifos {
    type Door = FifoDoor;
    type End = FifoEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<FifoDoor> {
        let door = place(at);
        make(&door.up)?;
        make(&door.down)?;
        Ok(door)
    }

    /// Opening waits for the other side.
    fn accept(&self, door: &mut FifoDoor) -> io::Result<FifoEnd> {
        let from = File::open(&door.up)?;
        let to = OpenOptions::new().write(true).open(&door.down)?;
        Ok(self.end(to, from))
    }

    fn connect(&self, at: &Path) -> io::Result<FifoEnd> {
        let door = std::mem::ManuallyDrop::new(place(at));
        let to = OpenOptions::new().write(true).open(&door.up)?;
        let from = File::open(&door.down)?;
        Ok(self.end(to, from))
    }
}

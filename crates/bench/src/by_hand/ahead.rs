//! Framed messages over a stream with few system calls: one write for each, one read for many small ones or each large one.

use crate::contender::failed;
use crate::place::Place;
use std::io::{self, IoSlice, Read, Write};

/// Bytes of a header: the length of the payload.
const HEADER: usize = 8;

/// Bytes read ahead.
const BUFFER: usize = 32 << 10;

/// From this length on a payload is read straight into its place.
const LARGE: usize = BUFFER / 2;

/// Up to this length a payload is copied behind its header.
const SMALL: usize = 4096;

/// What both directions of one side need beside the stream.
pub struct Framed {
    frame: Vec<u8>,
    ahead: Place,
    start: usize,
    end: usize,
    large: bool,
}

impl Default for Framed {
    fn default() -> Framed {
        Framed { frame: Vec::with_capacity(HEADER + SMALL), ahead: Place::new(BUFFER), start: 0, end: 0, large: false }
    }
}

impl Framed {
    /// Sends one message.
    pub fn send(&mut self, mut stream: impl Write, payload: &[u8]) -> io::Result<()> {
        let header = (payload.len() as u64).to_le_bytes();
        if payload.len() <= SMALL {
            self.frame.clear();
            self.frame.extend_from_slice(&header);
            self.frame.extend_from_slice(payload);
            return stream.write_all(&self.frame);
        }
        let sent = stream.write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)])?;
        // The kernel waits until it has taken everything, unless it is interrupted.
        match sent.checked_sub(HEADER) {
            Some(sent) => stream.write_all(&payload[sent..]),
            None => Err(failed("a header was sent in part")),
        }
    }

    /// Receives one message; how many bytes it has.
    pub fn recv(&mut self, mut stream: impl Read, into: &mut [u8]) -> io::Result<usize> {
        let len = self.header(&mut stream)?;
        let Some(into) = into.get_mut(..len) else {
            return Err(failed(format!("a message of {len} bytes is larger than expected")));
        };
        let ready = len.min(self.end - self.start);
        let (front, rest) = into.split_at_mut(ready);
        front.copy_from_slice(&self.ahead[self.start..self.start + ready]);
        self.start += ready;
        stream.read_exact(rest)?;
        self.large = len >= LARGE;
        Ok(len)
    }

    /// Reads ahead until a whole header is there.
    fn header(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        while self.end - self.start < HEADER {
            self.ahead.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let until = if self.large { HEADER } else { BUFFER };
            match stream.read(&mut self.ahead[self.end..until])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.end += read,
            }
        }
        let mut header = [0; HEADER];
        header.copy_from_slice(&self.ahead[self.start..self.start + HEADER]);
        self.start += HEADER;
        Ok(u64::from_le_bytes(header) as usize)
    }
}

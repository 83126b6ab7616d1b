//! The buffer in which messages are put together that cannot be read in place: copies and messages in parts.

use super::Corrupt;
use super::frame::Kind;
use super::ring::Ring;

/// A buffer up to this size is kept whatever comes.
const KEPT_BYTES: usize = 1 << 20;

/// A growing message and what is still to come of it. The buffer is kept from message to message, so that a steady
/// stream allocates nothing.
#[derive(Debug)]
pub(crate) struct Assembly {
    buffer: Vec<u8>,
    /// Total length of the message whose parts are coming; `None` between messages.
    total: Option<u64>,
    max_message: u64,
}

impl Assembly {
    pub(crate) fn new(max_message: u64) -> Assembly {
        Assembly { buffer: Vec::new(), total: None, max_message }
    }

    pub(crate) fn message(&self) -> &[u8] {
        &self.buffer
    }

    /// Forgets an unfinished message.
    pub(crate) fn drop_parts(&mut self) {
        if self.total.take().is_some() {
            self.buffer.clear();
        }
    }

    /// Whether parts of an unfinished message are held.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.total.is_some()
    }

    /// Empties the buffer for a message that begins with `len` bytes. Memory that only a much larger message needed is
    /// given back.
    fn clear_for(&mut self, len: u64) {
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BYTES && (self.buffer.capacity() as u64) / 4 > len {
            self.buffer = Vec::new();
        }
    }

    /// Copies a message that came in one frame. `false`: no memory for it, or it does not lie inside the ring.
    pub(crate) fn whole(&mut self, ring: &impl Ring, position: u64, len: u64) -> bool {
        self.clear_for(len);
        self.buffer.try_reserve(len as usize).is_ok() && ring.append_to(position, 0, len, &mut self.buffer)
    }

    /// Takes a part; `Ok(true)` when the message is complete.
    ///
    /// Memory grows with what has arrived, not with what was promised: a total costs its sender the bytes.
    pub(crate) fn part(&mut self, ring: &impl Ring, position: u64, kind: Kind, len: u64) -> Result<bool, Corrupt> {
        let skip = if kind == Kind::First { 8 } else { 0 };
        if len <= skip {
            return Err(Corrupt::Part { have: 0, got: len, total: self.total.unwrap_or(0) });
        }
        if kind == Kind::First {
            // A writer that gives a message up says so (abort); one that begins anew without a word could do so for ever.
            if let Some(total) = self.total {
                return Err(Corrupt::Part { have: self.buffer.len() as u64, got: len, total });
            }
            self.clear_for(len);
            let total = read_total(ring, position).ok_or(Corrupt::Memory { len })?;
            if total > self.max_message {
                return Err(Corrupt::Limit { len: total, limit: self.max_message });
            }
            self.total = Some(total);
        }
        let Some(total) = self.total else {
            return Err(Corrupt::Part { have: 0, got: len, total: 0 });
        };
        let (have, got) = (self.buffer.len() as u64, len - skip);
        let complete = have + got == total;
        if have + got > total || complete != (kind == Kind::Last) {
            return Err(Corrupt::Part { have, got, total });
        }
        if self.buffer.try_reserve(got as usize).is_err() || !ring.append_to(position, skip, len, &mut self.buffer) {
            return Err(Corrupt::Memory { len: got });
        }
        if complete {
            self.total = None;
        }
        Ok(complete)
    }
}

/// The total length that stands in front of a first part. Copied once; the copy is what is checked and used.
fn read_total(ring: &impl Ring, position: u64) -> Option<u64> {
    let mut prefix = Vec::with_capacity(8);
    if !ring.append_to(position, 0, 8, &mut prefix) {
        return None;
    }
    prefix.as_slice().try_into().ok().map(u64::from_le_bytes)
}

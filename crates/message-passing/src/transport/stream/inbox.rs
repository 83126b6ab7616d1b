//! Messages that the sender of a side has read for its receiver, one behind the other as they came.

use std::collections::VecDeque;

use super::reader::Stored;
use crate::aligned::{AlignedBytes, NoMemory};

/// Bytes in front of each message: its length, and whether its sender wants to know when it is taken.
const LEAD: usize = 5;

/// See the top of the file. It takes about as much memory as its messages took on their way.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: VecDeque<u8>,
}

impl Inbox {
    pub(super) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds a message.
    pub(super) fn keep(&mut self, message: &AlignedBytes, stored: Stored) {
        // The link's limit fits 32 bits.
        self.bytes.extend(u32::try_from(stored.len).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.push_back(u8::from(stored.ask));
        self.bytes.extend(message.get(stored.range()));
    }

    /// Takes the first message out, into `out`; without memory for it, it stays.
    pub(super) fn take(&mut self, out: &mut AlignedBytes) -> Option<Result<Stored, NoMemory>> {
        if self.bytes.is_empty() {
            return None;
        }
        let lead: [u8; LEAD] = std::array::from_fn(|at| self.bytes.get(at).copied().unwrap_or(0));
        let [a, b, c, d, ask] = lead;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let stored = Stored::alone(len, ask == 1);
        if let Err(no_memory) = out.grow(stored.range().end, 0) {
            return Some(Err(no_memory));
        }
        self.bytes.drain(..LEAD);
        let (front, back) = self.bytes.as_slices();
        let cut = len.min(front.len());
        if let (Some(front), Some(back)) = (front.get(..cut), back.get(..len - cut)) {
            let (first, rest) = out.get_mut(stored.range()).split_at_mut(cut);
            first.copy_from_slice(front);
            rest.copy_from_slice(back);
        }
        self.bytes.drain(..len);
        if self.bytes.is_empty() {
            // It is needed seldom: its memory goes back.
            self.bytes = VecDeque::new();
        }
        Some(Ok(stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::stream::reader::PAYLOAD;

    #[test]
    fn what_is_kept_comes_out_in_order() {
        let mut inbox = Inbox::default();
        let mut out = AlignedBytes::empty(PAYLOAD);
        assert!(inbox.take(&mut out).is_none());
        let mut expected = VecDeque::new();
        // Kept and taken by turns, so that the bytes wrap around.
        for number in 0..500_usize {
            for number in [number, number + 1000] {
                let stored = Stored::alone(number * 7 % 300, number % 3 == 0);
                let mut message = AlignedBytes::zeroed(PAYLOAD, PAYLOAD + 300).unwrap();
                message.get_mut(..).fill(number as u8);
                inbox.keep(&message, stored);
                expected.push_back((stored, number as u8));
            }
            let (stored, fill) = expected.pop_front().unwrap();
            assert_eq!(inbox.take(&mut out), Some(Ok(stored)));
            assert!(out.get(stored.range()).iter().all(|byte| *byte == fill));
        }
        for (stored, fill) in expected {
            assert_eq!(inbox.take(&mut out), Some(Ok(stored)));
            assert!(out.get(stored.range()).iter().all(|byte| *byte == fill));
        }
        assert!(inbox.is_empty() && inbox.take(&mut out).is_none());
    }
}

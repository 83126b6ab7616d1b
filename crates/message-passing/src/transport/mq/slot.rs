//! What lies in a slot of a queue: a message and nothing else, unless its sender wants to know when it is taken.
//!
//! Slots are larger than the largest message by a trailer. A message that is to be acknowledged fills its slot:
//!
//! ```text
//!   0  message, zeroes, up to 8 bytes before the end of the slot
//!      length of the message   u32
//!      number of the asking    u32, never 0
//! ```
//!
//! So every other message can be sent from where it lies, without a header that would have to be copied in front of it.
//! All integers are little-endian.

/// Bytes of the trailer.
pub(super) const TRAILER: usize = 8;

/// The priority of the system that says that nothing more comes; messages have those above it.
pub(super) const CLOSE: u32 = 0;

/// The highest priority of a message.
pub(super) const HIGHEST: u16 = 32_766;

/// The priority of the system with which a message of this priority travels.
#[inline]
pub(super) fn system_priority(priority: u16) -> u32 {
    u32::from(priority) + CLOSE + 1
}

/// The priority of a message that travelled with this one of the system, which is above [`CLOSE`].
#[inline]
pub(super) fn message_priority(system: u32) -> u16 {
    u16::try_from(system.saturating_sub(CLOSE + 1)).unwrap_or(HIGHEST)
}

/// What came in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Bytes of the message, from the beginning of the slot.
    pub(super) len: usize,
    /// The number of the asking; 0 when nobody asks.
    pub(super) asks: u32,
}

/// Fills a slot with a message that asks; `false` when it does not fit.
pub(super) fn fill(slot: &mut [u8], message: &[u8], asks: u32) -> bool {
    let Some((room, trailer)) = slot.split_last_chunk_mut::<TRAILER>() else { return false };
    let (Some(place), Ok(len)) = (room.get_mut(..message.len()), u32::try_from(message.len())) else { return false };
    place.copy_from_slice(message);
    // What earlier messages left in the slot is nobody else's business.
    room.get_mut(message.len()..).unwrap_or_default().fill(0);
    let [a, b, c, d] = len.to_le_bytes();
    let [e, f, g, h] = asks.to_le_bytes();
    *trailer = [a, b, c, d, e, f, g, h];
    true
}

/// Reads a slot of `slot_bytes` of which `came` is what came, on a link for messages of at most `limit` bytes.
#[inline]
pub(super) fn read(came: &[u8], slot_bytes: usize, limit: usize) -> Result<Content, String> {
    if came.len() < slot_bytes && came.len() <= limit {
        return Ok(Content { len: came.len(), asks: 0 });
    }
    match came.split_last_chunk::<TRAILER>() {
        Some((room, &[a, b, c, d, e, f, g, h])) if came.len() == slot_bytes => {
            let len = u32::from_le_bytes([a, b, c, d]) as usize;
            let asks = u32::from_le_bytes([e, f, g, h]);
            if len > limit || len > room.len() || asks == 0 {
                return Err(format!(
                    "a message that asks says {len} bytes and number {asks}, expected at most {} bytes and a number",
                    limit.min(room.len())
                ));
            }
            Ok(Content { len, asks })
        }
        _ => Err(format!("a message of {} bytes, the limit of this link is {limit}", came.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_is_read() {
        for (message, asks) in [(&b""[..], 1), (b"abc", 7), (b"12345678", u32::MAX)] {
            let mut slot = [0xff; 16];
            assert!(fill(&mut slot, message, asks));
            let content = read(&slot, 16, 8).unwrap();
            assert_eq!(content, Content { len: message.len(), asks });
            assert_eq!(&slot[..content.len], message);
            assert!(slot[content.len..8].iter().all(|it| *it == 0));
        }
        assert!(!fill(&mut [0; 16], b"123456789", 1));
        assert!(!fill(&mut [0; 7], b"", 1));
    }

    #[test]
    fn a_plain_message_is_its_own_length() {
        for len in 0..=8 {
            assert_eq!(read(&[0; 16][..len], 16, 8), Ok(Content { len, asks: 0 }));
        }
        // The peer's slots may be larger than what both sides agreed on.
        for len in 9..16 {
            assert!(read(&[1; 16][..len], 16, 8).is_err(), "{len}");
        }
    }

    #[test]
    fn trailers_that_lie_are_refused() {
        let slot = |len: u32, asks: u32| {
            let mut slot = vec![0; 8];
            slot.extend(len.to_le_bytes());
            slot.extend(asks.to_le_bytes());
            slot
        };
        assert!(read(&slot(8, 1), 16, 8).is_ok());
        for (len, asks, limit) in [(9, 1, 8), (9, 1, 100), (u32::MAX, 1, 8), (8, 0, 8), (5, 1, 4)] {
            assert!(read(&slot(len, asks), 16, limit).is_err(), "{len} {asks} {limit}");
        }
    }

    #[test]
    fn the_end_has_a_priority_of_its_own_below_all_messages() {
        assert_eq!((system_priority(0), system_priority(HIGHEST)), (1, 32_767));
        for priority in [0, 1, 77, HIGHEST] {
            assert_eq!(message_priority(system_priority(priority)), priority);
        }
    }
}

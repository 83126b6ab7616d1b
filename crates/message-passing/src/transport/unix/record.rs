//! The 8-byte header of every record of a `unix:` link (docs/wire.md).
//!
//! It looks like the header of a stream's frame (`stream::frame`) and is not the same: a record ends by itself, so its length is
//! checked against what came, and a first fragment brings payload; here descriptors are announced and acknowledgements go
//! past the queue, there they go among the frames. The numbers of the kinds differ for the same reason.

use crate::attachment::MAX_ATTACHMENTS;

/// Bytes of a header.
pub(super) const HEADER: usize = 8;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole message.
    Whole,
    /// The first fragment of a message.
    First,
    /// A further fragment.
    More,
    /// The sender sends no more.
    Close,
    /// The fragments so far, or the announced descriptors, are void.
    Void,
    /// The next record, which begins a message, brings descriptors.
    Carries,
}

/// A header that makes sense by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: u32,
    pub(super) kind: Kind,
    pub(super) ask: bool,
}

impl Header {
    /// The header's bytes.
    #[inline]
    pub(super) fn bytes(self) -> [u8; HEADER] {
        let kind = match self.kind {
            Kind::Whole => 1,
            Kind::First => 2,
            Kind::More => 3,
            Kind::Close => 4,
            Kind::Void => 5,
            Kind::Carries => 6,
        };
        let [a, b, c, d] = self.len.to_le_bytes();
        [a, b, c, d, kind, u8::from(self.ask), 0, 0]
    }

    /// Reads the header of a record with `payload` bytes behind it, and checks that the two agree.
    #[inline]
    pub(super) fn read(header: [u8; HEADER], payload: usize) -> Result<Self, String> {
        let [a, b, c, d, kind, ask, zero, another] = header;
        let len = u32::from_le_bytes([a, b, c, d]);
        let kind = match kind {
            1 => Kind::Whole,
            2 => Kind::First,
            3 => Kind::More,
            4 => Kind::Close,
            5 => Kind::Void,
            6 => Kind::Carries,
            other => return Err(format!("a record is of kind {other}, which does not exist")),
        };
        let may_ask = matches!(kind, Kind::Whole | Kind::First);
        if ask > u8::from(may_ask) || zero != 0 || another != 0 {
            return Err(format!("a record's header has bits set that mean nothing ({ask}, {zero}, {another})"));
        }
        let fits = match kind {
            Kind::Whole => len as usize == payload,
            Kind::First => payload > 0 && len as usize > payload,
            Kind::More => payload > 0 && len as usize == payload,
            Kind::Close | Kind::Void => len == 0 && payload == 0,
            Kind::Carries => (1..=MAX_ATTACHMENTS).contains(&(len as usize)) && payload == 0,
        };
        if !fits {
            return Err(format!("a record of kind {kind:?} says {len} bytes and carries {payload}"));
        }
        Ok(Self { len, kind, ask: ask == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (kind, len, payload, ask) in [
            (Kind::Whole, 0, 0, true),
            (Kind::Whole, 9, 9, false),
            (Kind::First, 10, 9, true),
            (Kind::More, 1, 1, false),
            (Kind::Close, 0, 0, false),
            (Kind::Void, 0, 0, false),
            (Kind::Carries, 16, 0, false),
        ] {
            let header = Header { len, kind, ask };
            assert_eq!(Header::read(header.bytes(), payload), Ok(header));
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for (kind, len, payload, ask) in [
            (Kind::Whole, 9, 8, false),
            (Kind::First, 9, 9, false),
            (Kind::First, 9, 0, false),
            (Kind::More, 0, 0, false),
            (Kind::More, 1, 1, true),
            (Kind::Close, 0, 1, false),
            (Kind::Void, 1, 0, false),
            (Kind::Carries, 0, 0, false),
            (Kind::Carries, 17, 0, false),
            (Kind::Carries, 1, 1, false),
            (Kind::Carries, 1, 0, true),
        ] {
            assert!(Header::read(Header { len, kind, ask }.bytes(), payload).is_err(), "{kind:?} {len} {payload}");
        }
        for bytes in
            [[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 7, 0, 0, 0], [0, 0, 0, 0, 1, 2, 0, 0], [0, 0, 0, 0, 1, 0, 0, 1]]
        {
            assert!(Header::read(bytes, 0).is_err(), "{bytes:?}");
        }
    }
}

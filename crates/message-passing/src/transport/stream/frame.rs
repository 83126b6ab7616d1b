//! The 8-byte header of every frame of a stream (docs/wire.md).
//!
//! It looks like the header of a `unix:` record (`unix::record`) and is not the same: nothing but this length says where a frame
//! ends, a first fragment is announced by a frame of its own, and acknowledgements, which have a length of their own, go among
//! the frames; there is no frame for descriptors. The numbers of the kinds differ for the same reason.

/// Bytes of a header.
pub(crate) const HEADER: usize = 8;

/// Bytes of the frames that tell a count: header and count.
pub(super) const WORD: usize = 16;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole message.
    Whole,
    /// A message begins that comes in fragments; the length is that of the message, and nothing follows the header.
    First,
    /// A fragment.
    More,
    /// The sender sends no more.
    Close,
    /// The fragments so far are void.
    Void,
    /// The receiver has taken so many messages, and was asked to say so.
    Taken,
    /// The receiver has taken so many messages and receives no more.
    ReceiverClosed,
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
            Kind::Taken => 6,
            Kind::ReceiverClosed => 7,
        };
        let [a, b, c, d] = self.len.to_le_bytes();
        [a, b, c, d, kind, u8::from(self.ask), 0, 0]
    }

    /// Reads a header and checks that it makes sense by itself.
    #[inline]
    pub(super) fn read(header: [u8; HEADER]) -> Result<Self, String> {
        let [a, b, c, d, kind, ask, zero, another] = header;
        let len = u32::from_le_bytes([a, b, c, d]);
        let kind = match kind {
            1 => Kind::Whole,
            2 => Kind::First,
            3 => Kind::More,
            4 => Kind::Close,
            5 => Kind::Void,
            6 => Kind::Taken,
            7 => Kind::ReceiverClosed,
            other => return Err(format!("a frame is of kind {other}, which does not exist")),
        };
        let may_ask = matches!(kind, Kind::Whole | Kind::First);
        if ask > u8::from(may_ask) || zero != 0 || another != 0 {
            return Err(format!("a frame's header has bits set that mean nothing ({ask}, {zero}, {another})"));
        }
        let fits = match kind {
            Kind::Whole => true,
            Kind::First | Kind::More => len > 0,
            Kind::Close | Kind::Void => len == 0,
            Kind::Taken | Kind::ReceiverClosed => len as usize == WORD - HEADER,
        };
        if !fits {
            return Err(format!("a frame of kind {kind:?} says {len} bytes"));
        }
        Ok(Self { len, kind, ask: ask == 1 })
    }
}

/// A whole frame that tells a count.
pub(super) fn word(kind: Kind, count: u64) -> [u8; WORD] {
    let [a, b, c, d, e, f, g, h] = Header { len: 8, kind, ask: false }.bytes();
    let [i, j, k, l, m, n, o, p] = count.to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (kind, len, ask) in [
            (Kind::Whole, 0, true),
            (Kind::Whole, 9, false),
            (Kind::First, 10, true),
            (Kind::More, 1, false),
            (Kind::Close, 0, false),
            (Kind::Void, 0, false),
            (Kind::Taken, 8, false),
            (Kind::ReceiverClosed, 8, false),
        ] {
            let header = Header { len, kind, ask };
            assert_eq!(Header::read(header.bytes()), Ok(header));
        }
        assert_eq!(word(Kind::Taken, 258), [8, 0, 0, 0, 6, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for (kind, len, ask) in [
            (Kind::First, 0, false),
            (Kind::More, 0, false),
            (Kind::More, 1, true),
            (Kind::Close, 1, false),
            (Kind::Void, 1, false),
            (Kind::Taken, 0, false),
            (Kind::Taken, 9, false),
            (Kind::ReceiverClosed, 8, true),
        ] {
            assert!(Header::read(Header { len, kind, ask }.bytes()).is_err(), "{kind:?} {len}");
        }
        for bytes in
            [[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 8, 0, 0, 0], [0, 0, 0, 0, 1, 2, 0, 0], [0, 0, 0, 0, 1, 0, 0, 1]]
        {
            assert!(Header::read(bytes).is_err(), "{bytes:?}");
        }
    }
}

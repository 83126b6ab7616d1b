//! A pin: the place of a frame in one word, which a reader writes on its page and the writer then leaves alone.

/// The ring and the position of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) ring: usize,
    pub(crate) position: u64,
}

impl Pin {
    /// The word that pins nothing.
    pub(crate) const NONE: u64 = 0;

    /// Positions are multiples of eight, so the low bits are free to say the ring, and that this is a pin at all.
    #[inline(always)]
    pub(crate) const fn pack(self) -> u64 {
        self.position | (1 + (self.ring as u64 & 1))
    }

    /// Takes apart a word that another process wrote: `Ok(None)` pins nothing, `Err` is what nobody writes.
    pub(crate) const fn unpack(word: u64) -> Result<Option<Pin>, u64> {
        let position = word & !7;
        match word & 7 {
            0 if word == Pin::NONE => Ok(None),
            1 => Ok(Some(Pin { ring: 0, position })),
            2 => Ok(Some(Pin { ring: 1, position })),
            _ => Err(word),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_one_word_and_never_the_empty_one() {
        for ring in [0, 1] {
            for position in [0, 8, 1 << 40] {
                let pin = Pin { ring, position };
                assert_ne!(pin.pack(), Pin::NONE);
                assert_eq!(Pin::unpack(pin.pack()), Ok(Some(pin)));
            }
        }
        assert_eq!(Pin::unpack(0), Ok(None));
        for word in [8, 3, 7, u64::MAX] {
            assert_eq!(Pin::unpack(word), Err(word));
        }
    }
}

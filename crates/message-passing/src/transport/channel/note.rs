//! The note on an end of a channel: what its maker says of it to whoever uses it, wherever it went (docs/wire.md).
//!
//! Pure translation: it waits as the first record in the end's own socket, so an end travels as one descriptor.

use crate::handshake::{self, Introduction, Payload, Record, Role, Terms};
use crate::options::{Policy, Trust, Wait};

/// The version of the note.
const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"WHARFEND";

/// Bytes of the note's own part; the maker's terms follow, written as a hello.
const HEAD: usize = 16;

/// The longest note.
pub(crate) const MAX_NOTE: usize = HEAD + handshake::MAX_RECORD;

/// Which end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Sender,
    Receiver,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Sender => "sender",
            Part::Receiver => "receiver",
        }
    }
}

/// See the top of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) part: Part,
    pub(crate) trust: Trust,
    pub(crate) wait: Wait,
    pub(crate) policy: Policy,
    /// Without what is a matter of the process that uses the end: flags and processor.
    pub(crate) terms: Terms,
}

impl Note {
    pub(crate) fn write(&self) -> Vec<u8> {
        let part = match self.part {
            Part::Sender => 1,
            Part::Receiver => 2,
        };
        let trust = match self.trust {
            Trust::Auto => 0,
            Trust::Cooperating => 1,
            Trust::Hostile => 2,
        };
        let wait = match self.wait {
            Wait::Adaptive => 0,
            Wait::Spin => 1,
            Wait::Sleep => 2,
        };
        let policy = match self.policy {
            Policy::Block => 0,
            Policy::Reject => 1,
        };
        let [low, high] = VERSION.to_le_bytes();
        let mut note = Vec::with_capacity(2 * HEAD + 64);
        note.extend_from_slice(&MAGIC);
        note.extend_from_slice(&[low, high, part, trust, wait, policy, 0, 0]);
        note.extend_from_slice(&handshake::introduce(Role::Connecting, &self.terms, &[], 0));
        note
    }

    /// Reads a note; what is wrong with it is said in words.
    pub(crate) fn read(bytes: &[u8]) -> Result<Note, String> {
        let Some((head, terms)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(format!("expected a note of at least {HEAD} bytes on it, found {}", bytes.len()));
        };
        let [magic @ .., low, high, part, trust, wait, policy, 0, 0] = *head else {
            return Err("its note has bits set that mean nothing".to_owned());
        };
        if magic != MAGIC {
            return Err("its first record does not begin with WHARFEND".to_owned());
        }
        let version = u16::from_le_bytes([low, high]);
        if version != VERSION {
            return Err(format!("expected version {VERSION} of the note on a channel's end, found {version}"));
        }
        let part = match part {
            1 => Part::Sender,
            2 => Part::Receiver,
            other => return Err(format!("its note names part {other}, which does not exist")),
        };
        let trust = match trust {
            0 => Trust::Auto,
            1 => Trust::Cooperating,
            2 => Trust::Hostile,
            other => return Err(format!("its note names trust {other}, which does not exist")),
        };
        let wait = match wait {
            0 => Wait::Adaptive,
            1 => Wait::Spin,
            2 => Wait::Sleep,
            other => return Err(format!("its note names a way {other} to wait, which does not exist")),
        };
        let policy = match policy {
            0 => Policy::Block,
            1 => Policy::Reject,
            other => return Err(format!("its note names policy {other}, which does not exist")),
        };
        match handshake::read(terms, 0) {
            Ok(Record::Hello(Introduction { terms, params })) if params.is_empty() => {
                Ok(Note { part, trust, wait, policy, terms })
            }
            Ok(_) => Err("its note carries something else than its maker's terms".to_owned()),
            Err(why) => Err(format!("its note cannot be read: {}", crate::ConnectError::from(why))),
        }
    }

    /// Whether whoever holds this end may use it for such messages; if not, what both are, in words.
    pub(crate) fn expect(&self, part: Part, payload: &Payload) -> Result<(), Mismatch> {
        if self.part != part {
            return Err(Mismatch::Part { expected: part, found: self.part });
        }
        match handshake::same_payload(payload, &self.terms.payload) {
            true => Ok(()),
            false => Err(Mismatch::Payload { ours: payload.to_string(), theirs: self.terms.payload.to_string() }),
        }
    }
}

/// Why an end is not the one that was expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Part { expected: Part, found: Part },
    Payload { ours: String, theirs: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Transport;

    fn note(part: Part, trust: Trust, wait: Wait, policy: Policy) -> Note {
        let terms = Terms {
            purpose: crate::handshake::Purpose::Messages,
            transport: Transport::Shm,
            flags: 0,
            confined: None,
            max_message: 77,
            capacity: 4096,
            align: 8,
            payload: Payload::Typed { hash: 7, size: 24, name: "Pose".to_owned() },
        };
        Note { part, trust, wait, policy, terms }
    }

    #[test]
    fn what_is_written_is_read() {
        for note in [
            note(Part::Sender, Trust::Auto, Wait::Adaptive, Policy::Block),
            note(Part::Receiver, Trust::Cooperating, Wait::Spin, Policy::Reject),
            note(Part::Sender, Trust::Hostile, Wait::Sleep, Policy::Block),
        ] {
            let bytes = note.write();
            assert!(bytes.len() <= MAX_NOTE);
            assert_eq!(Note::read(&bytes), Ok(note));
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_answer_and_not_a_panic() {
        let good = note(Part::Sender, Trust::Auto, Wait::Adaptive, Policy::Block).write();
        for len in 0..good.len() {
            assert!(!Note::read(&good[..len]).unwrap_err().contains('\n'), "{len}");
        }
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = good.clone();
                changed[at] = byte;
                let _answer = Note::read(&changed);
            }
        }
        for (at, word) in [(0, "WHARFEND"), (8, "version"), (10, "part"), (11, "trust"), (12, "wait"), (13, "policy")] {
            let mut changed = good.clone();
            changed[at] = 9;
            let told = Note::read(&changed).unwrap_err();
            assert!(told.contains(word), "{at}: {told}");
        }
    }

    #[test]
    fn another_part_and_another_type_are_told_with_both_names() {
        let note = note(Part::Sender, Trust::Auto, Wait::Adaptive, Policy::Block);
        let pose = note.terms.payload.clone();
        assert_eq!(note.expect(Part::Sender, &pose), Ok(()));
        let (expected, found) = (Part::Receiver, Part::Sender);
        assert_eq!(note.expect(Part::Receiver, &pose), Err(Mismatch::Part { expected, found }));
        let Err(Mismatch::Payload { ours, theirs }) = note.expect(Part::Sender, &Payload::Bytes) else { panic!() };
        assert!(ours.contains("plain bytes") && theirs.contains("Pose (24 bytes"), "{ours} / {theirs}");
    }
}

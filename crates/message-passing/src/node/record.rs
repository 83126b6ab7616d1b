//! The records of a lifeline (docs/wire.md): pure translation between records and values.

use super::endpoint::{MAX_PARCEL_BYTES, MAX_PARCEL_FDS, Refusal};
use super::identity::{EndpointId, NodeId, Part, Pattern};
use super::name::MAX_NAME_BYTES;
use crate::handshake::{MAX_TEXT, Payload};

/// The version of the node protocol.
pub(super) const VERSION: u16 = 1;

/// The longest record: a parcel with everything around it.
pub(super) const MAX_RECORD: usize = 1024 + MAX_PARCEL_BYTES;

const MAGIC: [u8; 8] = *b"WHARFNOD";

/// Flag of a hello: this process is registered for membarrier(2).
const FLAG_BARRIERS: u16 = 1;

/// Endpoints that may meet, as their nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    pub(super) pattern: Pattern,
    pub(super) host: EndpointId,
    /// The host's name.
    pub(super) name: String,
    /// What the sender carries; `None` for a guest that takes everything.
    pub(super) payload: Option<Payload>,
}

/// See the top of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Who this is: the first record in each direction.
    Hello { version: u16, id: NodeId, barriers: bool },
    /// A guest comes to a host.
    Offer { number: u64, guest: EndpointId, meeting: Meeting, bytes: Vec<u8> },
    /// The host takes it.
    Answer { number: u64, bytes: Vec<u8> },
    /// The host, or with number 0 the whole node, does not.
    Refusal { number: u64, why: Refusal },
    /// There is a new host.
    Announce { number: u64, meeting: Meeting },
    /// All guests here that want that host have come, and were answered.
    Announced { number: u64 },
    /// One endpoint to the other.
    Told { number: u64, to: Part, kind: u16, bytes: Vec<u8> },
    /// An endpoint has closed.
    Leave { number: u64, to: Part },
}

impl Record {
    /// Writes a record that goes with so many descriptors.
    pub(super) fn write(&self, fds: usize) -> Vec<u8> {
        debug_assert!(fds <= MAX_PARCEL_FDS);
        let mut out = Writer { bytes: Vec::with_capacity(64) };
        let fds = u8::try_from(fds).unwrap_or(u8::MAX);
        let mut head = |kind: u8, to: u8, word: u16, number: u64| {
            out.bytes.extend_from_slice(&[kind, to, fds, 0]);
            out.u16(word);
            out.u16(0);
            out.u64(number);
        };
        match self {
            Record::Hello { version, id, barriers } => {
                head(1, 0, *version, 0);
                out.bytes.extend_from_slice(&MAGIC);
                out.u16(if *barriers { FLAG_BARRIERS } else { 0 });
                out.bytes.extend_from_slice(&id.0);
            }
            Record::Offer { number, guest, meeting, bytes } => {
                head(2, 0, 0, *number);
                out.endpoint(*guest);
                out.meeting(meeting);
                out.rest(bytes);
            }
            Record::Answer { number, bytes } => {
                head(3, 0, 0, *number);
                out.rest(bytes);
            }
            Record::Refusal { number, why } => {
                let (code, word) = match why {
                    Refusal::Closed => (1, 0),
                    Refusal::Version(version) => (2, *version),
                    Refusal::Type(_) => (3, 0),
                    Refusal::User => (4, 0),
                    Refusal::Words(_) => (5, 0),
                    Refusal::NotNow(_) => (6, 0),
                };
                head(4, code, word, *number);
                match why {
                    Refusal::Type(payload) => out.payload(Some(payload)),
                    Refusal::Words(words) | Refusal::NotNow(words) => out.text(words),
                    Refusal::Closed | Refusal::Version(_) | Refusal::User => {}
                }
            }
            Record::Announce { number, meeting } => {
                head(5, 0, 0, *number);
                out.meeting(meeting);
            }
            Record::Announced { number } => head(6, 0, 0, *number),
            Record::Told { number, to, kind, bytes } => {
                head(7, to.code(), *kind, *number);
                out.rest(bytes);
            }
            Record::Leave { number, to } => head(8, to.code(), 0, *number),
        }
        out.bytes
    }

    /// Reads a record that came with so many descriptors.
    pub(super) fn read(bytes: &[u8], fds: usize) -> Result<Record, String> {
        let kind = bytes.first().copied().unwrap_or(0);
        Reader { bytes }.record(fds).ok_or_else(|| {
            format!("a record of {} bytes with {fds} descriptors that makes no sense (kind {kind})", bytes.len())
        })
    }
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn endpoint(&mut self, id: EndpointId) {
        self.bytes.extend_from_slice(&id.index.to_le_bytes());
        self.bytes.extend_from_slice(&id.stamp.to_le_bytes());
    }

    /// A text of at most MAX_TEXT bytes; what is longer is cut.
    fn text(&mut self, text: &str) {
        let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = text.as_bytes().get(..end).unwrap_or_default();
        self.u16(u16::try_from(text.len()).unwrap_or(0));
        self.bytes.extend_from_slice(text);
    }

    fn payload(&mut self, payload: Option<&Payload>) {
        match payload {
            None => self.bytes.push(0),
            Some(Payload::Bytes) => self.bytes.push(1),
            Some(Payload::Serde) => self.bytes.push(2),
            Some(Payload::Typed { hash, size, name }) => {
                self.bytes.push(3);
                self.u64(*hash);
                self.u64(*size);
                self.text(name);
            }
        }
    }

    fn meeting(&mut self, meeting: &Meeting) {
        self.bytes.push(meeting.pattern.code());
        self.endpoint(meeting.host);
        self.text(&meeting.name);
        self.payload(meeting.payload.as_ref());
    }

    fn rest(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn record(&mut self, came: usize) -> Option<Record> {
        let [kind, to, fds, 0] = self.take::<4>()? else { return None };
        let (word, 0) = (self.u16()?, self.u16()?) else { return None };
        let number = self.u64()?;
        if usize::from(fds) != came || came > MAX_PARCEL_FDS || (came > 0 && !matches!(kind, 2 | 3 | 7)) {
            return None;
        }
        let record = match kind {
            1 => {
                // Whatever follows belongs to the version.
                if self.take::<8>()? != MAGIC {
                    return None;
                }
                let flags = self.u16()?;
                let id = NodeId(self.take()?);
                if word != VERSION {
                    self.bytes = &[];
                }
                Record::Hello { version: word, id, barriers: flags & FLAG_BARRIERS != 0 }
            }
            2 => Record::Offer { number, guest: self.endpoint()?, meeting: self.meeting()?, bytes: self.parcel()? },
            3 => Record::Answer { number, bytes: self.parcel()? },
            4 => {
                let why = match to {
                    1 => Refusal::Closed,
                    2 => Refusal::Version(word),
                    3 => Refusal::Type(self.payload()??),
                    4 => Refusal::User,
                    5 => Refusal::Words(self.text(MAX_TEXT)?),
                    6 => Refusal::NotNow(self.text(MAX_TEXT)?),
                    _ => return None,
                };
                Record::Refusal { number, why }
            }
            5 => Record::Announce { number, meeting: self.meeting()? },
            6 => Record::Announced { number },
            7 => Record::Told { number, to: Part::from_code(to)?, kind: word, bytes: self.parcel()? },
            8 => Record::Leave { number, to: Part::from_code(to)? },
            _ => return None,
        };
        self.bytes.is_empty().then_some(record)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn endpoint(&mut self) -> Option<EndpointId> {
        Some(EndpointId { index: self.take().map(u32::from_le_bytes)?, stamp: self.take().map(u32::from_le_bytes)? })
    }

    fn text(&mut self, limit: usize) -> Option<String> {
        let len = usize::from(self.u16()?);
        if len > limit {
            return None;
        }
        let (text, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        // It is shown to people.
        std::str::from_utf8(text).ok().filter(|text| !text.contains(char::is_control)).map(str::to_owned)
    }

    fn payload(&mut self) -> Option<Option<Payload>> {
        Some(match self.take()? {
            [0] => None,
            [1] => Some(Payload::Bytes),
            [2] => Some(Payload::Serde),
            [3] => Some(Payload::Typed { hash: self.u64()?, size: self.u64()?, name: self.text(MAX_TEXT)? }),
            _ => return None,
        })
    }

    fn meeting(&mut self) -> Option<Meeting> {
        let [pattern] = self.take()?;
        Some(Meeting {
            pattern: Pattern::from_code(pattern)?,
            host: self.endpoint()?,
            name: self.text(MAX_NAME_BYTES)?,
            payload: self.payload()?,
        })
    }

    /// All that is left.
    fn parcel(&mut self) -> Option<Vec<u8>> {
        let parcel = std::mem::take(&mut self.bytes);
        (parcel.len() <= MAX_PARCEL_BYTES).then(|| parcel.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let endpoint = |index| EndpointId { index, stamp: 7 };
        let typed = Payload::Typed { hash: 5, size: 24, name: "Pose".to_owned() };
        let meeting =
            |payload| Meeting { pattern: Pattern::Topic, host: endpoint(3), name: "camera/front".to_owned(), payload };
        vec![
            Record::Hello { version: VERSION, id: NodeId([9; 16]), barriers: true },
            Record::Offer { number: 1, guest: endpoint(2), meeting: meeting(Some(Payload::Bytes)), bytes: vec![1, 2] },
            Record::Offer { number: 1, guest: endpoint(2), meeting: meeting(None), bytes: vec![0; MAX_PARCEL_BYTES] },
            Record::Answer { number: 2, bytes: vec![] },
            Record::Refusal { number: 3, why: Refusal::Closed },
            Record::Refusal { number: 3, why: Refusal::Version(9) },
            Record::Refusal { number: 3, why: Refusal::Type(typed.clone()) },
            Record::Refusal { number: 0, why: Refusal::User },
            Record::Refusal { number: 3, why: Refusal::words("no") },
            Record::Refusal { number: 3, why: Refusal::not_now("no") },
            Record::Announce { number: 4, meeting: meeting(Some(typed)) },
            Record::Announced { number: 4 },
            Record::Told { number: 5, to: Part::Guest, kind: 77, bytes: vec![3; 9] },
            Record::Leave { number: 5, to: Part::Host },
        ]
    }

    #[test]
    fn a_record_is_read_as_it_is_written() {
        for record in records() {
            let bytes = record.write(0);
            assert!(bytes.len() <= MAX_RECORD);
            assert_eq!(Record::read(&bytes, 0), Ok(record));
        }
    }

    #[test]
    fn what_is_cut_or_came_with_other_descriptors_makes_no_sense() {
        for record in records() {
            let bytes = record.write(0);
            assert!(Record::read(&bytes, 1).is_err(), "{record:?}");
            assert!(Record::read(&record.write(1), 0).is_err(), "{record:?}");
            let free = matches!(record, Record::Offer { .. } | Record::Answer { .. } | Record::Told { .. });
            assert_eq!(Record::read(&record.write(1), 1).is_ok(), free, "{record:?}");
            // What lies behind the fixed part of these belongs to the pattern.
            let fixed = if free { bytes.len().min(16) } else { bytes.len() };
            for len in 0..fixed {
                assert!(Record::read(&bytes[..len], 0).is_err(), "{len} bytes of {record:?}");
            }
        }
        assert!(Record::read(&[0; 16], 0).is_err());
        let mut long = Record::Announced { number: 1 }.write(0);
        long.push(0);
        assert!(Record::read(&long, 0).is_err());
    }

    #[test]
    fn a_hello_of_another_version_is_understood_as_far_as_it_goes() {
        let mut bytes = Record::Hello { version: 2, id: NodeId([1; 16]), barriers: false }.write(0);
        bytes.extend_from_slice(b"more");
        assert!(matches!(Record::read(&bytes, 0), Ok(Record::Hello { version: 2, .. })));
    }
}

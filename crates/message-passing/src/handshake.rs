//! The three records with which two sides introduce themselves: hello, welcome, refusal (docs/wire.md).
//!
//! Pure translation between records and values; whoever meets over a socket does the sending.

use crate::address::Transport;
use crate::error::ConnectError;

/// The version of the link protocol.
pub(crate) const VERSION: u16 = 1;

/// The longest parameter block of a transport.
pub(crate) const MAX_PARAMS: usize = 256;

/// The longest text: a type's name, or the reason of a refusal.
pub(crate) const MAX_TEXT: usize = 256;

/// The most descriptors that travel with one record.
pub(crate) const MAX_FDS: usize = 4;

/// The longest record.
pub(crate) const MAX_RECORD: usize = 1024;

const MAGIC: [u8; 8] = *b"WHARFLNK";
const HEAD: usize = 56;

/// Flag: this process has registered for `membarrier(GLOBAL_EXPEDITED)`.
pub(crate) const FLAG_MEMBARRIER: u16 = 1;

/// Flag: this process sleeps before every message, so a fence at its peer costs less than a barrier at each sleep.
pub(crate) const FLAG_SLEEPY: u16 = 2;

/// Stands for "not confined to one processor".
const NOT_CONFINED: u16 = u16::MAX;

/// What kind of messages a side carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Any bytes.
    Bytes,
    /// Values of one type of fixed size.
    Typed {
        /// What the bytes mean.
        hash: u64,
        /// The size of a value in bytes.
        size: u64,
        /// The type's name.
        name: String,
    },
    /// Values of any serde type, encoded with postcard.
    Serde,
}

impl Payload {
    fn code(&self) -> u8 {
        match self {
            Payload::Bytes => 0,
            Payload::Typed { .. } => 1,
            Payload::Serde => 2,
        }
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::Bytes => f.write_str("plain bytes"),
            Payload::Typed { hash, size, name } => write!(f, "{name} ({size} bytes, layout {hash:016x})"),
            Payload::Serde => f.write_str("values encoded with postcard"),
        }
    }
}

/// What a side wants of the link, which decides who fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Not said: sides did not always say it. Fits anybody.
    Unsaid,
    /// Messages, as the program sends them.
    Messages,
    /// To call a service.
    Calling,
    /// To serve calls.
    Serving,
    /// To push items of a queue.
    Pushing,
    /// To pull items of a queue.
    Pulling,
}

impl Purpose {
    const ALL: [Purpose; 6] =
        [Purpose::Unsaid, Purpose::Messages, Purpose::Calling, Purpose::Serving, Purpose::Pushing, Purpose::Pulling];

    fn code(self) -> u8 {
        match self {
            Purpose::Unsaid => 0,
            Purpose::Messages => 1,
            Purpose::Calling => 2,
            Purpose::Serving => 3,
            Purpose::Pushing => 4,
            Purpose::Pulling => 5,
        }
    }

    fn of(code: u8) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|it| it.code() == code)
    }

    /// Whose link it can be with.
    fn partner(self) -> Purpose {
        match self {
            Purpose::Unsaid | Purpose::Messages => self,
            Purpose::Calling => Purpose::Serving,
            Purpose::Serving => Purpose::Calling,
            Purpose::Pushing => Purpose::Pulling,
            Purpose::Pulling => Purpose::Pushing,
        }
    }

    pub(crate) fn fits(self, other: Purpose) -> bool {
        self == Purpose::Unsaid || other == Purpose::Unsaid || self.partner() == other
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Purpose::Unsaid => "an end that does not say what for",
            Purpose::Messages => "an end of a link for messages",
            Purpose::Calling => "a client of a service",
            Purpose::Serving => "a server of a service",
            Purpose::Pushing => "a pusher of a queue",
            Purpose::Pulling => "a puller of a queue",
        })
    }
}

/// What one side says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) purpose: Purpose,
    pub(crate) transport: Transport,
    pub(crate) flags: u16,
    /// The one processor that the introducing thread may use, if there is only one.
    pub(crate) confined: Option<u16>,
    pub(crate) max_message: u64,
    pub(crate) capacity: u64,
    pub(crate) align: u32,
    pub(crate) payload: Payload,
}

/// Why a side refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Version,
    Type,
    User,
    Words(String),
    /// The side that refuses is there for something else, for this.
    Purpose(Purpose),
}

impl Reason {
    fn code(&self) -> u8 {
        match self {
            Reason::Version => 1,
            Reason::Type => 2,
            Reason::User => 3,
            Reason::Words(_) => 4,
            Reason::Purpose(_) => 5,
        }
    }
}

/// A record, as it was read.
#[derive(Debug)]
pub(crate) enum Record {
    /// The connecting side's introduction.
    Hello(Introduction),
    /// The listening side's introduction: the link is made.
    Welcome(Introduction),
    /// The listening side does not want this link.
    Refusal { reason: Reason, payload: Payload },
}

/// What a hello and a welcome carry.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) terms: Terms,
    pub(crate) params: Vec<u8>,
}

/// Why a record cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The other side speaks another version.
    Version(u16),
    /// It is no such record at all.
    Nonsense(String),
}

impl From<Unreadable> for ConnectError {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Version(theirs) => ConnectError::OtherVersion { ours: VERSION, theirs },
            Unreadable::Nonsense(what) => ConnectError::Protocol(what),
        }
    }
}

/// Which introduction to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Hello.
    Connecting,
    /// Welcome.
    Accepting,
}

/// Writes a hello or a welcome.
pub(crate) fn introduce(role: Role, terms: &Terms, params: &[u8], fds: usize) -> Vec<u8> {
    let kind = match role {
        Role::Connecting => 1,
        Role::Accepting => 2,
    };
    let name = match &terms.payload {
        Payload::Typed { name, .. } => name.as_str(),
        Payload::Bytes | Payload::Serde => "",
    };
    write(kind, terms, params, fds, name, 0)
}

/// Writes a refusal by a side with these terms.
pub(crate) fn refuse(terms: &Terms, reason: &Reason) -> Vec<u8> {
    let words;
    let text = match (reason, &terms.payload) {
        (Reason::Words(words), _) => words.as_str(),
        // Whoever does not know this reason takes what it does not know for words.
        (Reason::Purpose(ours), _) => {
            words = format!("this is {ours}, to which {} belongs", ours.partner());
            words.as_str()
        }
        (_, Payload::Typed { name, .. }) => name.as_str(),
        _ => "",
    };
    write(3, terms, &[], 0, text, reason.code())
}

fn write(kind: u8, terms: &Terms, params: &[u8], fds: usize, text: &str, reason: u8) -> Vec<u8> {
    let text = shortened(text);
    let (hash, size) = match &terms.payload {
        Payload::Typed { hash, size, .. } => (*hash, *size),
        Payload::Bytes | Payload::Serde => (0, 0),
    };
    debug_assert!(params.len() <= MAX_PARAMS && fds <= MAX_FDS);
    let mut record = Vec::with_capacity(HEAD + params.len() + text.len());
    record.extend_from_slice(&MAGIC);
    record.extend_from_slice(&VERSION.to_le_bytes());
    record.push(kind);
    record.push(transport_code(terms.transport));
    record.extend_from_slice(&terms.flags.to_le_bytes());
    record.extend_from_slice(&terms.confined.unwrap_or(NOT_CONFINED).to_le_bytes());
    record.extend_from_slice(&terms.max_message.to_le_bytes());
    record.extend_from_slice(&terms.capacity.to_le_bytes());
    record.extend_from_slice(&terms.align.to_le_bytes());
    record.push(terms.payload.code());
    record.push(u8::try_from(fds).unwrap_or(u8::MAX));
    record.extend_from_slice(&u16::try_from(params.len()).unwrap_or(u16::MAX).to_le_bytes());
    record.extend_from_slice(&hash.to_le_bytes());
    record.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    record.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    record.push(reason);
    record.push(terms.purpose.code());
    record.extend_from_slice(params);
    record.extend_from_slice(text.as_bytes());
    record
}

/// The longest beginning of `text` that fits a record.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    // At most three steps: a character has at most four bytes.
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

/// How many bytes an introduction has of which these are the beginning, as far as they tell: the fixed part at first.
/// Whatever does not begin as one is told at once.
pub(crate) fn expected_len(beginning: &[u8]) -> Result<usize, Unreadable> {
    let magic = MAGIC.get(..beginning.len().min(MAGIC.len())).unwrap_or(&MAGIC);
    if !beginning.starts_with(magic) {
        return Err(Unreadable::Nonsense(format!("it does not begin with WHARFLNK{}", looks_like(beginning))));
    }
    if let Some(&[a, b]) = beginning.get(8..10)
        && u16::from_le_bytes([a, b]) != VERSION
    {
        return Err(Unreadable::Version(u16::from_le_bytes([a, b])));
    }
    let (Some(&[a, b]), Some(&[c, d]), true) = (beginning.get(38..40), beginning.get(52..54), beginning.len() >= HEAD)
    else {
        return Ok(HEAD);
    };
    let (params, text) = (usize::from(u16::from_le_bytes([a, b])), usize::from(u16::from_le_bytes([c, d])));
    if params > MAX_PARAMS || text > MAX_TEXT {
        return Err(Unreadable::Nonsense(format!(
            "its introduction announces {params} bytes of parameters and {text} of text, at most {MAX_PARAMS} and {MAX_TEXT} can be"
        )));
    }
    Ok(HEAD + params + text)
}

/// What else a stranger's first bytes may be, for people who connect the wrong things.
fn looks_like(beginning: &[u8]) -> &'static str {
    match beginning {
        [0x16, 0x03, ..] => ", but like TLS",
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] | [b'H', b'E', b'A', b'D', ..] => ", but like HTTP",
        [b'S', b'S', b'H', b'-', ..] => ", but like SSH",
        _ => "",
    }
}

/// Reads a record that came with `fds` descriptors.
pub(crate) fn read(record: &[u8], fds: usize) -> Result<Record, Unreadable> {
    let nonsense = |what: &str| Err(Unreadable::Nonsense(format!("its introduction {what}")));
    let Some(head) = record.first_chunk::<HEAD>() else {
        return nonsense(&format!("has {} bytes, expected at least {HEAD}", record.len()));
    };
    let mut fields = Fields { rest: head };
    if fields.take::<8>() != MAGIC {
        return nonsense("does not begin with WHARFLNK");
    }
    let version = u16::from_le_bytes(fields.take());
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let [kind, transport] = fields.take();
    let flags = u16::from_le_bytes(fields.take());
    let confined = Some(u16::from_le_bytes(fields.take())).filter(|cpu| *cpu != NOT_CONFINED);
    let max_message = u64::from_le_bytes(fields.take());
    let capacity = u64::from_le_bytes(fields.take());
    let align = u32::from_le_bytes(fields.take());
    let [payload, announced] = fields.take();
    let params_len = usize::from(u16::from_le_bytes(fields.take()));
    let hash = u64::from_le_bytes(fields.take());
    let size = u64::from(u32::from_le_bytes(fields.take()));
    let text_len = usize::from(u16::from_le_bytes(fields.take()));
    let [reason, purpose] = fields.take();

    if params_len > MAX_PARAMS || text_len > MAX_TEXT || record.len() != HEAD + params_len + text_len {
        return nonsense(&format!("has {} bytes and announces {HEAD} + {params_len} + {text_len}", record.len()));
    }
    if usize::from(announced) != fds {
        return nonsense(&format!("announces {announced} descriptors and carries {fds}"));
    }
    let Some(transport) = transport_of(transport) else {
        return nonsense(&format!("names transport {transport}, which does not exist"));
    };
    let (params, text) = record.get(HEAD..).unwrap_or(&[]).split_at(params_len);
    let text = readable(text);
    let payload = match payload {
        0 => Payload::Bytes,
        1 => Payload::Typed { hash, size, name: text.clone() },
        2 => Payload::Serde,
        other => return nonsense(&format!("names payload {other}, which does not exist")),
    };
    let known = Purpose::of(purpose);
    if kind == 3 {
        let reason = match (reason, known) {
            (1, _) => Reason::Version,
            (2, _) => Reason::Type,
            (3, _) => Reason::User,
            (5, Some(theirs)) if theirs != Purpose::Unsaid => Reason::Purpose(theirs),
            _ => Reason::Words(text),
        };
        return Ok(Record::Refusal { reason, payload });
    }
    let Some(purpose) = known else {
        return nonsense(&format!("names purpose {purpose}, which does not exist"));
    };
    let introduction = Introduction {
        terms: Terms { purpose, transport, flags, confined, max_message, capacity, align, payload },
        params: params.to_vec(),
    };
    match kind {
        1 => Ok(Record::Hello(introduction)),
        2 => Ok(Record::Welcome(introduction)),
        other => nonsense(&format!("is of kind {other}, which does not exist")),
    }
}

/// The fields of the fixed part, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    /// The next `N` bytes; zeroes beyond the end, which the fixed part's length rules out.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else {
            debug_assert!(false, "the fields add up to the fixed part");
            return [0; N];
        };
        self.rest = rest;
        *field
    }
}

/// Text from a peer as it may be shown to people: no control characters, which could speak to a terminal.
fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|it| if it.is_control() { '?' } else { it }).collect()
}

fn transport_code(transport: Transport) -> u8 {
    match transport {
        Transport::Shm => 1,
        Transport::Unix => 2,
        Transport::Inproc => 3,
        Transport::Mq => 4,
        Transport::Pipe => 5,
        Transport::Tcp => 6,
        Transport::Tls => 7,
        Transport::Ws => 8,
    }
}

fn transport_of(code: u8) -> Option<Transport> {
    Transport::ALL.iter().copied().find(|it| transport_code(*it) == code)
}

/// What two sides agree on: the largest message.
pub(crate) fn agree(ours: &Terms, theirs: &Terms) -> Result<u64, ConnectError> {
    if ours.transport != theirs.transport {
        return Err(ConnectError::Protocol(format!(
            "it speaks {}: where {}: was expected",
            theirs.transport, ours.transport
        )));
    }
    if !ours.purpose.fits(theirs.purpose) {
        return Err(other_purpose(ours.purpose, theirs.purpose));
    }
    if !same_payload(&ours.payload, &theirs.payload) {
        return Err(other_type(ours, &theirs.payload));
    }
    if theirs.align != 8 && theirs.align != 64 {
        return Err(ConnectError::Protocol(format!("it aligns to {} bytes, expected 8 or 64", theirs.align)));
    }
    Ok(ours.max_message.min(theirs.max_message))
}

/// Whether both mean the same messages.
pub(crate) fn same_payload(ours: &Payload, theirs: &Payload) -> bool {
    match (ours, theirs) {
        // Names may differ (two programs, one layout); what the bytes mean may not.
        (Payload::Typed { hash, size, .. }, Payload::Typed { hash: other, size: other_size, .. }) => {
            hash == other && size == other_size
        }
        (ours, theirs) => ours == theirs,
    }
}

/// The error of two sides that carry different kinds of messages.
pub(crate) fn other_type(ours: &Terms, theirs: &Payload) -> ConnectError {
    ConnectError::OtherType { ours: ours.payload.to_string(), theirs: theirs.to_string() }
}

/// The error of two sides that want the link for things that do not belong together.
pub(crate) fn other_purpose(ours: Purpose, theirs: Purpose) -> ConnectError {
    ConnectError::OtherPurpose {
        ours: ours.to_string(),
        theirs: theirs.to_string(),
        expected: theirs.partner().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(payload: Payload) -> Terms {
        Terms {
            purpose: Purpose::Messages,
            transport: Transport::Unix,
            flags: 1,
            confined: Some(3),
            max_message: 1 << 20,
            capacity: 4096,
            align: 8,
            payload,
        }
    }

    fn pose(hash: u64) -> Payload {
        Payload::Typed { hash, size: 24, name: "Pose".to_owned() }
    }

    #[test]
    fn what_is_written_is_read() {
        for payload in [Payload::Bytes, Payload::Serde, pose(7)] {
            let terms = terms(payload);
            for (role, params) in [(Role::Connecting, &b""[..]), (Role::Accepting, &[9; MAX_PARAMS])] {
                let record = introduce(role, &terms, params, 2);
                assert!(record.len() <= MAX_RECORD);
                let read = match (role, read(&record, 2)) {
                    (Role::Connecting, Ok(Record::Hello(it))) | (Role::Accepting, Ok(Record::Welcome(it))) => it,
                    other => panic!("{other:?}"),
                };
                assert_eq!((read.terms, read.params.as_slice()), (terms.clone(), params));
            }
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let words = Reason::Words("é".repeat(MAX_TEXT));
        let purpose = Reason::Purpose(Purpose::Messages);
        for reason in [Reason::Version, Reason::Type, Reason::User, words, purpose] {
            let read = read(&refuse(&terms(pose(7)), &reason), 0);
            let Ok(Record::Refusal { reason: why, payload }) = read else { panic!("{read:?}") };
            match why {
                Reason::Words(words) => assert_eq!(words, "é".repeat(MAX_TEXT / 2)),
                other => {
                    assert_eq!(other, reason);
                    if !matches!(reason, Reason::Purpose(_)) {
                        assert_eq!(payload, pose(7));
                    }
                }
            }
        }
    }

    #[test]
    fn purposes_that_belong_together_fit_and_the_others_are_told_apart() {
        use Purpose::{Calling, Messages, Pulling, Pushing, Serving, Unsaid};
        let told = |purpose| Terms { purpose, ..terms(Payload::Bytes) };
        for ours in Purpose::ALL {
            for theirs in Purpose::ALL {
                let pairs = [(Messages, Messages), (Calling, Serving), (Pushing, Pulling)];
                let fit = pairs.contains(&(ours, theirs)) || pairs.contains(&(theirs, ours));
                let agreed = agree(&told(ours), &told(theirs));
                assert_eq!(agreed.is_ok(), fit || ours == Unsaid || theirs == Unsaid, "{ours:?} {theirs:?}");
                if let Err(error) = agreed {
                    let error = error.to_string();
                    for word in [ours, theirs, theirs.partner()] {
                        assert!(error.contains(&word.to_string()), "{error}");
                    }
                }
            }
            let record = introduce(Role::Connecting, &told(ours), &[], 0);
            let Ok(Record::Hello(said)) = read(&record, 0) else { panic!("{ours:?}") };
            assert_eq!(said.terms.purpose, ours);
            assert_eq!(Purpose::of(ours.code()), Some(ours));
        }
    }

    #[test]
    fn a_purpose_of_a_later_version_is_no_hello_and_a_refusal_for_it_is_read_by_its_words() {
        let ours = terms(Payload::Bytes);
        let mut hello = introduce(Role::Connecting, &ours, &[], 0);
        hello[HEAD - 1] = 6;
        let Err(Unreadable::Nonsense(why)) = read(&hello, 0) else { panic!("read") };
        assert!(why.contains("purpose 6"), "{why}");
        let serving = Terms { purpose: Purpose::Serving, ..ours };
        let mut refusal = refuse(&serving, &Reason::Purpose(Purpose::Serving));
        refusal[HEAD - 1] = 6;
        let Ok(Record::Refusal { reason: Reason::Words(words), .. }) = read(&refusal, 0) else { panic!("read") };
        assert_eq!(words, "this is a server of a service, to which a client of a service belongs");
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_answer_and_not_a_panic() {
        let good = introduce(Role::Connecting, &terms(pose(7)), &[1; 8], 1);
        for len in 0..good.len() {
            assert!(matches!(read(&good[..len], 1), Err(Unreadable::Nonsense(_))), "{len}");
        }
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut record = good.clone();
                record[at] = byte;
                let _ = read(&record, 1);
            }
        }
        assert!(matches!(read(&good, 0), Err(Unreadable::Nonsense(_))));
        let mut other = good.clone();
        other[8] = 9;
        assert_eq!(read(&other, 1).unwrap_err(), Unreadable::Version(9));
    }

    #[test]
    fn the_beginning_of_an_introduction_tells_its_length() {
        let good = introduce(Role::Connecting, &terms(pose(7)), &[1; 8], 0);
        for len in 0..good.len() {
            let expected = if len < HEAD { HEAD } else { good.len() };
            assert_eq!(expected_len(&good[..len]), Ok(expected), "{len}");
        }
        for (bytes, word) in
            [(&b"GET / HTTP/1.1"[..], "HTTP"), (b"\x16\x03\x01", "TLS"), (b"WHARFLNQ", "begin"), (b"x", "")]
        {
            let Err(Unreadable::Nonsense(what)) = expected_len(bytes) else { panic!("{bytes:?}") };
            assert!(what.contains(word), "{what}");
        }
        let mut other = good.clone();
        other[9] = 1;
        assert_eq!(expected_len(&other[..10]), Err(Unreadable::Version(257)));
        let mut long = good;
        long[39] = 2;
        assert!(matches!(expected_len(&long), Err(Unreadable::Nonsense(_))));
    }

    #[test]
    fn the_smaller_limit_holds_and_other_types_are_told_apart() {
        let mut small = terms(Payload::Bytes);
        small.max_message = 10;
        assert_eq!(agree(&terms(Payload::Bytes), &small).unwrap(), 10);
        let refusal = agree(&terms(pose(7)), &terms(pose(8))).unwrap_err().to_string();
        assert!(refusal.contains("this side sends Pose (24 bytes, layout 0000000000000007)"), "{refusal}");
        assert!(refusal.contains("the other expects Pose (24 bytes, layout 0000000000000008)"), "{refusal}");
        assert!(agree(&terms(pose(7)), &terms(Payload::Bytes)).is_err());
        assert!(agree(&terms(Payload::Serde), &terms(Payload::Bytes)).is_err());
    }

    #[test]
    fn text_from_a_peer_cannot_speak_to_a_terminal() {
        assert_eq!(readable(b"a\x1b[2Jb\n\xff"), "a?[2Jb?\u{fffd}");
    }
}

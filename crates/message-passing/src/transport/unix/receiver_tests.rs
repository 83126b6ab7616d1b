//! Records of any kind, in any order, with descriptors or without: what comes whole arrives, and nothing stays open.

use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::*;
use crate::chance::{Random, seeds};

const LIMIT: usize = 20_000;
const RECORD: usize = 4_096;

/// What a receiver should make of records.
#[derive(Default)]
struct Book {
    /// A message that is coming: its length, what has come, and its descriptors.
    coming: Option<(usize, Vec<u8>, usize)>,
    announced: Option<usize>,
    /// Nothing follows, because of nonsense or in good order.
    ended: Option<bool>,
}

impl Book {
    /// A record, and how many descriptors come with it; the message that it completes, and how many descriptors that has.
    fn enter(&mut self, record: &[u8], fds: usize) -> Option<(Vec<u8>, usize)> {
        let Some((header, payload)) = record.split_first_chunk::<HEADER>() else { return self.nonsense() };
        let Ok(Header { len, kind, .. }) = Header::read(*header, payload.len()) else { return self.nonsense() };
        let len = len as usize;
        // Without an announcement they are nobody's.
        let announced = self.announced.take();
        let cargo = if announced.is_some() { fds } else { 0 };
        match kind {
            _ if record.len() > RECORD => self.nonsense(),
            Kind::Void if announced.is_some() && cargo == 0 => None,
            Kind::Close => {
                self.ended = Some(false);
                None
            }
            Kind::Whole | Kind::First if announced.unwrap_or(0) != cargo => self.nonsense(),
            Kind::Whole | Kind::First if self.coming.is_some() || len > LIMIT => self.nonsense(),
            Kind::Whole => Some((payload.to_vec(), cargo)),
            Kind::First => {
                self.coming = Some((len, payload.to_vec(), cargo));
                None
            }
            _ if announced.is_some() => self.nonsense(),
            Kind::More => match &mut self.coming {
                Some((total, so_far, _)) if payload.len() <= *total - so_far.len() => {
                    so_far.extend(payload);
                    let whole = so_far.len() == *total;
                    self.coming.take_if(|_| whole).map(|(_, message, cargo)| (message, cargo))
                }
                _ => self.nonsense(),
            },
            Kind::Void if self.coming.take().is_some() => None,
            Kind::Carries if self.coming.is_none() => {
                self.announced = Some(len);
                None
            }
            Kind::Void | Kind::Carries => self.nonsense(),
        }
    }

    fn nonsense(&mut self) -> Option<(Vec<u8>, usize)> {
        self.ended = Some(true);
        None
    }
}

fn record(len: usize, kind: Kind, ask: bool, payload: &[u8]) -> Vec<u8> {
    [&Header { len: len as u32, kind, ask }.bytes()[..], payload].concat()
}

/// The next records, most of which are a message, with how many descriptors each of them brings.
fn records(random: &mut Random) -> Vec<(Vec<u8>, usize)> {
    let most = random.one_of(&[2, 12, 300, 3_000]);
    let len = random.below(most);
    let payload = random.bytes(len);
    let count = if random.once_in(3) { 1 + random.below(4) } else { 0 };
    let mut records = Vec::new();
    if count > 0 {
        records.push((record(count, Kind::Carries, false, b""), 0));
    }
    let ask = random.once_in(10);
    if len > 1 && random.once_in(2) {
        let mut parts = payload.chunks(1 + random.below(len - 1));
        let first = parts.next().unwrap();
        records.push((record(len, Kind::First, ask, first), count));
        records.extend(parts.map(|part| (record(part.len(), Kind::More, false, part), 0)));
    } else {
        records.push((record(len, Kind::Whole, ask, &payload), count));
    }
    records.truncate(40);
    // One in twelve is not as it should be.
    if random.once_in(12) {
        let at = random.below(records.len());
        match random.below(9) {
            0 => drop(records.remove(at)),
            1 => records.insert(at, records[at].clone()),
            2 => records.insert(at, (record(0, Kind::Void, false, b""), 0)),
            3 => records.push((record(0, Kind::Void, false, b""), 0)),
            4 => records[at].1 = random.below(6),
            5 => {
                let (bit, byte) = (random.below(8), random.below(records[at].0.len()));
                records[at].0[byte] ^= 1 << bit;
            }
            6 => {
                let len = 1 + random.below(records[at].0.len());
                records[at].0.truncate(len);
            }
            7 => records[at].0 = record(RECORD, Kind::Whole, false, &[7; RECORD]),
            _ => records.push((record(0, Kind::Close, false, b""), 0)),
        }
    }
    records
}

fn all_closed(reader: &PipeReader) -> bool {
    poll::wait(&[(reader.as_fd(), Interest::READ)], Some(Deadline::after(Duration::ZERO))).unwrap().hangup(0)
}

#[test]
fn what_comes_whole_arrives_and_what_nobody_takes_is_closed() {
    let (mut nonsense, mut carried) = (0, 0);
    for seed in seeds(300) {
        let mut random = Random(seed);
        let (here, there) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (ear, _theirs) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (their_ear, mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let control = Arc::new(Control::new(ear, mouth));
        let lifeline = Arc::new(Lifeline::new(here));
        let mut receiver = UnixReceiver::new(lifeline, control, LIMIT, RECORD, true).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        let mut book = Book::default();
        for _ in 0..60 {
            let mut expected = Vec::new();
            for (record, count) in records(&mut random) {
                let fds = vec![writer.as_fd(); count];
                socket::send_with_fds(&there, &record, &fds).unwrap();
                if book.ended.is_none() {
                    expected.extend(book.enter(&record, count));
                }
            }
            for (message, cargo) in expected {
                let frame = receiver.poll().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                let mut found = receiver.view(frame.unwrap_or_else(|| panic!("seed {seed}: nothing")));
                assert!(*found == *message && found.attachments() == cargo, "seed {seed}: {}", message.len());
                if cargo > 0 && random.once_in(2) {
                    found.take_fd().unwrap();
                    carried += 1;
                }
            }
            match (receiver.poll(), book.ended) {
                (Ok(None), None) => {}
                (Err(RecvError::Protocol(_)), Some(true)) => nonsense += 1,
                (Err(RecvError::Closed), Some(false)) => {}
                (found, ended) => panic!("seed {seed}: {found:?}, and {ended:?} was to be"),
            }
            assert!(receiver.buffer.len() <= HEADER + LIMIT + RECORD, "seed {seed}: {}", receiver.buffer.len());
            if book.ended.is_some() {
                break;
            }
            // What it says is heard, so that it can go on saying it.
            while socket::recv(&their_ear, &mut [0; 16]).is_ok_and(|heard| heard.len > 0) {}
        }
        // The message that was seen last may hold some; what lies in the connection is closed with it.
        drop((writer, receiver, there));
        assert!(all_closed(&reader), "seed {seed}");
    }
    assert!(nonsense > 100 && carried > 500, "{nonsense}, {carried}");
}

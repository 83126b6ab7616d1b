//! A hostile peer at a socket: nonsense instead of an introduction, or a good introduction and nonsense after it.
//!
//! It speaks the protocol of `docs/wire.md` by itself, so that it can break every rule of it. A payload that must
//! never be delivered, because the length that goes with it is a lie, begins with [`LIE`].

use std::io::pipe;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;
use wharf_sys::memory::{self, Seals};
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::{self, Kind};

use crate::Failure;

/// First byte of every payload that must never be delivered.
pub(crate) const LIE: u8 = 0xba;

/// Bytes of an introduction before its parameters.
const HELLO_LEN: usize = 56;
/// Bytes of the header of a record that carries a message.
const HEADER_LEN: usize = 8;
/// The kind of a record that announces descriptors.
const ANNOUNCEMENT: u64 = 6;
/// The most that this peer sends in one record.
const RECORD_MAX: u64 = 6000;
/// How long it waits for a welcome.
const PATIENCE: Duration = Duration::from_millis(500);
/// Connections that it keeps open in silence.
const SILENT_MAX: usize = 10;

/// `garbage ADDRESS seed=N seconds=N`: connection after connection, until the time is over.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let address = words.at(1, "the address")?;
    let (scheme, name) = address.split_once(':').ok_or("an address has a colon")?;
    let names = std::env::var("WHARF_DIR")?;
    let path = PathBuf::from(names).join(format!("{name}.{scheme}"));
    let transport = if scheme == "shm" { 1 } else { 2 };
    let deadline = Deadline::after(Duration::from_secs(words.number("seconds", 1)?));
    let mut liar = Liar { path, transport, random: Random::new(words.number("seed", 1)?), silent: Vec::new() };
    let (mut visits, mut welcomes, mut records) = (0u64, 0u64, 0u64);
    say("ready", "")?;
    while !deadline.passed() {
        // The other side's queue may be full of us already.
        let Ok(socket) = socket::connect(&liar.path, Kind::SeqPacket, Some(Deadline::after(PATIENCE))) else {
            continue;
        };
        visits += 1;
        match liar.random.below(4) {
            0 => liar.babble(socket),
            1 => liar.introduce_badly(socket),
            _ => {
                if let Some(control) = liar.introduce_well(&socket) {
                    welcomes += 1;
                    records += liar.lie(&socket, control.as_ref());
                }
            }
        }
    }
    if visits == 0 || welcomes == 0 || records == 0 && transport == 2 {
        return Err(format!("{visits} visits, {welcomes} welcomes, {records} records: too little was tried").into());
    }
    say("done", &format!("visits={visits} welcomes={welcomes} records={records}"))?;
    Ok(())
}

struct Liar {
    path: PathBuf,
    transport: u8,
    random: Random,
    silent: Vec<OwnedFd>,
}

impl Liar {
    /// Says anything at all, and perhaps stays on without a further word.
    fn babble(&mut self, socket: OwnedFd) {
        let mut bytes = vec![0; self.below(1200)];
        self.random.fill(&mut bytes);
        let _ = socket::send(&socket, &bytes);
        self.keep_or_drop(socket);
    }

    /// An introduction with a few bytes changed, cut or added, and descriptors that nobody asked for.
    fn introduce_badly(&mut self, socket: OwnedFd) {
        let mut hello = self.hello();
        for _ in 0..=self.random.below(4) {
            let at = self.below(hello.len());
            if let Some(byte) = hello.get_mut(at) {
                *byte = self.random.number().to_le_bytes()[0];
            }
        }
        match self.random.below(5) {
            0 => hello.truncate(self.below(HELLO_LEN)),
            1 => hello.resize(HELLO_LEN + self.below(1000), 7),
            _ => {}
        }
        let gifts: Vec<OwnedFd> = (0..self.random.below(5)).filter_map(|_| self.gift()).collect();
        let gifts: Vec<BorrowedFd<'_>> = gifts.iter().map(AsFd::as_fd).collect();
        let _ = socket::send_with_fds(&socket, &hello, &gifts);
        self.keep_or_drop(socket);
    }

    /// An introduction by the book; over `unix:` the control connection that the welcome brings.
    fn introduce_well(&mut self, socket: &OwnedFd) -> Option<Option<OwnedFd>> {
        let hello = self.hello();
        if self.transport == 1 {
            // Well said, but the memory that comes along is never what it should be.
            let gifts: Vec<OwnedFd> = (0..2).filter_map(|_| self.gift()).collect();
            let gifts: Vec<BorrowedFd<'_>> = gifts.iter().map(AsFd::as_fd).collect();
            socket::send_with_fds(socket, &hello, &gifts).ok()?;
        } else {
            let (_ear, mouth) = socket::pair(Kind::SeqPacket).ok()?;
            socket::send_with_fds(socket, &hello, &[mouth.as_fd()]).ok()?;
        }
        let ready = poll::wait(&[(socket.as_fd(), Interest::READ)], Some(Deadline::after(PATIENCE))).ok()?;
        if ready.is_empty() {
            return None;
        }
        let mut welcome = [0; 1100];
        let (_, mut control) = socket::recv_with_fds(socket, &mut welcome, 4).ok()?;
        Some(control.pop())
    }

    /// Records that break the rules one way or another; returns how many were sent.
    fn lie(&mut self, socket: &OwnedFd, control: Option<&OwnedFd>) -> u64 {
        let mut sent = 0;
        let mut waste = [0; 4096];
        for _ in 0..self.random.below(60) {
            let record = self.record();
            // Descriptors now and then: announced truly, announced falsely, or not at all.
            let gifts: Vec<OwnedFd> = match self.random.below(4) {
                0 => (0..self.random.below(17)).filter_map(|_| self.gift()).collect(),
                _ => Vec::new(),
            };
            if self.random.below(3) == 0 {
                let count = if self.random.below(3) == 0 { self.random.below(20) } else { gifts.len() as u64 };
                let _ = socket::send(socket, &(count | ANNOUNCEMENT << 32).to_le_bytes());
            }
            let gifts: Vec<BorrowedFd<'_>> = gifts.iter().map(AsFd::as_fd).collect();
            if socket::send_with_fds(socket, &record, &gifts).is_err() {
                break;
            }
            sent += 1;
            if let Some(control) = control.filter(|_| self.random.below(3) == 0) {
                let mut note = vec![0; [16, 16, 16, 3, 40][self.below(5)]];
                self.random.fill(&mut note);
                if let Some(kind) = note.first_mut() {
                    *kind = self.random.below(5).to_le_bytes()[0];
                }
                let _ = socket::send(control, &note);
                let _ = socket::recv(control, &mut waste);
            }
            let _ = socket::recv(socket, &mut waste);
        }
        sent
    }

    /// One record: a header that may lie, and a payload that says whether it does.
    fn record(&mut self) -> Vec<u8> {
        let payload = self.below(5000);
        let kind = self.random.below(8).to_le_bytes()[0];
        let length = match self.random.below(5) {
            0 => payload as u64,
            1 => (payload as u64).saturating_sub(self.random.below(9)),
            2 => payload as u64 + self.random.below(9),
            3 => self.random.below(1 << 21),
            _ => self.random.number() >> 32,
        };
        // Whole and told truly: the one record that may be delivered. Fragments are never completed here.
        let honest = kind == 1 && length == payload as u64;
        let mut record = vec![if honest { 1 } else { LIE }; HEADER_LEN + payload];
        let header = (length & 0xffff_ffff) | (u64::from(kind) << 32) | (self.random.below(2) << 40);
        for (byte, value) in record.iter_mut().zip(header.to_le_bytes()) {
            *byte = value;
        }
        match self.random.below(20) {
            0 => record.truncate(self.below(HEADER_LEN)),
            1 => {
                if let Some(reserved) = record.get_mut(7) {
                    *reserved = 1;
                }
                if let Some(first) = record.get_mut(HEADER_LEN) {
                    *first = LIE;
                }
            }
            _ => {}
        }
        record
    }

    /// A hello as `docs/wire.md` draws it.
    fn hello(&mut self) -> Vec<u8> {
        let mut hello = Vec::with_capacity(HELLO_LEN + 32);
        hello.extend(b"WHARFLNK");
        hello.extend(1u16.to_le_bytes());
        hello.extend([1, self.transport]);
        hello.extend(0u16.to_le_bytes());
        hello.extend(u16::MAX.to_le_bytes());
        hello.extend((1u64 << 20).to_le_bytes());
        hello.extend((1u64 << 16).to_le_bytes());
        hello.extend(8u32.to_le_bytes());
        let (fds, params) = if self.transport == 1 { (2, 32u16) } else { (1, 8) };
        hello.extend([0, fds]);
        hello.extend(params.to_le_bytes());
        hello.resize(HELLO_LEN, 0);
        if self.transport == 1 {
            for parameter in [1 << 14, 1 << 16, 8, 1u64] {
                hello.extend(parameter.to_le_bytes());
            }
        } else {
            hello.extend(RECORD_MAX.to_le_bytes());
        }
        hello
    }

    /// A descriptor that no honest peer would pass, or almost one that it would.
    fn gift(&mut self) -> Option<OwnedFd> {
        match self.random.below(6) {
            0 => std::fs::File::open("/dev/zero").ok().map(OwnedFd::from),
            1 => std::fs::File::open(Path::new("/proc/self/mem")).ok().map(OwnedFd::from),
            2 => pipe().ok().map(|(reading, _)| OwnedFd::from(reading)),
            3 => pipe().ok().map(|(_, writing)| OwnedFd::from(writing)),
            _ => {
                let memory = memory::memfd("hostile").ok()?;
                memory::set_len(&memory, self.random.below(1 << 18)).ok()?;
                match self.random.below(3) {
                    0 => memory::seal(&memory, Seals::LINK).ok()?,
                    // Of a buffer without memory behind it.
                    1 => memory::seal(&memory, Seals::BUFFER).ok()?,
                    _ => {}
                }
                Some(memory)
            }
        }
    }

    /// Some connections are left open without a word, so that others must not wait for them.
    fn keep_or_drop(&mut self, socket: OwnedFd) {
        if self.random.below(8) == 0 {
            self.silent.push(socket);
            if self.silent.len() > SILENT_MAX {
                self.silent.remove(0);
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap_or(0)
    }
}

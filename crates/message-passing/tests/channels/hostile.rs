//! Whoever holds an end and breaks every rule: an error in bounded time, and nothing else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_message_passing::{Attachment, Options, Receiver, RecvError, SendError, Sender, TakeError, Transport, Trust};
use wharf_sys::memory::{self, Seals};
use wharf_sys::socket;

use crate::dice::Dice;
use crate::puppet::{OVER, Puppet, canary, is_free};
use crate::world::{SOON, World, eventually};

/// Bytes of the control page at the start of a log, and of a reader's page.
const PAGE: usize = 4096;

/// An end as its socket, with everything that waits there.
fn raw(attachment: Attachment<'_>) -> OwnedFd {
    let (mut tx, mut rx) = Options::new().channel(Transport::Unix).unwrap();
    tx.send_with(b"", &[attachment]).unwrap();
    rx.recv().unwrap().take_fd().unwrap()
}

fn raw_sender(over: Transport, options: &Options) -> (OwnedFd, Receiver) {
    let (tx, rx) = options.channel(over).unwrap();
    (raw(Attachment::sender(tx).unwrap()), rx)
}

fn raw_receiver(over: Transport, options: &Options) -> (OwnedFd, Sender) {
    let (tx, rx) = options.channel(over).unwrap();
    (raw(Attachment::receiver(rx).unwrap()), tx)
}

/// The next record.
fn record(fd: &OwnedFd) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = [0; 2048];
    let (received, fds) = socket::recv_with_fds(fd, &mut bytes, 16).unwrap();
    (bytes[..received.len].to_vec(), fds)
}

/// What a sender over this transport says first, and with it what it brings.
fn introduction(over: Transport) -> (Vec<u8>, Vec<OwnedFd>) {
    let (fd, mut tx) = raw_receiver(over, &Options::new());
    tx.send(b"x").unwrap();
    record(&fd);
    record(&fd)
}

/// Every way to change it a little, and some to change it a lot.
fn spoiled(good: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![vec![0; 17], vec![0xff; 600], vec![7; 1025], good[..good.len() - 1].to_vec()];
    for at in 0..good.len() {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x81;
        all.push(bytes);
    }
    all
}

pub(crate) fn notes(world: &World) {
    let mut puppet = Puppet::new(world, "unix");
    let (fd, _rx) = raw_sender(Transport::Shm, &Options::new());
    let (note, _) = record(&fd);
    for bytes in spoiled(&note) {
        let (here, there) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (reader, writer) = canary();
        // With more than a note, and with descriptors that nobody asked for.
        socket::send_with_fds(&here, &bytes, &[writer.as_fd(); 16]).unwrap();
        drop(writer);
        let told = puppet.give("take sender", &[Attachment::from(there)]);
        // Some of it is a note of another kind: how it waits, how large a message may be.
        if told == "ok" {
            puppet.does("drop sender");
        } else {
            assert!(told.contains("of a channel") || told.contains("the channel carries"), "{told}");
        }
        eventually("its descriptors are closed", || {
            drop(Options::new().channel(Transport::Unix).unwrap());
            is_free(&reader)
        });
    }
}

pub(crate) fn introductions(_: &World) {
    for over in OVER {
        let (hello, brought) = introduction(over);
        for trust in [Trust::Auto, Trust::Hostile] {
            let options = Options::new().trust(trust);
            for bytes in spoiled(&hello) {
                let (fd, rx) = raw_sender(over, &options);
                let fds: Vec<BorrowedFd<'_>> = brought.iter().map(AsFd::as_fd).collect();
                socket::send_with_fds(&fd, &bytes, &fds).unwrap();
                drop(fd);
                ends_in_time(rx, &format!("{over} {trust:?} {bytes:?}"));
            }
            // Too few, too many, and others than those.
            let (_reader, writer) = canary();
            for count in [0, 1, 2, 4, 16] {
                let (fd, rx) = raw_sender(over, &options);
                let mut bytes = hello.clone();
                // As the introduction announces them.
                bytes[37] = count;
                socket::send_with_fds(&fd, &bytes, &vec![writer.as_fd(); count.into()]).unwrap();
                drop(fd);
                ends_in_time(rx, &format!("{over} {trust:?} {count} descriptors"));
            }
            // Nobody keeps what came.
            drop(writer);
        }
    }
    // Memory that its sender could take away, or that is not as large as it says.
    let (hello, brought) = introduction(Transport::Shm);
    let len = memory::file_len(brought[0].as_fd()).unwrap() as usize;
    for (len, seals) in [(len, None), (len / 2, Some(Seals::LINK)), (2 * len, Some(Seals::LINK))] {
        let (fd, mut rx) = raw_sender(Transport::Shm, &Options::new());
        let memory = memory_of(&vec![0; len], seals);
        socket::send_with_fds(&fd, &hello, &[memory.as_fd()]).unwrap();
        let told = rx.recv_timeout(SOON).map(|it| it.to_vec());
        assert!(matches!(told, Err(RecvError::Protocol(_))), "{told:?}");
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Protocol(_))), "for ever");
    }
    // Logs full of nonsense.
    let mut dice = Dice::new("hostile::introductions");
    for round in 0..40_u8 {
        let mut bytes = vec![0; len];
        bytes[PAGE..].fill_with(|| dice.roll(256) as u8);
        if round % 2 == 0 {
            // One that begins well: a message, and then nonsense.
            bytes[PAGE..PAGE + 8].copy_from_slice(&[8, 0, 0, 0, 1, 0, 0, 0]);
        }
        let options = Options::new().trust(if round % 3 == 0 { Trust::Auto } else { Trust::Hostile });
        let (fd, rx) = raw_sender(Transport::Shm, &options);
        socket::send_with_fds(&fd, &hello, &[memory_of(&bytes, Some(Seals::LINK)).as_fd()]).unwrap();
        drop(fd);
        ends_in_time(rx, &format!("log {round}"));
    }
}

/// Memory with this content, sealed or not.
fn memory_of(bytes: &[u8], seals: Option<Seals>) -> OwnedFd {
    let fd = memory::memfd("spoiled").unwrap();
    assert_eq!(rustix::io::pwrite(&fd, bytes, 0).unwrap(), bytes.len());
    if let Some(seals) = seals {
        memory::seal(fd.as_fd(), seals).unwrap();
    }
    fd
}

/// Whatever it receives, it is told of the end before long.
fn ends_in_time(mut rx: Receiver, what: &str) {
    for _ in 0..10_000 {
        match rx.recv_timeout(SOON) {
            Ok(_) => {}
            Err(RecvError::Protocol(_) | RecvError::PeerDied | RecvError::Closed) => return,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    panic!("{what}: it never ends");
}

pub(crate) fn answers(_: &World) {
    let welcome = {
        let (fd, mut rx) = raw_sender(Transport::Shm, &Options::new());
        let (hello, brought) = introduction(Transport::Shm);
        socket::send_with_fds(&fd, &hello, &[brought[0].as_fd()]).unwrap();
        assert!(matches!(rx.try_recv(), Ok(_) | Err(RecvError::Empty)));
        record(&fd);
        record(&fd).0
    };
    let page = memory_of(&[0; PAGE], Some(Seals::LINK));
    let (_reader, writer) = canary();
    let unsealed = memory_of(&[0; PAGE], None);
    let short = memory_of(&[0; 8], Some(Seals::LINK));
    let mut all: Vec<(Vec<u8>, Vec<BorrowedFd<'_>>)> =
        spoiled(&welcome).into_iter().map(|bytes| (bytes, vec![page.as_fd()])).collect();
    for fd in [&unsealed, &short] {
        all.push((welcome.clone(), vec![fd.as_fd()]));
    }
    all.push((welcome.clone(), vec![writer.as_fd(); 16]));
    all.push((welcome.clone(), Vec::new()));
    all.push((vec![7; 16], Vec::new()));
    for (bytes, fds) in all {
        let (fd, mut tx) = raw_receiver(Transport::Shm, &Options::new().capacity(4096));
        tx.send(b"one").unwrap();
        socket::send_with_fds(&fd, &bytes, &fds).unwrap();
        let mut sent = 1;
        // Some of it is an answer of another kind; then it is full before long.
        let told = loop {
            match tx.send_timeout(&[1; 100], std::time::Duration::from_millis(1)) {
                Ok(()) if sent < 10_000 => sent += 1,
                outcome => break outcome,
            }
        };
        assert!(
            matches!(told, Err(SendError::Protocol(_) | SendError::Timeout | SendError::Closed)),
            "{bytes:?}: {told:?}"
        );
        drop(fd);
        eventually("it is told of the end", || {
            let outcome = tx.send_timeout(&[1; 100], SOON);
            matches!(outcome, Err(SendError::Protocol(_) | SendError::PeerDied { .. } | SendError::Closed))
        });
    }
}

/// A page that says what cannot be: nothing is overwritten that was not read, and the sender is told.
pub(crate) fn pages(_: &World) {
    let welcome = {
        let (fd, mut rx) = raw_sender(Transport::Shm, &Options::new());
        let (hello, brought) = introduction(Transport::Shm);
        socket::send_with_fds(&fd, &hello, &[brought[0].as_fd()]).unwrap();
        let _ = rx.try_recv().map(drop);
        record(&fd);
        record(&fd).0
    };
    // Released beyond what was written, taken what was never sent, asleep for ever, closed.
    for (at, word) in [(128, u64::MAX), (136, 1 << 40), (144, u64::MAX), (256, 7), (256, u64::from(u32::MAX))] {
        let mut bytes = vec![0; PAGE];
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        let page = memory_of(&bytes, Some(Seals::LINK));
        for trust in [Trust::Auto, Trust::Hostile] {
            let (fd, mut tx) = raw_receiver(Transport::Shm, &Options::new().capacity(4096).trust(trust));
            tx.send(b"one").unwrap();
            socket::send_with_fds(&fd, &welcome, &[page.as_fd()]).unwrap();
            let mut sent = 0;
            let told = loop {
                match tx.send_timeout(&[1; 100], std::time::Duration::from_millis(1)) {
                    Ok(()) if sent < 10_000 => sent += 1,
                    outcome => break outcome,
                }
            };
            let expected = match at {
                128 | 136 => matches!(told, Err(SendError::Protocol(_))),
                256 if word > 7 => matches!(told, Err(SendError::Closed)),
                _ => matches!(told, Err(SendError::Timeout)),
            };
            assert!(expected, "{at} {word}: {told:?}");
            // Whoever lies about what he took may be believed, and nobody else.
            let taken = tx.send_rendezvous(b"taken?", Some(SHORT));
            assert!(taken.is_err() || at == 144, "{at} {word}");
        }
    }
}

const SHORT: std::time::Duration = std::time::Duration::from_millis(5);

pub(crate) fn ends_from_strangers(world: &World) {
    for carrier in ["unix", "shm"] {
        let mut stranger = Puppet::stranger(world, carrier);
        stranger.does("make shm");
        for what in ["give sender", "give receiver"] {
            let mut message = stranger.brings(what);
            assert_eq!(message.attachments(), 1);
            let told = message.take_sender().unwrap_err();
            assert!(matches!(told, TakeError::HostileEnd), "{told}");
            assert!(told.to_string().contains("make the channel on this side"), "{told}");
            assert_eq!(message.attachments(), 1, "it stays, for whoever wants the descriptor");
        }
    }
}

/// Whoever is not trusted can be given an end, and is read as everybody who is not.
pub(crate) fn to_strangers(world: &World) {
    for over in OVER {
        let mut stranger = Puppet::stranger(world, "unix");
        let options = Options::new().trust(Trust::Hostile);
        let (tx, mut rx) = options.channel(over).unwrap();
        assert_eq!(stranger.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        stranger.does("send hello");
        let message = rx.recv_timeout(SOON).unwrap();
        assert!(message == *b"hello" && !message.in_place(), "{over}: it is a copy");
        assert!(!rx.peer().is_cooperating());
        let (mut tx, rx) = options.channel(over).unwrap();
        assert_eq!(stranger.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
        for round in 0..3 {
            let mut loan = tx.loan(5).unwrap();
            assert!(!loan.in_place(), "{over} {round}: he could watch");
            loan.copy_from_slice(b"loans");
            loan.send().unwrap();
            assert_eq!(stranger.ask("recv"), "got loans");
        }
    }
}

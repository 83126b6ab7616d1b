//! Both halves of a link whose lifeline has room for a few parcels only.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::socket::{self, Kind};

use super::Rest;
use crate::address::Transport;
use crate::error::{RecvError, SendError};
use crate::handshake::{Payload, Terms};
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::parcel::MOST_ON_THEIR_WAY;
use crate::transport::{Ask, RecvHalf, SendHalf, shm};

/// Two sides: what each sends and receives by.
fn sides(queue_bytes: usize) -> [(SendHalf, RecvHalf); 2] {
    let options = Options::new().capacity(64 << 10);
    let terms = Terms {
        purpose: crate::handshake::Purpose::Messages,
        transport: Transport::Shm,
        flags: 0,
        confined: None,
        max_message: 1 << 20,
        capacity: 64 << 10,
        align: 8,
        payload: Payload::Bytes,
    };
    let (near, far) = socket::pair(Kind::SeqPacket).unwrap();
    for end in [&near, &far] {
        socket::set_buffers(end, queue_bytes).unwrap();
    }
    let (mut here, mut there) = (shm::side(&options).unwrap(), shm::side(&options).unwrap());
    let memories = [&there, &here].map(|side| (side.fd().try_clone_to_owned().unwrap(), side.geometry()));
    let mut ends = [(&mut here, near), (&mut there, far)].into_iter().zip(memories).map(|((side, socket), theirs)| {
        let lifeline = Arc::new(Lifeline::new(socket));
        let bells = (None, Rest::Lifeline);
        shm::halves(side, bells, theirs.0, theirs.1, shm::Lines::one(lifeline), &terms, &terms, 1 << 20, true, Some(16))
            .unwrap()
    });
    [ends.next().unwrap(), ends.next().unwrap()]
}

#[test]
fn a_message_waits_for_room_on_the_lifeline_as_for_room_in_the_log() {
    const COUNT: u64 = 300;
    let [(mut tx, _back_rx), (_back_tx, mut rx)] = sides(2048);
    let (_reader, writer) = std::io::pipe().unwrap();
    let fds = [writer.as_fd()];
    let mut sent = 0;
    let full = loop {
        match tx.push_with(b"abc", &fds, &mut 0, Ask::Nothing) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SendError::Full), "{full:?}");
    assert!(sent < MOST_ON_THEIR_WAY as u64, "{sent}: it was not the lifeline that was full");
    let soon = Some(Deadline::after(Duration::from_millis(10)));
    assert!(matches!(tx.wait_room(3, soon), Err(SendError::Timeout)));
    // Bytes alone need no room there.
    tx.push(b"plain", &mut 0, Ask::Nothing).unwrap();
    let late = Some(Deadline::after(Duration::from_secs(10)));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut carrying, mut plain) = (0, 0);
            while carrying + plain <= COUNT {
                let frame = match rx.poll().unwrap() {
                    Some(frame) => Some(frame),
                    None => rx.wait(late).unwrap(),
                };
                let Some(frame) = frame else { continue };
                let mut message = rx.view(frame);
                if *message == *b"plain" {
                    plain += 1;
                } else {
                    drop(message.take_fd().unwrap());
                    carrying += 1;
                }
            }
            assert_eq!((carrying, plain), (COUNT, 1));
        });
        while sent < COUNT {
            match tx.push_with(b"abc", &fds, &mut 0, Ask::Nothing) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => tx.wait_room(3, late).unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
    });
    // Its receiver has gone by then, and a sender that waits for it learns that.
    let end = loop {
        match tx.push_with(b"abc", &fds, &mut 0, Ask::Nothing) {
            Ok(()) => {}
            Err(SendError::Full) => tx.wait_room(3, late).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, SendError::Closed), "{end:?}");
}

/// Without a word that this side takes descriptors, a frame that says so is nonsense.
#[test]
fn a_link_that_carries_none_refuses_a_frame_that_says_so() {
    let private = tempfile::tempdir().unwrap();
    let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path()).unwrap());
    let mut listener = options.listen("inproc:none").unwrap();
    let link = options.connect("inproc:none").unwrap();
    let (mut tx, _rx) = link.split();
    let mut there = listener.accept().unwrap();
    let SendHalf::Log(log) = &mut tx.half else { panic!("inproc: is a log") };
    log.log.try_lend(3).unwrap();
    assert!(log.log.commit_lent_carrying(false, false));
    for _ in 0..2 {
        assert!(matches!(there.recv(), Err(RecvError::Protocol(_))));
        assert!(matches!(there.try_recv(), Err(RecvError::Protocol(_))));
    }
}

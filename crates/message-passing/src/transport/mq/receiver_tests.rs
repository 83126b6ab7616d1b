//! Slots with anything in them, in any order: what a peer may send arrives, and anything else ends the link.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::{queue, socket};

use super::receiver::MqReceiver;
use super::slot::{self, CLOSE, HIGHEST, TRAILER};
use crate::chance::{Random, seeds};
use crate::error::RecvError;
use crate::transport::RecvTransport;
use crate::transport::control::{Control, is_later};
use crate::transport::lifeline::Lifeline;

/// Messages that a queue of these tests holds.
const SLOTS: usize = 8;

/// What lies in the queue: the priority of the system, the bytes, and what they mean: a message and the number of its asking,
/// or nothing.
struct Sent {
    priority: u32,
    bytes: Vec<u8>,
    message: Option<(Vec<u8>, u32)>,
}

/// Something to be sent by a peer whose slots have so many bytes, on a link for messages of at most `limit`.
fn anything(random: &mut Random, slot_bytes: usize, limit: usize) -> Sent {
    let len = random.below(limit.min(slot_bytes.saturating_sub(1)) + 1);
    let message = random.bytes(len);
    let priority = slot::system_priority(random.one_of(&[0, 0, 1, 7, HIGHEST]));
    match random.below(60) {
        // The end.
        0 => Sent { priority: CLOSE, bytes: Vec::new(), message: None },
        // The end with something to it.
        1 => Sent { priority: CLOSE, bytes: random.bytes(1), message: None },
        // A slot that is full of anything.
        2 => {
            let bytes = random.bytes(slot_bytes);
            Sent { priority, bytes, message: None }
        }
        // More than the link carries, where the slots are larger than that.
        3 if slot_bytes > limit + 2 => Sent { priority, bytes: vec![1; limit + 1], message: None },
        4..20 if limit + TRAILER <= slot_bytes => {
            let (asks, mut bytes) = (1 + random.below(9) as u32, vec![0xee; slot_bytes]);
            assert!(slot::fill(&mut bytes, &message, asks));
            Sent { priority, bytes, message: Some((message, asks)) }
        }
        _ => Sent { priority, bytes: message.clone(), message: Some((message, 0)) },
    }
}

#[test]
fn what_a_peer_may_send_arrives_by_its_priority_and_the_rest_ends_the_link() {
    let (mut ends, mut nonsense, mut arrived) = (0, 0, 0);
    for seed in seeds(120) {
        let mut random = Random(seed);
        let limit = random.one_of(&[1, 8, 40, 500]);
        // A peer brings slots of its own size.
        let slot_bytes = random.one_of(&[limit + TRAILER, limit + TRAILER + 8, TRAILER, 600]);
        let Ok(theirs) = queue::make(SLOTS, slot_bytes) else { panic!("seed {seed}: no queue of {slot_bytes} bytes") };
        let ours = theirs.try_clone().unwrap();
        let (lifeline, _their_lifeline) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (ear, _mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (their_ear, mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (their_control, lifeline) = (Control::new(their_ear, ear.try_clone().unwrap()), Lifeline::new(lifeline));
        let control = Arc::new(Control::new(ear, mouth));
        let mut receiver = MqReceiver::new(Arc::new(lifeline), control, ours, slot_bytes, limit, None).unwrap();
        let (mut latest, mut over) = (0, None);
        // Ends with the link, or after so many rounds.
        for round in 0..60 {
            let mut sent: Vec<Sent> =
                (0..random.below(SLOTS + 1)).map(|_| anything(&mut random, slot_bytes, limit)).collect();
            for it in &sent {
                queue::send(theirs.as_fd(), &it.bytes, it.priority, Duration::ZERO).unwrap();
            }
            // The most important first, and among those of one priority in their order.
            sent.sort_by_key(|it| std::cmp::Reverse(it.priority));
            for it in sent {
                let found = receiver.poll();
                match (&it.message, found) {
                    (Some((message, asks)), Ok(Some(frame))) => {
                        assert!(*receiver.view(frame) == **message, "seed {seed}, round {round}");
                        assert_eq!(
                            slot::system_priority(receiver.priority()),
                            it.priority,
                            "seed {seed}, round {round}"
                        );
                        arrived += 1;
                        if is_later(*asks, latest) {
                            latest = *asks;
                        }
                        let heard = their_control.hear().unwrap();
                        assert_eq!(heard.asked, latest, "seed {seed}, round {round}");
                        assert!(*asks == 0 || heard.taken == Some(receiver.received()), "seed {seed}, round {round}");
                    }
                    (None, Err(RecvError::Closed)) if it.priority == CLOSE && it.bytes.is_empty() => over = Some(true),
                    (None, Err(RecvError::Protocol(_))) if it.priority != CLOSE || !it.bytes.is_empty() => {
                        over = Some(false)
                    }
                    (message, found) => panic!("seed {seed}, round {round}: {found:?}, expected {message:?}"),
                }
                if over.is_some() {
                    break;
                }
            }
            match (over, receiver.poll()) {
                (None, Ok(None)) => {}
                (Some(true), Err(RecvError::Closed)) => ends += 1,
                (Some(false), Err(RecvError::Protocol(_))) => {
                    nonsense += 1;
                    // The peer learns of it: there is a word, and no room.
                    assert!(their_control.hear().unwrap().receiver_closed, "seed {seed}, round {round}");
                    assert!(queue::send(theirs.as_fd(), b"", 1, Duration::ZERO).is_err(), "seed {seed}, round {round}");
                }
                (over, found) => panic!("seed {seed}, round {round}: {found:?}, {over:?}"),
            }
            if over.is_some() {
                break;
            }
        }
    }
    assert!(ends > 10 && nonsense > 40 && arrived > 1_000, "{ends}, {nonsense}, {arrived}");
}

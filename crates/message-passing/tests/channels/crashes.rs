//! A process that is killed at each named point of a channel: whoever has the other end is told, and nothing is left.

use wharf_message_passing::{Attachment, Options, Receiver, RecvError, SendError, Sender, Transport};

use crate::puppet::{CARRIERS, OVER, Puppet};
use crate::suite::crashes::assert_all;
use crate::world::{SOON, World, eventually};

/// Every crash point of channels, and what leads a process there.
const POINTS: &[(&str, &str)] = &[
    ("channel.close", "closes"),
    ("channel.lent", "passes-on"),
    ("channel.made", "makes"),
    ("channel.noted", "makes"),
    ("channel.peeked", "takes"),
    ("channel.receiver.answered", "receives"),
    ("channel.receiver.heard", "receives"),
    ("channel.receiver.made", "receives-shm"),
    ("channel.receiver.sleep", "receives-first"),
    ("channel.sender.heard", "sends-shm"),
    ("channel.sender.introduced", "sends"),
    ("channel.sender.made", "sends-shm"),
    ("channel.sender.met", "sends-shm"),
    ("channel.sender.sleep", "fills-shm"),
    ("channel.sent", "passes-on"),
];

pub(crate) fn at_every_point(world: &World) {
    assert_all("", "channel.", POINTS);
    for (point, part) in POINTS {
        for over in OVER {
            if part.ends_with("-shm") && over != Transport::Shm {
                continue;
            }
            for carrier in CARRIERS {
                // Ends travel in the same way whatever they are of; the carrier matters where they do.
                if *carrier == "unix" || matches!(*part, "takes" | "passes-on") {
                    let what = format!("{point} {over} {carrier}");
                    play(&mut Puppet::dying(world, carrier, point), part, over, &what);
                }
            }
        }
    }
}

fn play(dies: &mut Puppet, part: &str, over: Transport, what: &str) {
    match part {
        "makes" => {
            dies.tell(&format!("make {over}"), &[]);
            dead(dies, what);
        }
        "takes" => {
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            dies.tell("take sender", &[Attachment::sender(tx).unwrap()]);
            dead(dies, what);
            receiver_is_told(&mut rx, 0, what);
        }
        "passes-on" => {
            // It has taken the end of somebody and gives it on: the end is gone with it, or where it went.
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            assert_eq!(dies.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok", "{what}");
            dies.tell("give sender", &[]);
            match dies.link.recv_timeout(SOON) {
                Ok(mut message) => {
                    let mut tx = message.take_sender().unwrap();
                    tx.send(b"it has arrived").unwrap();
                    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"it has arrived", "{what}");
                    drop(tx);
                    assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{what}");
                }
                Err(RecvError::PeerDied) => receiver_is_told(&mut rx, 0, what),
                Err(error) => panic!("{what}: {error}"),
            }
            dead(dies, what);
        }
        "closes" => {
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            assert_eq!(dies.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok", "{what}");
            dies.tell("drop sender", &[]);
            dead(dies, what);
            receiver_is_told(&mut rx, 0, what);
        }
        "sends" | "sends-shm" => {
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            dies.tell("take sender", &[Attachment::sender(tx).unwrap()]);
            assert_eq!(dies.answer(), "ok");
            dies.tell("send 0", &[]);
            // Some points come once the receiver has answered.
            let mut told = 0;
            loop {
                match rx.recv_timeout(SOON) {
                    Ok(message) => {
                        let expected = told.to_string();
                        assert_eq!(message, *expected.as_bytes(), "{what}");
                    }
                    Err(RecvError::PeerDied) => break,
                    Err(error) => panic!("{what}: {error}"),
                }
                told += 1;
                // Dead by now, or going to be: the link may carry it no more.
                if dies.link.recv_timeout(SOON).is_ok() {
                    let _ = dies.link.send(format!("send {told}").as_bytes());
                }
            }
            assert!(told <= 2, "{what}: it goes on");
            dead(dies, what);
        }
        "fills-shm" => {
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            assert_eq!(dies.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok", "{what}");
            let sent: usize = dies.ask("fill").parse().unwrap();
            dies.tell("wait-room", &[]);
            dead(dies, what);
            receiver_is_told(&mut rx, sent, what);
        }
        "receives" | "receives-shm" | "receives-first" => {
            let (mut tx, rx) = Options::new().channel(over).unwrap();
            assert_eq!(dies.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok", "{what}");
            if part != "receives-first" {
                tx.send(b"one").unwrap();
            }
            dies.tell("recv", &[]);
            dead(dies, what);
            sender_is_told(&mut tx, what);
        }
        other => panic!("nobody {other}"),
    }
}

/// It died where it was to.
fn dead(puppet: &mut Puppet, what: &str) {
    assert!(puppet.dies(), "{what}: it lived on");
}

/// Whatever was sent comes first.
fn receiver_is_told(rx: &mut Receiver, sent: usize, what: &str) {
    for number in 0..sent {
        assert!(rx.recv_timeout(SOON).is_ok(), "{what}: message {number} of {sent}");
    }
    let told = rx.recv_timeout(SOON).map(|it| it.to_vec());
    assert!(matches!(told, Err(RecvError::PeerDied)), "{what}: {told:?}");
}

fn sender_is_told(tx: &mut Sender, what: &str) {
    eventually(what, || match tx.send(b"more") {
        Ok(()) => false,
        Err(SendError::PeerDied { .. }) => true,
        Err(error) => panic!("{what}: {error}"),
    });
}

//! Processes that make channels, pass ends around, send through them, and are killed at random.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wharf_message_passing::{Attachment, Options, Receiver, RecvError, Transport};

use crate::dice::Dice;
use crate::puppet::{OVER, Puppet, text};
use crate::world::{SOON, World};

/// How long it goes on.
const TIME: Duration = Duration::from_secs(4);

/// A channel of which this process has the receiver, and somebody the sender.
struct Watched {
    rx: Receiver,
    over: Transport,
    /// Who has the sender; nobody once that one was killed.
    holder: Option<u64>,
    /// What the holder was told to send and said that it did.
    sent: u64,
    received: u64,
}

/// Numbers that a sender sends come once, in order, up to the last that it said it had sent, whether it lives or not.
pub(crate) fn kills(world: &World) {
    let mut dice = Dice::new("random::kills");
    let seed = dice.seed;
    let mut puppets: BTreeMap<u64, (Puppet, Vec<u64>)> = BTreeMap::new();
    let (mut channels, mut next) = (BTreeMap::<u64, Watched>::new(), 0);
    let (mut kills, mut moves, mut ended) = (0, 0, 0);
    let began = Instant::now();
    while began.elapsed() < TIME {
        next += 1;
        if puppets.len() < 3 {
            let carrier = ["unix", "shm"][dice.roll(2) as usize];
            puppets.insert(next, (Puppet::new(world, carrier), Vec::new()));
            continue;
        }
        let mut names: Vec<u64> = puppets.keys().copied().collect();
        names.sort_unstable();
        let name = names[dice.roll(names.len() as u64) as usize];
        let (puppet, held) = puppets.get_mut(&name).unwrap();
        match dice.roll(8) {
            // It gets a sender, perhaps by way of another one.
            0 | 1 => {
                let over = OVER[dice.roll(2) as usize];
                let (tx, rx) = Options::new().channel(over).unwrap();
                let mut tx = tx;
                for _ in 0..dice.roll(3) {
                    let (hop, _) = puppets.get_mut(&names[dice.roll(names.len() as u64) as usize]).unwrap();
                    assert_eq!(hop.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok", "seed {seed}");
                    tx = hop.brings("give sender").take_sender().unwrap();
                    moves += 1;
                }
                let (puppet, held) = puppets.get_mut(&name).unwrap();
                assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok", "seed {seed}");
                held.push(next);
                channels.insert(next, Watched { rx, over, holder: Some(name), sent: 0, received: 0 });
            }
            // It sends, through the one that it got last.
            2..=4 => {
                if let Some(channel) = held.last().and_then(|at| channels.get_mut(at)) {
                    for _ in 0..1 + dice.roll(20) {
                        let answer = puppet.ask(&format!("send {}", channel.sent));
                        assert_eq!(answer, "ok", "seed {seed} {}", channel.over);
                        channel.sent += 1;
                    }
                }
            }
            // Something is received.
            5 | 6 => {
                let mut waiting: Vec<&mut Watched> = channels.values_mut().collect();
                if !waiting.is_empty() {
                    let at = dice.roll(waiting.len() as u64) as usize;
                    take_what_is_there(waiting[at], seed);
                }
            }
            // It is killed: at rest, or while it is busy with what it is told.
            _ => {
                let busy = held.last().copied().filter(|_| dice.roll(2) == 0);
                let (mut puppet, held) = puppets.remove(&name).unwrap();
                if busy.is_some() {
                    puppet.tell("send-many 1000000", &[]);
                    std::thread::sleep(Duration::from_micros(dice.roll(2000)));
                }
                puppet.process.kill();
                kills += 1;
                for at in held {
                    let mut channel = channels.remove(&at).unwrap();
                    channel.holder = None;
                    finish(channel, busy == Some(at), seed);
                    ended += 1;
                }
            }
        }
    }
    // The others end in good order.
    for (name, (mut puppet, held)) in puppets {
        for at in held.into_iter().rev() {
            let mut channel = channels.remove(&at).unwrap();
            assert_eq!(channel.holder, Some(name));
            puppet.does("drop sender");
            let over = channel.over;
            while channel.received < channel.sent {
                take_one(&mut channel, seed).unwrap();
            }
            let told = channel.rx.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(told, Err(RecvError::Closed)), "seed {seed} {over}: {told:?}");
        }
        puppet.process.kill();
    }
    assert!(channels.is_empty() && kills > 0 && moves > 0 && ended > 0, "seed {seed}: {kills} {moves} {ended}");
}

fn take_one(channel: &mut Watched, seed: u64) -> Result<(), RecvError> {
    let message = channel.rx.recv_timeout(SOON)?;
    assert_eq!(text(&message), channel.received.to_string(), "seed {seed} {}", channel.over);
    channel.received += 1;
    Ok(())
}

fn take_what_is_there(channel: &mut Watched, seed: u64) {
    while channel.received < channel.sent {
        take_one(channel, seed).unwrap();
    }
    assert!(matches!(channel.rx.try_recv(), Err(RecvError::Empty)), "seed {seed}: nothing twice");
}

/// Its sender was killed: everything that it said it had sent comes, then what it had not said (`busy`), then the end.
fn finish(mut channel: Watched, busy: bool, seed: u64) {
    while channel.received < channel.sent {
        take_one(&mut channel, seed).unwrap();
    }
    let mut more = 0_u64;
    loop {
        match channel.rx.recv_timeout(SOON) {
            Ok(message) => {
                assert!(busy && message == more.to_le_bytes()[..], "seed {seed} {}: {message:?}", channel.over);
                more += 1;
            }
            Err(RecvError::PeerDied) => return,
            Err(error) => panic!("seed {seed} {}: {error}", channel.over),
        }
    }
}

//! A peer that is killed with SIGKILL: everything it had sent is received, then the death is told, soon.

use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{ConnectError, Link, RecvError, SendError, Wait};

use crate::child::SPOKEN;
use crate::world::{Peer, SOON, World, pattern};

/// A death is told within this of the kernel closing the dead process's descriptors.
const TOLD: Duration = Duration::from_millis(250);

/// A machine that is busy with other things may take longer to let the survivor run, which is not the link's fault.
/// The quickest of several deaths is held against [`TOLD`], each single one against this.
const PATIENT: Duration = Duration::from_secs(20);

fn meet(world: &World, role: &str, wait: Wait) -> (Peer, Link) {
    let (mut peer, link) = encounter(world, role, wait);
    peer.expect("ready");
    (peer, link)
}

fn encounter(world: &World, role: &str, wait: Wait) -> (Peer, Link) {
    let mut listener = world.options().wait(wait).capacity(16 << 10).listen(world.address()).unwrap();
    let peer = world.child(role);
    let link = listener.accept_timeout(SOON).unwrap();
    let vouched = world.scheme.named && world.scheme.name != "pipe";
    assert_eq!(link.peer().pid(), vouched.then(|| peer.id()));
    (peer, link)
}

fn quickest(deaths: &[Duration]) -> Duration {
    assert!(deaths.iter().all(|it| *it < PATIENT), "{deaths:?}");
    deaths.iter().copied().min().unwrap_or(PATIENT)
}

pub(crate) fn receives_everything_then_the_death(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let (mut peer, mut link) = encounter(world, "talks", wait);
        let line = peer.line();
        let spoken: usize = line.strip_prefix("ready ").and_then(|count| count.parse().ok()).expect(&line);
        assert!(spoken == SPOKEN || spoken >= world.surely_wait(1 << 20), "only {spoken} messages found room");
        peer.kill();
        for number in 0..spoken {
            assert_eq!(&*link.recv_timeout(SOON).unwrap(), &pattern(number, number * 37)[..], "{wait:?}");
        }
        for _ in 0..3 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::PeerDied)), "{wait:?} {end:?}");
        }
        // What is sent to a dead peer is counted: at the latest when nobody has made room.
        let unsent = (0..100_000).find_map(|count| link.send(b"x").err().map(|error| (count, error)));
        let counted =
            matches!(unsent, Some((count, SendError::PeerDied { sent, taken: None | Some(0) })) if sent == count);
        assert!(counted, "{wait:?} {unsent:?}");
    }
}

pub(crate) fn wakes_the_receiver(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let deaths = [(); 5].map(|()| {
            let (mut peer, mut link) = meet(world, "never-reads", wait);
            let receiving = thread::spawn(move || {
                let end = link.recv().map(|it| it.to_vec());
                (end, Instant::now())
            });
            thread::sleep(Duration::from_millis(20));
            peer.kill();
            let killed = Instant::now();
            let (end, told) = receiving.join().unwrap();
            assert!(matches!(end, Err(RecvError::PeerDied)), "{wait:?} {end:?}");
            told.saturating_duration_since(killed)
        });
        let told = quickest(&deaths);
        assert!(told < TOLD, "{wait:?}: told after {told:?}");
    }
}

pub(crate) fn wakes_the_sender(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let deaths = [(); 5].map(|()| {
            let (mut peer, mut link) = meet(world, "never-reads", wait);
            let sending = thread::spawn(move || {
                // Fills the queue, then waits for room.
                let mut sent = 0;
                loop {
                    match link.send(&[7; 300]) {
                        Ok(()) => sent += 1,
                        Err(error) => return (error, sent, Instant::now()),
                    }
                }
            });
            thread::sleep(Duration::from_millis(20));
            peer.kill();
            let killed = Instant::now();
            let (end, count, told) = sending.join().unwrap();
            let counted = matches!(end, SendError::PeerDied { sent, taken: None | Some(0) } if sent == count);
            assert!(counted, "{wait:?} {end:?} {count}");
            told.saturating_duration_since(killed)
        });
        let told = quickest(&deaths);
        assert!(told < TOLD, "{wait:?}: told after {told:?}");
    }
}

/// One that sends one message like the other has learned what it need not look at again for each of them. That its peer lives it must
/// look at all the same, though there is room.
pub(crate) fn tells_a_sender_that_finds_room(world: &World) {
    let deaths = [(); 3].map(|()| {
        let (mut peer, mut link) = meet(world, "never-reads", Wait::Adaptive);
        let mut sent = 0;
        while sent < 40 && link.try_send(b"like the others").is_ok() {
            sent += 1;
        }
        peer.kill();
        let killed = Instant::now();
        // Far fewer than there is room for, where there is any.
        let end = (0..100).find_map(|_| {
            thread::sleep(Duration::from_millis(5));
            link.send(b"like the others").err()
        });
        let told = killed.elapsed();
        assert!(matches!(end, Some(SendError::PeerDied { .. })), "{end:?}");
        told
    });
    let told = quickest(&deaths);
    assert!(told < TOLD, "told after {told:?}");
}

pub(crate) fn tells_a_rendezvous(world: &World) {
    let (mut peer, mut link) = meet(world, "leaves-one", Wait::Adaptive);
    for number in 0..3 {
        link.send_rendezvous(&pattern(number, 10), Some(SOON)).unwrap();
    }
    peer.expect("read");
    let sending = thread::spawn(move || link.send_rendezvous(b"nobody takes it", None).unwrap_err());
    // It has been sent, however long that thread took to begin; by now it waits, most likely asleep.
    peer.expect("left");
    thread::sleep(Duration::from_millis(20));
    peer.kill();
    let end = sending.join().unwrap();
    assert!(matches!(end, SendError::PeerDied { sent: 4, taken: Some(3) }), "{end:?}");
}

pub(crate) fn stopped_is_not_dead(world: &World) {
    let (mut peer, mut link) = meet(world, "reads-some", Wait::Adaptive);
    peer.signal("STOP");
    let silence = link.recv_timeout(Duration::from_millis(600)).map(|it| it.to_vec());
    assert!(matches!(silence, Err(RecvError::Timeout)), "{silence:?}");
    let late = link.send_rendezvous(b"one", Some(Duration::from_millis(100))).unwrap_err();
    assert!(matches!(late, SendError::NotTaken), "{late:?}");
    peer.signal("CONT");
    link.send_rendezvous(b"two", Some(SOON)).unwrap();
    link.send_rendezvous(b"three", Some(SOON)).unwrap();
    peer.expect("read");
    // Its standard input ends, it returns in good order, and that is no death.
    peer.go_on();
    peer.wait();
    let end = link.recv_timeout(SOON).map(|it| it.to_vec());
    assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
}

pub(crate) fn dead_name_is_replaced(world: &World) {
    let mut peer = world.child("listens");
    peer.expect("ready");
    let taken = world.options().listen(world.address()).unwrap_err();
    assert!(matches!(taken, ConnectError::NameTaken { .. }), "{taken:?}");
    peer.kill();
    // At most a dead name is left; whoever connects is told that nobody listens.
    let nobody = world.options().connect(world.address()).unwrap_err();
    assert!(matches!(nobody, ConnectError::NobodyListening { .. }), "{nobody:?}");
    let (mut here, mut there) = world.pair(&world.options());
    there.send(b"hi").unwrap();
    assert_eq!(here.recv_timeout(SOON).unwrap(), *b"hi");
}

pub(crate) fn exit_is_not_closing(world: &World) {
    let mut listener = world.listen();
    let mut peer = world.child("exits");
    let mut link = listener.accept_timeout(SOON).unwrap();
    for number in 0..SPOKEN {
        assert_eq!(&*link.recv_timeout(SOON).unwrap(), &pattern(number, 10)[..]);
    }
    let end = link.recv_timeout(SOON).map(|it| it.to_vec());
    assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
    peer.wait();
}

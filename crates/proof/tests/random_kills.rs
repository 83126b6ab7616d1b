//! A thousand processes killed at random moments: under locks, on either side of streams.
//!
//! `WHARF_PROOF_SEED` repeats a run's choices, `WHARF_PROOF_KILLS` makes it longer.

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Options, SendError};
use wharf_proof::board::Board;
use wharf_proof::letter::Kind;
use wharf_proof::living::campaign;
use wharf_proof::place;
use wharf_proof::process::{Death, PATIENCE, Process};
use wharf_proof::promptness::{SOON, assert_soon, watch};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockError, RegionOptions, region};
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// Kills in all, unless the environment asks for more.
const KILLS: u64 = 1000;

/// The number of kills for a share of the whole, and the numbers to choose them by.
fn share(percent: u64, what: &str) -> (u64, Random) {
    watch();
    campaign(what, KILLS, percent)
}

#[test]
fn locks_and_readings_survive_their_holders() {
    const NAME: &str = "random";
    const CROWD: usize = 3;
    let (kills, mut random) = share(37, "locks");
    let scene = Scene::new();
    let domain = scene.domain();
    let options = RegionOptions::new().domain(domain.clone()).max_participants(8);
    let region = options.create::<Board>(NAME).expect("the test's own region");
    let start = |verb: &str| {
        let mut process = Process::start(Path::new(VICTIM), &scene, &["region", verb, NAME]);
        process.expect("ready");
        process
    };
    let mut reader = start("read");
    let mut writer = start("write");
    let mut crowd: Vec<_> = (0..CROWD).map(|_| start("change")).collect();
    let mut taken_over = 0u64;
    for kill in 0..kills {
        thread::sleep(Duration::from_micros(random.below(3000)));
        let what = format!("kill {kill}");
        // Every fourth kill hits the writer of readings, the others a process that changes under the lock.
        if random.below(4) == 0 {
            writer.kill();
            let round = region.reading.read().round();
            assert!(round.is_some(), "{what}: {:?}", region.reading.read());
            writer = start("write");
        } else {
            let unlucky = usize::try_from(random.below(CROWD as u64)).unwrap_or(0);
            let death = crowd[unlucky].kill();
            taken_over += u64::from(lock_after(&region, death, &what));
            crowd[unlucky] = start("change");
        }
        for survivor in crowd.iter_mut().chain([&mut reader, &mut writer]) {
            assert!(survivor.runs(), "{what}: {}", survivor.report());
        }
    }
    println!("{taken_over} of {kills} deaths left the lock to this test");
    drop((crowd, reader, writer));
    drop(region);
    region::unlink_in(&domain, NAME).expect("the name can be removed");
    scene.assert_remains("all killed", |_| false);
}

/// Takes the lock after a death, in competition with the other survivors; whether it had to be taken over.
fn lock_after(region: &Board, death: Death, what: &str) -> bool {
    let (mut guard, taken_over) = match region.pair.lock_timeout(PATIENCE) {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(died)) => (died.repaired(), true),
        Err(error) => panic!("{what}: {error}"),
    };
    assert_soon(&format!("{what}: the lock"), death.at, Instant::now());
    assert!(taken_over || guard.agrees(), "{what}: a lock in order guards {:?}", *guard);
    guard.repair();
    taken_over
}

#[test]
fn a_stream_over_shm_tells_of_a_killed_sender() {
    stream(20, "shm:random", "send len=..3000", "receive len=..3000");
}

#[test]
fn a_stream_over_shm_tells_of_a_killed_receiver() {
    stream(20, "shm:random", "receive len=..3000 wait=sleep", "send len=..3000 wait=sleep");
}

/// A sender that always finds room never has to wait for its peer, and must hear of its death all the same.
#[test]
fn a_slow_sender_over_shm_is_told_of_a_killed_receiver() {
    for receiver in ["receive wait=spin", "receive wait=sleep", "receive"] {
        stream(1, "shm:random", receiver, "send pause=5000");
    }
}

/// One that was silent for a while is told by its very next message, or after a burst by one of the next thirty-two, which is how
/// seldom a fast sender looks at the clock.
#[test]
fn messages_after_a_silence_tell_of_a_killed_receiver() {
    for receiver in ["wait=spin", "wait=sleep"] {
        silence(receiver, Duration::from_millis(2), 1);
        silence(receiver, Duration::ZERO, 32);
    }
}

fn silence(receiver: &str, pause: Duration, at_most: usize) {
    const BEFORE: u64 = 40;
    let scene = Scene::new();
    let words = ["link", "listen", "receive", "shm:silence", receiver];
    let mut victim = Process::start(Path::new(VICTIM), &scene, &words);
    victim.expect("listening");
    let mut link = Options::new().domain(scene.domain()).connect("shm:silence").expect("the victim listens");
    let mut letter = Vec::new();
    for number in 0..BEFORE {
        Kind::Fixed(64).compose(number, &mut letter);
        link.send(&letter).expect("the victim receives");
        thread::sleep(pause);
    }
    victim.kill();
    thread::sleep(SOON);
    let error = (0..at_most).find_map(|_| link.send(&letter).err());
    match error {
        Some(SendError::PeerDied { taken, .. }) => assert!(taken.is_some_and(|taken| taken <= BEFORE), "{taken:?}"),
        other => panic!("{receiver}, {pause:?} between messages before: {other:?}"),
    }
}

#[test]
fn a_stream_over_unix_tells_of_a_killed_sender_or_receiver() {
    stream(10, "unix:random", "send len=..3000", "receive len=..3000");
    stream(10, "unix:random", "receive len=..3000", "send len=..3000");
}

#[test]
fn a_stream_over_mq_tells_of_a_killed_sender_or_receiver() {
    stream(10, "mq:random", "send len=..3000", "receive len=..3000");
    stream(10, "mq:random", "receive len=..3000", "send len=..3000");
}

/// A queue takes messages for a peer that is gone; its sender is told all the same, full or not.
#[test]
fn a_slow_sender_over_mq_is_told_of_a_killed_receiver() {
    for receiver in ["receive wait=spin", "receive wait=sleep", "receive"] {
        stream(1, "mq:random", receiver, "send pause=5000");
    }
}

#[test]
fn a_stream_over_pipe_tells_of_a_killed_sender_or_receiver() {
    stream(10, "pipe:random", "send len=..30000", "receive len=..30000");
    stream(10, "pipe:random", "receive len=..30000", "send len=..30000");
}

#[test]
fn a_stream_over_tcp_tells_of_a_killed_sender_or_receiver() {
    let address = place::address("tcp", "random");
    stream(10, &address, "send len=..3000", "receive len=..3000");
    stream(10, &address, "receive len=..3000", "send len=..3000");
}

/// Kills the one who plays `victim` again and again; the one who plays `survivor` must say so soon.
fn stream(percent: u64, address: &str, victim: &str, survivor: &str) {
    let what = format!("{address}, the killed one plays '{victim}'");
    let (kills, mut random) = share(percent, &what);
    let scene = Scene::new();
    let start = |role: &str, job: &str| {
        let (verb, settings) = job.split_once(' ').unwrap_or((job, ""));
        let mut words = vec!["link", role, verb, address];
        words.extend(settings.split_ascii_whitespace());
        Process::start(Path::new(VICTIM), &scene, &words)
    };
    for kill in 0..kills {
        // Whether the one who dies listens or connects is a toss, too.
        let dies_listening = random.below(2) == 0;
        let (listening, connecting) = if dies_listening { (victim, survivor) } else { (survivor, victim) };
        let mut listener = start("listen", listening);
        listener.expect("listening");
        let mut connector = start("connect", connecting);
        let (dies, lives) =
            if dies_listening { (&mut listener, &mut connector) } else { (&mut connector, &mut listener) };
        lives.expect("met");
        thread::sleep(Duration::from_micros(random.below(6000)));
        let death = dies.kill();
        let said = lives.expect("peer-died");
        assert_soon(&format!("{what}, kill {kill}: the news"), death.at, said.at);
    }
    let dead_name = |name: &str| name.trim_start_matches('.').starts_with("random.");
    scene.assert_remains(&what, dead_name);
    // At most one dead name, however many died listening.
    assert!(scene.remains().len() <= 2, "{what}: {:?}", scene.remains());
}

//! Members of a bus that join, leave and are killed at any time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wharf_message_passing::{BusMember, OnFull, RecvError, SendError};
use wharf_sys::random;

use crate::ledger::{Ledger, message};
use crate::suite::{say, told};
use crate::world::{Process, SOON, World, eventually, node_at};

const LASTS: Duration = Duration::from_secs(3);
const MOST: u64 = 4;

fn join(path: &Path) -> BusMember {
    // One that is slow loses something, and is told so.
    let patience = Some(Duration::from_millis(20));
    node_at(path).bus("random").capacity(1 << 16).on_full(OnFull::Block { patience }).join().unwrap()
}

/// Says "ready", sends and hears until it is told that it was enough; then what it has sent, heard and missed.
pub(crate) fn talks(path: &Path, name: &str, who: u64) {
    assert_eq!(name, "random");
    let mut member = join(path);
    let me = member.id();
    say("ready");
    let enough = AtomicBool::new(false);
    let (mut ledger, mut sent) = (Ledger::default(), 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            told();
            enough.store(true, Ordering::Relaxed);
        });
        while !enough.load(Ordering::Relaxed) {
            if let Err(why) = talk(&mut member, who, &mut sent, &mut ledger) {
                return say(format_args!("wrong: {why}"));
            }
            // Nobody is in a hurry: the machine is shared.
            if sent.is_multiple_of(64) {
                std::thread::yield_now();
            }
        }
    });
    match ledger.received.contains_key(&who) || member.members().any(|it| it.id() == me) {
        true => say("wrong: it has heard itself"),
        false => say(format_args!("{sent} {} {}", ledger.received(), ledger.missed)),
    }
}

/// Sends one message, and hears what is there.
fn talk(member: &mut BusMember, who: u64, sent: &mut u64, ledger: &mut Ledger) -> Result<(), String> {
    match member.send(&message(who, *sent, 16 + (*sent % 200) as usize)) {
        Ok(()) => *sent += 1,
        Err(SendError::Full) => {}
        Err(error) => return Err(error.to_string()),
    }
    // So many that one who sends all the time keeps nobody here.
    for _ in 0..2 * MOST {
        match ledger.enter(member.try_recv()) {
            Ok(()) => {}
            Err(RecvError::Empty) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Whoever stays hears every message of every other in its order, or how many it has missed, and never itself.
pub(crate) fn joins_and_kills(world: &World) {
    let seed = u64::from_le_bytes(random::bits_128().unwrap()[..8].try_into().unwrap()) | 1;
    println!("seed {seed:#x}");
    let mut draw = Random(seed);
    let mut steady = join(world.path());
    let (mut ledger, mut sent) = (Ledger::default(), 0);
    let mut others: Vec<(u64, Process)> = Vec::new();
    let (mut joined, mut killed, mut left) = (0_u64, 0, Vec::new());
    let until = Instant::now() + LASTS;
    while Instant::now() < until {
        match draw.below(4) {
            0 | 1 if (others.len() as u64) < MOST => {
                joined += 1;
                let mut other = world.start("talks", &["random", &joined.to_string()]);
                other.expect("ready");
                others.push((joined, other));
            }
            2 if !others.is_empty() => {
                others.swap_remove(draw.below(others.len() as u64) as usize).1.kill();
                killed += 1;
            }
            3 if !others.is_empty() => {
                let (who, other) = others.swap_remove(draw.below(others.len() as u64) as usize);
                left.push((who, sent_by(other)));
            }
            _ => {}
        }
        for _ in 0..draw.below(2_000) {
            talk(&mut steady, 0, &mut sent, &mut ledger).unwrap();
        }
    }
    left.extend(others.into_iter().map(|(who, other)| (who, sent_by(other))));
    // All that was said is heard, and then nobody is there.
    eventually("all have left", || {
        while ledger.enter(steady.recv_timeout(Duration::from_millis(1))).is_ok() {}
        steady.members().count() == 0 && steady.hearers() == 0
    });
    println!(
        "{joined} joined, {killed} killed, {} left; sent {sent}, heard {} of {} and missed {}",
        left.len(),
        ledger.received(),
        ledger.received.len(),
        ledger.missed
    );
    // Up to the last message of those that have said how many there were.
    for (who, sent) in left {
        assert!(ledger.come_to(who).is_none_or(|next| next == sent), "{who} sent {sent}: {:?}", ledger.come_to(who));
    }
    assert!(joined > 0 && sent > 0 && ledger.received() > 0);
    assert!(!ledger.received.contains_key(&0), "it has heard itself");
    // One that comes now hears it.
    let mut last = join(world.path());
    steady.send(&message(0, sent, 16)).unwrap();
    assert_eq!(last.recv_timeout(SOON).unwrap().sequence(), sent);
}

/// Has a member leave; how many messages it has sent.
fn sent_by(mut member: Process) -> u64 {
    member.tell("enough");
    let told = member.line();
    let sent = told.split(' ').next().and_then(|sent| sent.parse().ok());
    member.end();
    sent.unwrap_or_else(|| panic!("it says {told:?}"))
}

/// A generator of numbers that is the same each time (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

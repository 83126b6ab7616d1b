//! Somebody writes nonsense all over a region, before it is looked at and while it is used: no program of the others panics,
//! waits for ever or sees what is not there.

mod actors;
mod random;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use actors::{PATIENCE, Stage};
use random::Random;
use wharf_shared_memory::region;
use wharf_shared_memory::{
    Auto, Barrier, BarrierError, Condvar, Counted, Event, Journaled, Latest, LockError, LockFailure, Look, Mutex, Once,
    ReentrantError, ReentrantMutex, Region, RwLock, RwLockError, Semaphore, Shared,
};

/// How long the random part of a test goes on.
const SPELL: Duration = Duration::from_millis(700);

/// How long one call may wait for a holder that is none.
const SHORT: Duration = Duration::from_micros(200);

/// Slots of the participant table.
const SLOTS: u32 = 8;

/// One of each.
#[derive(Shared)]
#[repr(C)]
struct Bench {
    tools: [Mutex<u64>; 2],
    plan: RwLock<[u64; 2], 3>,
    seats: Semaphore<3>,
    meeting: Barrier<3>,
    opening: Once,
    light: Latest<[u64; 3]>,
    book: Mutex<Journaled<[u64; 4]>>,
    again: ReentrantMutex<u64>,
    change: Condvar,
    open: Event,
    bell: Event<Auto>,
    items: Event<Counted>,
}

/// A word as hostile as they come: any, small, the largest, a single bit, or the name of a slot with flags around it.
fn word(random: &mut Random) -> u64 {
    let number = random.number();
    match random.below(6) {
        0 => number,
        1 => number % 16,
        2 => u64::MAX - number % 3,
        3 => 1 << (number % 64),
        4 => (number % 64) << 58 | random.below(1 << 11),
        _ => number << 32 | (number >> 32 & 0xff),
    }
}

/// The file of a region with one of each, and where the parts begin that a participant writes.
struct Victim {
    stage: Stage,
    file: File,
    tables: u64,
    root: u64,
}

impl Victim {
    fn new() -> (Victim, Region<Bench>) {
        let stage = Stage::new();
        let path = stage.path().join("bench");
        let region: Region<Bench> = stage.options().max_participants(SLOTS).create_file(&path).unwrap();
        let info = region::inspect_file(&path).unwrap();
        let area = |name: &str| info.areas.iter().find(|area| area.name == name).unwrap().offset;
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let (tables, root) = (area("participants"), area("root"));
        (Victim { stage, file, tables, root }, region)
    }

    /// Writes a word, of four or eight bytes, somewhere in the tables or the root.
    fn scribble(&self, random: &mut Random, most_in_tables: bool) {
        let in_tables = random.below(8) < if most_in_tables { 6 } else { 1 };
        let (from, len) = match in_tables {
            true => (self.tables, self.root - self.tables),
            false => (self.root, size_of::<Bench>() as u64),
        };
        let width = 4 << random.below(2);
        let at = from + random.below(len / 8) * 8 + if width == 4 { random.below(2) * 4 } else { 0 };
        self.file.write_all_at(&word(random).to_le_bytes()[..width], at).unwrap();
    }
}

/// Says that something is over, also where a test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends the program when a test hangs: a wait without an end is what it looks for.
fn watched(test: impl FnOnce(Random)) {
    let random = Random::seeded();
    let (seed, over, began) = (random.0, AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if began.elapsed() > PATIENCE + SPELL {
                    // What a test prints in the usual way is lost when the program is aborted.
                    let _ = writeln!(io::stderr(), "somebody waits for ever: WHARF_TEST_SEED={seed}");
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let _over = Over(&over);
        test(random);
    });
}

/// What a call may fail with when its words are nonsense.
fn plausible(failure: &LockFailure) -> bool {
    matches!(failure, LockFailure::Timeout | LockFailure::WouldBlock | LockFailure::OwnerDied | LockFailure::Full)
}

/// Uses the primitive of this number in every way that waits a moment at most.
fn use_one(bench: &Bench, which: u64) {
    match which {
        0 => match bench.tools[0].lock_timeout(SHORT) {
            Ok(mut guard) => *guard = guard.wrapping_add(1),
            Err(LockError::OwnerDied(guard)) => drop(guard.repaired()),
            Err(other) => assert!(plausible(&other.failure()), "a mutex says {other:?}"),
        },
        1 => {
            match bench.plan.write_timeout(SHORT) {
                Ok(guard) => drop(guard.downgrade()),
                Err(RwLockError::OwnerDied(guard)) => drop(guard.repaired()),
                Err(_) => {}
            }
            match bench.plan.upgradable_read_timeout(SHORT) {
                Ok(guard) => drop(guard.upgrade_timeout(SHORT)),
                Err(RwLockError::OwnerDied(guard)) => drop(guard.repaired()),
                Err(_) => {}
            }
            match bench.plan.read_timeout(SHORT) {
                Ok(_) => {}
                Err(RwLockError::OwnerDied(guard)) => drop(guard.repaired()),
                Err(_) => {}
            }
        }
        2 => {
            let permits: Vec<_> = (0..4).map_while(|_| bench.seats.take_timeout(SHORT).ok()).collect();
            assert!(permits.len() <= 4);
            let _all_there = bench.seats.give();
            assert!(bench.seats.free() <= 3);
        }
        3 => match bench.meeting.join() {
            Ok(mut member) => {
                let _ended = member.wait_timeout(SHORT);
                let _ended = member.try_wait();
            }
            Err(BarrierError::Broken { .. }) => {
                let _rearmed = bench.meeting.rearm_timeout(SHORT);
            }
            Err(_) => {}
        },
        4 => {
            let _done = bench.opening.call_timeout(SHORT, |_| {});
            let _waited = bench.opening.wait_timeout(SHORT);
        }
        5 => {
            let version = bench.light.version();
            let _written = bench.light.write_timeout(&[version; 3], SHORT);
            let _value = bench.light.read();
            let mut watch = bench.light.watch();
            let _newer = watch.newer_timeout(SHORT);
        }
        6 => match bench.book.lock_timeout(SHORT) {
            Ok(mut guard) => change(&mut guard),
            Err(LockError::OwnerDied(guard)) => change(&mut guard.repaired()),
            Err(_) => {}
        },
        7 => match bench.again.lock_timeout(SHORT) {
            Ok(_outer) => {
                let _inner = bench.again.try_lock();
            }
            Err(ReentrantError::OwnerDied(guard)) => drop(guard.repaired()),
            Err(_) => {}
        },
        8 => {
            let _told = (bench.change.notify_one(), bench.change.notify_all());
            if let Ok(guard) = bench.tools[1].lock_timeout(SHORT) {
                let _woken = bench.change.wait_timeout(guard, SHORT);
            }
        }
        9 => {
            let _set = (bench.open.set(), bench.open.wait_timeout(SHORT), bench.open.reset());
        }
        10 => {
            let _set = (bench.bell.set(), bench.bell.try_wait(), bench.bell.wait_timeout(SHORT));
        }
        _ => {
            let _set = (bench.items.set(), bench.items.try_wait(), bench.items.wait_timeout(SHORT));
        }
    }
}

fn change(book: &mut Journaled<[u64; 4]>) {
    let whole = book.check().is_ok() || book.recover().is_ok();
    let version = book.version();
    assert_eq!(book.update(|pages| pages[0] = version), version.wrapping_add(1));
    assert_eq!((book.check(), book[0]), (Ok(()), version), "{whole}");
}

fn look_at_all(bench: &Bench) {
    let seen = [
        bench.tools[0].look(),
        bench.plan.look(),
        bench.seats.look(),
        bench.meeting.look(),
        bench.opening.look(),
        bench.light.look(),
        bench.again.look(),
        bench.change.look(),
        bench.open.look(),
        bench.bell.look(),
        bench.items.look(),
    ];
    assert!(seen.iter().all(|it| it.holders.len() <= 64 && it.waiters.len() <= 64 * SLOTS as usize), "{seen:?}");
}

#[test]
fn every_primitive_in_a_region_that_is_scribbled_on_heals_or_times_out() {
    watched(|mut random| {
        let (victim, region) = Victim::new();
        let clean = vec![0; size_of::<Bench>()];
        let began = Instant::now();
        while began.elapsed() < SPELL {
            for _ in 0..=random.below(6) {
                victim.scribble(&mut random, false);
            }
            for _ in 0..3 {
                use_one(&region, random.below(12));
            }
            look_at_all(&region);
            if random.below(4) == 0 {
                victim.file.write_all_at(&clean, victim.root).unwrap();
            }
        }
        // In clean words they work as ever, unless our own slot was written over: then nobody is who he was.
        victim.file.write_all_at(&clean, victim.root).unwrap();
        region.light.write_timeout(&[7; 3], PATIENCE).unwrap();
        assert_eq!(region.light.read(), [7; 3]);
    });
}

#[test]
fn tables_that_are_scribbled_on_meanwhile_hold_up_nobody() {
    watched(|mut random| {
        let (victim, region) = Victim::new();
        let path = victim.stage.path().join("bench");
        let scribbler = Random(random.number());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = scribbler;
                while !done.load(Ordering::Relaxed) {
                    let at = victim.tables + random.below((victim.root - victim.tables) / 8) * 8;
                    victim.file.write_all_at(&word(&mut random).to_le_bytes(), at).unwrap();
                    thread::sleep(Duration::from_micros(random.below(60)));
                }
            });
            let _over = Over(&done);
            let began = Instant::now();
            while began.elapsed() < SPELL {
                match random.below(8) {
                    0 => drop(region::verify_file(&path).unwrap()),
                    1 => drop(region::inspect_file(&path).unwrap()),
                    // There may be no slot for one more.
                    2 => drop(Region::<Bench>::attach_file(&path)),
                    which => {
                        use_one(&region, which + random.below(6));
                        look_at_all(&region);
                    }
                }
            }
        });
        let verified = region::verify_file(&path).unwrap();
        assert!(verified.participants <= u64::from(SLOTS), "{verified:?}");
    });
}

/// FNV-1a, as the header page has it at its end.
fn sign(file: &mut [u8]) {
    let Some(page) = file.get_mut(..4096) else { return };
    let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let sum = page[..4088].iter().fold(0xcbf2_9ce4_8422_2325, fold);
    page[4088..].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn a_file_of_any_bytes_is_looked_at_and_attached_to_or_refused() {
    watched(|mut random| {
        let (victim, region) = Victim::new();
        region.book.lock().unwrap().update(|pages| pages[3] = 9);
        std::mem::forget(region.tools[1].lock().unwrap());
        let whole = fs::read(victim.stage.path().join("bench")).unwrap();
        let path = victim.stage.path().join("other");
        fs::write(&path, &whole).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let (mut attached, mut refused) = (0, 0);
        let began = Instant::now();
        while began.elapsed() < SPELL {
            let mut bytes = whole.clone();
            let meant = random.below(4) > 0;
            // In the header, in what it describes, or anywhere.
            let places = [80, 4096, bytes.len() as u64];
            let most = 1 << random.below(8);
            for _ in 0..random.below(most) {
                let place = places[random.below(3) as usize];
                let at = (random.below(place / 4) * 4) as usize;
                let width = 1 << random.below(4);
                let to = bytes.len().min(at + width);
                bytes[at..to].copy_from_slice(&word(&mut random).to_le_bytes()[..to - at]);
            }
            if meant {
                sign(&mut bytes);
            }
            if random.below(8) == 0 {
                bytes.truncate(random.below(bytes.len() as u64) as usize);
            }
            file.set_len(bytes.len() as u64).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            // What cannot be inspected is a finding.
            let inspected = region::inspect_file(&path);
            let verified = region::verify_file(&path).unwrap();
            if let Err(error) = &inspected {
                assert!(!verified.findings.is_empty(), "{error}");
            }
            match Region::<Bench>::attach_file(&path) {
                Ok(region) => {
                    assert!(inspected.is_ok(), "{inspected:?}");
                    attached += 1;
                    for _ in 0..2 {
                        use_one(&region, random.below(12));
                    }
                    look_at_all(&region);
                }
                Err(_) => refused += 1,
            }
        }
        assert!(attached > 0 && refused > 0, "{attached} attached, {refused} refused");
    });
}

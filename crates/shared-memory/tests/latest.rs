//! The last-value cell between real processes: whole values always, and nothing to repair after any death.

mod actors;
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use actors::{Actor, Stage, listen, part, stage_options, tell};
use random::Random;
use rustix::process::Signal;
use wharf_shared_memory::{Latest, LockFailure, Look, Mode, Plain, ReadOnlyRegion, Region, RegionOptions, Shared};

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

/// Several cache lines, so that a kill or a reader meets a write half-way; not a multiple of eight, so that words of
/// every width take part.
const LEN: usize = 8 * 80 + 7;

/// A value that says everywhere which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(transparent)]
struct Stripes([u8; LEN]);

impl Stripes {
    fn of(number: u64) -> Stripes {
        let mut stripes = [number as u8; LEN];
        stripes[..8].copy_from_slice(&number.to_le_bytes());
        Stripes(stripes)
    }

    /// Which one it is, if it is whole.
    fn number(&self) -> Option<u64> {
        let number = self.0.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
        (*self == Stripes::of(number)).then_some(number)
    }
}

#[derive(Shared)]
#[repr(C)]
struct Board {
    stripes: Latest<Stripes>,
    counts: [Latest<u64>; 3],
}

fn board(stage: &Stage) -> Region<Board> {
    stage.options().open_or_create("board").unwrap()
}

fn read_only(stage: &Stage) -> ReadOnlyRegion<Board> {
    stage.options().attach_read_only("board").unwrap()
}

const UPDATES: u64 = 5_000;

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Board> = stage_options().attach("board").unwrap();
    match part.as_str() {
        "write until killed" => {
            tell("writing");
            loop {
                let next = region.stripes.version() + 1;
                region.stripes.write(&Stripes::of(next)).unwrap();
            }
        }
        "count up" => {
            for _ in 0..UPDATES {
                region.counts[1].update(|count| count + 1).unwrap();
            }
            tell("done");
        }
        "watch" => {
            let mut watch = region.counts[0].watch_since(0);
            tell("watching");
            while let Ok(count) = watch.newer() {
                assert_eq!(count, watch.version(), "every version is its own number");
                tell(&count.to_string());
            }
        }
        "count when told" => {
            tell("ready");
            while listen().is_some() {
                region.counts[0].update(|count| count + 1).unwrap();
            }
        }
        "stay in an update" => {
            let stay = |_| {
                tell("inside");
                listen();
                Stripes::of(99)
            };
            region.stripes.update(stay).unwrap();
            tell("written");
        }
        other => panic!("there is no part {other:?}"),
    }
}

/// Reads until `versions` more were written, each of them whole and none older than the one before.
fn watch(cell: &Latest<Stripes>, versions: u64) {
    let begin = cell.version();
    let mut last = begin;
    let start = Instant::now();
    while last < begin + versions {
        let (value, version) = cell.read_with_version();
        assert_eq!(value.number(), Some(version), "torn");
        assert!(version >= last, "time ran backwards");
        last = version;
        assert!(start.elapsed() < actors::PATIENCE, "nobody writes");
    }
}

#[test]
fn a_reader_in_another_process_sees_whole_values_only() {
    let stage = Stage::new();
    let _region = board(&stage);
    let writer = Actor::start(&stage, "write until killed");
    writer.expect("writing");
    watch(&read_only(&stage).stripes, 20_000);
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_whole_value_and_a_cell_that_can_be_written() {
    let stage = Stage::new();
    let region = board(&stage);
    for round in 0..25_u32 {
        let mut writer = Actor::start(&stage, "write until killed");
        writer.expect("writing");
        let begun = region.stripes.version();
        let start = Instant::now();
        // Kills fall at different places because every round lets it write for a different while.
        while region.stripes.version() < begun + 100 + u64::from(round * 7) {
            assert!(start.elapsed() < actors::PATIENCE, "nobody writes");
        }
        writer.kill();

        let (value, version) = region.stripes.read_with_version();
        assert_eq!(value.number(), Some(version), "round {round}: torn by a death");
        let start = Instant::now();
        region.stripes.write(&Stripes::of(version + 1)).unwrap();
        assert!(start.elapsed() < SOON, "round {round}: took over after {:?}", start.elapsed());
        assert_eq!(region.stripes.read_with_version(), (Stripes::of(version + 1), version + 1));
    }
}

#[test]
fn a_stopped_writer_delays_writers_and_no_reader() {
    let stage = Stage::new();
    let region = board(&stage);
    region.stripes.write(&Stripes::of(1)).unwrap();
    let mut writer = Actor::start(&stage, "stay in an update");
    writer.expect("inside");
    writer.signal(Signal::STOP);

    assert_eq!(region.stripes.try_read(), Some(Stripes::of(1)));
    assert_eq!(region.stripes.try_write(&Stripes::of(2)), Err(LockFailure::WouldBlock));
    let patience = Duration::from_millis(60);
    let start = Instant::now();
    assert_eq!(region.stripes.write_timeout(&Stripes::of(2), patience), Err(LockFailure::Timeout));
    let never = |_| -> Stripes { panic!("somebody else writes") };
    assert_eq!(region.stripes.update_timeout(patience, never), Err(LockFailure::Timeout));
    assert!(start.elapsed() >= patience * 2);
    assert_eq!(region.stripes.try_update(never), Err(LockFailure::WouldBlock));
    assert_eq!(region.stripes.read_with_version(), (Stripes::of(1), 1));

    writer.signal(Signal::CONT);
    writer.say("go on");
    writer.expect("written");
    assert!(writer.finish().success());
    assert_eq!(region.stripes.read_with_version(), (Stripes::of(99), 2));
}

#[test]
fn a_writer_killed_with_the_lock_is_taken_over() {
    let stage = Stage::new();
    let region = board(&stage);
    let mut writer = Actor::start(&stage, "stay in an update");
    writer.expect("inside");
    writer.kill();
    let start = Instant::now();
    assert_eq!(region.stripes.update(|_| Stripes::of(1)), Ok(Stripes::of(1)));
    assert!(start.elapsed() < SOON, "took over after {:?}", start.elapsed());
    assert_eq!(region.stripes.read_with_version(), (Stripes::of(1), 1));
}

#[test]
fn updates_of_four_processes_add_up() {
    let stage = Stage::new();
    let region = board(&stage);
    let mut actors = [(); 4].map(|()| Actor::start(&stage, "count up"));
    for actor in &mut actors {
        actor.expect("done");
        assert!(actor.finish().success());
    }
    assert_eq!(region.counts[1].read_with_version(), (4 * UPDATES, 4 * UPDATES));
    assert_eq!(region.counts[0].read_with_version(), (0, 0));
    assert_eq!(region.counts[2].read_with_version(), (0, 0));
}

#[test]
fn in_a_region_attached_for_reading_only_it_is_read_and_not_written() {
    let stage = Stage::new();
    let region = board(&stage);
    let reader = read_only(&stage);
    region.counts[0].write(&5).unwrap();
    assert_eq!(reader.counts[0].read(), 5);
    assert_eq!(reader.counts[0].write(&6), Err(LockFailure::ReadOnly));
    assert_eq!(reader.counts[0].try_write(&6), Err(LockFailure::ReadOnly));
    assert_eq!(reader.counts[0].write_timeout(&6, SOON), Err(LockFailure::ReadOnly));
    assert_eq!(reader.counts[0].update(|count| count + 1), Err(LockFailure::ReadOnly));
    assert_eq!(region.counts[0].read(), 5);
}

/// Waits until so many are listed as asleep until there is a new value.
fn asleep(cell: &Latest<u64>, watchers: usize) {
    let start = Instant::now();
    while cell.look().waiters.iter().filter(|one| one.alive && one.mode == Some(Mode::Notice)).count() < watchers {
        assert!(start.elapsed() < actors::PATIENCE, "the watchers are not listed");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn watchers_in_other_processes_are_woken_by_every_value() {
    let stage = Stage::new();
    let region = board(&stage);
    let watchers = [(); 3].map(|()| Actor::start(&stage, "watch"));
    for watcher in &watchers {
        watcher.expect("watching");
    }
    for count in 1..=50_u64 {
        asleep(&region.counts[0], 3);
        region.counts[0].write(&count).unwrap();
        for watcher in &watchers {
            watcher.expect(&count.to_string());
        }
    }
}

#[test]
fn a_watcher_outlives_its_writer_and_the_other_watchers() {
    let stage = Stage::new();
    let region = board(&stage);
    let mut watchers = [(); 3].map(|()| Actor::start(&stage, "watch"));
    let mut writer = Actor::start(&stage, "count when told");
    for watcher in &watchers {
        watcher.expect("watching");
    }
    writer.expect("ready");
    asleep(&region.counts[0], 3);
    watchers[0].kill();
    watchers[1].kill();
    writer.say("count");
    watchers[2].expect("1");
    writer.kill();
    let start = Instant::now();
    region.counts[0].update(|count| count + 1).unwrap();
    watchers[2].expect("2");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_watch_ends_at_its_deadline_and_misses_nothing_that_came_before() {
    let region: Region<Latest<u64>> = RegionOptions::new().anonymous().unwrap();
    let mut watch = region.watch();
    for wait in [Duration::ZERO, Duration::from_millis(60)] {
        let start = Instant::now();
        assert_eq!(watch.newer_timeout(wait), Err(LockFailure::Timeout));
        assert!(start.elapsed() >= wait && start.elapsed() < wait + SOON);
    }
    region.write(&7).unwrap();
    region.write(&8).unwrap();
    assert_eq!((watch.newer_timeout(Duration::ZERO), watch.version()), (Ok(8), 2));
    assert_eq!(watch.try_newer(), None);
    assert_eq!(region.watch_since(0).try_newer(), Some(8));
    let loose = Latest::new(1_u64);
    assert_eq!(loose.watch().newer(), Err(LockFailure::NotInRegion));
}

#[test]
fn a_watcher_that_may_only_read_sees_every_value() {
    let stage = Stage::new();
    let region = board(&stage);
    let reader = read_only(&stage);
    assert_eq!(reader.counts[2].wake_always(true), Err(LockFailure::ReadOnly));
    let mut seen = 0;
    for always in [false, true] {
        region.counts[2].wake_always(always).unwrap();
        for _ in 0..5 {
            let start = std::thread::scope(|scope| {
                let waits = scope.spawn(|| reader.counts[2].watch_since(seen).newer_timeout(SOON));
                std::thread::sleep(Duration::from_millis(10));
                let start = Instant::now();
                region.counts[2].update(|count| count + 1).unwrap();
                assert_eq!(waits.join().unwrap(), Ok(seen + 1));
                start
            });
            assert!(start.elapsed() < SOON);
            seen += 1;
        }
    }
}

#[test]
fn a_version_says_whether_there_is_something_new() {
    let region: Region<Latest<u64>> = RegionOptions::new().anonymous().unwrap();
    assert_eq!(region.read_if_newer(0), None);
    region.write(&5).unwrap();
    assert_eq!(region.read_if_newer(0), Some((5, 1)));
    assert_eq!(region.read_if_newer(1), None);
}

#[test]
fn a_change_that_writes_the_same_cell_is_refused_or_waits_in_vain_and_reads_what_was_before() {
    let region: Region<Latest<u64>> = RegionOptions::new().anonymous().unwrap();
    let change = |value| {
        assert_eq!(region.try_update(|_| panic!("in an update")), Err(LockFailure::WouldBlock));
        assert_eq!(region.update_timeout(Duration::ZERO, |_| panic!("in an update")), Err(LockFailure::Timeout));
        value + region.read() + 1
    };
    assert_eq!(region.update(change), Ok(1));
    assert_eq!(region.try_update(change), Ok(3));
    assert_eq!(region.update_timeout(Duration::ZERO, change), Ok(7));
    assert_eq!(region.read_with_version(), (7, 3));
}

#[test]
fn a_panic_in_an_update_writes_nothing_and_blocks_nobody() {
    let region: Region<Latest<u64>> = RegionOptions::new().anonymous().unwrap();
    region.write(&5).unwrap();
    let broken = catch_unwind(AssertUnwindSafe(|| region.update(|_| panic!("on purpose"))));
    assert!(broken.is_err());
    assert_eq!(region.read_with_version(), (5, 1));
    region.try_write(&6).unwrap();
    assert_eq!(region.read(), 6);
}

#[test]
fn it_is_a_variable_that_counts_its_changes() {
    let mut random = Random::seeded();
    for _ in 0..256 {
        let region: Region<Latest<[u8; 13]>> = RegionOptions::new().anonymous().unwrap();
        assert_eq!(region.read_with_version(), ([0; 13], 0));
        for version in 1..=random.below(20) {
            let value = random.bytes();
            if version % 2 == 0 {
                region.write(&value).unwrap();
            } else {
                let before = region.read();
                let change = |now| {
                    assert_eq!(now, before);
                    value
                };
                region.update(change).unwrap();
            }
            assert_eq!(region.read_with_version(), (value, version));
        }
    }
}

//! The journaled value between real processes: whoever is killed when, the last committed value is there.

mod actors;

use std::time::Instant;

use actors::{Actor, PATIENCE, Stage, part, stage_options, tell};
use wharf_shared_memory::{Journaled, Layout, LockError, Mutex, MutexGuard, Plain, Region};

/// Several cache lines that are all equal whenever a change was committed.
const LEN: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Table([u64; LEN]);

type Book = Mutex<Journaled<Table>>;

fn book(stage: &Stage) -> Region<Book> {
    stage.options().open_or_create("book").unwrap()
}

/// Takes the lock as anybody may who uses a journal; says whether the last owner had died.
fn open(book: &Book) -> (MutexGuard<'_, Journaled<Table>>, bool) {
    match book.lock_timeout(PATIENCE) {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(guard)) => (guard.repaired(), true),
        Err(other) => panic!("{other}"),
    }
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Book> = stage_options().attach("book").unwrap();
    assert_eq!(part, "change until killed");
    tell("changing");
    loop {
        let (mut table, _) = open(&region);
        let mut change = table.change();
        for number in &mut change.0 {
            *number += 1;
        }
        change.commit();
    }
}

#[test]
fn writers_killed_at_any_moment_leave_the_last_committed_value() {
    let stage = Stage::new();
    let region = book(&stage);
    let (mut deaths_inside, mut last) = (0, 0);
    // On a busy machine they may spend their time asleep before the lock: go on until a kill met one that had it.
    for round in 0..600_u64 {
        if round >= 60 && deaths_inside > 0 {
            break;
        }
        let mut writers = [(); 2].map(|()| Actor::start(&stage, "change until killed"));
        for writer in &writers {
            writer.expect("changing");
        }
        let start = Instant::now();
        // Kills fall at different places because every round lets them write for a different while.
        while open(&region).0.version() < last + 20 + round % 60 * 3 {
            assert!(start.elapsed() < PATIENCE, "nobody writes");
        }
        for writer in &mut writers {
            writer.kill();
            let (table, died) = open(&region);
            deaths_inside += u32::from(died);
            assert_eq!(table.check(), Ok(()), "round {round}");
            assert_eq!(table.0, [table.version(); LEN], "round {round}: half of a change");
            assert!(table.version() > last);
        }
        last = open(&region).0.version();
    }
    assert!(deaths_inside > 0, "no kill hit a writer with the lock");
}

#[test]
fn its_layout_names_it_and_its_value() {
    let layout: Layout = Journaled::<Table>::LAYOUT;
    assert_eq!((layout.to_string().as_str(), layout.size), ("Journaled<Table>", 32 + 2 * 8 * LEN));
    assert_eq!(layout.fields[0].offset, 32);
}

//! What `region::verify` finds in a region, and what it does not: the dead, the damaged, the stopped, and those at work.

mod actors;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::region::{self, Finding};
use wharf_shared_memory::{
    Barrier, Journaled, Latest, LockError, Look, Mutex, Once, Region, RegionInfo, RwLock, Semaphore, Shared,
};

/// Numbers in the book.
const PAGE: usize = 512;

#[derive(Shared)]
#[repr(C)]
struct Bench {
    tools: [Mutex<u64>; 3],
    plan: RwLock<[u64; 4]>,
    seats: Semaphore<2>,
    /// Right behind the semaphore: words that would name holders if they were taken for its cells.
    neighbour: Mutex<[u32; 8]>,
    meeting: Barrier<2>,
    opening: Once,
    light: Latest<u64>,
    /// Long enough for changes to be committed while it is read from outside.
    book: Mutex<Journaled<[u64; PAGE]>>,
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let bench: Region<Bench> = stage_options().attach("bench").unwrap();
    match part.as_str() {
        "hold" => {
            let _tool = bench.tools[1].lock().unwrap();
            let _reading = bench.plan.read().unwrap();
            let _seat = bench.seats.take().unwrap();
            let _member = bench.meeting.join().unwrap();
            tell("held");
            listen();
        }
        "doubt" => {
            // Dies in the middle and is not repaired by whoever comes next.
            let _tool = bench.tools[2].lock().unwrap();
            let _plan = bench.plan.write().unwrap();
            tell("held");
            listen();
        }
        // At work until it is killed or stopped, and never in doubt.
        "work" => {
            tell("works");
            loop {
                for tool in &bench.tools {
                    *tool.lock().unwrap() += 1;
                }
                bench.plan.write().unwrap()[0] += 1;
                drop(bench.plan.read().unwrap());
                drop(bench.seats.take().unwrap());
                bench.light.write(&7).unwrap();
                bench.book.lock().unwrap().update(|book| book[1] += 1);
            }
        }
        "write" => {
            tell("works");
            loop {
                bench.book.lock().unwrap().update(|book| book.iter_mut().for_each(|number| *number += 1));
            }
        }
        "come and go" => {
            tell("works");
            loop {
                let bench: Region<Bench> = stage_options().attach("bench").unwrap();
                let _tool = bench.tools[0].lock().unwrap();
                let _seat = bench.seats.take().unwrap();
            }
        }
        other => panic!("there is no part {other:?}"),
    }
}

fn codes(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings.iter().map(|finding| (finding.code(), finding.object().unwrap_or("-"))).collect()
}

fn findings(stage: &Stage) -> Vec<Finding> {
    region::verify_in(&stage.domain(), "bench").unwrap().findings
}

/// Where in the file the `nth` object with this path starts.
fn place_of(info: &RegionInfo, path: &str, nth: usize) -> u64 {
    let root = info.areas.iter().find(|area| area.name == "root").unwrap().offset;
    root + info.objects.iter().filter(|object| object.path == path).nth(nth).unwrap().offset
}

#[test]
fn a_fresh_region_is_sound_and_every_object_was_looked_at() {
    let stage = Stage::new();
    let _bench: Region<Bench> = stage.options().create("bench").unwrap();
    let verified = region::verify_in(&stage.domain(), "bench").unwrap();
    assert_eq!(codes(&verified.findings), []);
    // Three tools, seven others, and the journal inside one of them.
    assert_eq!((verified.objects, verified.unchecked, verified.participants), (11, 0, 1));
}

#[test]
fn what_a_killed_holder_left_is_found_and_looking_changes_nothing() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    assert_eq!(codes(&findings(&stage)), [], "it lives");
    holder.kill();
    let before = fs::read(stage.names().join("bench.region")).unwrap();
    let found = findings(&stage);
    let dead = "held-by-the-dead";
    assert_eq!(codes(&found), [(dead, "tools[1]"), (dead, "plan"), (dead, "seats"), (dead, "meeting")]);
    let pid = holder.pid().as_raw_nonzero().get().to_string();
    for finding in &found {
        assert!(finding.to_string().contains(&pid), "{finding}");
    }
    assert_eq!(findings(&stage), found);
    assert_eq!(fs::read(stage.names().join("bench.region")).unwrap(), before);
    // And the next one gets what was said.
    match bench.tools[1].try_lock() {
        Err(LockError::OwnerDied(tool)) => drop(tool.repaired()),
        other => panic!("{other:?}"),
    }
    assert!(!codes(&findings(&stage)).contains(&(dead, "tools[1]")));
}

#[test]
fn data_in_doubt_is_found_until_it_is_repaired() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    let mut holder = Actor::start(&stage, "doubt");
    holder.expect("held");
    holder.kill();
    let dead = "held-by-the-dead";
    let found = findings(&stage);
    let left: Vec<_> = codes(&found).into_iter().filter(|&(code, _)| code == dead).map(|(_, at)| at).collect();
    assert_eq!(left, ["tools[2]", "plan"]);
    // Taken over and given back as it was.
    let Err(LockError::OwnerDied(unrepaired)) = bench.tools[2].lock() else { panic!("nobody died") };
    assert!(!codes(&findings(&stage)).iter().any(|&(_, at)| at == "tools[2]"), "somebody is at work on it");
    drop(unrepaired);
    drop(bench.plan.write());
    assert_eq!(codes(&findings(&stage)), [("in-doubt", "tools[2]"), ("in-doubt", "plan")]);
    for _ in 0..2 {
        match bench.tools[2].lock() {
            Ok(_) => break,
            Err(LockError::OwnerDied(tool)) => drop(tool.repaired()),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(codes(&findings(&stage)), [("in-doubt", "plan")]);
}

#[test]
fn a_broken_barrier_names_the_member_that_died() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    let mut member = bench.meeting.join().unwrap();
    let slot = bench.meeting.look().holders[0].slot;
    holder.kill();
    assert!(member.wait_timeout(PATIENCE).is_err());
    let found = findings(&stage);
    let broken: Vec<_> = found.iter().filter(|finding| finding.code() == "barrier-broken").collect();
    assert_eq!(broken, [&Finding::BarrierBroken { object: "meeting".into(), slot: Some(slot) }]);
}

#[test]
fn a_lock_of_the_dead_that_nobody_will_ever_want_is_no_finding() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    let info = region::inspect_in(&stage.domain(), "bench").unwrap();
    let file = fs::File::options().read(true).write(true).open(stage.names().join("bench.region")).unwrap();
    let write = |path: &str, offset: u64, word: u32| {
        file.write_all_at(&word.to_le_bytes(), place_of(&info, path, 0) + offset).unwrap();
    };
    let dead = "held-by-the-dead";
    // The lock of a slot that nobody has taken yet.
    write("opening", 0, 9);
    write("meeting", 8, 9);
    write("meeting", 0, 1 << 31);
    assert_eq!(codes(&findings(&stage)), [(dead, "meeting"), ("barrier-broken", "meeting"), (dead, "opening")]);
    assert!(findings(&stage)[0].to_string().contains("is being made whole by"));
    assert_eq!((bench.opening.look().holders.len(), bench.meeting.look().holders.len()), (1, 1));
    // It had ended what it was at: the work is done, the barrier is whole.
    write("opening", 8, 1);
    write("meeting", 0, 0);
    assert_eq!(codes(&findings(&stage)), []);
    assert_eq!((bench.opening.look().holders.len(), bench.meeting.look().holders.len()), (0, 0));
    assert_eq!(bench.opening.call(|_| panic!("it is done")), Ok(false));
}

#[test]
fn after_a_panic_a_latest_is_sound_and_work_that_is_done_once_is_not_done() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    fn no() -> ! {
        resume_unwind(Box::new("no"))
    }
    assert!(catch_unwind(AssertUnwindSafe(|| bench.light.update(|_| no()))).is_err());
    assert_eq!((codes(&findings(&stage)), bench.light.look().inconsistent), (vec![], false));
    assert!(catch_unwind(AssertUnwindSafe(|| bench.opening.call(|_| no()))).is_err());
    let found = findings(&stage);
    assert_eq!(codes(&found), [("in-doubt", "opening")]);
    let said = found[0].to_string();
    assert!(said.contains("does the work anew") && !said.contains("repaired()"), "{said}");
    assert_eq!(bench.opening.call(|_| ()), Ok(true));
    assert_eq!(codes(&findings(&stage)), []);
}

#[test]
fn a_stopped_process_is_no_finding_and_neither_is_one_at_work() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    let workers = ["work", "write", "come and go", "come and go"].map(|part| {
        let worker = Actor::start(&stage, part);
        worker.expect("works");
        worker
    });
    let (start, mut looks) = (Instant::now(), 0);
    while looks < 500 || start.elapsed() < Duration::from_secs(1) {
        assert_eq!(codes(&findings(&stage)), [], "after {looks} looks");
        looks += 1;
    }
    assert!(bench.book.lock().unwrap().version() > 100);
    for worker in &workers {
        worker.signal(Signal::STOP);
    }
    for _ in 0..50 {
        assert_eq!(codes(&findings(&stage)), []);
    }
    let verified = region::verify_in(&stage.domain(), "bench").unwrap();
    assert!(verified.participants > workers.len() as u64, "{verified:?}");
}

#[test]
fn scribbled_words_are_found_one_by_one() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    bench.book.lock().unwrap().update(|book| book[0] = 1);
    let info = region::inspect_in(&stage.domain(), "bench").unwrap();
    let area = |name: &str| info.areas.iter().find(|area| area.name == name).unwrap().offset;
    let object = |path: &str, nth: usize| place_of(&info, path, nth);
    let path = stage.names().join("bench.region");
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let spoil = |at: u64, bytes: &[u8], expected: &[(&str, &str)]| {
        let mut before = vec![0; bytes.len()];
        file.read_exact_at(&mut before, at).unwrap();
        file.write_all_at(bytes, at).unwrap();
        assert_eq!(codes(&findings(&stage)), expected);
        file.write_all_at(&before, at).unwrap();
        assert_eq!(codes(&findings(&stage)), []);
    };
    spoil(area("participants") + 64 * 9, &[7], &[("slot-scribbled", "-")]);
    spoil(area("participants") + 64 * 9, &[6, 0, 0, 0, 0, 0, 0, 0], &[("slot-of-nobody", "-")]);
    spoil(object("tools[0]", 0), &1000_u32.to_le_bytes(), &[("no-such-slot", "tools[0]")]);
    spoil(object("tools[0]", 0), &9_u32.to_le_bytes(), &[("held-by-the-dead", "tools[0]")]);
    spoil(object("tools[0]", 0), &(1_u32 << 30).to_le_bytes(), &[("in-doubt", "tools[0]")]);
    spoil(object("opening", 0), &9_u32.to_le_bytes(), &[("held-by-the-dead", "opening")]);
    spoil(object("light", 0) + 8, &9_u32.to_le_bytes(), &[("held-by-the-dead", "light")]);
    // The second of that path is the journal inside the lock.
    let journal = object("book", 1);
    spoil(journal + 32 + 8 * PAGE as u64, &[9], &[("journal-damaged", "book")]);
    spoil(journal, &[9], &[("journal-damaged", "book")]);
    spoil(100, &[9], &[("unusable", "-")]);
    assert_eq!(bench.seats.try_take().map(drop).ok(), Some(()));
    file.set_len(5000).unwrap();
    // Nobody touches the region any more: what is cut off has no memory.
    assert_eq!(codes(&findings(&stage)), [("unusable", "-")]);
    std::mem::forget(bench);
}

#[test]
fn the_neighbours_of_a_semaphore_are_not_taken_for_its_cells() {
    let stage = Stage::new();
    let bench: Region<Bench> = stage.options().create("bench").unwrap();
    bench.neighbour.lock().unwrap().fill(5);
    let seat = bench.seats.take().unwrap();
    let info = region::inspect_in(&stage.domain(), "bench").unwrap();
    let seats = info.objects.iter().find(|object| object.path == "seats").unwrap();
    assert_eq!((seats.seen.holders.len(), seats.seen.holders[0].count), (1, 1), "{seats:?}");
    assert_eq!(codes(&findings(&stage)), []);
    drop(seat);
}

/// FNV-1a, as the header page has it at its end.
fn sign(page: &mut [u8]) {
    let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let sum = page[..4088].iter().fold(0xcbf2_9ce4_8422_2325, fold);
    page[4088..4096].copy_from_slice(&sum.to_le_bytes());
}

/// Kind, offset, length and arrays of a description.
type Forged<'a> = (u8, u64, u64, &'a [(u64, u64)]);

#[test]
fn descriptions_that_somebody_forged_are_found_and_cost_little() {
    let stage = Stage::new();
    let _bench: Region<Bench> = stage.options().create("bench").unwrap();
    let whole = fs::read(stage.names().join("bench.region")).unwrap();
    let describe = |objects: &[Forged<'_>]| {
        let mut file = whole.clone();
        file[1024..4088].fill(0);
        file[1024..1028].copy_from_slice(&(objects.len() as u32).to_le_bytes());
        let mut at = 1032;
        for (kind, offset, len, arrays) in objects {
            let mut bytes = vec![*kind, arrays.len() as u8, 0, 0];
            bytes.extend(offset.to_le_bytes().into_iter().chain(len.to_le_bytes()));
            bytes
                .extend(arrays.iter().flat_map(|(count, stride)| [count.to_le_bytes(), stride.to_le_bytes()].concat()));
            file[at..at + bytes.len()].copy_from_slice(&bytes);
            at += bytes.len();
        }
        sign(&mut file[..4096]);
        let path = stage.path().join("forged");
        fs::write(&path, file).unwrap();
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, mode).unwrap();
        region::inspect_file(&path).unwrap();
        region::verify_file(&path).unwrap()
    };
    let root = size_of::<Bench>() as u64;
    let start = Instant::now();
    let verified = describe(&[(1, root, 16, &[]), (1, u64::MAX, u64::MAX, &[]), (5, 0, 4, &[]), (1, 2, 16, &[])]);
    assert_eq!(codes(&verified.findings), [("misplaced", ""); 4]);
    assert_eq!((verified.objects, verified.unchecked), (0, 4));
    let verified = describe(&[(1, 0, 16, &[]), (5, 8, 64, &[])]);
    assert_eq!(codes(&verified.findings)[0], ("overlap", ""));
    // One place described without end, as the dearest kinds.
    let endless: &[(u64, u64)] = &[(u64::MAX, 0), (u64::MAX, 0)];
    let verified = describe(&[(8, 0, root, endless), (7, 0, root, endless), (11, 8, root - 8, endless)]);
    assert!(verified.objects <= 4096 && verified.unchecked > 1 << 60, "{verified:?}");
    assert_eq!(describe(&[(99, 0, 16, &[])]).unchecked, 1, "a kind of later");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_file_that_others_may_change_is_found() {
    let stage = Stage::new();
    let _bench: Region<Bench> = stage.options().create("bench").unwrap();
    let path = stage.names().join("bench.region");
    let mode = fs::Permissions::from_mode(0o666);
    fs::set_permissions(&path, mode).unwrap();
    assert_eq!(codes(&findings(&stage)), [("untrusted", "-")]);
}

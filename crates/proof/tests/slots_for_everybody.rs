//! A region with as many slots as there are processes refuses nobody, whatever the others do while one of them attaches.

use std::path::Path;

use wharf_proof::board::Board;
use wharf_proof::process::command;
use wharf_proof::scene::Scene;
use wharf_proof::stepping::{LIMIT, OPEN};
use wharf_shared_memory::{Region, RegionOptions, region};
use wharf_sys::trace::{Reached, Tracee};

const NAME: &str = "narrow";
/// One that stays all the time, one that comes and goes, and the one that attaches.
const SLOTS: u32 = 3;
/// The system call by which bytes of slots are asked about, locked and unlocked. Between two of them nothing happens that another
/// process could see, but for the slot's own words, which are read before the first and written after the last.
const CALL: &str = "fcntl";
/// More than one that attaches and leaves can make of them.
const MANY: usize = 60;

#[test]
fn nobody_is_refused_while_there_are_as_many_slots_as_processes() {
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(SLOTS);
    let stays: Region<Board> = options.create(NAME).expect("the test's own region");
    let calls = visit(&scene, |_| ());
    assert!((4..MANY).contains(&calls), "one that attaches and leaves makes {calls} calls of {CALL}");
    let attach = || -> Region<Board> { options.attach(NAME).expect("there is a slot for it") };
    let mut visits = 0;
    for first in 0..calls {
        for second in first..calls {
            for (one, two) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let mut other = None;
                visit(&scene, |call| {
                    let times = if call == first { one } else { 0 } + if call == second { two } else { 0 };
                    for _ in 0..times {
                        other = if other.is_some() { None } else { Some(attach()) };
                    }
                });
                visits += 1;
            }
        }
    }
    println!("{visits} visits, each past another one that came or went at two of {calls} calls, once or twice");
    drop(stays);
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    scene.assert_remains("all gone", |_| false);
}

/// Lets a process attach and leave, and does something after each of its calls; says how many there were.
///
/// # Panics
/// When the process did not find a slot.
fn visit(scene: &Scene, mut after: impl FnMut(usize)) -> usize {
    let victim = Path::new(env!("CARGO_BIN_EXE_victim"));
    let command = command(victim, scene, &["region", "visit", NAME]);
    let mut tracee = Tracee::spawn(command, LIMIT).expect("a program can be traced");
    assert_eq!(tracee.run_to_mark(OPEN).expect("it gets there"), Reached::Mark);
    let mut calls = 0;
    // Bound: the victim ends.
    loop {
        match tracee.run_through_call(CALL).expect("it can be led on") {
            Reached::End(status) => {
                assert!(status.success(), "it was refused: {status}");
                return calls;
            }
            _ => after(calls),
        }
        calls += 1;
    }
}

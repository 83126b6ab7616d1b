//! A region with one object of several kinds, and other processes that do something with them: this test program again.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Read;
use std::process::Command;

use wharf::{Domain, Journaled, Latest, Mutex, Region, RegionOptions, RwLock, Semaphore, Shared};

use super::{Running, Scene, start};

/// What a workshop shares.
#[derive(Shared)]
#[repr(C)]
pub(crate) struct Bench {
    pub(crate) tools: [Mutex<u64>; 2],
    pub(crate) plan: RwLock<[u64; 4]>,
    pub(crate) seats: Semaphore<2>,
    pub(crate) light: Latest<u64>,
    pub(crate) book: Mutex<Journaled<[u64; 3]>>,
}

/// Makes one under the name `bench`.
pub(crate) fn create(scene: &Scene) -> Region<Bench> {
    let domain = Domain::at(scene.path()).expect("a directory of names");
    RegionOptions::new().domain(domain).create("bench").expect("a region")
}

/// Starts a process that plays `part`, and returns when it has said that it does.
pub(crate) fn play(scene: &Scene, part: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--exact", "actor", "--nocapture", "--test-threads=1"]);
    command.env("WHARF_DIR", scene.path()).env("WHARF_TEST_PART", part);
    let mut running = start(command);
    running.says_line(&format!("plays {part}"));
    running
}

/// What the test `actor` does: the part that this process was started for, if there is one.
pub(crate) fn act() {
    let Ok(part) = std::env::var("WHARF_TEST_PART") else { return };
    let bench = Region::<Bench>::attach("bench").expect("the region");
    let plays = || println!("plays {part}");
    match part.as_str() {
        "guest" => {
            plays();
            until_told();
        }
        "hold" => {
            let _tool = bench.tools[1].lock().expect("a free lock");
            let _seat = bench.seats.take().expect("a free seat");
            plays();
            until_told();
        }
        "wait" => {
            plays();
            let _tool = bench.tools[1].lock().expect("a lock that is given back");
            until_told();
        }
        other => panic!("there is no part {other:?}"),
    }
}

fn until_told() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("an input");
}

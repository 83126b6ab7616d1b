//! Every process of a busy scene killed at once: at most dead names are left, and the next visitor replaces them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::board::Board;
use wharf_proof::process::Process;
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockError, RegionOptions, region};

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// Long enough for everybody to be in the middle of something.
const BUSY: Duration = Duration::from_millis(100);
const ROUNDS: u32 = 5;

#[test]
fn when_everybody_is_killed_nothing_is_left_but_dead_names() {
    let scene = Scene::new();
    let domain = scene.domain();
    let options = RegionOptions::new().domain(domain.clone());
    drop(options.create::<Board>("shared").expect("a region"));
    for round in 0..ROUNDS {
        let start = |words: &[&str]| Process::start(Path::new(VICTIM), &scene, words);
        let mut crowd = Vec::new();
        for (listens, connects) in [
            (["link", "listen", "receive", "shm:one"], ["link", "connect", "send", "shm:one"]),
            (["link", "listen", "answer", "shm:two"], ["link", "connect", "call", "shm:two"]),
            (["link", "listen", "send", "unix:three"], ["link", "connect", "receive", "unix:three"]),
            (["link", "listen", "send", "mq:four"], ["link", "connect", "receive", "mq:four"]),
            (["link", "listen", "receive", "pipe:five"], ["link", "connect", "send", "pipe:five"]),
        ] {
            let mut listener = start(&listens);
            listener.expect("listening");
            let mut connector = start(&connects);
            connector.expect("met");
            crowd.extend([listener, connector]);
        }
        for verb in ["change", "change", "write", "read"] {
            let mut process = start(&["region", verb, "shared"]);
            process.expect("ready");
            crowd.push(process);
        }
        thread::sleep(BUSY);
        for process in &mut crowd {
            assert!(process.runs(), "round {round}: {}", process.report());
        }
        let numbers: Vec<u32> = crowd.iter().map(Process::id).collect();
        // Dropping kills each and waits for its end.
        drop(crowd);

        // No process, and so no anonymous memory, which the kernel frees with the last who maps it.
        for number in numbers {
            assert!(!is_ours(number, &scene), "round {round}: process {number} is still there");
        }
        scene.assert_remains("all killed", |name| {
            name.starts_with("shared.")
                || ["one.shm", "two.shm", "three.unix", "four.mq", "five.pipe"]
                    .iter()
                    .any(|dead| name == *dead || name == format!(".{dead}.wharf-lock"))
        });
    }
    // What stays on purpose is the region, and it is in order.
    let region = options.attach::<Board>("shared").expect("the region");
    let reading = region.reading.read();
    assert!(reading.round().is_some_and(|round| round > 0), "{reading:?}");
    match region.pair.lock() {
        Ok(guard) => assert!(guard.agrees(), "{:?}", *guard),
        Err(LockError::OwnerDied(died)) => drop(died.repaired()),
        Err(error) => panic!("{error}"),
    }
    drop(region);
    region::unlink_in(&domain, "shared").expect("the name can be removed");

    // The next listener replaces each dead name and takes its own away when it goes.
    for address in ["shm:one", "shm:two", "unix:three", "mq:four", "pipe:five"] {
        let words = ["link", "listen", "receive", address];
        let mut listener = Process::start(Path::new(VICTIM), &scene, &words);
        listener.expect("listening");
        let words = ["link", "connect", "send", address, "count=3"];
        let mut visitor = Process::start(Path::new(VICTIM), &scene, &words);
        visitor.expect("met");
        visitor.expect("done");
        listener.expect("met");
        listener.expect("closed");
        assert!(listener.death(BUSY * 50).status.success(), "{}", listener.report());
    }
    scene.assert_remains("all ended in order", |_| false);
    // Other tests of this user may make queues meanwhile.
    let left = (0..100).all(|_| matches!(wharf_sys::queue::dead_name(), Ok(Some(_))));
    assert!(!left, "a message queue kept its name");
}

/// Every end of topics, events and states.
const ENDS: [(&str, &str); 6] = [
    ("publish", "topic/one"),
    ("subscribe", "topic/*"),
    ("notify", "an/event"),
    ("listen", "an/event"),
    ("own", "state"),
    ("watch", "state"),
];

#[test]
fn when_all_nodes_are_killed_the_next_visitor_finds_a_clean_place() {
    let scene = Scene::new();
    for round in 0..ROUNDS {
        let mut crowd = busy_ends(&scene, 2);
        thread::sleep(BUSY);
        for process in &mut crowd {
            assert!(process.runs(), "round {round}: {}", process.report());
        }
        let numbers: Vec<u32> = crowd.iter().map(Process::id).collect();
        // Dropping kills each and waits for its end.
        drop(crowd);
        for number in numbers {
            assert!(!is_ours(number, &scene), "round {round}: process {number} is still there");
        }
        let dead = scene.files();
        assert!(dead.iter().any(|name| name.ends_with(".board")), "round {round}: {dead:?}");
        let known = |name: &str| [".nodes/", ".topic/", ".event/", ".state/"].iter().any(|it| name.starts_with(it));
        // The lock of a state's owner has the state's name.
        let surplus: Vec<_> = dead.iter().filter(|name| !known(name) && !name.ends_with(".wharf-lock")).collect();
        assert!(surplus.is_empty(), "round {round}: {surplus:?}");
        // Whoever comes next uses the same names, and leaves nothing of the dead.
        let crowd = busy_ends(&scene, 1);
        end_in_order(crowd);
        assert_eq!(scene.files(), Vec::<String>::new(), "round {round}");
    }
}

#[test]
fn when_all_end_in_order_nothing_is_left() {
    let scene = Scene::new();
    let crowd = busy_ends(&scene, 2);
    thread::sleep(BUSY);
    end_in_order(crowd);
    assert_eq!(scene.files(), Vec::<String>::new());
}

/// Busy processes, so many of each end; of a state's owners there is one.
fn busy_ends(scene: &Scene, each: usize) -> Vec<Process> {
    let mut crowd = Vec::new();
    for (part, name) in ENDS {
        for _ in 0..if part == "own" { 1 } else { each } {
            let mut process = Process::start(Path::new(VICTIM), scene, &["topic", part, name]);
            process.expect("ready");
            crowd.push(process);
        }
    }
    crowd
}

/// Each closes what it has, and says what it still holds then: memory, descriptors, threads.
fn end_in_order(mut crowd: Vec<Process>) {
    for process in &mut crowd {
        process.tell("enough");
        assert_eq!(process.expect("left").text, "", "{}", process.report());
        assert!(process.death(BUSY * 50).status.success(), "{}", process.report());
    }
}

/// Whether a process with this number runs in this scene.
fn is_ours(number: u32, scene: &Scene) -> bool {
    let names = scene.names();
    let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|entry| entry.ends_with(names.as_os_str().as_encoded_bytes()))
}

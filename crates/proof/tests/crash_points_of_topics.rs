//! A publisher or a subscriber killed at every named point of the log below it: what the others receive is exact.
//!
//! The points of nodes, boards and of the ends themselves have tests of their own in `message-passing`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{Node, NodeOptions, Wait};
use wharf_proof::feed::{ALL, Books, Entered, POLICIES, Publishing, Subscribing};
use wharf_proof::points::{FEED, FeedPoint};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{Region, RegionOptions, region};
use wharf_sys::clock::{Deadline, Instant};

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");
const NAME: &str = "books";
const SIGKILL: i32 = 9;
/// The record of the publisher that nobody kills.
const STEADY: u64 = 1000;
/// Messages after a death: many times around the log.
const AFTERWARDS: u64 = 5000;

/// How long the lazy subscriber does nothing: twice the patience of those who have some.
const LAZY: Duration = Duration::from_millis(20);

#[test]
fn whoever_dies_on_a_topic_the_others_have_every_message() {
    let mut deaths = 0;
    for point in FEED {
        for &policy in point.policies {
            for turn in point.turns {
                die(point, *turn, policy);
                deaths += 1;
            }
        }
    }
    println!("{deaths} deaths at {} named points, with {} policies", FEED.len(), POLICIES.len());
}

fn die(point: &FeedPoint, turn: u32, policy: usize) {
    let armed = format!("{}:{turn}", point.name);
    let what = format!("{armed}, {}, {}", if point.publishes { "publisher" } else { "subscriber" }, POLICIES[policy].0);
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain());
    let books: Region<Books> = options.create(NAME).expect("the test's own region");
    let node = NodeOptions::new().domain(scene.domain()).open().expect("the test's own node");
    let outcome = match point.publishes {
        true => a_publisher_dies(&scene, &books, &node, policy, &armed),
        false => a_subscriber_dies(&scene, &books, &node, policy, &armed),
    };
    outcome.unwrap_or_else(|broken| panic!("{what}: {broken}"));
    drop((node, books));
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    assert_eq!(scene.files(), Vec::<String>::new(), "{what}");
}

/// Two subscribers, of which one is slow and holds much, follow publishers of one process until it is killed.
fn a_publisher_dies(scene: &Scene, books: &Books, node: &Node, policy: usize, armed: &str) -> Result<(), String> {
    let mut keen = Subscribing::open(books, node, ALL, Wait::Sleep, 0)?;
    let mut lazy = Subscribing::open(books, node, POLICIES[policy].0, Wait::Adaptive, 0)?;
    let policy = format!("policy={policy}");
    let mut victim = Process::start_armed(Path::new(VICTIM), scene, &["feed", NAME, "publish", &policy], armed);
    let deadline = Deadline::after(PATIENCE);
    let mut slept = Instant::now();
    // Ends with the death, or at the deadline.
    while victim.runs() {
        if deadline.passed() {
            return Err(format!("not reached: {}", victim.report()));
        }
        for number in 0..200 {
            if keen.receive(Duration::from_micros(200), number % 16 == 0)? == Entered::Nothing {
                break;
            }
        }
        // The lazy one stays behind longer than a publisher has patience, however fast the rest goes, and comes up again.
        if slept.elapsed() > LAZY {
            while lazy.receive(Duration::ZERO, true)? != Entered::Nothing {}
            slept = Instant::now();
        }
        keen.settle()?;
    }
    assert_killed(&mut victim)?;
    keen.receive_the_rest()?;
    lazy.receive_the_rest()?;
    Ok(())
}

/// A steady publisher and a steady subscriber, beside one that is killed.
fn a_subscriber_dies(scene: &Scene, books: &Books, node: &Node, policy: usize, armed: &str) -> Result<(), String> {
    let mut keen = Subscribing::open(books, node, ALL, Wait::Sleep, 0)?;
    let mut publishing = Publishing::open(books, node, STEADY, policy, 5)?;
    let mut victim = Process::start_armed(Path::new(VICTIM), scene, &["feed", NAME, "subscribe"], armed);
    let deadline = Deadline::after(PATIENCE);
    let mut step = |publishing: &mut Publishing<'_>| -> Result<u64, String> {
        let mut sent = 0;
        for _ in 0..50 {
            if publishing.send(0)? {
                sent += 1;
                // So it is never in the way, however late this process comes on again.
                if keen.receive(PATIENCE, false)? != Entered::Message {
                    return Err("what was sent did not come".to_owned());
                }
            }
            // And it says that it has nothing more to receive.
            if keen.receive(Duration::ZERO, false)? != Entered::Nothing {
                return Err("something came that was not sent".to_owned());
            }
        }
        Ok(sent)
    };
    // Ends with the death, or at the deadline.
    while victim.runs() {
        if deadline.passed() {
            return Err(format!("not reached: {}", victim.report()));
        }
        step(&mut publishing)?;
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_killed(&mut victim)?;
    let (mut sent, deadline) = (0, Deadline::after(PATIENCE));
    // Ends when so many were sent, which a dead subscriber does not keep anybody from.
    while sent < AFTERWARDS {
        if deadline.passed() {
            return Err(format!("{sent} sent after the death"));
        }
        sent += step(&mut publishing)?;
    }
    drop(publishing);
    keen.receive_the_rest()?;
    match keen.ledger().totals().missed {
        0 => Ok(()),
        missed => Err(format!("one that keeps up missed {missed}")),
    }
}

fn assert_killed(victim: &mut Process) -> Result<(), String> {
    match victim.death(PATIENCE).status.signal() {
        Some(SIGKILL) => Ok(()),
        _ => Err(victim.report()),
    }
}

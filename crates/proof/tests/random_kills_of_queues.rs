//! Pushers and pullers that come, go and are killed at random: what was acknowledged is done, and done again only where a death
//! came between doing and saying so.
//!
//! `WHARF_PROOF_SEED` repeats a run's choices, `WHARF_PROOF_KILLS` sets the number of kills. The long form:
//!
//! ```text
//! WHARF_PROOF_KILLS=10000 cargo test -p wharf-proof --test random_kills_of_queues -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{Node, NodeOptions, SendError, Settled};
use wharf_proof::diary::{Account, Diary, Name, Note, Sums};
use wharf_proof::living::{Living, campaign};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");
const NAME: &str = "work";

/// Kills in all, unless the environment asks for another number.
const KILLS: u64 = 2000;
/// Kills until everybody leaves, and all diaries are compared.
const KILLS_PER_PLAY: u64 = 500;
/// After so many kills something must have been done since.
const KILLS_PER_LOOK: u64 = 10;
/// Players at a time: pushers, and behind them pullers.
const PUSHERS: usize = 2;
const CAST: usize = 6;
/// The lives of the two that nobody kills.
const STEADY_PUSHER: u64 = 1;
const STEADY_PULLER: u64 = 2;

#[test]
fn nothing_that_was_acknowledged_is_lost_or_done_again_without_a_death() {
    let (kills, mut random) = campaign("queues", KILLS, 100);
    let (mut done, mut sums, mut killed_sides) = (0, Sums::default(), [0; 2]);
    while done < kills {
        let share = (kills - done).min(KILLS_PER_PLAY);
        let found = play(share, &mut random, &mut killed_sides);
        sums.pushed += found.pushed;
        sums.done += found.done;
        sums.again += found.again;
        sums.twice += found.twice;
        done += share;
    }
    println!("killed: {} pushers, {} pullers; {sums:?}", killed_sides[0], killed_sides[1]);
    assert!(sums.done > kills && sums.again > 0, "hardly anything was done");
    assert!(killed_sides.iter().all(|it| *it > 0) || kills < 50, "one side was never killed");
}

/// What the two steady ones and the test share.
struct Stage {
    diaries: PathBuf,
    over: AtomicBool,
    /// The steady puller ends when the steady pusher has.
    pulling: AtomicBool,
    /// Items of the steady pusher that are done.
    done: AtomicU64,
}

fn play(kills: u64, random: &mut Random, killed_sides: &mut [u64; 2]) -> Sums {
    let scene = Scene::new();
    let stage = Stage {
        diaries: scene.file("diaries"),
        over: AtomicBool::new(false),
        pulling: AtomicBool::new(true),
        done: AtomicU64::new(0),
    };
    std::fs::create_dir(&stage.diaries).expect("a directory for diaries");
    let node = NodeOptions::new().domain(scene.domain()).open().expect("the test's own node");
    let mut killed = BTreeSet::new();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| push_steadily(&node, &stage));
        let puller = scope.spawn(|| pull_steadily(&node, &stage));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let alive = || assert!(!pusher.is_finished() && !puller.is_finished(), "a steady one has failed");
            kill(kills, random, &scene, &stage, &mut killed, killed_sides, &alive);
        }));
        stage.over.store(true, Ordering::Relaxed);
        let pusher = pusher.join();
        stage.pulling.store(false, Ordering::Relaxed);
        let puller = puller.join();
        pusher.expect("the steady pusher").unwrap_or_else(|why| panic!("the steady pusher: {why}"));
        puller.expect("the steady puller").unwrap_or_else(|why| panic!("the steady puller: {why}"));
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    drop(node);
    // The next visitor buries whoever was killed last.
    drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    assert_eq!(scene.files(), Vec::<String>::new());
    let account = Account::read(&stage.diaries).expect("diaries");
    account.check(&[STEADY_PUSHER].into(), &killed).unwrap_or_else(|why| panic!("after {kills} kills: {why}"))
}

/// Pushes all the time, and sees everything done in the end.
fn push_steadily(node: &Node, stage: &Stage) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let mut diary = Diary::open(&stage.diaries, STEADY_PUSHER).map_err(|error| words(&error))?;
    let queue = node.queue(NAME).most_deliveries(1_000_000).most_items(32);
    let mut pusher = queue.pusher().map_err(|error| words(&error))?;
    let mut open = Vec::new();
    let mut number = 0;
    // Ends with the play, and when all of it is done.
    loop {
        let over = stage.over.load(Ordering::Relaxed);
        if !over {
            let item = Name { life: STEADY_PUSHER, number };
            diary.note(Note::Push, item).map_err(|error| words(&error))?;
            number += 1;
            // With others at work there is room soon, whoever dies.
            let pushed = pusher.push_timeout(&item.bytes(), PATIENCE).map_err(|error| words(&error))?;
            open.push((item, pushed.id()));
        } else {
            pusher.flush(PATIENCE).map_err(|error| format!("at the end: {error}: {}", pusher.unsettled()))?;
        }
        for (item, id) in std::mem::take(&mut open) {
            match pusher.outcome(id) {
                Ok(Some(Settled::Acknowledged { .. })) => {
                    diary.note(Note::Done, item).map_err(|error| words(&error))?;
                    stage.done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(None) => open.push((item, id)),
                other => return Err(format!("{item:?} has come to {other:?}")),
            }
        }
        if let (1.., why) = pusher.cut_off() {
            return Err(format!("a puller was cut off, although all keep the rules: {why:?}"));
        }
        if over && open.is_empty() {
            return Ok(());
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Does whatever it is given.
fn pull_steadily(node: &Node, stage: &Stage) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let mut diary = Diary::open(&stage.diaries, STEADY_PULLER).map_err(|error| words(&error))?;
    let mut puller = node.queue(NAME).prefetch(2).puller().map_err(|error| words(&error))?;
    while stage.pulling.load(Ordering::Relaxed) {
        let Ok(item) = puller.recv_timeout(Duration::from_millis(2)) else { continue };
        let name = Name::of(&item)?;
        for note in [Note::Take, Note::Settle] {
            diary.note(note, name).map_err(|error| words(&error))?;
        }
        match item.ack() {
            Ok(()) => diary.note(Note::Settled, name).map_err(|error| words(&error))?,
            // Its pusher was killed.
            Err(SendError::Closed | SendError::PeerDied { .. }) => {}
            Err(error) => return Err(words(&error)),
        }
        thread::sleep(Duration::from_micros(100));
    }
    match puller.lost() {
        (0, _) => Ok(()),
        (_, why) => Err(format!("a pusher was lost, although all keep the rules: {why:?}")),
    }
}

/// Kills one player after another, and puts another in its place.
fn kill(
    kills: u64,
    random: &mut Random,
    scene: &Scene,
    stage: &Stage,
    killed: &mut BTreeSet<u64>,
    killed_sides: &mut [u64; 2],
    alive: &dyn Fn(),
) {
    let mut next_life = 100;
    let mut start = |at: usize, random: &mut Random| {
        next_life += 1;
        let (life, seed) = (format!("life={next_life}"), format!("seed={}", random.number()));
        let side = if at < PUSHERS { "push" } else { "pull" };
        let diaries = stage.diaries.display().to_string();
        let process = Process::start(Path::new(VICTIM), scene, &["work", NAME, side, &diaries, &life, &seed]);
        (next_life, Living::new(process))
    };
    let mut cast: Vec<_> = (0..CAST).map(|at| start(at, random)).collect();
    for kill in 0..kills {
        let what = format!("kill {kill}");
        thread::sleep(Duration::from_micros(random.below(3000)));
        let unlucky = random.below(CAST as u64) as usize;
        let (life, living) = &mut cast[unlucky];
        living.kill();
        killed.insert(*life);
        killed_sides[usize::from(unlucky >= PUSHERS)] += 1;
        cast[unlucky] = start(unlucky, random);
        cast.iter_mut().for_each(|(_, living)| living.assert_runs(&what));
        alive();
        if kill % KILLS_PER_LOOK == 0 {
            assert_gets_on(stage, &what);
        }
    }
    for (_, living) in &mut cast {
        living.ready().close();
        let said = living.process.hear(PATIENCE);
        if said.as_ref().is_none_or(|said| said.word != "done") {
            panic!("at the end: {said:?}: {}", living.process.report());
        }
        assert!(living.process.death(PATIENCE).status.success(), "{}", living.process.report());
    }
}

/// Waits until an item of the steady pusher is done that was not before.
fn assert_gets_on(stage: &Stage, what: &str) {
    let (before, began) = (stage.done.load(Ordering::Relaxed), Instant::now());
    while stage.done.load(Ordering::Relaxed) == before {
        assert!(began.elapsed() < PATIENCE, "{what}: nothing is done any more");
        thread::sleep(Duration::from_micros(500));
    }
}

//! Two hundred processes at one region, half of which are killed at once, while they hold something or wait for it.

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::berths::{Berths, KINDS, Kind};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::{assert_within, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{Region, RegionError, RegionOptions, region};
use wharf_sys::clock::{Deadline, Instant};

const NAME: &str = "crowd";
/// Berths that are used, each with an owner and those who want what it has.
const USED: usize = 50;
const WANT: usize = 3;
/// Everybody, and the test itself: there is not one slot too many.
const SLOTS: usize = USED * (1 + WANT) + 1;
/// How soon after the last death everything of the dead is somebody else's.
const SWEPT: Duration = Duration::from_secs(1);

#[test]
fn the_survivors_of_a_crowd_go_on_and_sweep_up_after_the_dead() {
    watch();
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(SLOTS as u32);
    let region: Region<Berths> = options.create(NAME).expect("the test's own region");
    let mut owners: Vec<_> = (0..USED).map(|at| start(&scene, "hold", at)).collect();
    let mut wanting: Vec<_> = (0..USED).map(|at| [(); WANT].map(|()| start(&scene, "want", at))).collect();
    for owner in &mut owners {
        owner.expect("ready");
        owner.tell("take it");
        owner.expect("holding");
    }
    for process in wanting.iter_mut().flatten() {
        process.expect("ready");
        process.tell("want it");
    }
    assert!(matches!(options.attach::<Berths>(NAME), Err(RegionError::Full { .. })), "a slot too many");
    for at in 0..USED {
        let asleep = || region.berths[at].look(kind(at), 0).waiters.len() == WANT;
        until(&format!("all who want berth {at}, {:?}, wait", kind(at)), asleep);
    }

    let mut last = Instant::now();
    for (owner, wanting) in owners.iter_mut().zip(&mut wanting) {
        // The one that waits first: behind a dead owner it could still have what it wants before it is killed itself.
        for process in [&mut wanting[0], owner] {
            last = last.max(process.kill().at);
        }
    }
    for (at, processes) in wanting.iter_mut().enumerate() {
        let what = format!("berth {at}, {:?}", kind(at));
        let mut had: Vec<_> = processes[1..].iter_mut().map(|process| process.expect("had")).collect();
        had.sort_by_key(|said| said.at);
        had.iter().for_each(|said| assert_within(&what, SWEPT, last, said.at));
        let texts: Vec<_> = had.iter().map(|said| said.text.as_str()).collect();
        let expected: &[&str] = match kind(at) {
            // A dead reader leaves nothing in doubt; a last value is always whole.
            Kind::Read | Kind::Upgradable | Kind::Latest => &["in order", "in order"],
            Kind::Two | Kind::Four => &["broken", "broken"],
            _ => &["after a death", "in order"],
        };
        // Who had it first may be the second to say so.
        assert!(
            texts == expected || (expected[0] != expected[1] && texts == [expected[1], expected[0]]),
            "{what}: {texts:?}"
        );
        let seen = region.berths[at].look(kind(at), 0);
        // The places in a barrier go back when somebody makes it whole again.
        assert!(matches!(kind(at), Kind::Four) || seen.holders.is_empty(), "{what}: {seen:?}");
    }
    println!(
        "what {} dead ones had was swept {:?} after the last death",
        2 * USED,
        Instant::now().saturating_since(last)
    );

    let newcomers: Vec<Region<Berths>> = (0..2 * USED)
        .map(|number| options.attach(NAME).unwrap_or_else(|error| panic!("newcomer {number}: {error}")))
        .collect();
    let swept = Instant::now();
    println!(
        "{} slots of the dead were taken again {:?} after the last death",
        newcomers.len(),
        swept.saturating_since(last)
    );
    assert_within("the slots of the dead", SWEPT, last, swept);
    assert!(matches!(options.attach::<Berths>(NAME), Err(RegionError::Full { .. })), "a slot too many");
    let info = region::inspect_in(&scene.domain(), NAME).expect("the region is there");
    assert_eq!(info.participants.iter().filter(|one| one.alive).count(), SLOTS, "{info:?}");
    for at in 0..USED {
        let seen = region.berths[at].look(kind(at), 0);
        assert!(seen.waiters.is_empty(), "berth {at}, {:?}: {seen:?}", kind(at));
    }
    drop((newcomers, owners, wanting, region));
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    scene.assert_remains("all gone", |_| false);
}

/// What is wanted at a berth; not a barrier of two, which has no room for so many, and not what a dead one can only have owed.
fn kind(at: usize) -> Kind {
    match KINDS[at % KINDS.len()] {
        Kind::Two => Kind::Mutex,
        Kind::Owed(_) => Kind::Reentrant,
        other => other,
    }
}

fn start(scene: &Scene, verb: &str, at: usize) -> Process {
    let number = KINDS.iter().position(|&one| one == kind(at)).expect("one of the kinds");
    let words = ["berths", verb, NAME, &format!("at={at}"), &format!("kind={number}")];
    Process::start(Path::new(env!("CARGO_BIN_EXE_victim")), scene, &words)
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    while !reached() {
        assert!(!deadline.passed(), "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

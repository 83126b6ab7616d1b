//! Publishers and subscribers that come, go and are killed at random: whoever lives has every message, or its exact loss.
//!
//! `WHARF_PROOF_SEED` repeats a run's choices, `WHARF_PROOF_KILLS` sets the number of kills. The long form:
//!
//! ```text
//! WHARF_PROOF_KILLS=10000 cargo test -p wharf-proof --test random_kills_of_topics -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Node, NodeOptions, Wait};
use wharf_proof::feed::{
    ALL, Books, CAST, Entered, LIVES, LIVES_EACH, POLICIES, Publishing, Role, Subscribing, Totals,
};
use wharf_proof::living::{Living, campaign};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::{SOON, Unserved, assert_within, watch};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_shared_memory::{Region, RegionOptions, region};
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");
const NAME: &str = "books";

/// Kills in all, unless the environment asks for another number.
const KILLS: u64 = 2000;
/// Kills until everybody leaves, and all that was received is compared once more: there are so many records.
const KILLS_PER_REGION: u64 = 500;
/// After so many kills everybody who lives must get on, and must have heard of all deaths, before the next one is killed.
const KILLS_PER_LOOK: u64 = 10;
/// Slots of the region: the players, the test, and room for some of the dead.
const SLOTS: u32 = 12;
/// The record of the publisher that nobody kills.
const STEADY: u64 = LIVES as u64 - 1;

/// What the kills met.
#[derive(Default)]
struct Hits {
    kills: u64,
    /// Publishers, by policy; of these so many inside a call.
    publishers: [u64; POLICIES.len()],
    sending: u64,
    subscribers: u64,
    between: u64,
    /// What the players found, what the steady subscriber did, and with how many publishers it was compared to the end.
    players: Totals,
    steady: Totals,
    compared: u64,
    /// The latest news of a death.
    latest: Duration,
}

#[test]
fn nothing_is_lost_in_silence_whoever_dies() {
    watch();
    let (kills, mut random) = campaign("topics", KILLS, 100);
    let mut hits = Hits::default();
    while hits.kills < kills {
        let share = (kills - hits.kills).min(KILLS_PER_REGION);
        play(share, &mut random, &mut hits);
    }
    report(&hits);
}

/// What the subscriber that nobody kills tells the test.
#[derive(Default)]
struct Heard {
    /// When it found that each was no more.
    ends: BTreeMap<u64, Instant>,
    totals: Totals,
    compared: u64,
}

fn play(kills: u64, random: &mut Random, hits: &mut Hits) {
    assert!((kills + CAST as u64) * LIVES_EACH < STEADY, "there are too few records");
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(SLOTS);
    let books: Region<Books> = options.create(NAME).expect("the test's own region");
    let node = NodeOptions::new().domain(scene.domain()).open().expect("the test's own node");
    let heard: Mutex<Heard> = Mutex::default();
    thread::scope(|scope| {
        let subscriber = scope.spawn(|| subscribe_steadily(&books, &node, &heard));
        let publisher = scope.spawn(|| publish_steadily(&books, &node));
        // Whatever fails here, the two come to their end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let alive = || {
                // They end only when they have failed.
                assert!(!subscriber.is_finished() && !publisher.is_finished(), "a steady one has failed");
            };
            kill(kills, random, hits, &scene, &books, &heard, &alive);
        }));
        let _ = books.over.set();
        let (subscriber, publisher) = (subscriber.join(), publisher.join());
        publisher.expect("the steady publisher").unwrap_or_else(|error| panic!("the steady publisher: {error}"));
        subscriber.expect("the steady subscriber").unwrap_or_else(|error| panic!("the steady subscriber: {error}"));
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    hits.kills += kills;
    hits.players = books.pages.iter().fold(hits.players, |sum, page| sum.and(&page.totals.read()));
    let heard = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
    hits.steady = hits.steady.and(&heard.totals);
    hits.compared += heard.compared;
    drop((node, books));
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    // The next visitor buries whoever was killed last.
    drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    let what = format!("after {} kills", hits.kills);
    assert_eq!(scene.files(), Vec::<String>::new(), "{what}");
}

/// Receives everything, of all policies, from the beginning to the end.
fn subscribe_steadily(books: &Books, node: &Node, heard: &Mutex<Heard>) -> Result<(), String> {
    let mut subscribing = Subscribing::open(books, node, ALL, Wait::Sleep, 0)?;
    let open = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = Random::new(1);
    let mut busy = 0;
    // Ends with the play.
    while !books.over.is_set() {
        let entered = subscribing.receive(Duration::from_millis(2), random.below(20) == 0)?;
        busy = if entered == Entered::Nothing { 0 } else { busy + 1 };
        if busy % 64 != 0 {
            continue;
        }
        let ended = subscribing.settle()?;
        open().ends.extend(ended.iter().map(|ended| (ended.life, ended.at)));
    }
    let compared = subscribing.receive_the_rest()?;
    let mut heard = open();
    (heard.totals, heard.compared) = (subscribing.ledger().totals(), compared);
    Ok(())
}

/// Sends all the time to whoever is there, and waits for everybody.
fn publish_steadily(books: &Books, node: &Node) -> Result<(), String> {
    let mut publishing = Publishing::open(books, node, STEADY, 0, 0)?;
    // Ends with the play.
    while !books.over.is_set() {
        for _ in 0..8 {
            publishing.send(3)?;
        }
        thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// Kills one player after another, and puts another in its place.
fn kill(
    kills: u64,
    random: &mut Random,
    hits: &mut Hits,
    scene: &Scene,
    books: &Books,
    heard: &Mutex<Heard>,
    alive: &dyn Fn(),
) {
    let mut first = 0;
    let mut next = || {
        first += LIVES_EACH;
        first - LIVES_EACH
    };
    let mut cast: Vec<_> = (0..CAST).map(|page| living(scene, page, next(), random)).collect();
    let mut dead = Vec::new();
    let (mut unserved, mut since) = (unserved_of(&cast), Instant::now());
    for kill in 0..kills {
        let what = format!("kill {}", hits.kills + kill);
        thread::sleep(Duration::from_micros(random.below(4000)));
        let unlucky = random.below(CAST as u64) as usize;
        let death = cast[unlucky].kill();
        let stint = books.pages[unlucky].stint.read();
        count(books, unlucky, hits);
        if stint.role() == Role::Publisher {
            books.died[stint.life as usize].write(&death.at.as_nanos()).expect("the test's own note");
            dead.push((stint.life, death.at));
        }
        cast[unlucky] = living(scene, unlucky, next(), random);
        cast.iter_mut().for_each(|living| living.assert_runs(&what));
        alive();
        if kill % KILLS_PER_LOOK == 0 {
            assert_all_get_on(&mut cast, books, &what);
            for (life, at) in dead.drain(..) {
                let later = assert_heard(heard, books, life, at, &unserved, &what);
                hits.latest = hits.latest.max(later);
            }
            assert_nobody_waited(&cast, books, since, &unserved, &what);
            (unserved, since) = (unserved_of(&cast), Instant::now());
        }
    }
    books.over.set().expect("the end is announced");
    for living in &mut cast {
        let said = living.ready().hear(PATIENCE);
        if said.as_ref().is_none_or(|said| said.word != "done") {
            panic!("at the end: {said:?}: {}", living.process.report());
        }
        assert!(living.process.death(PATIENCE).status.success(), "{}", living.process.report());
    }
}

fn living(scene: &Scene, page: usize, first: u64, random: &mut Random) -> Living {
    let (page, first) = (format!("page={page}"), format!("first={first}"));
    let seed = format!("seed={}", random.number());
    let process = Process::start(Path::new(VICTIM), scene, &["feed", NAME, &page, &first, &seed]);
    Living::new(process)
}

fn unserved_of(cast: &[Living]) -> Unserved {
    Unserved::of(cast.iter().map(|living| living.process.id()).chain([std::process::id()]))
}

/// Waits until each of the living has got on with what it is at, which is soon whoever has died.
fn assert_all_get_on(cast: &mut [Living], books: &Books, what: &str) {
    for living in cast.iter_mut() {
        living.ready();
    }
    let steps = |page: usize| books.pages[page].stint.read().steps;
    let before: Vec<_> = (0..cast.len()).map(steps).collect();
    let (since, unserved) = (Instant::now(), unserved_of(cast));
    for (page, living) in cast.iter_mut().enumerate() {
        // Bound: as told. It ends what it is at, and the next thing, which it may have begun already.
        while (before[page]..before[page] + 2).contains(&steps(page)) {
            living.assert_runs(what);
            let stint = books.pages[page].stint.read();
            assert_in_bound(&format!("{what}: player {page} is at {stint:?}"), since, Instant::now(), &unserved);
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Checks that the steady subscriber found the end of this publisher soon after its death; how soon.
///
/// One of which it never heard anything is none.
fn assert_heard(
    heard: &Mutex<Heard>,
    books: &Books,
    life: u64,
    died: Instant,
    unserved: &Unserved,
    what: &str,
) -> Duration {
    if books.sent(life).sent == 0 {
        return Duration::ZERO;
    }
    loop {
        let ends = heard.lock().unwrap_or_else(PoisonError::into_inner).ends.get(&life).copied();
        let now = ends.unwrap_or_else(Instant::now);
        assert_in_bound(&format!("{what}: the death of publisher {life}"), died, now, unserved);
        match ends {
            Some(at) => return at.saturating_since(died),
            None => thread::sleep(Duration::from_micros(500)),
        }
    }
}

/// Checks that no player waited for longer than a death takes to be noticed, since the last look.
fn assert_nobody_waited(cast: &[Living], books: &Books, since: Instant, unserved: &Unserved, what: &str) {
    for page in 0..cast.len() {
        let stint = books.pages[page].stint.read();
        let from = Instant::from_nanos(stint.waited_from);
        if stint.waited_from > since.as_nanos() {
            let until = from.saturating_add(Duration::from_nanos(stint.waited_ns));
            assert_in_bound(&format!("{what}: player {page} waited, {stint:?}"), from, until, unserved);
        }
    }
}

/// Checks that what began at `since` was over soon. Time for which players were ready and had no processor does not count:
/// others may have waited for what they were about to do, one for another.
fn assert_in_bound(what: &str, since: Instant, at: Instant, unserved: &Unserved) {
    if at.saturating_since(since) > SOON {
        let excused = unserved.in_turn();
        let what = format!("{what}, besides {excused:?} without a processor");
        assert_within(&what, SOON, since.saturating_add(excused), at);
    }
}

/// Counts what the dead one was.
fn count(books: &Books, page: usize, hits: &mut Hits) {
    let stint = books.pages[page].stint.read();
    match stint.role() {
        Role::Between => hits.between += 1,
        Role::Subscriber => hits.subscribers += 1,
        Role::Publisher => {
            let policy = usize::try_from(books.sent(stint.life).policy).unwrap_or(0).saturating_sub(1);
            hits.publishers[policy.min(POLICIES.len() - 1)] += 1;
            hits.sending += stint.asking;
        }
    }
}

fn report(hits: &Hits) {
    let names = POLICIES.map(|(topic, _)| topic);
    let by_policy: Vec<_> = names.iter().zip(hits.publishers).collect();
    println!(
        "killed: {} subscribers, publishers {by_policy:?} ({} inside a call), {} in between",
        hits.subscribers, hits.sending, hits.between
    );
    println!("players: {:?}", hits.players);
    println!("steady: {:?}, {} publishers compared to their end", hits.steady, hits.compared);
    println!("latest news of a death: {:?}", hits.latest);
    assert!(hits.steady.received > hits.kills && hits.players.received > hits.kills, "hardly anything was received");
    assert!(hits.publishers.iter().all(|&killed| killed > 0) || hits.kills < 200, "a policy was never met");
    assert!(hits.compared > 0 && hits.players.ends > 0 && hits.subscribers > 0, "nothing was compared");
    if hits.kills >= KILLS {
        assert!(hits.players.missed > 0, "nobody ever lagged: {:?}", hits.players);
        assert!(hits.players.held > 0, "nothing was held");
    }
}

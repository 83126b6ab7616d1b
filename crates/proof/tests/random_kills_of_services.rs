//! Servers and clients that come, go and are killed at random: every caller learns in time what became of its call, and that is
//! true.
//!
//! `WHARF_PROOF_SEED` repeats a run's choices, `WHARF_PROOF_KILLS` sets the number of kills. The long form:
//!
//! ```text
//! WHARF_PROOF_KILLS=10000 cargo test -p wharf-proof --test random_kills_of_services -- --nocapture
//! ```

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{NodeOptions, Wait};
use wharf_proof::asking::{Account, Ask, Asking, NAME, Totals};
use wharf_proof::living::{Living, campaign};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::watch;
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_sys::clock::Deadline;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// Kills in all, unless the environment asks for another number.
const KILLS: u64 = 2000;
/// Kills until everybody leaves, and the accounts are settled.
const KILLS_PER_PLAY: u64 = 500;

/// Who plays: what each does, and whether by name or at an address.
const CAST: [(&str, bool); 7] = [
    ("serve", false),
    ("serve", false),
    ("serve", false),
    ("serve", true),
    ("ask", false),
    ("ask", false),
    ("ask", true),
];

/// So many of them, from the beginning, serve.
const SERVERS: usize = 4;

/// The client that nobody kills.
const STEADY: u64 = u32::MAX as u64;

#[test]
fn every_caller_learns_in_time_what_became_of_its_call() {
    watch();
    let (kills, mut random) = campaign("services", KILLS, 100);
    let (mut done, mut totals, mut killed) = (0, Totals::default(), [0; CAST.len()]);
    while done < kills {
        let share = (kills - done).min(KILLS_PER_PLAY);
        let played = play(share, &mut random, &mut killed);
        totals.carried_out += played.carried_out;
        totals.again += played.again;
        totals.told.iter_mut().zip(played.told).for_each(|(sum, more)| *sum += more);
        done += share;
    }
    let [answered, failed, unknown, never] = totals.told;
    println!("killed, by part: {:?}", CAST.iter().zip(killed).collect::<Vec<_>>());
    println!("told: {answered} answered, {failed} failed, {unknown} unknown, {never} never sent");
    println!("carried out: {}, of these {} more than once", totals.carried_out, totals.again);
    assert!(answered > kills && failed > 0 && unknown > 0, "hardly anything was asked");
    if kills >= KILLS {
        assert!(never > 0 && totals.again > 0, "an outcome was never met");
        assert!(killed.iter().all(|count| *count > 0), "a part was never killed");
    }
}

fn play(kills: u64, random: &mut Random, killed: &mut [u64; CAST.len()]) -> Totals {
    let scene = Scene::new();
    let accounts = scene.file("accounts");
    std::fs::create_dir(&accounts).expect("a directory for the accounts");
    let account = Account::at(&accounts);
    drop((account.done().expect("an account"), account.told().expect("an account")));
    let node = NodeOptions::new().domain(scene.domain()).open().expect("the test's own node");
    thread::scope(|scope| {
        let steady = scope.spawn(|| -> Result<(), String> {
            let client = node.service(NAME).wait(Wait::Sleep).client().map_err(|error| error.to_string())?;
            let mut asking = Asking::new(client, &account, Ask { life: STEADY, number: 0 }, 5, true)?;
            // Ends with the play.
            while !account.is_over() {
                asking.ask()?;
                thread::sleep(Duration::from_micros(200));
            }
            Ok(())
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut lives = 0;
            let mut next = || {
                lives += 1;
                lives
            };
            let mut cast: Vec<_> =
                (0..CAST.len()).map(|part| living(&scene, &accounts, part, next(), random)).collect();
            for kill in 0..kills {
                thread::sleep(Duration::from_micros(random.below(4000)));
                let unlucky = random.below(CAST.len() as u64) as usize;
                cast[unlucky].kill();
                killed[unlucky] += 1;
                cast[unlucky] = living(&scene, &accounts, unlucky, next(), random);
                let what = format!("kill {kill}");
                cast.iter_mut().for_each(|living| living.assert_runs(&what));
                assert!(!steady.is_finished(), "{what}: the steady client has failed");
            }
            account.end().expect("the end is announced");
            // Who serves is there until nobody asks.
            let (serving, asking) = cast.split_at_mut(SERVERS);
            for (at, living) in asking.iter_mut().chain(serving).enumerate() {
                if at == CAST.len() - SERVERS {
                    ended(&steady);
                    account.close().expect("the end is announced");
                }
                let said = living.ready().hear(PATIENCE);
                if said.as_ref().is_none_or(|said| said.word != "done") {
                    panic!("at the end: {said:?}: {}", living.process.report());
                }
                assert!(living.process.death(PATIENCE).status.success(), "{}", living.process.report());
            }
        }));
        let _ = (account.end(), account.close());
        steady.join().expect("the steady client").unwrap_or_else(|error| panic!("the steady client: {error}"));
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    drop(node);
    let totals = account.settle().unwrap_or_else(|error| panic!("the accounts: {error}"));
    std::fs::remove_dir_all(&accounts).expect("the accounts are the test's own");
    // The next visitor buries whoever was killed last.
    drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    assert_eq!(scene.files(), Vec::<String>::new());
    totals
}

/// Waits until a client has ended.
fn ended(steady: &thread::ScopedJoinHandle<'_, Result<(), String>>) {
    let deadline = Deadline::after(PATIENCE);
    while !steady.is_finished() {
        assert!(!deadline.passed(), "the steady client does not come to its end");
        thread::sleep(Duration::from_millis(1));
    }
}

fn living(scene: &Scene, accounts: &Path, part: usize, life: u64, random: &mut Random) -> Living {
    let (what, by_address) = CAST[part];
    let accounts = accounts.to_str().expect("a path that is text");
    let (life, seed) = (format!("life={life}"), format!("seed={}", random.number()));
    let address = format!("address={}", u8::from(by_address));
    Living::new(Process::start(Path::new(VICTIM), scene, &["asking", what, accounts, &life, &seed, &address]))
}

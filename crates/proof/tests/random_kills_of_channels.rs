//! Processes that make channels, hand their ends around and use them, and are killed at random, whichever end they have and
//! whatever is on its way: nothing that was sent is lost while its receiver lives, and whoever has the other end is told.
//!
//! `WHARF_PROOF_SEED` repeats a run's choices, `WHARF_PROOF_KILLS` sets the number of kills. The long form:
//!
//! ```text
//! WHARF_PROOF_KILLS=10000 cargo test -p wharf-proof --test random_kills_of_channels -- --nocapture
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Attachment, ConnectError, Link, Listener, Options, RecvError, SendError};
use wharf_proof::footprint::Footprint;
use wharf_proof::handing::{ADDRESSES, Account, Channel, Side, Sums, Word};
use wharf_proof::living::{Living, campaign};
use wharf_proof::process::{PATIENCE, Process, until};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_sys::clock::Deadline;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// Kills in all, unless the environment asks for another number.
const KILLS: u64 = 2000;
/// Kills until everybody comes to an end, and all diaries are compared.
const KILLS_PER_PLAY: u64 = 500;
/// Processes at a time.
const CAST: usize = 5;

/// A nap between two rounds of handing on.
const NAP: Duration = Duration::from_micros(50);

#[test]
fn whoever_has_an_end_gets_everything_that_was_sent_or_is_told_of_a_death() {
    let (kills, mut random) = campaign("channels", KILLS, 100);
    // What is made once in a process is there from the first play on.
    let (mut sums, mut handed_on) = play(1, &mut random);
    let (mut done, before) = (1, Footprint::now());
    while done < kills {
        let share = (kills - done).min(KILLS_PER_PLAY);
        let (found, ends) = play(share, &mut random);
        sums.add(found);
        handed_on += ends;
        done += share;
        let surplus = || Footprint::now().more_than(&before);
        until(&format!("no more held, after {done} kills, than {:?}", surplus()), || surplus().is_none());
    }
    println!("{handed_on} ends handed on; {sums:?}");
    assert!(sums.whole > kills && sums.received > kills && handed_on > kills, "hardly anything happened");
    if kills >= KILLS {
        let deaths = [sums.senders_died, sums.receivers_died, sums.lost_on_the_way];
        assert!(deaths.iter().all(|count| *count > kills / 50), "hardly anybody was told of a death: {deaths:?}");
    }
}

/// Plays until so many are killed, and everybody else has come to an end; what was found, and how many ends were handed on.
fn play(kills: u64, random: &mut Random) -> (Sums, u64) {
    let scene = Scene::new();
    let diaries = scene.file("diaries");
    std::fs::create_dir(&diaries).expect("a directory for diaries");
    let mut table = Table::open(&scene);
    let mut next_life = 0;
    let mut start = |at: usize, random: &mut Random| {
        next_life += 1;
        let (life, seed) = (format!("life={next_life}"), format!("seed={}", random.number()));
        let by = format!("by={}", at % ADDRESSES.len());
        let words = ["hand", &diaries.display().to_string(), &life, &seed, &by];
        (next_life, Living::new(Process::start(Path::new(VICTIM), &scene, &words)))
    };
    let mut cast: Vec<_> = (0..CAST).map(|at| start(at, random)).collect();
    for kill in 0..kills {
        let what = format!("kill {kill}");
        let due = Deadline::after(Duration::from_micros(random.below(6000)));
        while !due.passed() {
            table.turn(random);
            thread::sleep(NAP);
        }
        let unlucky = random.below(CAST as u64) as usize;
        let (life, living) = &mut cast[unlucky];
        until("a process comes to the table", || {
            table.turn(random);
            living.assert_runs(&what);
            table.knows(*life)
        });
        living.kill();
        table.killed(*life);
        cast[unlucky] = start(unlucky, random);
        cast.iter_mut().for_each(|(_, living)| living.assert_runs(&what));
    }
    // First nobody hands anything on, then everybody uses what he has to its end.
    cast.iter_mut().for_each(|(_, living)| living.process.close());
    until("everybody is quiet", || {
        table.turn(random);
        cast.iter_mut().for_each(|(_, living)| living.assert_runs("at the end"));
        table.is_quiet(CAST)
    });
    table.tell_last();
    for (_, living) in &mut cast {
        let said = living.ready().hear(2 * PATIENCE);
        if said.as_ref().is_none_or(|said| said.word != "done") {
            panic!("at the end: {said:?}: {}", living.process.report());
        }
        assert!(living.process.death(PATIENCE).status.success(), "{}", living.process.report());
    }
    let Table { holders, killed, handed_on, listeners, lives, .. } = table;
    drop((listeners, lives));
    assert_eq!(scene.files(), Vec::<String>::new());
    let account = Account::read(&diaries).unwrap_or_else(|why| panic!("the diaries: {why}"));
    let sums = account.check(&holders, &killed).unwrap_or_else(|why| panic!("after {kills} kills: {why}"));
    (sums, handed_on)
}

/// One process, as far as it can be reached.
struct Life {
    link: Link,
    /// It hands on nothing more.
    quiet: bool,
}

/// Whoever hands ends on: to anybody who is there.
struct Table {
    listeners: Vec<Listener>,
    /// Who has come and not said yet who he is.
    strangers: Vec<Link>,
    lives: BTreeMap<u64, Life>,
    /// What nobody has now.
    between: VecDeque<(Side, Channel, Attachment<'static>)>,
    /// Who was handed what last.
    holders: BTreeMap<(Channel, Side), u64>,
    killed: BTreeSet<u64>,
    handed_on: u64,
}

impl Table {
    fn open(scene: &Scene) -> Table {
        let options = Options::new().domain(scene.domain());
        let listeners = ADDRESSES.map(|address| options.listen(address).expect("a listener")).into();
        Table {
            listeners,
            strangers: Vec::new(),
            lives: BTreeMap::new(),
            between: VecDeque::new(),
            holders: BTreeMap::new(),
            killed: BTreeSet::new(),
            handed_on: 0,
        }
    }

    fn knows(&self, life: u64) -> bool {
        self.lives.contains_key(&life)
    }

    /// Whether so many are there, hand on nothing more, and have everything that was on its way.
    fn is_quiet(&self, count: usize) -> bool {
        self.lives.len() == count && self.lives.values().all(|it| it.quiet) && self.between.is_empty()
    }

    /// Lets in who has come, takes what they hand on, and gives it to others.
    fn turn(&mut self, random: &mut Random) {
        for listener in &mut self.listeners {
            match listener.try_accept() {
                Ok(link) => self.strangers.push(link),
                Err(ConnectError::NobodyWaiting) => {}
                Err(error) => panic!("nobody can come to the table: {error}"),
            }
        }
        for mut link in std::mem::take(&mut self.strangers) {
            let said = match link.try_recv() {
                Ok(message) => Word::read(&message),
                Err(RecvError::Empty) => {
                    self.strangers.push(link);
                    continue;
                }
                Err(error) => panic!("one who is not killed before he has said who he is: {error}"),
            };
            match said {
                Ok(Word::Hello(life)) => drop(self.lives.insert(life, Life { link, quiet: false })),
                other => panic!("somebody began with {other:?}"),
            }
        }
        for (life, it) in &mut self.lives {
            if let Some(end) = hear(it, &mut self.between, None) {
                panic!("{life} is not killed, and there is no word from it: {end}");
            }
        }
        // Who has no room now may have some in the next turn.
        for _ in 0..self.between.len() {
            let Some((side, channel, attachment)) = self.between.pop_front() else { break };
            let unlucky = random.below(self.lives.len() as u64) as usize;
            let Some((life, it)) = self.lives.iter_mut().nth(unlucky) else {
                self.between.push_back((side, channel, attachment));
                break;
            };
            let word = Word::End(side, channel).bytes();
            match it.link.try_send_with(&word, std::slice::from_ref(&attachment)) {
                Ok(()) => {
                    self.holders.insert((channel, side), *life);
                    self.handed_on += 1;
                }
                // It has not gone, and goes to somebody.
                Err(SendError::Full) => self.between.push_back((side, channel, attachment)),
                Err(error) => panic!("{life} is not killed, and cannot be given anything: {error}"),
            }
        }
    }

    /// This one was killed: what it had handed on is here, and nothing else comes.
    fn killed(&mut self, life: u64) {
        self.killed.insert(life);
        let mut it = self.lives.remove(&life).expect("one who has come to the table");
        // Whoever sleeps hears of it at once.
        let end = hear(&mut it, &mut self.between, Some(PATIENCE));
        assert!(matches!(end, Some(RecvError::PeerDied)), "{life} was killed: {end:?}");
    }

    fn tell_last(&mut self) {
        for (life, it) in &mut self.lives {
            let told = it.link.send_timeout(&Word::Last.bytes(), PATIENCE);
            told.unwrap_or_else(|error| panic!("{life} cannot be told that nothing more comes: {error}"));
        }
    }
}

/// Takes all that one has said; the end of its link, if that has come, or comes within the patience.
fn hear(
    it: &mut Life,
    between: &mut VecDeque<(Side, Channel, Attachment<'static>)>,
    patience: Option<Duration>,
) -> Option<RecvError> {
    // Each round takes a message, of which there are no more than fit.
    loop {
        let received = match patience {
            None => it.link.try_recv(),
            Some(patience) => it.link.recv_timeout(patience),
        };
        let mut message = match received {
            Ok(message) => message,
            Err(RecvError::Empty | RecvError::Timeout) => return None,
            Err(error) => return Some(error),
        };
        match Word::read(&message) {
            Ok(Word::End(side, channel)) => {
                let attachment = match side {
                    Side::Sender => message.take_sender().map(Attachment::sender).map(|it| it.expect("it is unused")),
                    Side::Receiver => {
                        message.take_receiver().map(Attachment::receiver).map(|it| it.expect("it is unused"))
                    }
                };
                let attachment = attachment.unwrap_or_else(|why| panic!("the {side:?} of {channel:?}: {why}"));
                between.push_back((side, channel, attachment));
            }
            Ok(Word::Quiet) => it.quiet = true,
            other => panic!("nobody says {other:?} here"),
        }
    }
}

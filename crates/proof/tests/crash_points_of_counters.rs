//! A process killed at every named point of permits, events, barriers, work done once, watches and commits, with nobody
//! waiting, with one, and with three.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::points::COUNTER;
use wharf_proof::process::{Death, PATIENCE, Process};
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_proof::yard::Yard;
use wharf_shared_memory::{LockFailure, Region, RegionOptions};
use wharf_sys::clock::Instant;

/// Long enough for a process that waits to have fallen asleep.
const ASLEEP: Duration = Duration::from_millis(100);

const SIGKILL: i32 = 9;
const NAME: &str = "yard";

/// So many others wait when the death comes.
const WAITERS: [usize; 3] = [0, 1, 3];

#[test]
fn survivors_go_on_after_a_death_at_any_point() {
    for &point in COUNTER {
        for waiters in WAITERS {
            // Passed by one that found nobody asleep.
            if point == "sleepers.wake.cleared" && waiters > 0 {
                continue;
            }
            let scene = Stage::new(point, waiters);
            match point.split_once('.') {
                Some(("semaphore", "reclaim.before" | "reclaim.after")) => scene.heir_dies(),
                Some(("semaphore", "give.given")) => scene.giver_dies(),
                Some(("semaphore", "forget.after" | "pass.changed")) => scene.one_that_hands_on_dies(),
                Some(("semaphore", _)) | Some(("sleepers", "wait.announced" | "wait.slept")) => scene.passer_dies(),
                Some(("sleepers", "wake.one" | "wake.cleared")) => scene.passer_dies(),
                Some(("sleepers", "wake.all")) => scene.opener_dies(),
                Some(("once", _)) => scene.worker_dies(),
                Some(("event", "set.set")) => scene.opener_dies(),
                Some(("event", "signal.counted")) => scene.signaller_dies(),
                Some(("event", "wait.taken")) => scene.taker_dies(),
                Some(("barrier", "break.named" | "break.broken" | "rearm.emptied")) => scene.one_that_repairs_dies(),
                Some(("barrier", _)) => scene.member_dies(),
                Some(("journaled", _)) => scene.writer_dies(),
                _ => panic!("no scene for {point}"),
            }
        }
    }
    println!("processes killed at {} named points, {} scenes each", COUNTER.len(), WAITERS.len());
}

/// A region that the test itself is attached to, and the death that comes in it.
struct Stage {
    scene: Scene,
    region: Region<Yard>,
    point: &'static str,
    waiters: usize,
}

impl Stage {
    fn new(point: &'static str, waiters: usize) -> Stage {
        watch();
        let scene = Scene::new();
        let region = RegionOptions::new().domain(scene.domain()).create(NAME).expect("the test's own region");
        Stage { scene, region, point, waiters }
    }

    fn what(&self) -> String {
        format!("{} with {} waiting", self.point, self.waiters)
    }

    fn start(&self, verb: &str) -> Process {
        let mut process = Process::start(victim(), &self.scene, &["yard", verb, NAME]);
        process.expect("ready");
        process
    }

    /// The one that will die.
    fn start_victim(&self, verb: &str) -> Process {
        let mut process = Process::start_armed(victim(), &self.scene, &["yard", verb, NAME], self.point);
        process.expect("ready");
        process
    }

    /// Those who wait for what `verb` waits for, asleep.
    fn start_waiters(&self, verb: &str) -> Vec<Process> {
        let mut waiters: Vec<Process> = (0..self.waiters).map(|_| self.start(verb)).collect();
        for waiter in &mut waiters {
            waiter.tell("go");
            waiter.expect("begun");
        }
        if self.waiters > 0 {
            thread::sleep(ASLEEP);
        }
        waiters
    }

    fn die(&self, victim: &mut Process) -> Death {
        let death = victim.death(PATIENCE);
        let status = death.status;
        assert_eq!(status.signal(), Some(SIGKILL), "{}: not reached: {}", self.what(), victim.report());
        death
    }

    /// All of them go on soon after `since`; what they say.
    fn all_go_on(&self, waiters: &mut [Process], since: Instant) -> Vec<String> {
        let mut heard = Vec::new();
        for waiter in waiters {
            let said = waiter.expect("done");
            assert_soon(&self.what(), since, said.at);
            heard.push(said.text);
        }
        heard
    }

    fn end(self) {
        self.region.assert_works(&self.what());
    }

    /// Killed as one of several that pass one after the other, wherever in its turn.
    fn passer_dies(self) {
        let held = self.region.one.take().expect("a permit");
        let mut victim = self.start_victim("pass");
        victim.tell("go");
        victim.expect("begun");
        thread::sleep(ASLEEP);
        let mut waiters = self.start_waiters("pass");
        drop(held);
        let given = Instant::now();
        let death = self.die(&mut victim);
        self.all_go_on(&mut waiters, death.at.max(given));
        self.end();
    }

    /// Killed while it takes a dead one's permit over; the others come after it.
    fn heir_dies(self) {
        let mut holder = self.start("hold");
        holder.tell("go");
        holder.expect("begun");
        holder.expect("holding");
        let mut victim = self.start_victim("pass");
        victim.tell("go");
        victim.expect("begun");
        holder.kill();
        self.die(&mut victim);
        let mut waiters: Vec<Process> = (0..self.waiters).map(|_| self.start("pass")).collect();
        let told = Instant::now();
        for waiter in &mut waiters {
            waiter.tell("go");
            waiter.expect("begun");
        }
        let heard = self.all_go_on(&mut waiters, told);
        let heirs = heard.iter().filter(|how| *how == "after a death").count();
        assert_eq!(heirs, self.waiters.min(1), "{}: {heard:?}", self.what());
        self.end();
    }

    /// Killed when it has given a permit and woken nobody: one goes on by itself, the others when they get theirs.
    fn giver_dies(self) {
        let mut waiters = self.start_waiters("receive");
        let mut victim = self.start_victim("give");
        victim.tell("go");
        let death = self.die(&mut victim);
        self.one_goes_on_then_all(&mut waiters, death, || give(&self.region));
        self.end();
    }

    /// Killed when it has counted once more and woken nobody.
    fn signaller_dies(self) {
        let mut waiters = self.start_waiters("answer");
        let mut victim = self.start_victim("count");
        victim.tell("go");
        let death = self.die(&mut victim);
        self.one_goes_on_then_all(&mut waiters, death, || self.region.items.set().expect("one more"));
        self.end();
    }

    fn one_goes_on_then_all(&self, waiters: &mut [Process], death: Death, help: impl Fn()) {
        if let [only] = waiters {
            // Nobody helps it.
            let said = only.expect("done");
            assert_soon(&self.what(), death.at, said.at);
            return;
        }
        let helped = Instant::now();
        waiters.iter().skip(1).for_each(|_| help());
        self.all_go_on(waiters, death.at.max(helped));
    }

    /// Killed when it has gone through for one time that was counted: that time is gone with it, and no other.
    fn taker_dies(self) {
        let mut victim = self.start_victim("answer");
        victim.tell("go");
        victim.expect("begun");
        self.region.items.set().expect("once");
        let death = self.die(&mut victim);
        let mut waiters = self.start_waiters("answer");
        let set = Instant::now();
        waiters.iter().for_each(|_| self.region.items.set().expect("once more"));
        self.all_go_on(&mut waiters, death.at.max(set));
        assert_eq!(self.region.items.try_wait(), Ok(false), "{}", self.what());
        self.end();
    }

    /// Killed when it has opened for all and woken nobody.
    fn opener_dies(self) {
        // For the points of waking, somebody must be asleep.
        let mut helper = self.start("enter");
        helper.tell("go");
        helper.expect("begun");
        thread::sleep(ASLEEP);
        let mut waiters = self.start_waiters("enter");
        let mut victim = self.start_victim("open");
        victim.tell("go");
        let death = self.die(&mut victim);
        waiters.push(helper);
        self.all_go_on(&mut waiters, death.at);
        self.end();
    }

    /// Killed while it exchanges a permit for another around a change: there is never one too few.
    fn one_that_hands_on_dies(self) {
        let mut waiters = self.start_waiters("receive");
        let mut victim = self.start_victim("hand-on");
        victim.tell("go");
        let death = self.die(&mut victim);
        let returned = self.region.one.try_take().map(|permit| permit.owner_died());
        if self.point == "semaphore.forget.after" {
            assert!(returned.is_err(), "{}: forgotten, and there again", self.what());
            self.region.one.give().expect("the place of the one that was forgotten");
        } else {
            assert_eq!(returned, Ok(true), "{}: one too few", self.what());
        }
        self.one_goes_on_then_all(&mut waiters, death, || give(&self.region));
        let (pair, _) = self.region.open().expect("the pair");
        assert!(pair.agrees() && pair.left == 1, "{}: {pair:?}", self.what());
        drop(pair);
        self.end();
    }

    /// Killed at work that is done once, before, in the middle of, or after it.
    fn worker_dies(self) {
        let mut victim = self.start_victim("once");
        victim.tell("go");
        if self.point != "once.call.begun" {
            victim.expect("begun");
            victim.expect("at-work");
        }
        let mut waiters: Vec<Process> = (0..self.waiters).map(|_| self.start("once")).collect();
        for waiter in &mut waiters {
            // The second line is for the one that does the work.
            waiter.tell("go");
            waiter.tell("work");
            waiter.expect("begun");
        }
        thread::sleep(ASLEEP);
        victim.tell("work");
        let death = self.die(&mut victim);
        let done = self.point == "once.call.done";
        let mut heirs = 0;
        for waiter in &mut waiters {
            let mut said = waiter.hear(PATIENCE).expect("an answer");
            if said.word == "at-work" {
                said = waiter.expect("done");
                assert_eq!(said.text, "true Some(AfterDeath)", "{}", self.what());
                heirs += 1;
            } else {
                assert_eq!((said.word.as_str(), said.text.as_str()), ("done", "false None"), "{}", self.what());
            }
            assert_soon(&self.what(), death.at, said.at);
        }
        let expected = usize::from(!done && self.waiters > 0);
        assert_eq!(heirs, expected, "{}", self.what());
        assert_eq!(self.region.once.is_done(), done || self.waiters > 0, "{}", self.what());
        self.end();
    }

    /// Killed as a member of a barrier, before or after it arrived: the others learn its name, or have gone on with it.
    fn member_dies(self) {
        let verb = if self.waiters == 3 { "join-four" } else { "join-two" };
        let mut others: Vec<Process> = (0..self.waiters.max(1)).map(|_| self.start(verb)).collect();
        for other in &mut others {
            other.tell("join");
            other.expect("joined");
        }
        let wait = |members: &mut [Process]| {
            for member in members {
                member.tell("wait");
                member.expect("begun");
            }
        };
        // One that arrives without being the last needs somebody who comes later; and if nobody is to wait, the other
        // member comes after the death.
        let comes_last = self.point == "barrier.wait.completed";
        let late = self.point == "barrier.wait.arrived" || self.waiters == 0 && !comes_last;
        let early = others.len() - usize::from(late);
        wait(&mut others[..early]);
        thread::sleep(ASLEEP);
        let mut victim = self.start_victim(verb);
        let pid = victim.id().to_string();
        victim.tell("join");
        if self.point != "barrier.join.after" {
            victim.expect("joined");
            victim.tell("wait");
        }
        let death = self.die(&mut victim);
        wait(&mut others[early..]);
        let since = if late { Instant::now() } else { death.at };
        let hear_all = |others: &mut [Process], since: Instant| -> Vec<String> {
            let hear = |other: &mut Process| {
                let said = other.hear(PATIENCE).expect("an answer");
                assert_soon(&self.what(), since, said.at);
                assert!(said.word != "broken" || said.text == pid, "{}: broken by {}", self.what(), said.text);
                said.word
            };
            others.iter_mut().map(hear).collect()
        };
        let heard = hear_all(&mut others, since);
        assert!(heard.iter().all(|word| *word == heard[0]), "{}: {heard:?}", self.what());
        match self.point {
            "barrier.wait.completed" => assert_eq!(heard[0], "done", "{}", self.what()),
            // Complete if the last one came before anybody noticed the death.
            "barrier.wait.arrived" => assert!(heard[0] == "done" || heard[0] == "broken", "{}", self.what()),
            _ => assert_eq!(heard[0], "broken", "{}", self.what()),
        }
        // After a round that was complete the next one breaks; a broken one stays so.
        wait(&mut others);
        let heard = hear_all(&mut others, Instant::now());
        assert!(heard.iter().all(|word| word == "broken"), "{}: {heard:?}", self.what());
        drop(others);
        self.end();
    }

    /// Killed while it breaks a barrier for a death, or makes it whole again: the next one does it.
    fn one_that_repairs_dies(self) {
        let mut lost = self.start("join-two");
        lost.tell("join");
        lost.expect("joined");
        let rearms = self.point == "barrier.rearm.emptied";
        let mut victim = if rearms { self.start_victim("rearm-two") } else { self.start_victim("join-two") };
        if !rearms {
            victim.tell("join");
            victim.expect("joined");
        }
        lost.kill();
        if rearms {
            let _member = self.region.two.join().expect("the second place");
            assert!(self.region.two.join().is_err(), "both places are taken, one by the dead");
            assert!(self.region.two.is_broken());
        }
        victim.tell("go");
        self.die(&mut victim);
        assert!(self.region.two.is_broken() || self.point == "barrier.break.named", "{}", self.what());
        self.end();
    }

    /// Killed in the middle of a commit, with the lock: the next one has a whole value, the old or the new.
    fn writer_dies(self) {
        let mut victim = self.start_victim("commit");
        victim.tell("go");
        victim.expect("begun");
        victim.expect("holding");
        let mut waiters = self.start_waiters("look");
        victim.tell("commit");
        let death = self.die(&mut victim);
        for how in self.all_go_on(&mut waiters, death.at) {
            assert_eq!(how, "agrees=true", "{}", self.what());
        }
        let (pair, died) = self.region.open().expect("the pair");
        assert_eq!(died, self.waiters == 0, "{}", self.what());
        let committed = u64::from(self.point == "journaled.commit.done");
        assert_eq!(pair.left, committed + self.waiters as u64, "{}: {pair:?}", self.what());
        drop(pair);
        self.end();
    }
}

/// Gives a permit unless all are there: then those who wait have theirs.
fn give(yard: &Yard) {
    if let Err(error) = yard.later.give() {
        assert_eq!(error, LockFailure::Full);
    }
}

fn victim() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_victim"))
}

#[test]
fn a_watcher_goes_on_after_the_death_of_a_writer_that_woke_nobody() {
    let stage = Stage::new("sleepers.wake.all", 3);
    let mut waiters = stage.start_waiters("watch");
    let mut victim = stage.start_victim("write");
    victim.tell("go");
    let death = stage.die(&mut victim);
    stage.all_go_on(&mut waiters, death.at);
    stage.end();
}

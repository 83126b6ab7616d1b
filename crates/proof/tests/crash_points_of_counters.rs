//! A process killed at every named point of permits, events, barriers, work done once, watches and commits, with nobody
//! waiting, with one, and with three.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use wharf_proof::points::COUNTER;
use wharf_proof::process::{Death, PATIENCE, Process, until};
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_proof::yard::Yard;
use wharf_shared_memory::{Barrier, LockFailure, Look, Region, RegionOptions};
use wharf_sys::clock::Instant;

const SIGKILL: i32 = 9;
const NAME: &str = "yard";

/// So many others wait when the death comes.
const WAITERS: [usize; 3] = [0, 1, 3];

#[test]
fn survivors_go_on_after_a_death_at_any_point() {
    let mut scenes = 0;
    for &point in COUNTER {
        for waiters in WAITERS {
            let new = || Stage::new(point, waiters);
            match point.split_once('.') {
                Some(("semaphore", "reclaim.before" | "reclaim.after")) => new().heir_dies(),
                Some(("semaphore", "give.given")) => new().giver_dies(),
                Some(("semaphore", "forget.after" | "pass.changed")) => new().one_that_hands_on_dies(),
                Some(("semaphore", "take.before")) => {
                    new().comer_dies("pass");
                    new().comer_dies("try-pass");
                    scenes += 1;
                }
                Some(("semaphore", "take.after")) => {
                    new().passer_dies();
                    new().one_that_tries_dies();
                    scenes += 1;
                }
                Some(("semaphore", _)) | Some(("sleepers", "wake.one" | "wake.cleared")) => new().passer_dies(),
                Some(("sleepers", "wait.announced" | "wait.slept")) => new().comer_dies("pass"),
                Some(("sleepers", "wake.all")) => new().opener_dies(),
                Some(("once", _)) => {
                    if point != "once.call.begun" || waiters == 0 {
                        new().worker_dies();
                        scenes += 1;
                    }
                    // Who is the first to begin found nobody there, so nobody can wait for it then.
                    new().second_worker_dies();
                }
                Some(("event", "set.set")) => new().opener_dies(),
                Some(("event", "reset.reset")) => new().closer_dies(),
                Some(("event", "signal.counted")) => new().signaller_dies(),
                Some(("event", "wait.taken")) => new().taker_dies(),
                Some(("barrier", "break.named" | "break.broken")) => new().one_that_breaks_dies(),
                Some(("barrier", "rearm.emptied" | "rearm.whole")) => new().one_that_repairs_dies(),
                Some(("barrier", _)) => new().member_dies(),
                Some(("journaled", _)) => {
                    new().writer_dies();
                    new().second_writer_dies();
                    scenes += 1;
                }
                _ => panic!("no scene for {point}"),
            }
            scenes += 1;
        }
    }
    println!("processes killed at {} named points, in {scenes} scenes", COUNTER.len());
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

    /// Those who wait for what `verb` waits for, listed in the region as waiting.
    fn start_waiters(&self, verb: &str) -> Vec<Process> {
        let mut waiters: Vec<Process> = (0..self.waiters).map(|_| self.start(verb)).collect();
        waiters.iter_mut().for_each(|waiter| self.sends_to_wait(waiter, verb));
        waiters
    }

    /// The same, and none of them does anything before it is resumed: so the victim comes first, whatever happens.
    fn start_halted_waiters(&self, verb: &str) -> Vec<Process> {
        let mut waiters = self.start_waiters(verb);
        waiters.iter_mut().for_each(Process::stop);
        waiters
    }

    /// Tells a process to do what `verb` says, and comes back when it waits.
    fn sends_to_wait(&self, waiter: &mut Process, verb: &str) {
        let waiting = self.waiting(verb);
        waiter.tell("go");
        waiter.expect("begun");
        until(&self.what(), || self.waiting(verb) > waiting);
    }

    /// How many wait for what `verb` waits for.
    fn waiting(&self, verb: &str) -> usize {
        let yard = &self.region;
        let seen = match verb {
            "pass" => yard.one.look(),
            "receive" => yard.later.look(),
            "answer" => yard.items.look(),
            "enter" => yard.gate.look(),
            "watch" => yard.number.look(),
            "once" => yard.once.look(),
            "look" | "commit" => yard.pair.look(),
            "join-1" => yard.alone.look(),
            "join-2" => yard.two.look(),
            "join-3" => yard.three.look(),
            "join-4" => yard.four.look(),
            "join-5" => yard.five.look(),
            other => panic!("nobody waits to {other}"),
        };
        seen.waiters.iter().filter(|one| one.alive).count()
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

    /// Killed as one of several that pass one after the other, as soon as it has its turn or gives it on.
    fn passer_dies(self) {
        let held = self.region.one.take().expect("a permit");
        let mut victim = self.start_victim("pass");
        self.sends_to_wait(&mut victim, "pass");
        let mut waiters = self.start_halted_waiters("pass");
        drop(held);
        let death = self.die(&mut victim);
        waiters.iter_mut().for_each(Process::resume);
        self.all_go_on(&mut waiters, death.at.max(Instant::now()));
        self.end();
    }

    /// Killed on its way to wait behind those who wait already, or while it waits there.
    fn comer_dies(self, verb: &str) {
        let held = self.region.one.take().expect("a permit");
        let mut waiters = self.start_waiters("pass");
        let mut victim = self.start_victim(verb);
        victim.tell("go");
        self.die(&mut victim);
        drop(held);
        let given = Instant::now();
        self.all_go_on(&mut waiters, given);
        self.end();
    }

    /// Killed when it has a permit that it has not waited for, and others do wait.
    fn one_that_tries_dies(self) {
        let held = self.region.one.take().expect("a permit");
        let mut waiters = self.start_halted_waiters("pass");
        drop(held);
        let mut victim = self.start_victim("try-pass");
        victim.tell("go");
        let death = self.die(&mut victim);
        waiters.iter_mut().for_each(Process::resume);
        let heard = self.all_go_on(&mut waiters, death.at.max(Instant::now()));
        assert_eq!(heirs(&heard), self.waiters.min(1), "{}: {heard:?}", self.what());
        self.end();
    }

    /// Killed while it takes a dead one's permit over; the others wait for the same one.
    fn heir_dies(self) {
        let mut holder = self.start("hold");
        holder.tell("go");
        holder.expect("begun");
        holder.expect("holding");
        let mut victim = self.start_victim("pass");
        self.sends_to_wait(&mut victim, "pass");
        let mut waiters = self.start_halted_waiters("pass");
        holder.kill();
        let death = self.die(&mut victim);
        waiters.iter_mut().for_each(Process::resume);
        let heard = self.all_go_on(&mut waiters, death.at.max(Instant::now()));
        assert_eq!(heirs(&heard), self.waiters.min(1), "{}: {heard:?}", self.what());
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
        self.sends_to_wait(&mut victim, "answer");
        let mut waiters = self.start_halted_waiters("answer");
        self.region.items.set().expect("once");
        self.die(&mut victim);
        assert_eq!(self.region.items.try_wait(), Ok(false), "{}", self.what());
        waiters.iter_mut().for_each(Process::resume);
        let set = Instant::now();
        waiters.iter().for_each(|_| self.region.items.set().expect("once more"));
        self.all_go_on(&mut waiters, set);
        assert_eq!(self.region.items.try_wait(), Ok(false), "{}", self.what());
        self.end();
    }

    /// Killed when it has taken back what those who wait were waiting for, before any of them has looked.
    fn closer_dies(self) {
        let mut waiters = self.start_halted_waiters("enter");
        self.region.gate.set().expect("it happened");
        let mut victim = self.start_victim("reset");
        victim.tell("go");
        let death = self.die(&mut victim);
        assert!(!self.region.gate.is_set(), "{}", self.what());
        waiters.iter_mut().for_each(Process::resume);
        // They were there when it happened.
        self.all_go_on(&mut waiters, death.at.max(Instant::now()));
        self.end();
    }

    /// Killed when it has opened for all and woken nobody.
    fn opener_dies(self) {
        // For the points of waking, somebody must be asleep.
        let mut helper = self.start("enter");
        self.sends_to_wait(&mut helper, "enter");
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
        let mut waiters = self.start_halted_waiters("receive");
        let mut victim = self.start_victim("hand-on");
        victim.tell("go");
        let death = self.die(&mut victim);
        waiters.iter_mut().for_each(Process::resume);
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
        let mut waiters = self.start_waiters("once");
        victim.tell("work");
        let death = self.die(&mut victim);
        self.work_goes_on(&mut waiters, death.at);
        self.end();
    }

    /// Killed at the same work after the death of one that was at it.
    fn second_worker_dies(self) {
        let mut first = self.start("once");
        first.tell("go");
        first.expect("begun");
        first.expect("at-work");
        let mut victim = self.start_victim("once");
        self.sends_to_wait(&mut victim, "once");
        let mut waiters = self.start_halted_waiters("once");
        first.kill();
        // Where it dies earlier it does not read this.
        victim.tell("work");
        let death = self.die(&mut victim);
        waiters.iter_mut().for_each(Process::resume);
        self.work_goes_on(&mut waiters, death.at.max(Instant::now()));
        self.end();
    }

    /// One of those who wait does the work after a death, unless it was done.
    fn work_goes_on(&self, waiters: &mut [Process], since: Instant) {
        // The line is for the one that does the work.
        waiters.iter_mut().for_each(|waiter| waiter.tell("work"));
        let done = self.point == "once.call.done";
        let mut heirs = 0;
        for waiter in waiters {
            let mut said = waiter.hear(PATIENCE).expect("an answer");
            if said.word == "at-work" {
                said = waiter.expect("done");
                assert_eq!(said.text, "true Some(AfterDeath)", "{}", self.what());
                heirs += 1;
            } else {
                assert_eq!((said.word.as_str(), said.text.as_str()), ("done", "false None"), "{}", self.what());
            }
            assert_soon(&self.what(), since, said.at);
        }
        let expected = usize::from(!done && self.waiters > 0);
        assert_eq!(heirs, expected, "{}", self.what());
        assert_eq!(self.region.once.is_done(), done || self.waiters > 0, "{}", self.what());
    }

    /// Those who have a place in a barrier for `size`, and have not arrived.
    fn start_members(&self, count: usize, size: usize) -> Vec<Process> {
        let verb = format!("join-{size}");
        let mut members: Vec<Process> = (0..count).map(|_| self.start(&verb)).collect();
        for member in &mut members {
            member.tell("join");
            member.expect("joined");
        }
        members
    }

    fn wait_at(&self, members: &mut [Process], size: usize) {
        members.iter_mut().for_each(|member| self.sends_to_wait(member, &format!("join-{size}")));
    }

    /// What each of them says of its wait, soon after `since`. A break must be by the death of one of `dead`.
    fn ends_of_waits(&self, members: &mut [Process], since: Instant, dead: &[u32]) -> Vec<String> {
        let hear = |member: &mut Process| {
            let said = member.hear(PATIENCE).expect("an answer");
            assert_soon(&self.what(), since, said.at);
            let named = said.word != "broken" || dead.iter().any(|pid| pid.to_string() == said.text);
            assert!(named, "{}: broken by {}, and {dead:?} are dead", self.what(), said.text);
            said.word
        };
        members.iter_mut().map(hear).collect()
    }

    /// Killed as a member of a barrier, before or after it arrived: the others learn its name, or have gone on with it.
    fn member_dies(self) {
        // One that arrives without being the last, or that nobody is to wait with, needs somebody who comes later.
        let comes_last = self.point.ends_with(".completed");
        let late = self.point == "barrier.wait.arrived" || self.waiters == 0 && !comes_last;
        let size = self.waiters + 1 + usize::from(late);
        let mut others = self.start_members(size - 1, size);
        self.wait_at(&mut others[..self.waiters], size);
        let mut victim = self.start_victim(&format!("join-{size}"));
        let pid = [victim.id()];
        victim.tell("join");
        if self.point != "barrier.join.after" {
            victim.expect("joined");
            victim.tell(if self.point == "barrier.try.completed" { "try" } else { "wait" });
        }
        let death = self.die(&mut victim);
        let told = Instant::now();
        let wait = |members: &mut [Process]| {
            for member in members {
                member.tell("wait");
                member.expect("begun");
            }
        };
        wait(&mut others[self.waiters..]);
        let since = if late { death.at.max(told) } else { death.at };
        let heard = self.ends_of_waits(&mut others, since, &pid);
        assert!(heard.iter().all(|word| *word == heard[0]), "{}: {heard:?}", self.what());
        match heard.first().map(String::as_str) {
            Some("done") if comes_last => {}
            // Complete if the last one came before anybody noticed the death.
            Some("done" | "broken") if self.point == "barrier.wait.arrived" => {}
            Some("broken") if !comes_last => {}
            None if comes_last && self.waiters == 0 => {}
            other => panic!("{}: {other:?}", self.what()),
        }
        // After a round that was complete the next one breaks; a broken one stays so.
        let began = Instant::now();
        wait(&mut others);
        let heard = self.ends_of_waits(&mut others, began, &pid);
        assert!(heard.iter().all(|word| word == "broken"), "{}: {heard:?}", self.what());
        drop(others);
        self.end();
    }

    /// Killed while it breaks a barrier for a death, as one of those who wait: the others do it, or hear of it.
    fn one_that_breaks_dies(self) {
        let size = self.waiters + 2;
        let mut lost = self.start_members(1, size).swap_remove(0);
        let mut victim = self.start_victim(&format!("join-{size}"));
        victim.tell("join");
        victim.expect("joined");
        let mut others = self.start_members(self.waiters, size);
        self.wait_at(&mut others, size);
        // None of them notices the death before the victim does.
        others.iter_mut().for_each(Process::stop);
        let dead = [lost.id(), victim.id()];
        lost.kill();
        victim.tell("wait");
        let death = self.die(&mut victim);
        others.iter_mut().for_each(Process::resume);
        let heard = self.ends_of_waits(&mut others, death.at.max(Instant::now()), &dead);
        assert!(heard.iter().all(|word| word == "broken"), "{}: {heard:?}", self.what());
        let broken = self.is_broken(size);
        assert!(broken || self.point == "barrier.break.named" && self.waiters == 0, "{}", self.what());
        drop(others);
        self.end();
    }

    /// Killed while it makes a broken barrier whole, before some have heard that it broke: the next one does it, and they hear
    /// of it.
    fn one_that_repairs_dies(self) {
        let size = self.waiters + 2;
        let mut lost = self.start_members(1, size).swap_remove(0);
        let mut others = self.start_members(self.waiters, size);
        self.wait_at(&mut others, size);
        others.iter_mut().for_each(Process::stop);
        let mut victim = self.start_victim(&format!("rearm-{size}"));
        let dead = [lost.id()];
        lost.kill();
        match size {
            2 => break_by_joining(&self.region.two),
            3 => break_by_joining(&self.region.three),
            _ => break_by_joining(&self.region.five),
        }
        victim.tell("go");
        let death = self.die(&mut victim);
        assert_eq!(self.is_broken(size), self.point == "barrier.rearm.emptied", "{}", self.what());
        others.iter_mut().for_each(Process::resume);
        let heard = self.ends_of_waits(&mut others, death.at.max(Instant::now()), &dead);
        assert!(heard.iter().all(|word| word == "broken"), "{}: {heard:?}", self.what());
        drop(others);
        self.end();
    }

    fn is_broken(&self, size: usize) -> bool {
        match size {
            2 => self.region.two.is_broken(),
            3 => self.region.three.is_broken(),
            _ => self.region.five.is_broken(),
        }
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
        self.commits_go_on(&mut waiters, death.at);
    }

    /// The same after the death of one that had changed half of it.
    fn second_writer_dies(self) {
        let mut first =
            Process::start_armed(victim(), &self.scene, &["yard", "commit", NAME], "journaled.change.begun");
        first.expect("ready");
        first.tell("go");
        first.expect("begun");
        first.expect("holding");
        let mut victim = self.start_victim("commit");
        self.sends_to_wait(&mut victim, "commit");
        let mut waiters = self.start_halted_waiters("look");
        first.tell("commit");
        self.die(&mut first);
        victim.tell("commit");
        let death = self.die(&mut victim);
        waiters.iter_mut().for_each(Process::resume);
        self.commits_go_on(&mut waiters, death.at.max(Instant::now()));
    }

    fn commits_go_on(self, waiters: &mut [Process], since: Instant) {
        for how in self.all_go_on(waiters, since) {
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

/// How many of them took something over from a dead one.
fn heirs(heard: &[String]) -> usize {
    heard.iter().filter(|how| *how == "after a death").count()
}

/// Takes the last place of a barrier and asks for another, so that somebody finds out who is dead.
fn break_by_joining<const N: usize>(barrier: &Barrier<N>) {
    let _member = barrier.join().expect("the last place");
    assert!(barrier.join().is_err(), "all places are taken, one by the dead");
    assert!(barrier.is_broken());
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

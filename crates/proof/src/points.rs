//! Every crash point of the libraries, with the parts that lead a process through it.

/// Who survives a death on a link, and how it learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The link stood: the survivor hears that its peer died.
    PeerDied,
    /// The victim had said goodbye already: the survivor hears that, or that it died.
    ClosedOrDied,
    /// The link was still being made: the survivor may have met the victim or not.
    PerhapsUnmet,
}

/// Which side of a meeting the victim is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The victim connects, the survivor listens.
    Connecting,
    /// The victim listens, the survivor connects.
    Listening,
    /// One after the other.
    Either,
}

/// A crash point on a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkPoint {
    /// Its name in the code.
    pub name: &'static str,
    /// At which passages to die, one run each.
    pub turns: &'static [u32],
    /// Schemes whose links pass through it.
    pub schemes: &'static [&'static str],
    /// Which side dies.
    pub side: Side,
    /// The victim's job and settings.
    pub victim: &'static str,
    /// The survivor's job and settings.
    pub survivor: &'static str,
    /// What the survivor hears.
    pub outcome: Outcome,
}

const fn data(
    name: &'static str,
    scheme: &'static [&'static str],
    turns: &'static [u32],
    victim: &'static str,
    survivor: &'static str,
) -> LinkPoint {
    let (side, outcome) = (Side::Either, Outcome::PeerDied);
    LinkPoint { name, turns, schemes: scheme, side, victim, survivor, outcome }
}

const fn meeting(name: &'static str, schemes: &'static [&'static str], side: Side) -> LinkPoint {
    let (victim, survivor) = ("send len=64", "receive len=64");
    let outcome = Outcome::PerhapsUnmet;
    LinkPoint { name, turns: &[1], schemes, side, victim, survivor, outcome }
}

const fn ending(
    name: &'static str,
    schemes: &'static [&'static str],
    victim: &'static str,
    survivor: &'static str,
) -> LinkPoint {
    let (side, outcome) = (Side::Either, Outcome::ClosedOrDied);
    LinkPoint { name, turns: &[1], schemes, side, victim, survivor, outcome }
}

const SHM: &[&str] = &["shm"];
const UNIX: &[&str] = &["unix"];
const STREAMS: &[&str] = &["pipe", "tcp"];
const MQ: &[&str] = &["mq"];
const PIPE: &[&str] = &["pipe"];
const SOCKETS: &[&str] = &["shm", "unix", "mq"];
const NAMED: &[&str] = &["shm", "unix", "mq", "pipe"];
const ALL: &[&str] = &["shm", "unix", "mq", "pipe", "tcp"];

/// Points that are passed while a link is made or used.
pub const LINK: &[LinkPoint] = &[
    meeting("bind.before-rename", SOCKETS, Side::Listening),
    meeting("bind.after-rename", SOCKETS, Side::Listening),
    meeting("connect.begin", ALL, Side::Connecting),
    meeting("connect.connected", ALL, Side::Connecting),
    meeting("connect.said", ALL, Side::Connecting),
    meeting("connect.heard", ALL, Side::Connecting),
    meeting("connect.joined", ALL, Side::Connecting),
    meeting("accept.accepted", ALL, Side::Listening),
    meeting("accept.heard", ALL, Side::Listening),
    meeting("accept.joined", ALL, Side::Listening),
    meeting("accept.welcomed", ALL, Side::Listening),
    meeting("listen.begin", ALL, Side::Listening),
    meeting("listen.locked", NAMED, Side::Listening),
    meeting("listen.done", ALL, Side::Listening),
    meeting("log.side.reserved", SHM, Side::Either),
    meeting("log.side.sealed", SHM, Side::Either),
    meeting("shm.prepare.memory", SHM, Side::Either),
    meeting("shm.join.before", SHM, Side::Either),
    data("log.commit.cleared", SHM, &[1, 100], "send len=64", "receive len=64"),
    data("log.commit.written", SHM, &[1, 100], "send len=64", "receive len=64"),
    data("log.part.filled", SHM, &[1, 2, 9], "send len=3000000", "receive len=3000000"),
    data("log.switch.said", SHM, &[1, 2], "send len=..60000", "receive len=..60000"),
    data("log.publish.told", SHM, &[1, 20], "receive len=64", "send len=64"),
    data("log.announce.said", SHM, &[1, 5], "answer wait=sleep", "call wait=sleep"),
    LinkPoint {
        name: "log.close.said",
        turns: &[1],
        schemes: SHM,
        side: Side::Either,
        victim: "send count=10",
        survivor: "receive",
        outcome: Outcome::ClosedOrDied,
    },
    data("shm.ring.before", SHM, &[1, 5], "call wait=sleep", "answer wait=sleep"),
    data("shm.recv.sleep", SHM, &[1, 5], "answer wait=sleep", "call wait=sleep"),
    data("shm.room.sleep", SHM, &[1, 3], "send wait=sleep len=4000 capacity=40000", "receive len=4000 pause=300"),
    data("shm.release.ring", SHM, &[1, 3], "receive len=4000 pause=300", "send wait=sleep len=4000 capacity=40000"),
    data("shm.carry.before", SHM, &[1, 5], "carry len=64", "unload len=64"),
    data("shm.carry.before", SHM, &[1, 2], "carry len=3000000", "unload len=3000000"),
    data("shm.carry.sent", SHM, &[1, 5], "carry len=64", "unload len=64"),
    data("shm.carry.sent", SHM, &[1, 2], "carry len=3000000", "unload len=3000000"),
    data("shm.recv.fetched", SHM, &[1, 5], "unload len=64", "carry len=64"),
    data("unix.send.whole", UNIX, &[1, 100], "send len=64", "receive len=64"),
    data("unix.send.sent", UNIX, &[1, 100], "send len=64", "receive len=64"),
    data("unix.send.fragment", UNIX, &[1, 2, 5], "send len=900000", "receive len=900000"),
    data("unix.send.announced", UNIX, &[1, 5], "carry len=64", "unload len=64"),
    data("unix.recv.acknowledge", UNIX, &[1, 5], "receive", "post"),
    LinkPoint {
        name: "unix.send.close",
        turns: &[1],
        schemes: UNIX,
        side: Side::Either,
        victim: "send count=10",
        survivor: "receive",
        outcome: Outcome::ClosedOrDied,
    },
    meeting("queue.made", MQ, Side::Either),
    data("mq.send.before", MQ, &[1, 100], "send len=64", "receive len=64"),
    data("mq.send.sent", MQ, &[1, 100], "send len=64", "receive len=64"),
    data("mq.send.wait", MQ, &[1, 2], "send wait=sleep capacity=8000", "receive pause=40000"),
    data("mq.recv.nap", MQ, &[1, 5], "receive wait=sleep", "send pause=1000"),
    data("mq.recv.wait", MQ, &[1, 2], "receive wait=sleep", "send pause=40000"),
    data("mq.recv.acknowledge", MQ, &[1, 5], "receive", "post"),
    ending("mq.send.close", MQ, "send count=10", "receive"),
    ending("mq.recv.close", MQ, "receive count=10", "send"),
    meeting("fifo.before-rename", PIPE, Side::Listening),
    meeting("fifo.after-rename", PIPE, Side::Listening),
    LinkPoint { turns: &[1, 2], ..meeting("fifos.made", PIPE, Side::Connecting) },
    meeting("pipe.dial.made", PIPE, Side::Connecting),
    meeting("pipe.dial.knocked", PIPE, Side::Connecting),
    meeting("fifos.opened", PIPE, Side::Listening),
    data("stream.send.whole", STREAMS, &[1, 100], "send len=64", "receive len=64"),
    data("stream.send.sent", STREAMS, &[1, 100], "send len=64", "receive len=64"),
    data("stream.send.fragment", STREAMS, &[1, 2, 5], "send len=900000", "receive len=900000"),
    data("stream.send.large", PIPE, &[1, 3], "send len=100000", "receive len=100000"),
    data("stream.send.finished", PIPE, &[1, 3], "send len=100000", "receive len=100000"),
    data("stream.recv.acknowledge", STREAMS, &[1, 5], "receive", "post"),
    ending("stream.send.close", STREAMS, "send count=10", "receive"),
];

/// Who else is there when a process dies at a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// The test, which holds the lock alone until everybody waits.
    Writer,
    /// The test, which writes until everybody waits, and reads from then on.
    Reader,
    /// The test, which reads where only one can.
    OnlyReader,
    /// One that was killed while it read.
    DeadReader,
    /// One that was killed when it had kept readers out and was not alone yet.
    DeadCloser,
    /// One that was killed in the middle of a change.
    DeadWriter,
    /// A living process that plays this part without end.
    Busy(&'static str),
    /// A living process that waits for a notice.
    Listener,
    /// The same, and one that was killed when it had given notice and woken nobody.
    DeadNotifier,
}

/// A crash point in an operation on a lock.
#[derive(Clone, Copy, Debug)]
pub struct LockPoint {
    /// Its name in the code.
    pub name: &'static str,
    /// What the victim does, again and again, until it gets there.
    pub victim: &'static str,
    /// Who else is there.
    pub company: Company,
    /// What the waiters do.
    pub waiters: &'static str,
}

const fn lock(name: &'static str, victim: &'static str, company: Company, waiters: &'static str) -> LockPoint {
    LockPoint { name, victim, company, waiters }
}

/// Points in the operations of `RwLock`, `ReentrantMutex`, `Condvar` and in the hand-over of a lock, each with
/// company that leads a process there.
pub const LOCKS: &[LockPoint] = &[
    lock("mutex.heir.claimed", "plain", Company::Busy("hog"), "plain"),
    lock("mutex.heir.ends", "plain", Company::Busy("hog"), "plain"),
    lock("mutex.handover.kept", "hog", Company::Busy("plain"), "plain"),
    lock("mutex.handover.granted", "hog", Company::Busy("plain"), "plain"),
    lock("reentrant.lock.named", "again", Company::Writer, "again"),
    lock("reentrant.lock.again", "again", Company::Writer, "again"),
    lock("reentrant.unlock.counted", "again", Company::Writer, "again"),
    lock("rwlock.read.before", "read", Company::Writer, "book"),
    lock("rwlock.read.marked-waiting", "read", Company::Writer, "book"),
    lock("rwlock.read.entered", "read", Company::Writer, "book"),
    lock("rwlock.read.after", "read", Company::Writer, "book"),
    lock("rwlock.read.let-in", "read", Company::DeadCloser, "book"),
    lock("rwlock.unread.before", "read", Company::Writer, "book"),
    lock("rwlock.unread.before-wake", "read", Company::Busy("write"), "book"),
    lock("rwlock.intent.taken", "write", Company::Writer, "book"),
    lock("rwlock.write.closed", "write", Company::Writer, "book"),
    lock("rwlock.write.waiting", "write", Company::Reader, "book"),
    lock("rwlock.write.drained", "write", Company::Writer, "book"),
    lock("rwlock.write.alone", "write", Company::Writer, "book"),
    lock("rwlock.write.ending", "write", Company::Writer, "book"),
    lock("rwlock.write.opened", "write", Company::Writer, "book"),
    lock("rwlock.open.before-wake", "write", Company::Busy("read"), "book"),
    lock("rwlock.strike.before", "write", Company::DeadReader, "book"),
    lock("rwlock.strike.after", "write", Company::DeadReader, "book"),
    lock("rwlock.upgradable.after", "upgrade", Company::Writer, "book"),
    lock("rwlock.upgrade.after", "upgrade", Company::Writer, "book"),
    lock("rwlock.downgrade.ended", "upgrade", Company::Writer, "book"),
    lock("rwlock.downgrade.entered", "upgrade", Company::Writer, "book"),
    lock("rwlock.downgrade.ended", "step-down", Company::Writer, "book"),
    lock("rwlock.open.before-wake", "step-down", Company::Busy("read"), "book"),
    lock("rwlock.downgrade.entered", "step-down", Company::Writer, "book"),
    lock("rwlock.downgrade.entered", "read-on-few", Company::OnlyReader, "read-few"),
    lock("rwlock.unread.as-holder", "read-on-few", Company::OnlyReader, "read-few"),
    lock("rwlock.upgrade.in-vain", "upgrade-in-vain", Company::Reader, "book"),
    lock("rwlock.upgrade.reopened", "upgrade-in-vain", Company::Reader, "book"),
    lock("rwlock.read.no-cell", "read-few", Company::OnlyReader, "read-few"),
    // The second death, in the middle of succeeding the first.
    lock("rwlock.write.closed", "write", Company::DeadWriter, "book"),
    lock("rwlock.write.drained", "read", Company::DeadWriter, "book"),
    lock("rwlock.write.alone", "read", Company::DeadWriter, "book"),
    lock("rwlock.write.ending", "write", Company::DeadWriter, "book"),
    lock("rwlock.write.drained", "upgrade", Company::DeadReader, "book"),
    lock("rwlock.upgrade.after", "upgrade", Company::DeadReader, "book"),
    lock("reentrant.lock.named", "again", Company::DeadWriter, "again"),
    lock("condvar.wait.woken", "listen", Company::DeadNotifier, "listen"),
    lock("condvar.notify.before", "notify", Company::DeadNotifier, "listen"),
    lock("condvar.notify.said", "notify", Company::DeadNotifier, "listen"),
    lock("condvar.notify.said", "notify-all", Company::DeadNotifier, "listen"),
    // Those who listen stand still and sleep no more, so it finds nobody.
    lock("condvar.notify.cleared", "notify", Company::DeadNotifier, "listen"),
    lock("condvar.wait.listening", "listen", Company::Writer, "listen"),
    lock("condvar.wait.unlocked", "listen", Company::Writer, "listen"),
    lock("condvar.wait.woken", "listen", Company::Writer, "listen"),
    lock("condvar.notify.before", "notify", Company::Listener, "listen"),
    lock("condvar.notify.said", "notify", Company::Listener, "listen"),
    lock("condvar.notify.before", "notify-all", Company::Listener, "listen"),
    lock("condvar.notify.said", "notify-all", Company::Listener, "listen"),
];

/// Points that are passed while a link is handed to a program that is started, with who dies there: the program
/// (`true`) or the one that starts it.
pub const HANDING: &[(&str, bool)] = &[
    ("inherit.taken", true),
    ("connect.said", true),
    ("connect.heard", true),
    ("connect.joined", true),
    ("spawn.offered", false),
    ("spawn.started", false),
    ("spawn.joined", false),
];

/// Points that are passed while a region is made, attached, left or used; the ring of regions has a
/// scene for each.
pub const REGION: &[&str] = &[
    "latest.write.begun",
    "latest.write.copied",
    "latest.write.half",
    "latest.write.published",
    "mutex.lock.after",
    "mutex.lock.before",
    "mutex.lock.marked-waiting",
    "mutex.takeover.after",
    "mutex.takeover.before",
    "mutex.unlock.before",
    "mutex.unlock.before-wake",
    "participant.claim.generation",
    "participant.claim.locked",
    "participant.claim.taken",
    "participant.leave.freed",
    "participant.wait.begun",
    "participant.wait.entered",
    "participant.wait.left",
    "publish.after-link",
    "publish.before-link",
    "region.create.joined",
    "region.create.reserved",
    "region.create.written",
];

/// Points of permits, events, barriers, work done once, watches and commits; the ring of counters has a scene for each.
pub const COUNTER: &[&str] = &[
    "barrier.break.broken",
    "barrier.break.named",
    "barrier.join.after",
    "barrier.rearm.emptied",
    "barrier.rearm.whole",
    "barrier.try.completed",
    "barrier.wait.arrived",
    "barrier.wait.before",
    "barrier.wait.completed",
    "event.reset.reset",
    "event.set.set",
    "event.signal.counted",
    "event.wait.taken",
    "journaled.change.begun",
    "journaled.commit.done",
    "journaled.commit.summed",
    "once.call.begun",
    "once.call.done",
    "once.call.worked",
    "semaphore.forget.after",
    "semaphore.give.given",
    "semaphore.pass.changed",
    "semaphore.reclaim.after",
    "semaphore.reclaim.before",
    "semaphore.release.after",
    "semaphore.release.before",
    "semaphore.take.after",
    "semaphore.take.before",
    "sleepers.wait.announced",
    "sleepers.wait.slept",
    "sleepers.wake.all",
    "sleepers.wake.cleared",
    "sleepers.wake.one",
];

/// A crash point in a broadcast.
#[derive(Clone, Copy, Debug)]
pub struct BroadcastPoint {
    /// Its name in the code.
    pub name: &'static str,
    /// At which passages to die, one run each.
    pub turns: &'static [u32],
    /// Whether a reader dies there, or the writer.
    pub reader: bool,
}

const fn broadcast(name: &'static str, turns: &'static [u32], reader: bool) -> BroadcastPoint {
    BroadcastPoint { name, turns, reader }
}

/// Points that are passed while a broadcast is read or written.
pub const BROADCAST: &[BroadcastPoint] = &[
    broadcast("log.enter.placed", &[1, 2, 3], true),
    broadcast("log.enter.said", &[1, 2, 3], true),
    broadcast("log.pin.said", &[1, 2, 1000], true),
    broadcast("log.hold.written", &[1, 5, 100], true),
    broadcast("log.hold.said", &[1, 5, 100], true),
    broadcast("log.let_go.said", &[1, 100], true),
    broadcast("log.floor.placed", &[1, 2, 50], false),
    broadcast("log.floor.raised", &[1, 2, 50], false),
    broadcast("log.skip.before", &[1, 5], false),
    broadcast("log.skip.said", &[1, 5], false),
    broadcast("log.move.said", &[1, 2], false),
];

/// A crash point of the log, passed by one end of a topic.
#[derive(Clone, Copy, Debug)]
pub struct FeedPoint {
    /// Its name in the code.
    pub name: &'static str,
    /// At which passages to die, one run each.
    pub turns: &'static [u32],
    /// Whether a publisher dies there, or a subscriber.
    pub publishes: bool,
    /// With which policies one gets there, by their numbers in [`POLICIES`](crate::feed::POLICIES).
    pub policies: &'static [usize],
}

const fn feed(name: &'static str, turns: &'static [u32], publishes: bool, policies: &'static [usize]) -> FeedPoint {
    FeedPoint { name, turns, publishes, policies }
}

const EVERY_POLICY: &[usize] = &[0, 1, 2, 3];
const DROPPING: &[usize] = &[1, 3];

/// What a publisher or a subscriber passes in the log, below the topic: publishing, growth, dropping and reclaiming,
/// holding and letting go, the end.
pub const FEED: &[FeedPoint] = &[
    feed("log.side.reserved", &[1], true, EVERY_POLICY),
    feed("log.side.sealed", &[1, 2], true, EVERY_POLICY),
    feed("log.commit.cleared", &[1, 500], true, EVERY_POLICY),
    feed("log.commit.written", &[1, 500], true, EVERY_POLICY),
    feed("log.switch.said", &[1, 2], true, EVERY_POLICY),
    feed("log.move.said", &[1, 2], true, EVERY_POLICY),
    feed("topic.move.told", &[1, 2], true, EVERY_POLICY),
    feed("log.close.said", &[1, 2], true, EVERY_POLICY),
    feed("log.floor.placed", &[1, 5], true, DROPPING),
    feed("log.floor.raised", &[1, 5], true, DROPPING),
    feed("log.skip.before", &[1, 5], true, EVERY_POLICY),
    feed("log.skip.said", &[1, 5], true, EVERY_POLICY),
    feed("log.side.reserved", &[1, 2], false, EVERY_POLICY),
    feed("log.side.sealed", &[1, 2], false, EVERY_POLICY),
    feed("log.enter.placed", &[1, 2], false, EVERY_POLICY),
    feed("log.enter.said", &[1, 2], false, EVERY_POLICY),
    feed("log.pin.said", &[1, 300], false, DROPPING),
    feed("log.hold.written", &[1, 50], false, EVERY_POLICY),
    feed("log.hold.said", &[1, 50], false, EVERY_POLICY),
    feed("log.let_go.said", &[1, 50], false, EVERY_POLICY),
    feed("log.publish.told", &[1, 20], false, EVERY_POLICY),
    feed("log.announce.said", &[1, 5], false, EVERY_POLICY),
];

/// Beginnings of the points at which `message-passing` kills by itself: nodes and boards in `src/node/tests/crash_points.rs`,
/// topics, services and queues in `crashes.rs` of `tests/topics`, `tests/services` and `tests/queues`. Each compares a list of its
/// own with the code. The tally of a log is what workers of queues tell by.
pub const ELSEWHERE: &[&str] =
    &["board.", "channel.", "endpoint.", "log.tally.", "node.", "queue.", "service.", "topic."];

#[cfg(test)]
mod tests {
    use super::{BROADCAST, COUNTER, ELSEWHERE, FEED, HANDING, LINK, LOCKS, REGION};
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_lists_name_exactly_the_points_in_the_code() {
        let mut in_code = BTreeSet::new();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for library in ["sys", "shared-memory", "message-passing"] {
            collect(&crates.join(library).join("src"), &mut in_code);
        }
        assert!(in_code.len() > 10, "the sources are where this test looks for them");
        let listed = LINK.iter().map(|point| point.name).chain(LOCKS.iter().map(|point| point.name));
        let listed = listed.chain(REGION.iter().chain(COUNTER).copied());
        let listed = listed.chain(BROADCAST.iter().map(|point| point.name));
        let listed = listed.chain(FEED.iter().map(|point| point.name));
        let handing = HANDING.iter().map(|(name, _)| *name);
        let listed = listed.chain(handing);
        let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
        let missing = in_code.difference(&listed).filter(|point| !ELSEWHERE.iter().any(|it| point.starts_with(it)));
        let missing: Vec<_> = missing.collect();
        let gone: Vec<_> = listed.difference(&in_code).collect();
        assert!(missing.is_empty(), "in the code, but no test dies there: {missing:?}");
        assert!(gone.is_empty(), "in the lists, but no longer in the code: {gone:?}");
    }

    #[test]
    fn every_point_of_the_log_is_passed_by_an_end_of_a_topic() {
        let mut in_code = BTreeSet::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared-memory/src/log"), &mut in_code);
        // Messages of a topic travel whole: parts are for links. Tallies are for queues.
        in_code.remove("log.part.filled");
        in_code.remove("log.tally.told");
        let listed = FEED.iter().map(|point| point.name).filter(|name| name.starts_with("log."));
        assert_eq!(listed.map(str::to_owned).collect::<BTreeSet<_>>(), in_code);
    }

    /// Adds the points of every source file below `folder`.
    fn collect(folder: &Path, points: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("sources can be listed") {
            let path = entry.expect("sources can be listed").path();
            if path.is_dir() {
                collect(&path, points);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("crash.rs") {
                let text = fs::read_to_string(&path).expect("sources can be read");
                let calls = text.split("crash_point!(\"").skip(1);
                points.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
}

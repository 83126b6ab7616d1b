//! What is compared with what, and which ratios must hold.

use crate::by_hand::boost::Boost;
use crate::by_hand::channel::{Crossbeam, Waiting};
use crate::by_hand::copy::{FixedCopy, LargeCopy};
use crate::by_hand::fifo::Fifos;
use crate::by_hand::frames::{BareFrames, Look};
use crate::by_hand::futex::BareFutex;
use crate::by_hand::handover::{FutexLocks, PthreadConds, PthreadLocks, Semaphores};
use crate::by_hand::locks::{FutexLock, ParkingLot, ParkingLotReentrant, Pthread, StdMutex};
use crate::by_hand::mqueue::Queues;
use crate::by_hand::pthread::Kind;
use crate::by_hand::ring::PlainRing;
use crate::by_hand::rwlocks::{ParkingLotRwLock, PthreadRwLock, Side, StdRwLock};
use crate::by_hand::seqpacket::SeqPacket;
use crate::by_hand::shm_open::ShmOpen;
use crate::by_hand::tcp::Tcp;
use crate::by_hand::tls::Tls;
use crate::crowd::{AnyCrowd, Crowd};
use crate::handover::Handed;
use crate::meeting::AnyContender;
use crate::solo::{Makers, Missing, Solo};
use crate::turn::Alone;
use crate::wharf_channels;
use crate::wharf_handover::{Events, MutexChain, Notices, Permits};
use crate::wharf_headed::Headed;
use crate::wharf_latest::{LatestRead, LatestReadOnly, LatestWrite};
use crate::wharf_links::{Copied, Loaned, Seen};
use crate::wharf_locks::{ReentrantTurn, RwLockTurn, WharfMutex};
use crate::wharf_queues::Queues as WorkQueues;
use crate::wharf_regions::Attach;
use crate::wharf_services::Asked;
use crate::wharf_topics::{NodeEvents, Topics};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wharf::{Transport, Wait};
use wharf_measure::{State, WakeClass};

const MIB: usize = 1 << 20;

/// How long one sleeps by hand who wants to learn of a death, as our own locks do at most.
const SLICE: Duration = Duration::from_millis(50);

/// How the contenders of a case are measured.
#[derive(Clone, Copy)]
pub enum Measure {
    /// One way, both sides spinning.
    Latency {
        /// Bytes of a message, unless a contender has only one size.
        size: usize,
    },
    /// One direction at full speed, both sides spinning.
    Stream {
        /// Bytes of a message.
        size: usize,
    },
    /// One way, the receiver asleep.
    Asleep {
        /// Bytes of a message, unless a contender has only one size.
        size: usize,
        /// Where the sleeper sits.
        class: WakeClass,
    },
    /// What one message costs its sender, whose receivers are awake and have room.
    Sending {
        /// Bytes of a message.
        size: usize,
    },
    /// One direction at full speed, waiting in the kernel.
    AsleepStream {
        /// Bytes of a message.
        size: usize,
    },
    /// Connecting, until both sides know that they have met.
    Connections,
    /// From one turn to the next of a lock that two parties want as fast as they can.
    Hammer {
        /// Work of each after every turn, in multiplications.
        outside: u32,
    },
    /// How many turns the luckiest of several parties had for one of the unluckiest. Takes the case's whole time.
    Fairness {
        /// How many want the lock, as fast as they can.
        parties: usize,
    },
    /// Operations of one thread.
    Cost {
        /// Makes the contenders; the directory is private to the case.
        contenders: Makers,
    },
}

/// What a ratio is taken against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The floor probes around each figure.
    Floor,
    /// Nothing: the figure is a ratio itself.
    One,
    /// Another contender's figure of the same turn.
    Contender(&'static str),
}

/// A bound on a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Our cost is at most so many times the other's.
    AtMost(f64),
    /// We are at least so many times as fast as the other.
    Times(f64),
}

/// A ratio that must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The contender that is judged.
    pub ours: &'static str,
    /// What it is compared with.
    pub against: Against,
    /// The state of the cores in which it must hold; every state without one.
    pub state: Option<State>,
    /// How far.
    pub bound: Bound,
}

/// Contenders that take turns, and the ratios that are judged.
pub struct Case {
    /// What a filter on the command line is matched with.
    pub id: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// What is measured.
    pub measure: Measure,
    /// The names of contenders of two and more parties, in their order; those of one party make themselves.
    pub contenders: &'static [&'static str],
    /// What must hold.
    pub targets: Vec<Target>,
}

/// Every two-party contender. A peer process finds itself here by name.
pub fn contenders() -> Vec<Arc<dyn AnyContender>> {
    vec![
        Arc::new(PlainRing::new("plain ring", 64)),
        Arc::new(PlainRing::new("plain ring 1 MiB", MIB)),
        Arc::new(BareFrames::new("bare frames", Look::Pausing)),
        Arc::new(BareFrames::new("bare frames, standing back", Look::StandingBack)),
        Arc::new(BareFrames::new("bare frames, both lines", Look::BothLines)),
        Arc::new(Crossbeam::new("crossbeam", Waiting::Spin)),
        Arc::new(Crossbeam::new("crossbeam waiting", Waiting::Channel)),
        Arc::new(BareFutex::for_ever("futex by hand")),
        Arc::new(BareFutex::in_slices("futex by hand, in slices", SLICE)),
        Arc::new(SeqPacket),
        Arc::new(Queues::in_slices("mq by hand")),
        Arc::new(Queues::for_ever("mq by hand, deaf")),
        Arc::new(Fifos::one_by_one("fifo by hand")),
        Arc::new(Fifos::reading_ahead("fifo by hand, ahead")),
        Arc::new(Copied::new("shm: spin", "shm", Wait::Spin)),
        Arc::new(wharf_channels::Handed::new("channel shm: spin", Transport::Shm, Wait::Spin)),
        Arc::new(wharf_channels::Handed::new("channel unix: sleep", Transport::Unix, Wait::Sleep)),
        Arc::new(Copied::new("shm: adaptive", "shm", Wait::Adaptive)),
        Arc::new(Copied::new("shm: sleep", "shm", Wait::Sleep)),
        Arc::new(Copied::new("shm: spin 8 MiB", "shm", Wait::Spin).with_capacity(8 * MIB)),
        Arc::new(Copied::new("inproc: spin", "inproc", Wait::Spin).between_threads()),
        Arc::new(Seen::new("unix: sleep", "unix", Wait::Sleep)),
        Arc::new(Seen::new("mq: sleep", "mq", Wait::Sleep)),
        Arc::new(Seen::new("pipe: sleep", "pipe", Wait::Sleep)),
        Arc::new(Seen::new("unix: adaptive", "unix", Wait::Adaptive)),
        Arc::new(Tcp),
        Arc::new(Tls),
        Arc::new(Seen::new("tcp: sleep", "tcp", Wait::Sleep)),
        Arc::new(Seen::new("tls: sleep", "tls", Wait::Sleep)),
        Arc::new(Loaned::new("shm: loan 16 MiB", 16 * MIB)),
        Arc::new(Loaned::new("shm: loan 1 MiB", MIB)),
        Arc::new(Loaned::new("shm: loan 64 KiB", 64 << 10)),
        Arc::new(Loaned::new("shm: loan 4 KiB", 4 << 10)),
        Arc::new(Loaned::new("shm: loan 64 B", 64)),
        Arc::new(Topics::<1>::new("topic: spin", Wait::Spin)),
        Arc::new(Topics::<1>::new("topic: spin 8 MiB", Wait::Spin).with_capacity(8 * MIB)),
        Arc::new(Topics::<1>::new("topic: adaptive", Wait::Adaptive)),
        Arc::new(Topics::<1>::new("topic: sleep", Wait::Sleep)),
        Arc::new(Topics::<8>::new("topic to eight", Wait::Spin)),
        Arc::new(WorkQueues::<1>::new("queue", Wait::Spin)),
        Arc::new(WorkQueues::<2>::new("queue, two workers", Wait::Spin)),
        Arc::new(Asked::new("service: spin", Wait::Spin)),
        Arc::new(Headed::new("shm: spin, with heads")),
        Arc::new(Handed(NodeEvents)),
        Arc::new(Handed(MutexChain)),
        Arc::new(Handed(PthreadLocks("pthread robust handed over", Kind::Robust))),
        Arc::new(Handed(PthreadLocks("pthread handed over", Kind::Shared))),
        Arc::new(Handed(FutexLocks("futex lock by hand", None))),
        Arc::new(Handed(FutexLocks("futex lock by hand, in slices", Some(SLICE)))),
        Arc::new(Handed(Events)),
        Arc::new(Handed(Permits)),
        Arc::new(Handed(Semaphores)),
        Arc::new(Handed(Notices)),
        Arc::new(Handed(PthreadConds("pthread condvar", Kind::Shared))),
        Arc::new(Handed(PthreadConds("pthread condvar, robust", Kind::Robust))),
    ]
}

/// Every lock that several parties may want. A party's process finds itself here by name.
pub fn crowds() -> Vec<Arc<dyn AnyCrowd>> {
    vec![
        Arc::new(WharfMutex),
        Arc::new(ROBUST),
        Arc::new(SHARED),
        Arc::new(FutexLock),
        Arc::new(StdMutex::default()),
        Arc::new(ParkingLot::default()),
        Arc::new(Boost),
    ]
}

const ROBUST: Pthread = Pthread::new("pthread robust", Kind::Robust);
const SHARED: Pthread = Pthread::new("pthread process-shared", Kind::Shared);
const PLAIN: Pthread = Pthread::new("pthread mutex", Kind::Plain);
const RECURSIVE: Pthread = Pthread::new("pthread robust recursive", Kind::RobustRecursive);

fn alone<C: Crowd>(crowd: C, at: &Path) -> io::Result<Box<dyn Solo>>
where
    C::Party: 'static,
{
    match crowd.open(at) {
        Ok(party) => Ok(Alone::new(crowd.name(), party)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Box::new(Missing { name: crowd.name(), reason: error.to_string() }))
        }
        Err(error) => Err(error),
    }
}

fn locks(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        alone(WharfMutex, at)?,
        alone(ROBUST, at)?,
        alone(SHARED, at)?,
        alone(PLAIN, at)?,
        alone(FutexLock, at)?,
        alone(StdMutex::default(), at)?,
        alone(ParkingLot::default(), at)?,
        alone(Boost, at)?,
    ])
}

fn reentrant_locks(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        Alone::new("ReentrantMutex", ReentrantTurn::new(at, false)?),
        Alone::new("ReentrantMutex, twice", ReentrantTurn::new(at, true)?),
        alone(RECURSIVE, at)?,
        Alone::new("parking_lot::ReentrantMutex", ParkingLotReentrant::default()),
    ])
}

fn rwlocks(at: &Path, side: Side) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        Alone::new("RwLock", RwLockTurn::new(at, side)?),
        Alone::new("pthread rwlock", PthreadRwLock::new(at, side)?),
        Alone::new("std::sync::RwLock", StdRwLock::new(side)),
        Alone::new("parking_lot::RwLock", ParkingLotRwLock::new(side)),
    ])
}

fn readers(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    rwlocks(at, Side::Read)
}

fn writers(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    rwlocks(at, Side::Write)
}

fn cells(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        Box::new(LatestRead::new(at)?),
        Box::new(LatestReadOnly::new(at)?),
        Box::new(LatestWrite::new(at)?),
        Box::new(FixedCopy::<64>::new("plain copy")),
    ])
}

fn copies(_at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![Box::new(LargeCopy::new(MIB))])
}

fn attaching(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![Box::new(Attach::new(at)?), Box::new(ShmOpen::new()?)])
}

fn target(ours: &'static str, against: Against, state: Option<State>, bound: Bound) -> Target {
    Target { ours, against, state, bound }
}

fn over_floor(ours: &'static str, near: f64, far: f64) -> Vec<Target> {
    vec![
        target(ours, Against::Floor, Some(State::Near), Bound::AtMost(near)),
        target(ours, Against::Floor, Some(State::Far), Bound::AtMost(far)),
    ]
}

fn at_most(ours: &'static str, factor: f64, other: &'static str) -> Vec<Target> {
    vec![target(ours, Against::Contender(other), None, Bound::AtMost(factor))]
}

fn near_and_far(ours: &'static str, other: &'static str, bound: Bound) -> Vec<Target> {
    [State::Near, State::Far].map(|state| target(ours, Against::Contender(other), Some(state), bound)).to_vec()
}

fn asleep(id: &'static str, title: &'static str, class: WakeClass) -> Case {
    Case {
        id,
        title,
        measure: Measure::Asleep { size: 8, class },
        contenders: &["shm: sleep", "futex by hand"],
        targets: at_most("shm: sleep", 1.3, "futex by hand"),
    }
}

fn topic_asleep(id: &'static str, title: &'static str, class: WakeClass) -> Case {
    Case {
        id,
        title,
        measure: Measure::Asleep { size: 8, class },
        contenders: &["topic: sleep", "event by name", "shm: sleep", "futex by hand"],
        targets: [at_most("topic: sleep", 1.3, "futex by hand"), at_most("event by name", 1.3, "futex by hand")]
            .concat(),
    }
}

/// Locks of two processes: none that sleeps in the kernel is to be faster. Locks for threads run between two threads.
fn hammered(id: &'static str, title: &'static str, outside: u32, bound: f64) -> Case {
    let sleeping = ["pthread robust", "pthread process-shared", "futex lock by hand"];
    Case {
        id,
        title,
        measure: Measure::Hammer { outside },
        contenders: &[
            "Mutex",
            "pthread robust",
            "pthread process-shared",
            "futex lock by hand",
            "std::sync::Mutex",
            "parking_lot::Mutex",
            "Boost.Interprocess",
        ],
        targets: sleeping.into_iter().flat_map(|other| at_most("Mutex", bound, other)).collect(),
    }
}

/// Who sleeps in slices and who sleeps for ever are both judged against: the kernel's timer is the price of learning of a death.
fn handed_over(id: &'static str, class: WakeClass) -> Case {
    let others =
        ["pthread robust handed over", "pthread handed over", "futex lock by hand", "futex lock by hand, in slices"];
    Case {
        id,
        title: "a mutex handed over to a sleeping waiter",
        measure: Measure::Asleep { size: 8, class },
        contenders: &[
            "Mutex handed over",
            "pthread robust handed over",
            "pthread handed over",
            "futex lock by hand",
            "futex lock by hand, in slices",
        ],
        targets: others.into_iter().flat_map(|other| at_most("Mutex handed over", 1.1, other)).collect(),
    }
}

fn signalled(id: &'static str, class: WakeClass) -> Case {
    let others = ["sem_t", "futex by hand", "futex by hand, in slices"];
    let both = |other| [at_most("Event", 1.1, other), at_most("Semaphore", 1.1, other)].concat();
    Case {
        id,
        title: "an event or a permit for a sleeping waiter",
        measure: Measure::Asleep { size: 8, class },
        contenders: &["Event", "Semaphore", "sem_t", "futex by hand", "futex by hand, in slices"],
        targets: others.into_iter().flat_map(both).collect(),
    }
}

fn notified(id: &'static str, class: WakeClass) -> Case {
    let others = ["pthread condvar", "pthread condvar, robust"];
    Case {
        id,
        title: "a change under a mutex, told to a sleeping waiter by a condition variable",
        measure: Measure::Asleep { size: 8, class },
        contenders: &["Condvar", "pthread condvar", "pthread condvar, robust"],
        targets: others.into_iter().flat_map(|other| at_most("Condvar", 1.1, other)).collect(),
    }
}

fn unix(id: &'static str, title: &'static str, measure: Measure) -> Case {
    Case {
        id,
        title,
        measure,
        contenders: &["unix: sleep", "seqpacket by hand"],
        targets: at_most("unix: sleep", 1.05, "seqpacket by hand"),
    }
}

/// Judged against the same system calls, which wait in slices; waiting for ever without a way to learn of a death costs less.
fn mq(id: &'static str, title: &'static str, measure: Measure) -> Case {
    Case {
        id,
        title,
        measure,
        contenders: &["mq: sleep", "mq by hand", "mq by hand, deaf"],
        targets: at_most("mq: sleep", 1.05, "mq by hand"),
    }
}

/// Judged against the same system calls; reading one message at a time stands beside it.
fn pipe(id: &'static str, title: &'static str, measure: Measure) -> Case {
    Case {
        id,
        title,
        measure,
        contenders: &["pipe: sleep", "fifo by hand", "fifo by hand, ahead"],
        targets: [at_most("pipe: sleep", 1.05, "fifo by hand"), at_most("pipe: sleep", 1.05, "fifo by hand, ahead")]
            .concat(),
    }
}

fn tcp(id: &'static str, title: &'static str, measure: Measure) -> Case {
    let contenders = &["tcp: sleep", "tcp by hand"];
    Case { id, title, measure, contenders, targets: at_most("tcp: sleep", 1.05, "tcp by hand") }
}

fn tls(id: &'static str, title: &'static str, measure: Measure) -> Case {
    let contenders = &["tls: sleep", "tls by hand"];
    Case { id, title, measure, contenders, targets: at_most("tls: sleep", 1.15, "tls by hand") }
}

/// Everything that is compared.
pub fn cases() -> Vec<Case> {
    let near = Some(State::Near);
    let far = Some(State::Far);
    let crossbeam = Against::Contender("crossbeam");
    let two_cores = |size| Measure::Asleep { size, class: WakeClass::TwoCores };
    let same_core = |size| Measure::Asleep { size, class: WakeClass::SameCore };
    vec![
        Case {
            id: "latency-64",
            title: "64 B one way, both spinning",
            measure: Measure::Latency { size: 64 },
            contenders: &[
                "shm: spin",
                "inproc: spin",
                "bare frames",
                "bare frames, both lines",
                "plain ring",
                "crossbeam",
            ],
            targets: over_floor("shm: spin", 2.0, 1.5),
        },
        Case {
            id: "latency-loan",
            title: "16 MiB loaned, one way, both spinning",
            measure: Measure::Latency { size: 64 },
            contenders: &[
                "shm: loan 16 MiB",
                "shm: spin",
                "shm: loan 1 MiB",
                "shm: loan 64 KiB",
                "shm: loan 4 KiB",
                "shm: loan 64 B",
            ],
            targets: vec![
                target("shm: loan 16 MiB", Against::Contender("shm: spin"), near, Bound::AtMost(1.5)),
                target("shm: loan 16 MiB", Against::Contender("shm: spin"), far, Bound::AtMost(1.5)),
            ],
        },
        Case {
            id: "latency-adaptive",
            title: "64 B one way, spin-then-sleep while traffic flows",
            measure: Measure::Latency { size: 64 },
            contenders: &["shm: adaptive", "shm: spin"],
            targets: vec![
                target("shm: adaptive", Against::Contender("shm: spin"), near, Bound::AtMost(1.2)),
                target("shm: adaptive", Against::Contender("shm: spin"), far, Bound::AtMost(1.2)),
            ],
        },
        Case {
            id: "stream-64",
            title: "64 B stream, copied in and out",
            measure: Measure::Stream { size: 64 },
            contenders: &[
                "shm: spin",
                "bare frames",
                "bare frames, standing back",
                "crossbeam",
                "crossbeam waiting",
                "plain ring",
                "inproc: spin",
            ],
            targets: vec![
                target("shm: spin", crossbeam, near, Bound::Times(3.0)),
                target("shm: spin", crossbeam, far, Bound::Times(1.5)),
            ],
        },
        Case {
            id: "stream-4k",
            title: "4 KiB stream, copied in and out",
            measure: Measure::Stream { size: 4 << 10 },
            contenders: &["shm: spin", "inproc: spin"],
            targets: vec![],
        },
        Case {
            id: "stream-1m",
            title: "1 MiB stream, copied in and out",
            measure: Measure::Stream { size: MIB },
            contenders: &["shm: spin", "shm: spin 8 MiB", "plain ring 1 MiB"],
            targets: vec![],
        },
        Case {
            id: "topic-latency-64",
            title: "64 B one way by topic, both spinning",
            measure: Measure::Latency { size: 64 },
            contenders: &["topic: spin", "shm: spin", "bare frames, both lines"],
            targets: near_and_far("topic: spin", "shm: spin", Bound::AtMost(1.1)),
        },
        Case {
            id: "topic-adaptive",
            title: "64 B one way by topic, spin-then-sleep while traffic flows",
            measure: Measure::Latency { size: 64 },
            contenders: &["topic: adaptive", "topic: spin"],
            targets: near_and_far("topic: adaptive", "topic: spin", Bound::AtMost(1.2)),
        },
        Case {
            id: "topic-stream-64",
            title: "64 B stream by topic, copied in and out",
            measure: Measure::Stream { size: 64 },
            contenders: &["topic: spin", "shm: spin", "bare frames", "bare frames, standing back", "crossbeam"],
            targets: vec![],
        },
        Case {
            id: "queue-stream-64",
            title: "64 B items to two workers, each acknowledged, against a topic",
            measure: Measure::Stream { size: 64 },
            contenders: &["queue, two workers", "queue", "topic: spin"],
            targets: vec![Target {
                ours: "queue, two workers",
                against: Against::Contender("topic: spin"),
                state: None,
                bound: Bound::Times(0.3),
            }],
        },
        Case {
            id: "topic-stream-1m",
            title: "1 MiB stream by topic, copied in and out",
            measure: Measure::Stream { size: MIB },
            contenders: &["topic: spin 8 MiB", "shm: spin 8 MiB", "plain ring 1 MiB"],
            targets: vec![],
        },
        Case {
            id: "topic-sending",
            title: "what 64 B by topic cost the sender, with one subscriber and with eight",
            measure: Measure::Sending { size: 64 },
            contenders: &["topic to eight", "topic: spin", "shm: spin"],
            targets: near_and_far("topic to eight", "topic: spin", Bound::AtMost(1.5)),
        },
        Case {
            id: "service-round-trip",
            title: "64 B asked and answered by a service, both spinning, half of the round trip",
            measure: Measure::Latency { size: 64 },
            contenders: &["service: spin", "shm: spin", "shm: spin, with heads"],
            targets: near_and_far("service: spin", "shm: spin", Bound::AtMost(1.15)),
        },
        topic_asleep("topic-asleep-two-cores", "sleeping subscriber, two cores", WakeClass::TwoCores),
        topic_asleep("topic-asleep-core-awake", "sleeping subscriber, its core kept awake", WakeClass::CoreAwake),
        topic_asleep("topic-asleep-same-core", "sleeping subscriber on the sender's core", WakeClass::SameCore),
        asleep("asleep-two-cores", "sleeping receiver, two cores", WakeClass::TwoCores),
        asleep("asleep-core-awake", "sleeping receiver, its core kept awake", WakeClass::CoreAwake),
        asleep("asleep-same-core", "sleeping receiver on the sender's core", WakeClass::SameCore),
        unix("unix-64-two-cores", "64 B one way through a socket, two cores", two_cores(64)),
        unix("unix-64-same-core", "64 B one way through a socket, same core", same_core(64)),
        unix("unix-4k-same-core", "4 KiB one way through a socket, same core", same_core(4 << 10)),
        unix("unix-64k-same-core", "64 KiB one way through a socket, same core", same_core(64 << 10)),
        unix("unix-stream-64", "64 B stream through a socket", Measure::AsleepStream { size: 64 }),
        unix("unix-stream-4k", "4 KiB stream through a socket", Measure::AsleepStream { size: 4 << 10 }),
        unix("unix-stream-64k", "64 KiB stream through a socket", Measure::AsleepStream { size: 64 << 10 }),
        mq("mq-64-two-cores", "64 B one way through a message queue, two cores", two_cores(64)),
        mq("mq-64-same-core", "64 B one way through a message queue, same core", same_core(64)),
        mq("mq-4k-same-core", "4 KiB one way through a message queue, same core", same_core(4 << 10)),
        mq(
            "mq-most-same-core",
            "8,184 B, the usual limit, one way through a message queue, same core",
            same_core(8_184),
        ),
        mq("mq-stream-64", "64 B stream through a message queue", Measure::AsleepStream { size: 64 }),
        mq("mq-stream-4k", "4 KiB stream through a message queue", Measure::AsleepStream { size: 4 << 10 }),
        mq("mq-stream-most", "8,184 B stream through a message queue", Measure::AsleepStream { size: 8_184 }),
        pipe("pipe-64-two-cores", "64 B one way through a FIFO, two cores", two_cores(64)),
        pipe("pipe-64-same-core", "64 B one way through a FIFO, same core", same_core(64)),
        pipe("pipe-4k-same-core", "4 KiB one way through a FIFO, same core", same_core(4 << 10)),
        pipe("pipe-64k-same-core", "64 KiB one way through a FIFO, same core", same_core(64 << 10)),
        pipe("pipe-stream-64", "64 B stream through a FIFO", Measure::AsleepStream { size: 64 }),
        pipe("pipe-stream-4k", "4 KiB stream through a FIFO", Measure::AsleepStream { size: 4 << 10 }),
        pipe("pipe-stream-64k", "64 KiB stream through a FIFO", Measure::AsleepStream { size: 64 << 10 }),
        tcp("tcp-64-two-cores", "64 B one way over TCP, two cores", two_cores(64)),
        tcp("tcp-64-same-core", "64 B one way over TCP, same core", same_core(64)),
        tcp("tcp-4k-same-core", "4 KiB one way over TCP, same core", same_core(4 << 10)),
        tcp("tcp-64k-same-core", "64 KiB one way over TCP, same core", same_core(64 << 10)),
        tcp("tcp-stream-64", "64 B stream over TCP", Measure::AsleepStream { size: 64 }),
        tcp("tcp-stream-4k", "4 KiB stream over TCP", Measure::AsleepStream { size: 4 << 10 }),
        tcp("tcp-stream-64k", "64 KiB stream over TCP", Measure::AsleepStream { size: 64 << 10 }),
        tls("tls-64-same-core", "64 B one way over TLS, same core", same_core(64)),
        tls("tls-4k-same-core", "4 KiB one way over TLS, same core", same_core(4 << 10)),
        tls("tls-64k-same-core", "64 KiB one way over TLS, same core", same_core(64 << 10)),
        tls("tls-stream-64", "64 B stream over TLS", Measure::AsleepStream { size: 64 }),
        tls("tls-stream-4k", "4 KiB stream over TLS", Measure::AsleepStream { size: 4 << 10 }),
        tls("tls-stream-64k", "64 KiB stream over TLS", Measure::AsleepStream { size: 64 << 10 }),
        Case {
            id: "mutex",
            title: "uncontended lock and unlock",
            measure: Measure::Cost { contenders: locks },
            contenders: &[],
            targets: [at_most("Mutex", 1.0, "pthread robust"), at_most("Mutex", 1.3, "std::sync::Mutex")].concat(),
        },
        Case {
            id: "mutex-reentrant",
            title: "uncontended lock and unlock of one that its holder may take again",
            measure: Measure::Cost { contenders: reentrant_locks },
            contenders: &[],
            targets: at_most("ReentrantMutex", 1.0, "pthread robust recursive"),
        },
        Case {
            id: "rwlock-read",
            title: "uncontended lock and unlock for reading",
            measure: Measure::Cost { contenders: readers },
            contenders: &[],
            targets: at_most("RwLock", 1.2, "pthread rwlock"),
        },
        Case {
            id: "rwlock-write",
            title: "uncontended lock and unlock for writing",
            measure: Measure::Cost { contenders: writers },
            contenders: &[],
            targets: vec![],
        },
        hammered("hammer", "a mutex that two processes want as fast as they can", 0, 1.0),
        // The work is nearly all of it here, so that equals differ by the noise.
        hammered("hammer-outside", "the same with some 100 ns of work outside the mutex", 100, 1.0),
        handed_over("handover-two-cores", WakeClass::TwoCores),
        handed_over("handover-core-awake", WakeClass::CoreAwake),
        handed_over("handover-same-core", WakeClass::SameCore),
        signalled("signal-two-cores", WakeClass::TwoCores),
        signalled("signal-core-awake", WakeClass::CoreAwake),
        signalled("signal-same-core", WakeClass::SameCore),
        notified("notify-two-cores", WakeClass::TwoCores),
        notified("notify-core-awake", WakeClass::CoreAwake),
        notified("notify-same-core", WakeClass::SameCore),
        Case {
            id: "fairness",
            title: "eight processes that want one mutex as fast as they can",
            measure: Measure::Fairness { parties: 8 },
            contenders: &["Mutex", "pthread robust", "pthread process-shared", "futex lock by hand"],
            targets: vec![target("Mutex", Against::One, None, Bound::AtMost(2.0))],
        },
        Case {
            id: "latest",
            title: "64 B in a last-value cell, nobody else there",
            measure: Measure::Cost { contenders: cells },
            contenders: &[],
            targets: [
                at_most("Latest::read", 3.0, "plain copy"),
                at_most("Latest::read, read-only", 3.0, "plain copy"),
            ]
            .concat(),
        },
        Case {
            id: "memcpy",
            title: "1 MiB copied between private buffers",
            measure: Measure::Cost { contenders: copies },
            contenders: &[],
            targets: vec![],
        },
        Case {
            id: "connect",
            title: "connecting two processes",
            measure: Measure::Connections,
            contenders: &["shm: spin", "unix: sleep", "seqpacket by hand"],
            targets: [
                at_most("shm: spin", 10.0, "seqpacket by hand"),
                at_most("unix: sleep", 10.0, "seqpacket by hand"),
            ]
            .concat(),
        },
        Case {
            id: "hand-over-an-end",
            title: "handing over an end of a channel, with the first message through it",
            measure: Measure::Connections,
            contenders: &["channel shm: spin", "channel unix: sleep", "seqpacket by hand"],
            targets: [
                at_most("channel shm: spin", 3.0, "seqpacket by hand"),
                at_most("channel unix: sleep", 3.0, "seqpacket by hand"),
            ]
            .concat(),
        },
        Case {
            id: "attach",
            title: "attaching and detaching a small region",
            measure: Measure::Cost { contenders: attaching },
            contenders: &[],
            targets: at_most("attach", 5.0, "shm_open by hand"),
        },
    ]
}

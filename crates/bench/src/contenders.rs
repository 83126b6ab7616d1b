//! Everybody who takes part, by name.

use crate::by_hand::boost::{Boost, BoostRwTurn};
use crate::by_hand::channel::{Crossbeam, Waiting};
use crate::by_hand::copy::{FixedCopy, LargeCopy};
use crate::by_hand::fifo::Fifos;
use crate::by_hand::frames::{BareFrames, Look};
use crate::by_hand::futex::BareFutex;
use crate::by_hand::handover::{FutexLocks, PlainPthreadLocks, PthreadConds, PthreadLocks, Semaphores};
use crate::by_hand::locks::{FutexLock, ParkingLot, ParkingLotReentrant, Pthread, StdMutex};
use crate::by_hand::mqueue::Queues;
use crate::by_hand::pthread::Kind;
use crate::by_hand::ring::PlainRing;
use crate::by_hand::rwlocks::{ParkingLotRwLock, PthreadRwLock, Side, StdRwLock};
use crate::by_hand::seqpacket::SeqPacket;
use crate::by_hand::shm_open::ShmOpen;
use crate::by_hand::tcp::Tcp;
use crate::by_hand::threads::ThreadLocks;
use crate::by_hand::tls::Tls;
use crate::crowd::{AnyCrowd, Crowd};
use crate::handover::Handed;
use crate::meeting::AnyContender;
use crate::solo::{Missing, Solo};
use crate::turn::{Alone, Turn};
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

const MIB: usize = 1 << 20;

/// How long one sleeps by hand who wants to learn of a death, as our own locks do at most.
const SLICE: Duration = Duration::from_millis(50);

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
        Arc::new(Asked::new("service: spin, beside 499 idle", Wait::Spin).beside(499)),
        Arc::new(Asked::new("service: sleep", Wait::Sleep)),
        Arc::new(Asked::new("service: sleep, beside 499 idle", Wait::Sleep).beside(499)),
        Arc::new(Headed::new("shm: spin, with heads")),
        Arc::new(Handed(NodeEvents)),
        Arc::new(Handed(MutexChain)),
        Arc::new(Handed(PthreadLocks("pthread robust handed over", Kind::Robust))),
        Arc::new(Handed(PthreadLocks("pthread handed over", Kind::Shared))),
        Arc::new(Handed(FutexLocks("futex lock by hand", None))),
        Arc::new(Handed(FutexLocks("futex lock by hand, in slices", Some(SLICE)))),
        Arc::new(Handed(PlainPthreadLocks::default())),
        Arc::new(Handed(ThreadLocks::<std::sync::Mutex<()>>::new("std::sync::Mutex"))),
        Arc::new(Handed(ThreadLocks::<parking_lot::Mutex<()>>::new("parking_lot::Mutex"))),
        Arc::new(Handed(Boost)),
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
        Arc::new(robust()),
        Arc::new(shared()),
        Arc::new(plain()),
        Arc::new(FutexLock),
        Arc::new(StdMutex::default()),
        Arc::new(ParkingLot::default()),
        Arc::new(Boost),
    ]
}

fn robust() -> Pthread {
    Pthread::new("pthread robust", Kind::Robust)
}

fn shared() -> Pthread {
    Pthread::new("pthread process-shared", Kind::Shared)
}

fn plain() -> Pthread {
    Pthread::new("pthread mutex", Kind::Plain)
}

/// A lock that nobody else wants, or why it is not there.
fn present<T: Turn + 'static>(name: &'static str, turn: io::Result<T>) -> io::Result<Box<dyn Solo>> {
    match turn {
        Ok(turn) => Ok(Alone::new(name, turn)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Box::new(Missing { name, reason: error.to_string() }))
        }
        Err(error) => Err(error),
    }
}

fn alone<C: Crowd>(crowd: C, at: &Path) -> io::Result<Box<dyn Solo>>
where
    C::Party: 'static,
{
    present(Crowd::name(&crowd), crowd.open(at))
}

pub(crate) fn locks(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        alone(WharfMutex, at)?,
        alone(robust(), at)?,
        alone(shared(), at)?,
        alone(plain(), at)?,
        alone(FutexLock, at)?,
        alone(StdMutex::default(), at)?,
        alone(ParkingLot::default(), at)?,
        alone(Boost, at)?,
    ])
}

pub(crate) fn reentrant_locks(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        Alone::new("ReentrantMutex", ReentrantTurn::new(at, false)?),
        Alone::new("ReentrantMutex, twice", ReentrantTurn::new(at, true)?),
        alone(Pthread::new("pthread robust recursive", Kind::RobustRecursive), at)?,
        Alone::new("parking_lot::ReentrantMutex", ParkingLotReentrant::default()),
    ])
}

fn rwlocks(at: &Path, side: Side) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        Alone::new("RwLock", RwLockTurn::new(at, side)?),
        Alone::new("pthread rwlock", PthreadRwLock::new(at, side)?),
        Alone::new("std::sync::RwLock", StdRwLock::new(side)),
        Alone::new("parking_lot::RwLock", ParkingLotRwLock::new(side)),
        present("Boost.Interprocess", BoostRwTurn::new(at, side))?,
    ])
}

pub(crate) fn readers(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    rwlocks(at, Side::Read)
}

pub(crate) fn writers(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    rwlocks(at, Side::Write)
}

pub(crate) fn cells(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![
        Box::new(LatestRead::new(at)?),
        Box::new(LatestReadOnly::new(at)?),
        Box::new(LatestWrite::new(at)?),
        Box::new(FixedCopy::<64>::new("plain copy")),
    ])
}

pub(crate) fn copies(_at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![Box::new(LargeCopy::new(MIB))])
}

pub(crate) fn attaching(at: &Path) -> io::Result<Vec<Box<dyn Solo>>> {
    Ok(vec![Box::new(Attach::new(at)?), Box::new(ShmOpen::new()?)])
}

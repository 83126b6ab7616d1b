//! Hand-overs to a sleeping process that are not ours: pthread's mutexes, condition variable and semaphore, and a lock
//! over a bare futex.

use crate::by_hand::locks::bare;
use crate::by_hand::mapped::{InCommon, Mapped};
use crate::by_hand::pthread::{Cond, Kind, Mutex, Sem};
use crate::contender::Home;
use crate::handover::{Chain, Handover, Locks, Signal, Who};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Each object on lines of its own.
const STRIDE: usize = 64;
const LEN: usize = 6 * STRIDE;

fn open(at: &Path) -> io::Result<Arc<Mapped>> {
    Mapped::create(&at.join("objects"), LEN).map(Arc::new)
}

fn find(at: &Path) -> io::Result<Arc<Mapped>> {
    Mapped::open(&at.join("objects")).map(Arc::new)
}

/// Three pthread mutexes of one kind.
pub struct PthreadLocks(pub &'static str, pub Kind);

impl Locks for [Mutex; 3] {
    fn lock(&mut self, which: usize) -> io::Result<()> {
        self[which].lock()
    }

    fn unlock(&mut self, which: usize) -> io::Result<()> {
        self[which].unlock()
    }
}

impl Handover for PthreadLocks {
    type Side = Chain<[Mutex; 3]>;

    fn name(&self) -> &'static str {
        self.0
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        begin(&open(at)?, self.1)
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        join(&find(at)?)
    }
}

fn begin(memory: &Arc<Mapped>, kind: Kind) -> io::Result<Chain<[Mutex; 3]>> {
    let make = |which: usize| Mutex::make(memory, which * STRIDE, kind);
    Chain::begin([make(0)?, make(1)?, make(2)?], Who::First)
}

fn join(memory: &Arc<Mapped>) -> io::Result<Chain<[Mutex; 3]>> {
    Chain::begin([0, 1, 2].map(|which| Mutex::find(memory, which * STRIDE)), Who::Second)
}

/// Three pthread mutexes for the threads of one process.
#[derive(Default)]
pub struct PlainPthreadLocks(InCommon);

impl Handover for PlainPthreadLocks {
    type Side = Chain<[Mutex; 3]>;

    fn name(&self) -> &'static str {
        "pthread mutex"
    }

    fn home(&self) -> Home {
        Home::Threads
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        begin(&self.0.create(&at.join("objects"), LEN)?, Kind::Plain)
    }

    fn join(&self, _at: &Path) -> io::Result<Self::Side> {
        join(&self.0.find()?)
    }
}

/// Three mutexes over bare futexes, on which one sleeps for ever or for so long at a time.
pub struct FutexLocks(pub &'static str, pub Option<Duration>);

/// Where they lie.
pub struct ThreeWords(Arc<Mapped>, Option<Duration>);

impl Locks for ThreeWords {
    fn lock(&mut self, which: usize) -> io::Result<()> {
        bare::lock(&self.0, which * STRIDE, self.1)
    }

    fn unlock(&mut self, which: usize) -> io::Result<()> {
        bare::unlock(&self.0, which * STRIDE)
    }
}

impl Handover for FutexLocks {
    type Side = Chain<ThreeWords>;

    fn name(&self) -> &'static str {
        self.0
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        Chain::begin(ThreeWords(open(at)?, self.1), Who::First)
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        Chain::begin(ThreeWords(find(at)?, self.1), Who::Second)
    }
}

/// A POSIX semaphore for each direction.
pub struct Semaphores;

/// One side of them.
pub struct SemPair {
    theirs: Sem,
    ours: Sem,
}

impl Signal for SemPair {
    fn tell(&mut self) -> io::Result<()> {
        self.theirs.post()
    }

    fn hear(&mut self) -> io::Result<()> {
        self.ours.wait()
    }
}

impl Handover for Semaphores {
    type Side = SemPair;

    fn name(&self) -> &'static str {
        "sem_t"
    }

    fn open(&self, at: &Path) -> io::Result<SemPair> {
        let memory = open(at)?;
        let make = |which: usize| Sem::make(&memory, which * STRIDE);
        let who = Who::First;
        Ok(SemPair { theirs: make(who.outbox())?, ours: make(who.inbox())? })
    }

    fn join(&self, at: &Path) -> io::Result<SemPair> {
        let memory = find(at)?;
        let find = |which: usize| Sem::find(&memory, which * STRIDE);
        let who = Who::Second;
        Ok(SemPair { theirs: find(who.outbox()), ours: find(who.inbox()) })
    }
}

/// A pthread mutex, a flag for each direction under it, and a condition variable for each.
pub struct PthreadConds(pub &'static str, pub Kind);

/// One side of them.
pub struct CondPair {
    memory: Arc<Mapped>,
    mutex: Mutex,
    conds: [Cond; 2],
    who: Who,
}

const MUTEX: usize = 0;
const FLAGS: usize = STRIDE;
const CONDS: usize = 2 * STRIDE;

impl Signal for CondPair {
    fn tell(&mut self) -> io::Result<()> {
        self.mutex.lock()?;
        // Relaxed, here and in `hear`: under the mutex.
        self.memory.word(FLAGS + 8 * self.who.outbox()).store(1, Ordering::Relaxed);
        self.mutex.unlock()?;
        self.conds[self.who.outbox()].signal()
    }

    fn hear(&mut self) -> io::Result<()> {
        self.mutex.lock()?;
        let flag = self.memory.word(FLAGS + 8 * self.who.inbox());
        // Bound: the other side always tells.
        while flag.load(Ordering::Relaxed) == 0 {
            self.conds[self.who.inbox()].wait(&self.mutex)?;
        }
        flag.store(0, Ordering::Relaxed);
        self.mutex.unlock()
    }
}

impl Handover for PthreadConds {
    type Side = CondPair;

    fn name(&self) -> &'static str {
        self.0
    }

    fn open(&self, at: &Path) -> io::Result<CondPair> {
        let memory = open(at)?;
        let mutex = Mutex::make(&memory, MUTEX, self.1)?;
        let make = |which: usize| Cond::make(&memory, CONDS + which * STRIDE);
        let conds = [make(0)?, make(1)?];
        Ok(CondPair { memory, mutex, conds, who: Who::First })
    }

    fn join(&self, at: &Path) -> io::Result<CondPair> {
        let memory = find(at)?;
        let mutex = Mutex::find(&memory, MUTEX);
        let conds = [0, 1].map(|which| Cond::find(&memory, CONDS + which * STRIDE));
        Ok(CondPair { memory, mutex, conds, who: Who::Second })
    }
}

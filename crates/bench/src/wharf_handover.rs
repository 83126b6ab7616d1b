//! Wharf's primitives as hand-overs to a sleeping process.

use crate::contender::{failed, foreign};
use crate::handover::{Chain, Handover, Locks, Signal, Who, give_back};
use crate::wharf_regions::options;
use std::fmt::Display;
use std::io;
use std::path::Path;
use wharf::{Auto, Condvar, Event, Mutex, MutexGuard, Region, Semaphore, Shared};

fn not_done(error: impl Display) -> io::Error {
    failed(error.to_string())
}

/// Two of a kind, one for each side, on lines of their own.
macro_rules! pair_of {
    ($(#[$about:meta])* $Pair:ident, $Line:ident, $What:ty) => {
        #[derive(Shared)]
        #[repr(C, align(64))]
        struct $Line {
            it: $What,
        }

        $(#[$about])*
        #[derive(Shared)]
        #[repr(C)]
        pub struct $Pair {
            first: $Line,
            second: $Line,
        }

        impl $Pair {
            fn of(&self, inbox: usize) -> &$What {
                if inbox == 0 { &self.first.it } else { &self.second.it }
            }
        }
    };
}

pair_of!(
    /// An event for each side.
    EventPair,
    EventLine,
    Event<Auto>
);
pair_of!(
    /// A permit for each side.
    PermitPair,
    PermitLine,
    Semaphore<0, 1>
);
pair_of!(
    /// A notice for each side.
    NoticePair,
    NoticeLine,
    Condvar
);

/// An event that lets one waiter through.
pub struct Events;

/// One side of a pair in a region.
pub struct Side<T: Shared> {
    pair: Region<T>,
    who: Who,
}

impl Signal for Side<EventPair> {
    fn tell(&mut self) -> io::Result<()> {
        self.pair.of(self.who.outbox()).set().map_err(not_done)
    }

    fn hear(&mut self) -> io::Result<()> {
        self.pair.of(self.who.inbox()).wait().map_err(not_done)
    }
}

impl Handover for Events {
    type Side = Side<EventPair>;

    fn name(&self) -> &'static str {
        "Event"
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        let pair = options(at)?.create("events").map_err(foreign)?;
        Ok(Side { pair, who: Who::First })
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        let pair = options(at)?.attach("events").map_err(foreign)?;
        Ok(Side { pair, who: Who::Second })
    }
}

/// A semaphore whose one permit is given by one side and taken away by the other.
pub struct Permits;

impl Signal for Side<PermitPair> {
    fn tell(&mut self) -> io::Result<()> {
        self.pair.of(self.who.outbox()).give().map_err(not_done)
    }

    fn hear(&mut self) -> io::Result<()> {
        self.pair.of(self.who.inbox()).take().map_err(not_done)?.forget();
        Ok(())
    }
}

impl Handover for Permits {
    type Side = Side<PermitPair>;

    fn name(&self) -> &'static str {
        "Semaphore"
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        let pair = options(at)?.create("permits").map_err(foreign)?;
        Ok(Side { pair, who: Who::First })
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        let pair = options(at)?.attach("permits").map_err(foreign)?;
        Ok(Side { pair, who: Who::Second })
    }
}

/// A mutex, a flag for each side under it, and a condition variable for each.
pub struct Notices;

/// What lies in the region.
#[derive(Shared)]
#[repr(C)]
pub struct Noticed {
    flags: Mutex<[u64; 2]>,
    notices: NoticePair,
}

impl Signal for Side<Noticed> {
    fn tell(&mut self) -> io::Result<()> {
        self.pair.flags.lock().map_err(not_done)?[self.who.outbox()] = 1;
        self.pair.notices.of(self.who.outbox()).notify_one().map_err(not_done)
    }

    fn hear(&mut self) -> io::Result<()> {
        let inbox = self.who.inbox();
        let flags = self.pair.flags.lock().map_err(not_done)?;
        let mut flags = self.pair.notices.of(inbox).wait_while(flags, |flags| flags[inbox] == 0).map_err(not_done)?;
        flags[inbox] = 0;
        Ok(())
    }
}

impl Handover for Notices {
    type Side = Side<Noticed>;

    fn name(&self) -> &'static str {
        "Condvar"
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        let pair = options(at)?.create("notices").map_err(foreign)?;
        Ok(Side { pair, who: Who::First })
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        let pair = options(at)?.attach("notices").map_err(foreign)?;
        Ok(Side { pair, who: Who::Second })
    }
}

#[derive(Shared)]
#[repr(C, align(64))]
struct LockLine {
    lock: Mutex<u64>,
}

#[derive(Shared)]
#[repr(C)]
struct ThreeLocks {
    zero: LockLine,
    one: LockLine,
    two: LockLine,
}

/// Three mutexes.
pub struct MutexChain;

/// Those of them that one side holds. The guards borrow from the region, which is therefore given to the process for good.
pub struct HeldLocks {
    region: &'static Region<ThreeLocks>,
    held: [Option<MutexGuard<'static, u64>>; 3],
}

impl HeldLocks {
    fn new(region: Region<ThreeLocks>) -> HeldLocks {
        HeldLocks { region: Box::leak(Box::new(region)), held: [None, None, None] }
    }
}

impl Locks for HeldLocks {
    fn lock(&mut self, which: usize) -> io::Result<()> {
        let line = match which {
            0 => &self.region.zero,
            1 => &self.region.one,
            _ => &self.region.two,
        };
        self.held[which] = Some(line.lock.lock().map_err(not_done)?);
        Ok(())
    }

    fn unlock(&mut self, which: usize) -> io::Result<()> {
        give_back(&mut self.held[which], which)
    }
}

impl Handover for MutexChain {
    type Side = Chain<HeldLocks>;

    fn name(&self) -> &'static str {
        "Mutex handed over"
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        let region = options(at)?.create("locks").map_err(foreign)?;
        Chain::begin(HeldLocks::new(region), Who::First)
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        let region = options(at)?.attach("locks").map_err(foreign)?;
        Chain::begin(HeldLocks::new(region), Who::Second)
    }
}

//! Locks and last-value cells against others: the cases, and the one table that they make together.

use crate::case::{Against, Bound, Case, Measure, Target};
use crate::cases::{at_most, near_and_far, target, within};
use crate::contenders::{cells, locks, readers, reentrant_locks, writers};
use crate::group::{Column, Goal, Group, Row};
use std::time::Duration;
use wharf_measure::WakeClass;

/// What two processes can share and wait for asleep.
const OF_PROCESSES: [&str; 4] =
    ["pthread robust", "pthread process-shared", "futex lock by hand", "Boost.Interprocess"];
/// Mutexes that only the threads of one process can share.
const OF_THREADS: [&str; 3] = ["pthread mutex", "std::sync::Mutex", "parking_lot::Mutex"];
/// What two processes can hand over. Who sleeps in slices and who sleeps for ever are both judged against: the kernel's timer is
/// the price of learning of a death.
const HANDED_OVER: [&str; 5] = [
    "pthread robust handed over",
    "pthread handed over",
    "futex lock by hand",
    "futex lock by hand, in slices",
    "Boost.Interprocess",
];

/// Two processes, or two threads where a lock is for threads only: none that sleeps in the kernel is to be faster.
fn hammered(id: &'static str, title: &'static str, outside: u32, judged: &[&'static str]) -> Case {
    Case {
        id,
        title,
        measure: Measure::Hammer { outside },
        contenders: &[
            "Mutex",
            "pthread robust",
            "pthread process-shared",
            "pthread mutex",
            "futex lock by hand",
            "std::sync::Mutex",
            "parking_lot::Mutex",
            "Boost.Interprocess",
        ],
        targets: judged.iter().flat_map(|&other| near_and_far("Mutex", other, Bound::AtMost(1.0))).collect(),
    }
}

/// Only those of processes are judged against: two threads of one process change places without changing memory.
fn handed_over(id: &'static str, class: WakeClass) -> Case {
    let measure = Measure::Asleep { size: 8, class };
    Case {
        id,
        title: "a mutex handed over to a sleeping waiter",
        measure,
        contenders: &[
            "Mutex handed over",
            "pthread robust handed over",
            "pthread handed over",
            "pthread mutex",
            "futex lock by hand",
            "futex lock by hand, in slices",
            "std::sync::Mutex",
            "parking_lot::Mutex",
            "Boost.Interprocess",
        ],
        targets: HANDED_OVER.into_iter().flat_map(|other| within("Mutex handed over", 1.1, other, measure)).collect(),
    }
}

/// Everything about locks that is compared, but for what wakes sleepers without one.
pub fn cases() -> Vec<Case> {
    vec![
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
        hammered(
            "hammer",
            "a mutex that two processes want as fast as they can",
            0,
            &[&OF_PROCESSES[..], &OF_THREADS].concat(),
        ),
        // The work is nearly all of it here, so that equals differ by the noise.
        hammered("hammer-outside", "the same with some 240 ns of work outside the mutex", 100, &OF_PROCESSES),
        handed_over("handover-two-cores", WakeClass::TwoCores),
        handed_over("handover-core-awake", WakeClass::CoreAwake),
        handed_over("handover-same-core", WakeClass::SameCore),
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
            targets: ["Latest::read", "Latest::read, read-only"]
                .map(|ours| Target {
                    ours,
                    against: Against::Contender("plain copy"),
                    state: None,
                    bound: Bound::AtMost(3.0),
                })
                .to_vec(),
        },
    ]
}

const HANDOVERS: &[&str] = &["handover-two-cores", "handover-core-awake", "handover-same-core"];

const fn row(label: &'static str, names: &'static [&'static str]) -> Row {
    Row { label, names, awake_in: &[] }
}

const OTHERS: &[Row] = &[
    row("pthread, robust", &["pthread robust", "pthread robust handed over"]),
    row("pthread, of processes", &["pthread process-shared", "pthread handed over", "pthread rwlock"]),
    row("futex by hand", &["futex lock by hand"]),
    row("futex by hand, in slices", &["futex lock by hand, in slices"]),
    row("Boost.Interprocess", &["Boost.Interprocess"]),
    row("pthread, of threads", &["pthread mutex"]),
    row("std::sync, of threads", &["std::sync::Mutex", "std::sync::RwLock"]),
    // It spins, and yields its processor, for longer than such a hand-over takes.
    Row {
        label: "parking_lot, of threads",
        names: &["parking_lot::Mutex", "parking_lot::RwLock"],
        awake_in: HANDOVERS,
    },
    row("plain copy", &["plain copy"]),
];

/// `wharf-bench locks`: all of it side by side.
pub fn group() -> Group {
    Group {
        id: "locks",
        title: "locks and last-value cells against others",
        limit: Duration::from_secs(90),
        columns: &[
            Column { head: "uncontended", case: "mutex" },
            Column { head: "hammered", case: "hammer" },
            Column { head: "with work outside", case: "hammer-outside" },
            Column { head: "handed over: two cores", case: "handover-two-cores" },
            Column { head: "core awake", case: "handover-core-awake" },
            Column { head: "one core", case: "handover-same-core" },
            Column { head: "rwlock read", case: "rwlock-read" },
            Column { head: "64 B read", case: "latest" },
        ],
        ours: row("Wharf", &["Mutex", "Mutex handed over", "RwLock", "Latest::read"]),
        others: OTHERS,
        goals: &[
            Goal { whom: "pthread's robust one", cases: &["mutex"], against: &["pthread robust"] },
            Goal { whom: "std's", cases: &["mutex"], against: &["std::sync::Mutex"] },
            Goal { whom: "the best that sleeps", cases: &["hammer"], against: &[] },
            Goal { whom: "the best of processes that sleeps", cases: &["hammer-outside"], against: &[] },
            Goal { whom: "the best of processes", cases: HANDOVERS, against: &[] },
            Goal { whom: "pthread's", cases: &["rwlock-read"], against: &[] },
            Goal { whom: "a plain copy", cases: &["latest"], against: &[] },
        ],
    }
}

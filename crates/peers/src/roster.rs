//! Which libraries take part, in which cases, and what must hold between Wharf and them.

use crate::absent::Absent;
use crate::iceoryx::SMALL;
use crate::iceoryx::event::Notified;
use crate::iceoryx::request::Requests;
use crate::iceoryx::segments;
use crate::iceoryx::slices::Slices;
use crate::iceoryx::topic::Topic;
use crate::ring::blobs::Blobs;
use crate::ring::fixed::Rings;
use std::sync::Arc;
use wharf_bench::case::{Against, Bound, Case, Measure, Target};
use wharf_bench::contenders;
use wharf_bench::meeting::AnyContender;
use wharf_bench::roster::Roster;
use wharf_measure::{State, WakeClass};

const MIB: usize = 1 << 20;

/// Other libraries' contenders, beside all of wharf-bench's own, and the cases in which they meet.
pub fn roster() -> Roster {
    let mut contenders = contenders::contenders();
    contenders.extend(others());
    Roster { contenders, crowds: Vec::new(), cases: meetings(), groups: Vec::new(), sweep: segments::sweep }
}

/// Of several powers of two, each has the room with which it streamed fastest. Latency does not depend on it.
fn others() -> Vec<Arc<dyn AnyContender>> {
    vec![
        Arc::new(Topic::new("iceoryx2", 256)),
        Arc::new(Slices::new("iceoryx2 1 MiB", MIB, 4)),
        Arc::new(Notified::new("iceoryx2 and event")),
        Arc::new(Requests::new("iceoryx2 request")),
        Arc::new(Rings::spinning("ringfire", 65_536)),
        Arc::new(Rings::spinning("ringfire, 4,096 slots", 4_096)),
        Arc::new(Rings::sleeping("ringfire: futex", 65_536)),
        Arc::new(Blobs::new("ringfire 1 MiB", MIB, 2)),
        Arc::new(Absent {
            name: "Aeron IPC",
            reason: "its driver, a process of its own, is built with cmake and libclang, which Rust alone does not bring",
        }),
    ]
}

/// In both states of the cores.
fn always(ours: &'static str, other: &'static str, bound: Bound) -> [Target; 2] {
    let target = |state| Target { ours, against: Against::Contender(other), state: Some(state), bound };
    [target(State::Near), target(State::Far)]
}

fn asleep(id: &'static str, title: &'static str, class: WakeClass) -> Case {
    Case {
        id,
        title,
        measure: Measure::Asleep { size: SMALL, class },
        contenders: &["topic: sleep", "shm: sleep", "iceoryx2 and event", "ringfire: futex", "futex by hand"],
        targets: Vec::new(),
    }
}

fn meetings() -> Vec<Case> {
    vec![
        Case {
            id: "latency-64",
            title: "64 B one way, both spinning",
            measure: Measure::Latency { size: SMALL },
            contenders: &["shm: spin", "topic: spin", "iceoryx2", "ringfire", "plain ring", "Aeron IPC"],
            targets: [
                always("shm: spin", "iceoryx2", Bound::AtMost(0.3)),
                always("topic: spin", "iceoryx2", Bound::AtMost(0.3)),
            ]
            .concat(),
        },
        Case {
            id: "request-64",
            title: "64 B there and 64 B back, both spinning: half of the round trip",
            measure: Measure::Latency { size: SMALL },
            contenders: &["service: spin", "shm: spin", "iceoryx2 request"],
            targets: always("service: spin", "iceoryx2 request", Bound::AtMost(0.4)).to_vec(),
        },
        Case {
            id: "stream-64",
            title: "64 B stream, copied in and out",
            measure: Measure::Stream { size: SMALL },
            contenders: &[
                "shm: spin",
                "shm: spin 8 MiB",
                "iceoryx2",
                "ringfire",
                "ringfire, 4,096 slots",
                "plain ring",
                "Aeron IPC",
            ],
            targets: [
                always("shm: spin", "iceoryx2", Bound::Times(20.0)),
                always("shm: spin", "ringfire", Bound::Times(1.5)),
            ]
            .concat(),
        },
        // A case of its own: a topic's log grows, for which threads of both sides must run that real-time priority starves.
        Case {
            id: "topic-stream-64",
            title: "64 B stream by topic, copied in and out; without real-time priority",
            measure: Measure::Stream { size: SMALL },
            contenders: &["topic: spin", "topic: spin 8 MiB", "iceoryx2", "ringfire"],
            targets: [
                always("topic: spin", "iceoryx2", Bound::Times(20.0)),
                always("topic: spin", "ringfire", Bound::Times(1.5)),
            ]
            .concat(),
        },
        Case {
            id: "stream-1m",
            title: "1 MiB stream, copied in and out",
            measure: Measure::Stream { size: MIB },
            contenders: &[
                "shm: spin",
                "shm: spin 8 MiB",
                "topic: spin 8 MiB",
                "iceoryx2 1 MiB",
                "ringfire 1 MiB",
                "plain ring 1 MiB",
                "Aeron IPC",
            ],
            targets: Vec::new(),
        },
        asleep("asleep-two-cores", "sleeping receiver, two cores", WakeClass::TwoCores),
        asleep("asleep-core-awake", "sleeping receiver, its core kept awake", WakeClass::CoreAwake),
        asleep("asleep-same-core", "sleeping receiver on the sender's core", WakeClass::SameCore),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_roster_is_in_order() {
        super::roster().check().expect("unique names, and cases that name what exists");
    }
}

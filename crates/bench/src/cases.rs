//! What is compared with what, and which ratios must hold.

use crate::case::{Against, Bound, Case, Measure, Target};
use crate::contenders::{attaching, copies};
use crate::lock_cases;
use crate::report::has_states;
use wharf_measure::{State, WakeClass};

const MIB: usize = 1 << 20;

pub(crate) fn target(ours: &'static str, against: Against, state: Option<State>, bound: Bound) -> Target {
    Target { ours, against, state, bound }
}

fn over_floor(ours: &'static str, near: f64, far: f64) -> Vec<Target> {
    vec![
        target(ours, Against::Floor, Some(State::Near), Bound::AtMost(near)),
        target(ours, Against::Floor, Some(State::Far), Bound::AtMost(far)),
    ]
}

pub(crate) fn at_most(ours: &'static str, factor: f64, other: &'static str) -> Vec<Target> {
    vec![target(ours, Against::Contender(other), None, Bound::AtMost(factor))]
}

/// In both states of the cores, where the measure tells them apart.
pub(crate) fn within(ours: &'static str, factor: f64, other: &'static str, measure: Measure) -> Vec<Target> {
    if has_states(measure) { near_and_far(ours, other, Bound::AtMost(factor)) } else { at_most(ours, factor, other) }
}

pub(crate) fn near_and_far(ours: &'static str, other: &'static str, bound: Bound) -> Vec<Target> {
    [State::Near, State::Far].map(|state| target(ours, Against::Contender(other), Some(state), bound)).to_vec()
}

fn asleep(id: &'static str, title: &'static str, class: WakeClass) -> Case {
    let measure = Measure::Asleep { size: 8, class };
    Case {
        id,
        title,
        measure,
        contenders: &["shm: sleep", "futex by hand"],
        targets: within("shm: sleep", 1.3, "futex by hand", measure),
    }
}

fn topic_asleep(id: &'static str, title: &'static str, class: WakeClass) -> Case {
    let measure = Measure::Asleep { size: 8, class };
    Case {
        id,
        title,
        measure,
        contenders: &["topic: sleep", "event by name", "shm: sleep", "futex by hand"],
        targets: ["topic: sleep", "event by name"]
            .into_iter()
            .flat_map(|ours| within(ours, 1.3, "futex by hand", measure))
            .collect(),
    }
}

fn signalled(id: &'static str, class: WakeClass) -> Case {
    let others = ["sem_t", "futex by hand", "futex by hand, in slices"];
    let measure = Measure::Asleep { size: 8, class };
    let both = |other| [within("Event", 1.1, other, measure), within("Semaphore", 1.1, other, measure)].concat();
    Case {
        id,
        title: "an event or a permit for a sleeping waiter",
        measure,
        contenders: &["Event", "Semaphore", "sem_t", "futex by hand", "futex by hand, in slices"],
        targets: others.into_iter().flat_map(both).collect(),
    }
}

fn notified(id: &'static str, class: WakeClass) -> Case {
    let others = ["pthread condvar", "pthread condvar, robust"];
    let measure = Measure::Asleep { size: 8, class };
    Case {
        id,
        title: "a change under a mutex, told to a sleeping waiter by a condition variable",
        measure,
        contenders: &["Condvar", "pthread condvar", "pthread condvar, robust"],
        targets: others.into_iter().flat_map(|other| within("Condvar", 1.1, other, measure)).collect(),
    }
}

fn unix(id: &'static str, title: &'static str, measure: Measure) -> Case {
    Case {
        id,
        title,
        measure,
        contenders: &["unix: sleep", "seqpacket by hand"],
        targets: within("unix: sleep", 1.05, "seqpacket by hand", measure),
    }
}

/// Judged against the same system calls, which wait in slices; waiting for ever without a way to learn of a death costs less.
fn mq(id: &'static str, title: &'static str, measure: Measure) -> Case {
    Case {
        id,
        title,
        measure,
        contenders: &["mq: sleep", "mq by hand", "mq by hand, deaf"],
        targets: within("mq: sleep", 1.05, "mq by hand", measure),
    }
}

/// Judged against both: the same system calls, which read ahead, and a call for each message.
fn pipe(id: &'static str, title: &'static str, measure: Measure) -> Case {
    Case {
        id,
        title,
        measure,
        contenders: &["pipe: sleep", "fifo by hand", "fifo by hand, ahead"],
        targets: ["fifo by hand", "fifo by hand, ahead"]
            .into_iter()
            .flat_map(|other| within("pipe: sleep", 1.05, other, measure))
            .collect(),
    }
}

fn tcp(id: &'static str, title: &'static str, measure: Measure) -> Case {
    let contenders = &["tcp: sleep", "tcp by hand"];
    Case { id, title, measure, contenders, targets: within("tcp: sleep", 1.05, "tcp by hand", measure) }
}

fn tls(id: &'static str, title: &'static str, measure: Measure) -> Case {
    let contenders = &["tls: sleep", "tls by hand"];
    Case { id, title, measure, contenders, targets: within("tls: sleep", 1.15, "tls by hand", measure) }
}

/// Everything that is compared.
pub fn cases() -> Vec<Case> {
    let near = Some(State::Near);
    let far = Some(State::Far);
    let crossbeam = Against::Contender("crossbeam");
    let two_cores = |size| Measure::Asleep { size, class: WakeClass::TwoCores };
    let same_core = |size| Measure::Asleep { size, class: WakeClass::SameCore };
    let mut cases = vec![
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
        // Idle ones are to cost nothing; a tenth is more than the turns of one contender differ by, and far less than one look at
        // each of them would be.
        Case {
            id: "service-beside-idle",
            title: "64 B asked and answered by a service with 499 more clients, which ask nothing, both spinning",
            measure: Measure::Latency { size: 64 },
            contenders: &["service: spin, beside 499 idle", "service: spin"],
            targets: near_and_far("service: spin, beside 499 idle", "service: spin", Bound::AtMost(1.1)),
        },
        Case {
            id: "service-asleep-beside-idle",
            title: "64 B asked and answered by a service with 499 more clients, which ask nothing, both sleeping",
            measure: two_cores(64),
            contenders: &["service: sleep, beside 499 idle", "service: sleep"],
            targets: within("service: sleep, beside 499 idle", 1.1, "service: sleep", two_cores(64)),
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
        signalled("signal-two-cores", WakeClass::TwoCores),
        signalled("signal-core-awake", WakeClass::CoreAwake),
        signalled("signal-same-core", WakeClass::SameCore),
        notified("notify-two-cores", WakeClass::TwoCores),
        notified("notify-core-awake", WakeClass::CoreAwake),
        notified("notify-same-core", WakeClass::SameCore),
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
    ];
    cases.extend(lock_cases::cases());
    cases
}

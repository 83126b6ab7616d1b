//! A case: contenders that are measured in turns, and the ratios that must hold.

use crate::solo::Makers;
use wharf_measure::{State, WakeClass};

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

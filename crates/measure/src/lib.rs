//! Floor probes, latency statistics and the near/far state of the cores.
//!
//! A busy-wait figure means nothing without the state of the two cores it was taken on: on many
//! machines (virtual ones above all) the cost of moving one cache line between them changes by a
//! factor of four within seconds. So every such figure is taken between two floor probes
//! ([`Prober::measured`]) and reported as a ratio to them.
//!
//! # Conventions
//!
//! * **One way = half a round trip.** No clock is compared with another core's clock. A link whose
//!   two directions cost differently shows their mean.
//! * **p50** is the median over short batches of round trips, so that the clock is read once per
//!   batch and does not show; **p99** is over single round trips, with the clock's own cost taken
//!   off. See [`ping_pong()`].
//! * **Throughput** counts what the receiver has taken and checked, from its first message to its
//!   last.
//! * **Sleeping figures** differ by a factor of ten with where the sleeper sits: [`WakeClass`]
//!   keeps the three cases apart.
//! * **One CPU only:** [`Prober::new`] returns [`OneCpu`]; spinning figures are then left out, not
//!   invented.

#![forbid(unsafe_code)]

mod cores;
mod floor;
mod latency;
mod ping_pong;
mod sleeping;
mod steady;
mod throughput;

pub use cores::{KeepAwake, OneCpu, Pair, WakeClass};
pub use floor::{AGREEMENT, FAR_ABOVE_NS, Floor, NEAR_BELOW_NS, Prober, State};
pub use latency::{Latencies, Summary, clock_cost_ns};
pub use ping_pong::ping_pong;
pub use sleeping::sleeping_floor;
pub use steady::{Measured, Steadiness};
pub use throughput::{Throughput, stream};

//! Which two CPUs a measurement uses, and where a sleeper sits.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use wharf_sys::cpu;

/// Two different CPUs that this process may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Where the side that measures runs.
    pub first: usize,
    /// Where its peer runs.
    pub second: usize,
}

/// This process may run on one CPU only, so nothing that spins on both sides can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneCpu;

impl fmt::Display for OneCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this process may run on one CPU only, and spinning needs two: no spinning figures")
    }
}

impl std::error::Error for OneCpu {}

impl Pair {
    /// The first two CPUs that this process is allowed to run on; where the system does not tell
    /// them, that counts as one.
    ///
    /// On a machine with hyper-threads these may be one core's two threads; restrict the process
    /// (`taskset -c 0,2 …`) to choose others.
    pub fn choose() -> Result<Pair, OneCpu> {
        let mut allowed = cpu::allowed().unwrap_or_default().into_iter();
        match (allowed.next(), allowed.next()) {
            (Some(first), Some(second)) => Ok(Pair { first, second }),
            _ => Err(OneCpu),
        }
    }

    /// Pins the calling thread to the first CPU. Threads and processes that it starts inherit it.
    pub fn pin_first(self) -> io::Result<()> {
        cpu::pin_this_thread(self.first)
    }

    /// Pins the calling thread to the second CPU. Threads and processes that it starts inherit it.
    pub fn pin_second(self) -> io::Result<()> {
        cpu::pin_this_thread(self.second)
    }
}

/// Where a sleeping receiver sits: the three cases differ by a factor of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WakeClass {
    /// Sender and receiver on two cores; the receiver's core halts while it sleeps.
    TwoCores,
    /// Two cores, and something else keeps both of them from halting.
    CoreAwake,
    /// Both on one core: a wake-up is a switch, with no signal between cores.
    SameCore,
}

impl WakeClass {
    /// All three, from the slowest to the fastest.
    pub const ALL: [WakeClass; 3] = [WakeClass::TwoCores, WakeClass::CoreAwake, WakeClass::SameCore];

    /// What a table calls it.
    pub fn label(self) -> &'static str {
        match self {
            WakeClass::TwoCores => "two cores",
            WakeClass::CoreAwake => "core awake",
            WakeClass::SameCore => "same core",
        }
    }

    /// Where the two sides must be pinned: the one that measures, and its peer.
    pub fn cpus(self, pair: Pair) -> (usize, usize) {
        match self {
            WakeClass::TwoCores | WakeClass::CoreAwake => (pair.first, pair.second),
            WakeClass::SameCore => (pair.first, pair.first),
        }
    }

    /// Starts what this class needs besides pinning: keep it until the measurement is over.
    pub fn prepare(self, pair: Pair) -> io::Result<Option<KeepAwake>> {
        match self {
            WakeClass::CoreAwake => KeepAwake::start(&[pair.first, pair.second]).map(Some),
            WakeClass::TwoCores | WakeClass::SameCore => Ok(None),
        }
    }
}

impl fmt::Display for WakeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Keeps CPUs from halting: one thread each that spins whenever nothing else wants to run there.
///
/// The threads run in the scheduler's idle class, so anything that wakes up on the CPU takes it
/// from them at once. They end when this is dropped.
#[derive(Debug)]
pub struct KeepAwake {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl KeepAwake {
    /// Starts one spinning thread on each CPU.
    pub fn start(cpus: &[usize]) -> io::Result<KeepAwake> {
        let mut awake = KeepAwake { stop: Arc::new(AtomicBool::new(false)), threads: Vec::with_capacity(cpus.len()) };
        for &cpu in cpus {
            let stop = Arc::clone(&awake.stop);
            let (report, reported) = std::sync::mpsc::sync_channel(1);
            let thread = std::thread::Builder::new().name(format!("awake-{cpu}")).spawn(move || {
                let ready = cpu::pin_this_thread(cpu).and_then(|()| cpu::yield_to_everyone());
                let spin = ready.is_ok();
                // The receiver waits for exactly this report; it cannot be gone.
                let _waits = report.send(ready);
                // Relaxed: the flag orders nothing, it only has to arrive. The owner's drop
                // ends the loop.
                while spin && !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })?;
            awake.threads.push(thread);
            reported.recv().unwrap_or_else(|_| Err(io::Error::other("the keep-awake thread ended early")))?;
        }
        Ok(awake)
    }
}

impl Drop for KeepAwake {
    fn drop(&mut self) {
        // Relaxed: see the loop above; joining orders everything that matters.
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there cannot happen, and could not be repaired here.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_different_allowed_cpus_or_one_cpu_is_said() {
        let allowed = cpu::allowed().unwrap_or_default();
        match Pair::choose() {
            Ok(pair) => {
                assert_ne!(pair.first, pair.second);
                assert!(allowed.contains(&pair.first) && allowed.contains(&pair.second));
            }
            Err(OneCpu) => assert!(allowed.len() < 2),
        }
    }

    #[test]
    fn the_same_core_class_puts_both_on_one_cpu() {
        let pair = Pair { first: 3, second: 5 };
        assert_eq!(WakeClass::SameCore.cpus(pair), (3, 3));
        assert_eq!(WakeClass::CoreAwake.cpus(pair), (3, 5));
    }

    #[test]
    fn keep_awake_threads_end_with_their_owner() {
        let Some(&cpu) = cpu::allowed().unwrap_or_default().first() else { panic!("a running process has a CPU") };
        let awake = KeepAwake::start(&[cpu]).expect("the idle class needs no privilege");
        let stop = Arc::downgrade(&awake.stop);
        drop(awake);
        assert_eq!(stop.strong_count(), 0, "a thread still holds the flag");
    }
}

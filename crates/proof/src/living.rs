//! What the rings of random kills share: how many kills there are, and players that live until they are killed.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::process::{Death, Process};
use crate::promptness::SOON;
use crate::random::Random;

/// The number of kills, or a share of it in percent, and the numbers to choose them by. The environment variables
/// `WHARF_PROOF_KILLS` and `WHARF_PROOF_SEED` decide; without the first there are `usual` kills. Prints both.
pub fn campaign(what: &str, usual: u64, percent: u64) -> (u64, Random) {
    let asked = std::env::var("WHARF_PROOF_KILLS").ok().and_then(|text| text.parse().ok());
    let kills = asked.unwrap_or(usual) * percent / 100;
    let seed = Random::seed();
    println!("{what}: {kills} kills, WHARF_PROOF_SEED={seed}");
    assert!(kills > 0, "WHARF_PROOF_KILLS is too small to try anything");
    (kills, Random::new(seed))
}

/// A player's process.
pub struct Living {
    /// The process.
    pub process: Process,
    /// Whether it has said that it is there.
    ready: bool,
}

impl Living {
    /// One that was just started, and will say "ready".
    pub fn new(process: Process) -> Living {
        Living { process, ready: false }
    }

    /// Waits until it is there.
    pub fn ready(&mut self) -> &mut Process {
        if !self.ready {
            self.process.expect("ready");
            self.ready = true;
        }
        &mut self.process
    }

    /// Kills it once it is there.
    ///
    /// # Panics
    /// When it has ended by itself: it would have said why.
    pub fn kill(&mut self) -> Death {
        let death = self.ready().kill();
        let by = death.status.signal();
        assert_eq!(by, Some(Signal::KILL.as_raw()), "it was to be killed, and ended before: {}", self.process.report());
        death
    }

    /// Checks that it has not ended: it would have said why.
    pub fn assert_runs(&mut self, what: &str) {
        if !self.process.runs() {
            let said: Vec<_> = std::iter::from_fn(|| self.process.hear(SOON)).collect();
            panic!("{what}: {}, and said {said:?}", self.process.report());
        }
    }
}

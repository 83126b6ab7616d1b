//! Attacks on a process by another, in every hostile ring the same: how long one lasts, how it begins, and what must be so after it.

use std::path::PathBuf;

use wharf_message_passing::NodeOptions;

use crate::footprint::Attacked;
use crate::process::{PATIENCE, Process};
use crate::random::Random;
use crate::scene::Scene;

/// How much more memory an attacked process may hold after the attack than soon after its beginning: besides its heap's own
/// reserve, what is kept for the few peers that do not listen at a time.
const FLAT_KIB: u64 = 12 << 10;
/// The same for descriptors: peers that are just being met hold some.
const FLAT_DESCRIPTORS: u64 = 300;

/// How many seconds an attack lasts: as many as `WHARF_PROOF_SECONDS` says, or as are usual.
pub fn seconds(usual: u64) -> u64 {
    let asked = std::env::var("WHARF_PROOF_SECONDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(usual).max(1)
}

/// A scene with room for an honest process and one that attacks it for two seconds, unless it is to take longer.
pub struct Attack {
    /// Where it is carried out.
    pub scene: Scene,
    /// How long it lasts.
    pub seconds: u64,
    how: String,
    victim: PathBuf,
}

impl Attack {
    /// An attack that is called `how`; the other processes are the program `victim`.
    pub fn new(victim: &str, how: &str) -> Attack {
        Attack { scene: Scene::new(), seconds: seconds(2), how: how.to_owned(), victim: victim.into() }
    }

    /// An honest process that plays what `words` say, and is ready.
    pub fn honest(&self, words: &[&str]) -> Process {
        self.start(words)
    }

    /// The hostile process, which plays its worst as `part`, and is ready. It ends by itself.
    pub fn hostile(&self, part: &str) -> Process {
        let (how, seconds, seed) = (&self.how, self.seconds, Random::seed());
        println!("{how} for {seconds} s, WHARF_PROOF_SEED={seed}");
        self.start(&[part, how, &format!("seconds={seconds}"), &format!("seed={seed}")])
    }

    fn start(&self, words: &[&str]) -> Process {
        let mut process = Process::start(&self.victim, &self.scene, words);
        process.expect("ready");
        process
    }

    /// Checks that the hostile one has done what it could, that the honest one is as it was, and lets that leave.
    ///
    /// # Panics
    /// When it is not so.
    pub fn end(&self, honest: &mut Process, hostile: &mut Process, mut footprint: Attacked) {
        let how = &self.how;
        let done = hostile.hear(PATIENCE).filter(|said| said.word == "done");
        let done = done.unwrap_or_else(|| panic!("{how} was not carried out: {}", hostile.report()));
        footprint.look();
        honest.close();
        let worked = honest.hear(PATIENCE).filter(|said| said.word == "done");
        let worked = worked.unwrap_or_else(|| panic!("{how} brought the honest one down: {}", honest.report()));
        assert!(honest.death(PATIENCE).status.success(), "{how}: {}", honest.report());
        println!("{how}: {}; the honest one: {}", done.text, worked.text);
        footprint.assert_flat(how, FLAT_KIB, FLAT_DESCRIPTORS);
    }

    /// Checks that nothing remains, once everyone has left.
    ///
    /// # Panics
    /// When something does.
    pub fn assert_nothing_remains(&self) {
        drop(NodeOptions::new().domain(self.scene.domain()).open().expect("a visitor"));
        // The socket of a listener that was killed, or the end of its file, is nobody's by now.
        assert_eq!(self.scene.files(), Vec::<String>::new(), "{}", self.how);
    }
}

//! One operation between the marks of the tracer, and a look at all that it could have left.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use wharf_proof::footprint::Footprint;
use wharf_proof::outside::Outside;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::trace::mark;

use crate::Failure;

/// The mark before the operation.
const OPEN: u64 = 1;
/// The mark after it.
const CLOSE: u64 = 2;

/// How long others of the scene may have something that looks like ours.
const MOMENT: Duration = Duration::from_secs(5);

/// How an operation is tried.
pub(super) struct Trial {
    /// It is the first of its kind in this process, which then holds more afterwards: what all later ones use.
    cold: bool,
    outside: Outside,
}

impl Trial {
    /// `cold=yes` leaves out what is done before the marks; `queues=yes` looks for message queues, too.
    pub(super) fn new(words: &Words) -> Result<Trial, Failure> {
        let names = std::env::var_os("WHARF_DIR").ok_or("a trial needs a scene")?;
        let scene = Path::new(&names).parent().ok_or("a scene is a folder with a directory of names in it")?;
        let outside = Outside::from_within(scene);
        let outside = if words.setting("queues").is_some() { outside.with_queues() } else { outside };
        // The standard library reports a panic of any thread here, and the test reads it.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = say("panicked", &panic.to_string());
            usual(panic);
        }));
        Ok(Trial { cold: words.setting("cold").is_some(), outside })
    }

    /// Does what sets up what all later operations of the process use.
    pub(super) fn warm(&self, first: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if self.cold { Ok(()) } else { first() }
    }

    /// Whether it is to be seen what an operation does only the first time.
    pub(super) fn is_cold(&self) -> bool {
        self.cold
    }

    /// Does the operation between the marks, says what came of it, and looks for what is left.
    pub(super) fn run<T>(
        &self,
        operation: impl FnOnce() -> Result<T, Failure>,
        afterwards: impl FnOnce(Option<T>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let outside = self.outside.now();
        let before = Footprint::now();
        mark(OPEN);
        let result = operation();
        mark(CLOSE);
        let made = match result {
            Ok(made) => {
                say("succeeded", "")?;
                // What was made may have a name, but a message queue never keeps one.
                self.tell_left(|it| outside.contains(it) || !it.starts_with("queue"))?;
                Some(made)
            }
            Err(error) => {
                say("refused", &error.to_string())?;
                // What the error keeps alive counts as held.
                drop(error);
                self.tell_surplus(&before, &outside)?;
                None
            }
        };
        afterwards(made)?;
        self.tell_surplus(&before, &outside)?;
        say("still-works", "")?;
        Ok(())
    }

    /// Says what is held that was not held before, and what is outside that was not there.
    fn tell_surplus(&self, before: &Footprint, outside: &BTreeSet<String>) -> Result<(), Failure> {
        let surplus = Footprint::now().more_than(before);
        match surplus {
            _ if self.cold => say("held", &surplus.unwrap_or_default())?,
            Some(surplus) => say("leaked", &surplus)?,
            None => {}
        }
        self.tell_left(|it| outside.contains(it))
    }

    fn tell_left(&self, expected: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let left = self.outside.lasting(expected, MOMENT);
        if !left.is_empty() {
            say("left", &left.join(", "))?;
        }
        Ok(())
    }
}

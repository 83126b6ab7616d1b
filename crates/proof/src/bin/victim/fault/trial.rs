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

/// What there was before an operation.
pub(super) struct Before {
    outside: BTreeSet<String>,
    held: Footprint,
}

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

    /// Does the operation between the marks, and looks for what is left: after an error, and after `afterwards`.
    pub(super) fn run<T>(
        &self,
        operation: impl FnOnce() -> Result<T, Failure>,
        afterwards: impl FnOnce(Option<T>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let before = self.before();
        let made = self.outcome(operation)?;
        match made {
            // What was made may have a name, but a message queue never keeps one.
            Some(_) => self.tell_left(|it| before.outside.contains(it) || !it.starts_with("queue"))?,
            None => self.tell_surplus(&before)?,
        }
        afterwards(made)?;
        self.nothing_left_of(&before)
    }

    /// What there is now.
    pub(super) fn before(&self) -> Before {
        Before { outside: self.outside.now(), held: Footprint::now() }
    }

    /// Does the operation between the marks, and says what came of it; `None` where it was refused.
    pub(super) fn outcome<T>(&self, operation: impl FnOnce() -> Result<T, Failure>) -> Result<Option<T>, Failure> {
        mark(OPEN);
        let result = operation();
        mark(CLOSE);
        match result {
            Ok(made) => {
                say("succeeded", "")?;
                Ok(Some(made))
            }
            // What the error keeps alive counts as held, and it ends here.
            Err(error) => {
                say("refused", &error.to_string())?;
                Ok(None)
            }
        }
    }

    /// Says what there is more of than before, and that this process goes on.
    pub(super) fn nothing_left_of(&self, before: &Before) -> Result<(), Failure> {
        self.tell_surplus(before)?;
        say("still-works", "")?;
        Ok(())
    }

    /// Says what is held that was not held before, and what is outside that was not there.
    fn tell_surplus(&self, before: &Before) -> Result<(), Failure> {
        let surplus = Footprint::now().more_than(&before.held);
        match surplus {
            _ if self.cold => say("held", &surplus.unwrap_or_default())?,
            Some(surplus) => say("leaked", &surplus)?,
            None => {}
        }
        self.tell_left(|it| before.outside.contains(it))
    }

    fn tell_left(&self, expected: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let left = self.outside.lasting(expected, MOMENT);
        if !left.is_empty() {
            say("left", &left.join(", "))?;
        }
        Ok(())
    }
}

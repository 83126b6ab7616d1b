//! Events from the shell: `wharf event notify|wait`.

mod notify;
mod wait;

use crate::failure::Failure;
use crate::usage::values::{EventArguments, EventVerb};

/// Runs the command.
pub(crate) fn run(asked: &EventArguments) -> Result<(), Failure> {
    match &asked.verb {
        EventVerb::Notify(asked) => notify::run(asked),
        EventVerb::Wait(asked) => wait::run(asked),
    }
}

//! `wharf region`: create, list, look at, verify, watch and remove regions.

mod changes;
mod create;
mod inspect;
mod list;
mod remove;
mod shown;
mod target;
mod verify;
mod watch;
mod words;

use crate::failure::Failure;
use crate::usage::{RegionArguments, RegionVerb};

/// Runs the command.
pub(crate) fn run(asked: &RegionArguments) -> Result<(), Failure> {
    match &asked.verb {
        RegionVerb::Create { name, size, json } => create::run(name, *size, *json),
        RegionVerb::Ls { json } => list::run(*json),
        RegionVerb::Inspect { target, json } => inspect::run(target, *json),
        RegionVerb::Verify { target, json } => verify::run(target, *json),
        RegionVerb::Watch(asked) => watch::run(asked),
        RegionVerb::Rm { name, json } => remove::run(name, *json),
    }
}

//! Where what was received goes: standard output, or a file that appears when it is complete.

use std::path::Path;
use std::time::Duration;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::unfinished::Unfinished;
use crate::written::Form;

/// See the top of the file. Dropped before it is complete, the file is gone, and what was there before is there.
pub(crate) struct Destination {
    pub(crate) output: Output,
    /// Until the file has its name.
    unfinished: Option<Unfinished>,
    is_file: bool,
}

impl Destination {
    /// Opens it; whoever reads it may make so long a pause at most.
    pub(crate) fn open(
        file: Option<&Path>,
        limit: Option<Duration>,
        ending: &mut Ending,
    ) -> Result<Destination, Failure> {
        let (output, unfinished) = match file {
            None => (Output::take(), None),
            Some(path) => {
                Unfinished::check(path)?;
                let (unfinished, file) = Unfinished::begin_within(path, limit, ending)?;
                (Output::to(file, path), Some(unfinished))
            }
        };
        Ok(Destination { output: output.within(limit), is_file: unfinished.is_some(), unfinished })
    }

    /// How messages are written there.
    pub(crate) fn form(&self, lines: bool, json: bool) -> Form {
        match (self.is_file, json, lines) {
            (false, ..) => Form::chosen(lines, json),
            (true, true, _) => Form::Json,
            (true, false, true) => Form::Lines,
            (true, false, false) => Form::Raw,
        }
    }

    /// What is written is complete: a file gets its name.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.output.flush()?;
        self.unfinished.take().map_or(Ok(()), Unfinished::finish)
    }
}

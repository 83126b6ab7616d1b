//! Where what was received goes: standard output, or a file that appears when it is complete.

use std::fs::File;
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
    file: Option<Vessel>,
}

/// The file.
struct Vessel {
    /// Until it has its name.
    unfinished: Option<Unfinished>,
    /// The same file once more, for cutting it; not what is no file, or somebody else's as well.
    own: Option<File>,
    /// How it is called in a sentence.
    name: String,
    /// How much of what is in it came whole.
    whole: Whole,
}

#[derive(Clone, Copy, Default)]
struct Whole {
    messages: u64,
    len_bytes: u64,
}

impl Destination {
    /// Opens the file that this option named, or standard output; whoever reads it may make so long a pause at most.
    pub(crate) fn open(
        (option, file): (&str, Option<&Path>),
        limit: Option<Duration>,
        ending: &mut Ending,
    ) -> Result<Destination, Failure> {
        let Some(path) = file else {
            return Ok(Destination { output: Output::take().within(limit), file: None });
        };
        Unfinished::check(option, path)?;
        let (unfinished, file) = Unfinished::begin_within(path, limit, ending)?;
        let name = path.display().to_string();
        let copy = unfinished.is_new().then(|| file.try_clone()).transpose();
        let own = copy.map_err(|error| Failure::Failed(format!("cannot write '{name}': {error}")))?;
        let vessel = Vessel { unfinished: Some(unfinished), own, name, whole: Whole::default() };
        Ok(Destination { output: Output::to(file, path).within(limit), file: Some(vessel) })
    }

    /// How messages are written there.
    pub(crate) fn form(&self, lines: bool, json: bool) -> Form {
        match (&self.file, json, lines) {
            (None, ..) => Form::chosen(lines, json),
            (Some(_), true, _) => Form::Json,
            (Some(_), false, true) => Form::Lines,
            (Some(_), false, false) => Form::Raw,
        }
    }

    /// All that was written until now came whole, one message more than before.
    pub(crate) fn end_message(&mut self) {
        if let Some(Vessel { whole, .. }) = &mut self.file {
            *whole = Whole { messages: whole.messages + 1, len_bytes: self.output.len_bytes() };
        }
    }

    /// What is written is complete: a file gets its name, if it has none yet.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.output.flush()?;
        let unfinished = self.file.as_mut().and_then(|file| file.unfinished.take());
        unfinished.map_or(Ok(()), Unfinished::finish)
    }

    /// Leaves in the file what came whole, if it has its name, or is to have it: `named`. Returns why there is no more, and how many
    /// of these there are.
    pub(crate) fn give_up(&mut self, failure: Failure, named: bool, what: &str) -> Failure {
        match (self.keep_whole(named), &self.file) {
            (Err(worse), _) => worse,
            (Ok(messages @ 1..), Some(file)) => {
                let s = if messages == 1 { "" } else { "s" };
                failure.adding(&format!("what came whole, {messages} {what}{s}, is in '{}'", file.name))
            }
            _ => failure,
        }
    }

    fn keep_whole(&mut self, named: bool) -> Result<u64, Failure> {
        let Some(Vessel { unfinished, own: Some(own), name, whole }) = &self.file else { return Ok(0) };
        if whole.messages == 0 || (unfinished.is_some() && !named) {
            return Ok(0);
        }
        self.output.flush()?;
        own.set_len(whole.len_bytes)
            .map_err(|error| Failure::Failed(format!("cannot cut '{name}' to what came whole: {error}")))?;
        let messages = whole.messages;
        self.finish()?;
        Ok(messages)
    }
}

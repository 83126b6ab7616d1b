//! Named values from the shell: `wharf state set|get|watch`.

mod look;
mod set;

use serde::Serialize;
use wharf::StateWatcher;

use crate::failure::Failure;
use crate::output::Output;
use crate::usage::values::{StateArguments, StateVerb};
use crate::written::{self, Content, Form};

/// Runs the command.
pub(crate) fn run(asked: &StateArguments) -> Result<(), Failure> {
    match &asked.verb {
        StateVerb::Set(asked) => set::run(asked),
        StateVerb::Get(asked) => look::get(asked),
        StateVerb::Watch(asked) => look::watch(asked),
    }
}

#[derive(Serialize)]
struct ShownValue<'a> {
    state: &'a str,
    version: u64,
    #[serde(flatten)]
    content: Content<'a>,
}

/// Writes a value that a watcher has seen.
fn write(output: &mut Output, form: Form, name: &str, version: u64, value: &[u8]) -> Result<(), Failure> {
    written::write(output, form, value, |content| ShownValue { state: name, version, content })?;
    output.flush()
}

/// The version of what the watcher has seen last, and that.
fn seen(watcher: &mut StateWatcher) -> Result<Option<(u64, Vec<u8>)>, Failure> {
    let value = watcher.get()?.cloned();
    Ok(value.map(|value| (watcher.version(), value)))
}

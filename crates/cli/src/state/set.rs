//! `wharf state set`: owns a value.

use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use wharf::{Node, StateOwner};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::output::Output;
use crate::usage::values::StateSetArguments;

#[derive(Serialize)]
struct ShownSet<'a> {
    state: &'a str,
    version: u64,
    bytes: usize,
}

/// Runs the command.
pub(super) fn run(asked: &StateSetArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    if asked.input.lines {
        let input = Input::open(&asked.input, &ending)?;
        return set_lines(asked, input, &mut ending);
    }
    let (first, input) = match &asked.value {
        Some(value) => (value.as_bytes().to_vec(), Some(Input::standard()?)),
        // Standard input has been the value, or says nothing beside a file.
        None => (Input::open(&asked.input, &ending)?.whole(&mut ending)?, None),
    };
    let node = Node::open()?;
    let owner = node.state(&asked.name).owner(&first)?;
    tell(asked, owner.version(), &first, &mut Output::take())?;
    match input {
        // Nobody can end what reads nothing from the start: it is as if there were no standard input.
        Some(input) if !asked.stay && !input.is_nothing() => input.wait_for_end(&mut ending),
        _ => ending.wait(),
    }
}

/// Says that a value is there for others, if that was asked.
fn tell(asked: &StateSetArguments, version: u64, value: &[u8], output: &mut Output) -> Result<(), Failure> {
    if !asked.json {
        return Ok(());
    }
    output.line(&to_json_line(&ShownSet { state: &asked.name, version, bytes: value.len() })?)?;
    output.flush()
}

/// Each line is the next value.
fn set_lines(asked: &StateSetArguments, mut input: Input, ending: &mut Ending) -> Result<(), Failure> {
    let node = Node::open()?;
    let mut owner: Option<StateOwner> = None;
    let mut output = Output::take();
    // Ends with the input or a signal.
    while let Some(line) = input.line(ending)? {
        let line = line.to_vec();
        let version = match &mut owner {
            None => owner.insert(node.state(&asked.name).owner(&line)?).version(),
            Some(owner) => owner.set(&line)?,
        };
        tell(asked, version, &line, &mut output)?;
    }
    if asked.stay { ending.wait() } else { Ok(()) }
}

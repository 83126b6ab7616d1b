//! `wharf state set`: owns a value.

use std::os::unix::ffi::OsStrExt;

use wharf::{Node, StateOwner};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::usage::values::StateSetArguments;

/// Runs the command.
pub(super) fn run(asked: &StateSetArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    if asked.input.lines {
        let input = Input::open(&asked.input)?;
        return set_lines(asked, input, &mut ending);
    }
    let (first, input) = match &asked.value {
        Some(value) => (value.as_bytes().to_vec(), Some(Input::standard()?)),
        // Standard input has been the value, or says nothing beside a file.
        None => (Input::open(&asked.input)?.whole(&mut ending)?, None),
    };
    let node = Node::open()?;
    let _owner = node.state(&asked.name).owner(&first)?;
    match input {
        Some(input) if !asked.stay => input.wait_for_end(&mut ending),
        _ => ending.wait(),
    }
}

/// Each line is the next value.
fn set_lines(asked: &StateSetArguments, mut input: Input, ending: &mut Ending) -> Result<(), Failure> {
    let node = Node::open()?;
    let mut owner: Option<StateOwner> = None;
    // Ends with the input or a signal.
    while let Some(line) = input.line(ending)? {
        let line = line.to_vec();
        match &mut owner {
            None => owner = Some(node.state(&asked.name).owner(&line)?),
            Some(owner) => _ = owner.set(&line)?,
        }
    }
    if asked.stay { ending.wait() } else { Ok(()) }
}

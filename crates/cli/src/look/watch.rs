//! `wharf ls --watch`: who appears and who vanishes.

use serde::Serialize;
use wharf::{Change, Node, Readable};

use super::names::Names;
use super::role;
use super::shown::ShownEndpoint;
use super::words::{carried, process};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
use crate::printable::printable;

#[derive(Serialize)]
struct ShownChange<'a> {
    change: &'static str,
    endpoint: ShownEndpoint<'a>,
}

/// Writes a line for each change, until a signal comes.
pub(super) fn run(names: &Names, json: bool) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let node = Node::open()?;
    let mut watch = node.watch()?;
    let mut output = Output::take();
    // Ends with a signal, or when nobody reads.
    loop {
        while let Some(change) = watch.try_next()? {
            let (sign, word, it) = match &change {
                Change::Appeared(it) => ('+', "appeared", it),
                Change::Vanished(it) => ('-', "vanished", it),
                _ => continue,
            };
            if !names.mean(&it.name) {
                continue;
            }
            if json {
                output.line(&to_json_line(&ShownChange { change: word, endpoint: ShownEndpoint::of(it) })?)?;
            } else {
                let line = format!(
                    "{sign} {:6} {:10} {}  process {}  {}",
                    it.pattern.to_string(),
                    role(it.pattern, it.part),
                    it.name,
                    process(it),
                    carried(it)
                );
                output.line(&printable(&line))?;
            }
        }
        output.flush()?;
        ending.wait_with(&mut Readable(watch.as_fd()))?;
    }
}

//! `wharf state get` and `wharf state watch`: see a value.

use std::time::{Duration, Instant};

use wharf::{Node, Pattern, StateWatcher};

use super::{seen, write};
use crate::absent::absent;
use crate::destination::Destination;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::shell::command;
use crate::units;
use crate::usage::values::{StateGetArguments, StateWatchArguments};

/// Writes the latest value.
pub(super) fn get(asked: &StateGetArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let mut destination = Destination::open(("--file", asked.file.as_deref()), asked.timeout, &mut ending)?;
    let node = Node::open()?;
    let mut watcher = node.state(&asked.name).watcher()?;
    let value = match (seen(&mut watcher)?, asked.timeout) {
        (Some(value), _) => value,
        (None, Some(limit)) => changed(&mut watcher, Some(limit), &asked.name, &mut ending)?,
        (None, None) => {
            let name = &asked.name;
            let owned = command(&["wharf", "state", "set"], name, " VALUE");
            let otherwise = format!("{owned} does, --timeout waits for an owner");
            return Err(Failure::Failed(absent("owns", Pattern::State, name, &otherwise)));
        }
    };
    let form = destination.form(asked.lines, asked.json);
    write(&mut destination.output, form, &asked.name, value.0, &value.1)?;
    destination.finish()
}

/// Writes every value that it sees.
pub(super) fn watch(asked: &StateWatchArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    if asked.count == Some(0) {
        return Ok(());
    }
    let mut destination = Destination::open(("--file", asked.file.as_deref()), asked.timeout, &mut ending)?;
    match write_all(asked, &mut destination, &mut ending) {
        Ok(()) => destination.finish(),
        Err(failure) => {
            let named = matches!(failure, Failure::Timeout(_));
            Err(destination.give_up(failure, named, "value"))
        }
    }
}

fn write_all(asked: &StateWatchArguments, destination: &mut Destination, ending: &mut Ending) -> Result<(), Failure> {
    let node = Node::open()?;
    let mut watcher = node.state(&asked.name).watcher()?;
    let form = destination.form(true, asked.json);
    let mut written = 0;
    // Ends with the count, the time limit, a signal, or when nobody reads.
    while asked.count.is_none_or(|count| written < count) {
        let (version, value) = changed(&mut watcher, asked.timeout, &asked.name, ending)?;
        write(&mut destination.output, form, &asked.name, version, &value)?;
        destination.end_message();
        written += 1;
    }
    Ok(())
}

/// Waits until the value changes, at most so long.
fn changed(
    watcher: &mut StateWatcher,
    limit: Option<Duration>,
    name: &str,
    ending: &mut Ending,
) -> Result<(u64, Vec<u8>), Failure> {
    let began = Instant::now();
    // Ends with a value, the limit, or a signal.
    loop {
        ending.check()?;
        let value = watcher.changed_timeout(Duration::ZERO)?.cloned();
        if let Some(value) = value {
            return Ok((watcher.version(), value));
        }
        let left = limit.map(|limit| limit.saturating_sub(began.elapsed()));
        if let (Some(limit), Some(Duration::ZERO)) = (limit, left) {
            let limit = units::nanos(limit.as_nanos() as f64);
            return Err(Failure::Timeout(format!("timeout: nobody set '{name}' within {limit}")));
        }
        ending.wait_for_any(&mut [watcher], left)?;
    }
}

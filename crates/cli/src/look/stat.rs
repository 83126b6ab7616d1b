//! `wharf stat`: what every end has done since it was opened.

use wharf::{EndpointInfo, Part};

use super::names::{Names, nobody};
use super::shown::ShownEndpoint;
use super::words::{age, carried, process};
use super::{endpoints, role};
use crate::failure::Failure;
use crate::json::to_json;
use crate::output::Output;
use crate::printable::printable;
use crate::units;
use crate::usage::looking::StatArguments;

/// Runs the command.
pub(crate) fn run(asked: &StatArguments) -> Result<(), Failure> {
    let names = Names::new(asked.name.as_deref())?;
    let all = endpoints()?;
    let meant: Vec<&EndpointInfo> = all.iter().filter(|it| names.mean(&it.name)).collect();
    let mut output = Output::take();
    if asked.json {
        let shown: Vec<ShownEndpoint<'_>> = meant.iter().map(|it| ShownEndpoint::with_statistics(it)).collect();
        output.line(&to_json(&shown)?)?;
    } else {
        for line in meant.iter().flat_map(|it| describe(it)) {
            output.line(&printable(&line))?;
        }
    }
    output.flush()?;
    if meant.is_empty() && (!asked.json || asked.name.is_some()) { nobody(&names, &all) } else { Ok(()) }
}

/// An end in three lines.
fn describe(it: &EndpointInfo) -> [String; 3] {
    let done = &it.statistics;
    let head = format!(
        "{} {}: {}, process {}, open {}, {} {}{}",
        it.pattern,
        it.name,
        role(it.pattern, it.part),
        process(it),
        age(it),
        done.peers,
        if done.peers == 1 { "peer" } else { "peers" },
        if it.type_name.is_empty() { String::new() } else { format!(", carries {}", carried(it)) },
    );
    let (verb, messages, bytes) = match it.part {
        Part::Host => ("sent", done.sent_messages, done.sent_bytes),
        Part::Guest => ("received", done.received_messages, done.received_bytes),
    };
    let moved = format!(
        "  {verb} {messages} messages, {} (largest {}); {} waiting (at most {}); blocked {}; slept {} times",
        units::size(bytes),
        units::size(done.largest_bytes),
        done.depth,
        done.deepest,
        if done.blocked.is_zero() { "0 s".to_owned() } else { units::nanos(done.blocked.as_nanos() as f64) },
        done.sleeps,
    );
    let lost = format!(
        "  lost: {} missed by lagging, {} rejected, {} with a peer that died; memory {}",
        done.lost_lagged,
        done.lost_rejected,
        done.lost_died,
        units::size(done.memory_bytes),
    );
    [head, moved, lost]
}

//! `wharf ls`: who is there.

use wharf::EndpointInfo;

use super::names::{Names, nobody};
use super::shown::ShownEndpoint;
use super::words::{age, carried, process};
use super::{endpoints, role, watch};
use crate::failure::Failure;
use crate::json::to_json;
use crate::output::Output;
use crate::printable::printable;
use crate::usage::looking::LsArguments;
use crate::width::{columns, padded};

/// Runs the command.
pub(crate) fn run(asked: &LsArguments) -> Result<(), Failure> {
    let names = Names::new(asked.name.as_deref())?;
    if asked.watch {
        return watch::run(&names, asked.json);
    }
    let all = endpoints()?;
    let meant: Vec<&EndpointInfo> = all.iter().filter(|it| names.mean(&it.name)).collect();
    let mut output = Output::take();
    if asked.json {
        let shown: Vec<ShownEndpoint<'_>> = meant.iter().map(|it| ShownEndpoint::of(it)).collect();
        output.line(&to_json(&shown)?)?;
    } else if !meant.is_empty() {
        table(&mut output, &meant)?;
    }
    output.flush()?;
    // With JSON, an empty list says as much; but a name that nobody has opened is a failure in any form.
    if meant.is_empty() && (!asked.json || asked.name.is_some()) { nobody(&names, &all) } else { Ok(()) }
}

fn table(output: &mut Output, meant: &[&EndpointInfo]) -> Result<(), Failure> {
    let widest = |text: fn(&EndpointInfo) -> String, head: &str| {
        meant.iter().map(|it| columns(&text(it))).max().unwrap_or(0).max(head.len())
    };
    let name = widest(|it| printable(&it.name), "NAME");
    let who = widest(|it| printable(&process(it)), "PROCESS");
    output
        .line(&format!("{:7}  {:10}  {:name$}  {:who$}  {:>8}  TYPE", "PATTERN", "ROLE", "NAME", "PROCESS", "OPEN"))?;
    for it in meant {
        output.line(&format!(
            "{:7}  {:10}  {}  {}  {:>8}  {}",
            it.pattern.to_string(),
            role(it.pattern, it.part),
            padded(&printable(&it.name), name),
            padded(&printable(&process(it)), who),
            age(it),
            printable(carried(it)),
        ))?;
    }
    Ok(())
}

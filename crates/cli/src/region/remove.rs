//! `wharf region rm`: takes a region's name away.

use serde::Serialize;

use super::target::in_our_words;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;

#[derive(Serialize)]
struct ShownRemoval<'a> {
    removed: &'a str,
}

/// Removes it.
pub(crate) fn run(name: &str, json: bool) -> Result<(), Failure> {
    wharf::region::unlink(name).map_err(|error| in_our_words(name, error))?;
    if json {
        let mut output = Output::take();
        output.line(&to_json_line(&ShownRemoval { removed: name })?)?;
        output.flush()?;
    }
    Ok(())
}

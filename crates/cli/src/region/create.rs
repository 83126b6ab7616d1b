//! `wharf region create`: a region of plain bytes.

use serde::Serialize;
use wharf::BytesRegion;

use super::target::in_our_words;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;

#[derive(Serialize)]
struct ShownCreation<'a> {
    region: &'a str,
    bytes: usize,
}

/// Creates the region `name` of `size` bytes.
pub(crate) fn run(name: &str, size: u64, json: bool) -> Result<(), Failure> {
    if size == 0 {
        return Err(Failure::Usage("a region of 0 bytes holds nothing: ask for a --size of 1 or more".into()));
    }
    let bytes = usize::try_from(size)
        .map_err(|_| Failure::Usage(format!("{size} bytes are more than this machine can address")))?;
    // The name keeps the memory when this process has left.
    BytesRegion::create(name, bytes).map_err(|error| in_our_words(name, error))?;
    if json {
        let mut output = Output::take();
        output.line(&to_json_line(&ShownCreation { region: name, bytes })?)?;
        output.flush()?;
    }
    Ok(())
}

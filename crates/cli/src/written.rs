//! A message as it is written: its bytes, a line, a line fit for a terminal, or JSON.

use std::io::{self, IsTerminal};

use serde::Serialize;

use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
use crate::printable::printable;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Their bytes, one after the other.
    Raw,
    /// Their bytes, and a line end after each.
    Lines,
    /// A line for each, in which nothing speaks to a terminal.
    Shown,
    /// An object a line.
    Json,
}

impl Form {
    /// What was asked for; on a terminal, what can be read there.
    pub(crate) fn chosen(lines: bool, json: bool) -> Form {
        match (json, lines, io::stdout().is_terminal()) {
            (true, ..) => Form::Json,
            (_, _, true) => Form::Shown,
            (_, true, false) => Form::Lines,
            (_, false, false) => Form::Raw,
        }
    }
}

/// Bytes in JSON: as text where they are, else in hexadecimal digits.
#[derive(Serialize, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Content<'a> {
    Text(&'a str),
    Hex(String),
}

impl Content<'_> {
    pub(crate) fn of(bytes: &[u8]) -> Content<'_> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Content::Text(text),
            Err(_) => Content::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

/// Writes a message; `object` makes what stands in for it in JSON.
pub(crate) fn write<'a, O: Serialize>(
    output: &mut Output,
    form: Form,
    bytes: &'a [u8],
    object: impl FnOnce(Content<'a>) -> O,
) -> Result<(), Failure> {
    match form {
        Form::Raw => output.bytes(bytes),
        Form::Lines => output.bytes(bytes).and_then(|()| output.bytes(b"\n")),
        // The line's own end stands for one that the message brings, as what 'echo' writes does.
        Form::Shown => output.line(&printable(&String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(bytes)))),
        Form::Json => output.line(&to_json_line(&object(Content::of(bytes)))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_they_can_be() {
        assert_eq!(Content::of("é".as_bytes()), Content::Text("é"));
        assert_eq!(Content::of(&[0xff, 0x0a]), Content::Hex("ff0a".into()));
    }
}

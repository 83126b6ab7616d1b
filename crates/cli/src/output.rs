//! Standard output as a command needs it: buffered, and calm when nobody reads.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use crate::failure::Failure;

/// Standard output for the rest of the command.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
}

impl Output {
    /// Takes standard output.
    pub(crate) fn take() -> Output {
        Output { out: BufWriter::new(io::stdout()) }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::output)
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Hands everything to the reader now.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::output)
    }
}

/// Text from somebody else as one line that says nothing to a terminal: control characters are written as escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character) {
            plain.push(character);
        } else {
            plain.extend(character.escape_debug());
        }
    }
    plain
}

/// Whether a character is one to read: no control character, and none that changes the order of others.
pub(crate) fn is_plain(character: char) -> bool {
    matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1
}

/// Whether standard output may carry colour: a terminal, and nobody asked for none.
pub(crate) fn may_colour() -> bool {
    let refused = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !refused("NO_COLOR") && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_to_a_terminal_is_escaped() {
        assert_eq!(printable("a\x1b[31m\nb\u{202e}"), "a\\u{1b}[31m\\nb\\u{202e}");
        let plain = r#"it's "that" – é \ 5 µs"#;
        assert_eq!(printable(plain), plain);
    }
}

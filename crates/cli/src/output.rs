//! Standard output as a command needs it: buffered, and calm when nobody reads.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use crate::failure::Failure;

/// Standard output for the rest of the command, or a file in its place.
pub(crate) struct Output {
    out: BufWriter<Box<dyn Write + Send>>,
    /// How the file is called in a sentence.
    file: Option<String>,
}

impl Output {
    /// Takes standard output.
    pub(crate) fn take() -> Output {
        // The library's own looks for line ends in all that passes; it serves where there is no descriptor left.
        let out: Box<dyn Write + Send> = match io::stdout().as_fd().try_clone_to_owned() {
            Ok(copy) => Box::new(File::from(copy)),
            Err(_) => Box::new(io::stdout()),
        };
        Output { out: BufWriter::new(out), file: None }
    }

    /// Takes a file.
    pub(crate) fn to(file: File, path: &Path) -> Output {
        Output { out: BufWriter::new(Box::new(file)), file: Some(path.display().to_string()) }
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| failed(self.file.as_deref(), error))
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Hands everything to the reader now.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| failed(self.file.as_deref(), error))
    }
}

fn failed(file: Option<&str>, error: io::Error) -> Failure {
    match file {
        None => Failure::output(error),
        Some(path) => Failure::Failed(format!("cannot write '{path}': {error}")),
    }
}

/// Whether standard output may carry colour: a terminal, and nobody asked for none.
pub(crate) fn may_colour() -> bool {
    let refused = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !refused("NO_COLOR") && !dumb
}

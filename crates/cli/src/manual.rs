//! Completions and manual pages, made of the grammar itself.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::failure::Failure;
use crate::output::Output;
use crate::usage::Arguments;
use crate::usage::manual::{CompletionsArguments, ManArguments};

/// `wharf completions`.
pub(crate) fn run_completions(asked: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(asked.shell, &mut visible(&Arguments::command()), "wharf", &mut script);
    write(&script)
}

/// The command without what is not for users.
fn visible(whole: &Command) -> Command {
    let shown = whole.get_subcommands().filter(|it| !it.is_hide_set()).cloned();
    Command::new("wharf").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true).subcommands(shown)
}

/// `wharf man`.
pub(crate) fn run_man(asked: &ManArguments) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    match &asked.all {
        None => write(&page(&command).map_err(Failure::output)?),
        Some(directory) => write_all(&command, directory)
            .map_err(|error| Failure::Failed(format!("cannot write into '{}': {error}", directory.display()))),
    }
}

/// The page of a command and of every command below it that is shown.
fn write_all(command: &Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    // Ends: the grammar is a tree.
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| write_all(it, directory))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = Output::take();
    output.bytes(bytes)?;
    output.flush()
}

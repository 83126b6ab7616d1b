//! What `wharf completions` and `wharf man` can be asked.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// What `wharf completions` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 written; 1 failed; 2 no such shell is known.\n\n\
    Examples:\n\
    \x20 wharf completions bash > ~/.local/share/bash-completion/completions/wharf\n\
    \x20 wharf completions zsh > \"${fpath[1]}/_wharf\"\n\
    \x20 wharf completions fish > ~/.config/fish/completions/wharf.fish")]
pub(crate) struct CompletionsArguments {
    /// For this shell.
    pub(crate) shell: Shell,
}

/// What `wharf man` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 written; 1 failed, such as when there is no such directory.\n\n\
    Examples:\n\
    \x20 wharf man > wharf.1\n\
    \x20 wharf man --all ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Write the page of every command into this directory, instead of the first one to standard output.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) all: Option<PathBuf>,
}

//! What `wharf lesson` can be asked.

use std::path::PathBuf;

use clap::Args;

/// What `wharf lesson` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Each row is a sentence that textbooks say of shared memory and message passing, and a measurement with real \
    processes that shows whether it holds here. docs/lesson.md describes the rows and the JSON.\n\n\
    Exit codes: 0 every row that was asked for was measured; 1 one was not, and the row says why.\n\n\
    Examples:\n\
    \x20 wharf lesson\n\
    \x20 wharf lesson --list\n\
    \x20 wharf lesson --row lost-updates --row isolation\n\
    \x20 wharf lesson --html lesson.html"
)]
pub(crate) struct LessonArguments {
    /// Only this row. Repeatable.
    #[arg(long = "row", value_name = "NAME")]
    pub(crate) rows: Vec<String>,
    /// List the rows and what they claim; measure nothing.
    #[arg(long, conflicts_with_all = ["rows", "html"])]
    pub(crate) list: bool,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page for a browser too, with pictures, complete in itself.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What another process of a lesson is told at its start.
#[derive(Args, Debug)]
pub(crate) struct LessonPlayerArguments {
    /// The private directory of this lesson.
    #[arg(long)]
    pub(crate) place: PathBuf,
}

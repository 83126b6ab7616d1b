//! Runs contenders side by side: `wharf-bench [FILTER…] [--json] [--seconds N] [--seek N] [--check]`.

use std::process::ExitCode;
use wharf_bench::command;
use wharf_bench::roster::Roster;

fn main() -> ExitCode {
    command::main("wharf-bench", &Roster::own())
}

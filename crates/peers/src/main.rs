//! Wharf and other libraries side by side: `wharf-peers [FILTER…] [--json] [--seconds N] [--seek N] [--check]`.

use std::process::ExitCode;
use wharf_bench::command;
use wharf_peers::{iceoryx, roster};

fn main() -> ExitCode {
    iceoryx::be_quiet();
    command::main("wharf-peers", &roster::roster())
}

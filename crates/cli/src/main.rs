//! The wharf command: compare, send, recv and region from the shell.

#![forbid(unsafe_code)]

mod compare;
mod failure;
mod identity;
mod meeting;
mod network;
mod output;
mod recv;
mod region;
mod send;
mod units;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use usage::{Arguments, Verb};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::explain(&error),
    };
    let done = match arguments.verb {
        Verb::Compare(asked) => compare::run(&asked),
        Verb::Send(asked) => send::run(&asked),
        Verb::Recv(asked) => recv::run(&asked),
        Verb::Region(asked) => region::run(&asked),
        Verb::ComparePeer(asked) => compare::run_peer(&asked),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

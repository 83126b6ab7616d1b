//! The wharf command: both models, and everything that the library does, from the shell.

#![forbid(unsafe_code)]

mod absent;
mod attend;
mod backlog;
mod chat;
mod children;
mod compare;
mod destination;
mod ending;
mod event;
mod failure;
mod group;
mod guard;
mod identity;
mod input;
mod json;
mod keys;
mod late;
mod lesson;
mod look;
mod manual;
mod meeting;
mod network;
mod output;
mod pace;
mod patience;
mod peers;
mod place;
mod printable;
mod program;
mod queue;
mod recv;
mod refusals;
mod region;
mod send;
mod service;
mod shell;
mod state;
mod stream;
mod target;
mod terminal;
mod top;
mod topic;
mod unfinished;
mod units;
mod usage;
mod width;
mod written;

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
        Verb::Lesson(asked) => lesson::run(&asked),
        Verb::Send(asked) => send::run(&asked),
        Verb::Recv(asked) => recv::run(&asked),
        Verb::Pub(asked) => topic::run_pub(&asked),
        Verb::Sub(asked) => topic::run_sub(&asked),
        Verb::Call(asked) => service::run_call(&asked),
        Verb::Serve(asked) => service::run_serve(&asked),
        Verb::Push(asked) => queue::run_push(&asked),
        Verb::Pull(asked) => queue::run_pull(&asked),
        Verb::State(asked) => state::run(&asked),
        Verb::Event(asked) => event::run(&asked),
        Verb::Ls(asked) => look::run_ls(&asked),
        Verb::Stat(asked) => look::run_stat(&asked),
        Verb::Top(asked) => top::run(&asked),
        Verb::Chat(asked) => chat::run(&asked),
        Verb::Completions(asked) => manual::run_completions(&asked),
        Verb::Man(asked) => manual::run_man(&asked),
        Verb::Region(asked) => region::run(&asked),
        Verb::ComparePeer(asked) => compare::run_peer(&asked),
        Verb::LessonPlayer(asked) => lesson::run_player(&asked),
        Verb::CommandGuard => guard::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

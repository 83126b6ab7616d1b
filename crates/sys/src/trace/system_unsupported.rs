//! The same calls on an architecture whose registers this module does not know: every one refuses.

use std::io;
use std::process::{Command, ExitStatus};

pub(super) type Tid = i32;

pub(super) enum Report {
    SystemCall,
    Trap,
    Clone,
    Exec,
    Signal(i32),
    Ended(ExitStatus),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    Free,
    ToSystemCall,
    OneInstruction,
}

pub(super) enum Side {
    Entry { number: u64, arguments: [u64; 6] },
    Exit,
    None,
}

pub(super) struct CallRegisters {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) second: u64,
}

pub(super) fn prepare(_: &mut Command) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn set_options(_: Tid) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn resume(_: Tid, _: Resume, _: i32) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn side(_: Tid) -> io::Result<Side> {
    Err(unsupported())
}

pub(super) fn call_registers(_: Tid) -> io::Result<CallRegisters> {
    Err(unsupported())
}

pub(super) fn instruction_pointer(_: Tid) -> io::Result<u64> {
    Err(unsupported())
}

pub(super) fn set_breakpoint(_: Tid, _: Option<u64>) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn skip_call(_: Tid) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn set_result(_: Tid, _: i32) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn wait(_: Tid) -> io::Result<(Tid, Report)> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "tracing a program is written for x86-64 only: run this on an x86-64 machine",
    )
}

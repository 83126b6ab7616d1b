//! A span of a program between two marks, one instruction at a time.

use std::io;
use std::process::ExitStatus;

use super::system;
use super::tracee::{Stop, Tracee, is_mark};

/// How a walk from one mark towards another came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// The program stands after the instructions that were asked for.
    Inside,
    /// The program stands before the closing mark; the span has `instructions` instructions.
    Closed {
        /// Instructions from the opening mark to the closing one.
        instructions: u64,
    },
    /// The program ended on the way, after `instructions` instructions.
    Ended {
        /// Instructions since the opening mark.
        instructions: u64,
        /// How it ended.
        status: ExitStatus,
    },
}

impl Tracee {
    /// Runs to mark `from`, then `instructions` single instructions, but not past mark `until`.
    ///
    /// A system call counts as one instruction, and each round of a repeated string instruction as
    /// one. A call that blocks is waited for, within the limit of the tracee. Pass `u64::MAX` to
    /// learn how long the span is.
    pub fn step(&mut self, from: u64, until: u64, instructions: u64) -> io::Result<Stepped> {
        let tid = match self.advance_to_mark(from)? {
            Ok(tid) => tid,
            Err(status) => {
                return Ok(Stepped::Ended { instructions: 0, status });
            }
        };
        for taken in 0..instructions {
            let call = system::call_registers(tid)?;
            if is_mark(call.number, call.first) && call.second == until {
                return Ok(Stepped::Closed { instructions: taken });
            }
            self.go_one_instruction(tid)?;
            // Ends: the watchdog ends the program at its limit.
            while !self.stands(tid) {
                if let Stop::Ended(status) = self.next_stop()? {
                    return Ok(Stepped::Ended { instructions: taken, status });
                }
            }
        }
        Ok(Stepped::Inside)
    }
}

//! A span of a program between two marks, one instruction at a time.

use std::collections::BTreeSet;
use std::io;
use std::process::ExitStatus;

use super::system::{self, Resume, Tid};
use super::tracee::{Stop, Tracee, is_mark};

/// How a walk from one mark towards another came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// The program stands after the instructions that were asked for.
    Inside,
    /// The program stands at the closing mark; the span has `instructions` instructions.
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

/// The instructions of a span, as one run of the program went through them.
///
/// With it [`Tracee::step_along`] gets to any of them without stopping at every one before.
#[derive(Clone, Debug)]
pub struct Path {
    /// Where each instruction lies, counted from the first: that stays when the program is loaded elsewhere.
    places: Vec<u64>,
    /// For each instruction the last one up to it at which a breakpoint stops at the right time.
    landings: Vec<usize>,
}

impl Path {
    fn new(places: Vec<u64>) -> Path {
        let (mut seen, mut landings, mut last) = (BTreeSet::new(), Vec::new(), 0);
        for (at, &place) in places.iter().enumerate() {
            // The second visit to a place is not told from the first, and what lies far away belongs to another
            // file, which is loaded at another distance each time.
            if seen.insert(place) && place.cast_signed().unsigned_abs() < SAME_FILE {
                last = at;
            }
            landings.push(last);
        }
        Path { places, landings }
    }

    /// How many instructions the span had.
    pub fn instructions(&self) -> u64 {
        self.places.len() as u64
    }
}

/// Places this near to the mark are in the same file; files are mapped farther from each other.
const SAME_FILE: u64 = 1 << 27;

/// What ends a walk before its time.
enum Early {
    Mark,
    End(ExitStatus),
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
            Err(status) => return Ok(Stepped::Ended { instructions: 0, status }),
        };
        self.walk(tid, until, 0, instructions)
    }

    /// Runs to mark `from`, then to mark `until` by single instructions, and notes each; `None` when the program
    /// ended on the way.
    pub fn path(&mut self, from: u64, until: u64) -> io::Result<Option<Path>> {
        let Ok(tid) = self.advance_to_mark(from)? else { return Ok(None) };
        let start = system::instruction_pointer(tid)?;
        let mut places = Vec::new();
        // Ends: the watchdog ends the program at its limit.
        loop {
            let place = system::instruction_pointer(tid)?.wrapping_sub(start);
            match self.one_instruction(tid, until)? {
                None => places.push(place),
                Some(Early::Mark) => return Ok(Some(Path::new(places))),
                Some(Early::End(_)) => return Ok(None),
            }
        }
    }

    /// Like [`Tracee::step`], but runs at full speed to the last instruction on the way that `path` passes for the
    /// first time, and steps only from there.
    ///
    /// A run that leaves the path comes to the closing mark.
    pub fn step_along(&mut self, path: &Path, from: u64, until: u64, instructions: u64) -> io::Result<Stepped> {
        let tid = match self.advance_to_mark(from)? {
            Ok(tid) => tid,
            Err(status) => return Ok(Stepped::Ended { instructions: 0, status }),
        };
        let landing = usize::try_from(instructions).ok().and_then(|at| path.landings.get(at));
        let landing = landing.or(path.landings.last()).copied().unwrap_or(0);
        let place = path.places.get(landing).copied().unwrap_or(0);
        if landing > 0 {
            let address = system::instruction_pointer(tid)?.wrapping_add(place);
            match self.run_to(tid, address, until)? {
                None => {}
                Some(Early::Mark) => return Ok(Stepped::Closed { instructions: path.instructions() }),
                Some(Early::End(status)) => return Ok(Stepped::Ended { instructions: 0, status }),
            }
        }
        self.walk(tid, until, landing as u64, instructions)
    }

    /// Steps on, from where a step ended inside a span, to mark `until`; says how many instructions that took.
    pub fn rest(&mut self, until: u64) -> io::Result<Stepped> {
        match self.marking() {
            Some(tid) => self.walk(tid, until, 0, u64::MAX),
            None => Err(io::Error::other("no thread of the program stands inside a span: call step first")),
        }
    }

    /// Steps from instruction number `taken` of the span to number `instructions`.
    fn walk(&mut self, tid: Tid, until: u64, taken: u64, instructions: u64) -> io::Result<Stepped> {
        for instructions in taken..instructions {
            match self.one_instruction(tid, until)? {
                None => {}
                Some(Early::Mark) => return Ok(Stepped::Closed { instructions }),
                Some(Early::End(status)) => return Ok(Stepped::Ended { instructions, status }),
            }
        }
        Ok(Stepped::Inside)
    }

    /// Runs one instruction, unless it would be mark `until`.
    fn one_instruction(&mut self, tid: Tid, until: u64) -> io::Result<Option<Early>> {
        let call = system::call_registers(tid)?;
        if is_mark(call.number, call.first) && call.second == until {
            return Ok(Some(Early::Mark));
        }
        self.go_one_instruction(tid)?;
        // Ends: the watchdog ends the program at its limit.
        while !self.stands(tid) {
            if let Stop::Ended(status) = self.next_stop()? {
                return Ok(Some(Early::End(status)));
            }
        }
        Ok(None)
    }

    /// Runs until the instruction at `address` is next, or to mark `until`.
    fn run_to(&mut self, tid: Tid, address: u64, until: u64) -> io::Result<Option<Early>> {
        system::set_breakpoint(tid, Some(address))?;
        // Ends: the watchdog ends the program at its limit.
        loop {
            self.go(Resume::ToSystemCall)?;
            match self.next_stop()? {
                Stop::Ended(status) => return Ok(Some(Early::End(status))),
                Stop::Entry { tid: at, number, arguments: [option, phase, ..] }
                    if at == tid && is_mark(number, option) && phase == until =>
                {
                    return Ok(Some(Early::Mark));
                }
                Stop::Other if self.stands(tid) && system::instruction_pointer(tid)? == address => break,
                Stop::Entry { .. } | Stop::Exit { .. } | Stop::Other => {}
            }
        }
        system::set_breakpoint(tid, None)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn landings_are_first_visits_in_the_same_file() {
        let far = 1 << 40;
        let path = Path::new(vec![0, 4, 8, 4, 8, far, far + 3, 12, u64::MAX - 15]);
        assert_eq!(path.landings, [0, 1, 2, 2, 2, 2, 2, 7, 8]);
        assert_eq!(path.instructions(), 9);
    }
}

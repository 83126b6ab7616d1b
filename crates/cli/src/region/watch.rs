//! `wharf region watch`: looks again and again, and tells what has changed.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use wharf::region::RegionInfo;

use super::changes::{self, Told};
use super::inspect::describe;
use super::shown::Shown;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
use crate::printable::printable;
use crate::units;
use crate::usage::WatchArguments;

/// The shortest time between two looks: looking costs the machine something, if not those who are watched.
const SHORTEST: Duration = Duration::from_millis(10);

/// To the first corner, and nothing left of what was there.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Looks until it is told to end.
pub(crate) fn run(asked: &WatchArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let mut watch =
        Watch { output: Output::take(), draws: io::stdout().is_terminal(), told: None, began: Instant::now() };
    let mut looks = 0_u64;
    // Bound: the count, or a signal, or an error.
    while asked.count.is_none_or(|count| looks < count) {
        if looks > 0 {
            // Whatever was written is whole.
            ending.pause(asked.interval.max(SHORTEST))?;
        }
        let info = asked.target.inspect()?;
        looks += 1;
        if asked.json {
            watch.write_json(&info)?;
        } else if watch.draws {
            watch.draw(&info, asked.interval)?;
        } else {
            watch.write_changes(&info)?;
        }
    }
    Ok(())
}

struct Watch {
    output: Output,
    draws: bool,
    told: Option<Told>,
    began: Instant,
}

impl Watch {
    fn draw(&mut self, info: &RegionInfo, interval: Duration) -> Result<(), Failure> {
        let mut picture = String::from(CLEAR);
        for line in describe(info) {
            picture.push_str(&printable(&line));
            picture.push('\n');
        }
        let every = units::nanos(interval.as_nanos() as f64);
        picture.push_str(&format!("\nevery {every}; Ctrl-C ends\n"));
        self.output.bytes(picture.as_bytes())?;
        self.output.flush()
    }

    fn write_changes(&mut self, info: &RegionInfo) -> Result<(), Failure> {
        let now = Told::of(info);
        let lines = match &self.told {
            None => now.first_lines(info),
            Some(before) => changes::between(before, &now),
        };
        let at = self.began.elapsed().as_secs_f64();
        for line in lines {
            self.output.line(&printable(&format!("{at:.1} s: {line}")))?;
        }
        self.told = Some(now);
        self.output.flush()
    }

    fn write_json(&mut self, info: &RegionInfo) -> Result<(), Failure> {
        let now = Told::of(info);
        if self.told.as_ref() != Some(&now) {
            self.output.line(&to_json_line(&Shown::new(info))?)?;
            self.output.flush()?;
            self.told = Some(now);
        }
        Ok(())
    }
}

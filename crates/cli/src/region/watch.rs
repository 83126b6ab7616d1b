//! `wharf region watch`: looks again and again, and tells what has changed.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use wharf::region::RegionInfo;

use super::changes::{self, Told};
use super::inspect::describe;
use super::shown::Shown;
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
    let signals = signals().map_err(|error| Failure::Failed(format!("cannot watch for Ctrl-C: {error}")))?;
    let mut watch =
        Watch { output: Output::take(), draws: io::stdout().is_terminal(), told: None, began: Instant::now() };
    let mut looks = 0_u64;
    // Bound: the count, or a signal, or an error.
    while asked.count.is_none_or(|count| looks < count) {
        if looks > 0
            && let Some(signal) = next_signal(&signals, asked.interval.max(SHORTEST))
        {
            // Whatever was written is whole. As the signal would have it, so that a script around us ends, too.
            return emulate_default_handler(signal)
                .map_err(|error| Failure::Failed(format!("cannot end by signal {signal}: {error}")));
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

/// Signals that end the command, as they come. From now on they end it nowhere else.
fn signals() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (tell, told) = channel();
    thread::spawn(move || {
        for signal in signals.forever() {
            if tell.send(signal).is_err() {
                return;
            }
        }
    });
    Ok(told)
}

fn next_signal(signals: &Receiver<i32>, within: Duration) -> Option<i32> {
    match signals.recv_timeout(within) {
        Ok(signal) => Some(signal),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            // The thread that listens never ends by itself; without it, time still passes between two looks.
            thread::sleep(within);
            None
        }
    }
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

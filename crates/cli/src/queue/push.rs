//! `wharf push`: work for whoever pulls.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Pusher, Queue, SendError};

use super::standstill::Standstill;
use crate::backlog::{Backlog, TookTooLong};
use crate::ending::{Ending, SLICE};
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::meeting::announce_address;
use crate::output::Output;
use crate::pace::Pace;
use crate::peers;
use crate::place::Place;
use crate::refusals::Refusals;
use crate::units;
use crate::usage::queues::PushArguments;
use crate::written::Content;

/// How long what was pushed is looked after between two looks for the next line.
const TURN: Duration = Duration::from_millis(10);

/// Lines that are read ahead, unless they are so large that fewer fill the backlog.
const AHEAD: usize = 64;

/// What came of it.
#[derive(Serialize)]
struct ShownEnd<'a> {
    queue: &'a str,
    items: u64,
    bytes: u64,
    acknowledged: u64,
    dead: u64,
}

#[derive(Serialize)]
struct ShownDead<'a> {
    queue: &'a str,
    dead_after_deliveries: u32,
    #[serde(flatten)]
    content: Content<'a>,
}

/// Runs the command.
pub(crate) fn run(asked: &PushArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    // The item comes first: nobody should be called before there is something to do.
    let item = match &asked.item {
        Some(item) => Some(item.as_bytes().to_vec()),
        None if asked.input.lines => None,
        None => Some(Input::open(&asked.input, &ending)?.whole(&mut ending)?),
    };
    let lines = match &item {
        Some(_) => None,
        None => Some(read_ahead(Input::open(&asked.input, &ending)?)?),
    };
    let place = Place::<Queue>::of(&asked.queue, &asked.network, true, None)?;
    let mut queue = place.meant.most_deliveries(u32::try_from(asked.deliveries).unwrap_or(u32::MAX));
    if let Some(limit) = asked.acknowledge_within {
        queue = queue.acknowledge_within(limit);
    }
    let mut pusher = queue.pusher()?;
    if let (Some(at), Some(address)) = (&place.address, pusher.address()) {
        announce_address(address, at, place.made, asked.verbose);
    }
    let mut refusals = Refusals::new(asked.verbose);
    if asked.wait_for_peer {
        let whom = format!("pulls from '{}'", asked.queue);
        let mut pullers = || {
            refusals.tell(&pusher);
            pusher.pullers()
        };
        peers::wait_for(&mut pullers, asked.timeout, &whom, &mut ending)?;
    }
    let mut desk = Desk {
        pusher,
        asked,
        output: Output::take(),
        refusals,
        items: 0,
        bytes: 0,
        dead: 0,
        unsettled: 0,
        moved: Instant::now(),
        standstill: Standstill::new(&asked.queue, asked.acknowledge_within.is_none()),
    };
    let mut pace = Pace::new(asked.rate);
    let count = asked.count.unwrap_or(if item.is_some() { 1 } else { u64::MAX });
    let mut push_all = || {
        // Ends with the count or the input.
        while desk.items < count {
            let next = match (&item, &lines) {
                (Some(item), _) => Some(item.clone()),
                (None, Some(lines)) => desk.next_line(lines, &ending)?,
                (None, None) => None,
            };
            let Some(next) = next else { break };
            pace.wait(&mut ending)?;
            desk.push(&next, &ending)?;
        }
        Ok(())
    };
    let pushed = push_all();
    let outcome = match pushed {
        Ok(()) => desk.finish(&ending),
        // Whatever is wrong with the next one, those before it are looked after to their end.
        Err(Failure::Failed(why)) => match desk.finish(&ending) {
            Ok(()) => Err(Failure::Failed(why)),
            Err(Failure::Failed(more)) => Err(Failure::Failed(why).adding(&more)),
            Err(other) => Err(other),
        },
        Err(failure) => Err(failure),
    };
    desk.refusals.tell_the_rest(&desk.pusher);
    outcome
}

/// Lines as they come, or why none come any more; closed at the end of the input.
type Lines = Arc<Backlog<Result<Vec<u8>, Failure>>>;

/// Reads lines in a thread of its own: meanwhile what was pushed must be looked after.
fn read_ahead(mut input: Input) -> Result<Lines, Failure> {
    let mut ending = Ending::watch()?;
    let lines = Lines::new(Backlog::new(AHEAD));
    let taken = Arc::clone(&lines);
    thread::spawn(move || {
        // Ends with the input, or with the command.
        loop {
            let line = match input.line(&mut ending) {
                Ok(Some(line)) => Ok(line.to_vec()),
                Ok(None) => break,
                Err(failure) => Err(failure),
            };
            let (over, bytes) = (line.is_err(), line.as_ref().map_or(0, Vec::len));
            // Ends with room: whoever takes no more lines ends the command.
            while !lines.wait_for_room(SLICE) {}
            lines.push(line, bytes);
            if over {
                break;
            }
        }
        lines.close(false);
    });
    Ok(taken)
}

struct Desk<'a> {
    pusher: Pusher,
    asked: &'a PushArguments,
    output: Output,
    refusals: Refusals,
    items: u64,
    bytes: u64,
    dead: u64,
    /// What was not settled at the last look, and since when that has not changed.
    unsettled: usize,
    moved: Instant,
    standstill: Standstill<'a>,
}

impl Desk<'_> {
    fn next_line(&mut self, lines: &Lines, ending: &Ending) -> Result<Option<Vec<u8>>, Failure> {
        // Ends with a line, the input, or a signal.
        loop {
            ending.check()?;
            let line = match self.look_after(Duration::ZERO)? {
                true => lines.next_within(SLICE),
                false => {
                    let line = lines.next_within(Duration::ZERO);
                    if line.is_err() {
                        self.look_after(TURN)?;
                    }
                    line
                }
            };
            match line {
                Ok(Some(line)) => {
                    lines.done();
                    return line.map(Some);
                }
                Ok(None) => return Ok(None),
                Err(TookTooLong) => {}
            }
        }
    }

    /// Pushes an item, in tries that are short enough for Ctrl-C.
    fn push(&mut self, item: &[u8], ending: &Ending) -> Result<(), Failure> {
        self.note_progress();
        // Ends with room, the time limit, or a signal.
        loop {
            ending.check()?;
            match self.pusher.push_timeout(item, SLICE).map(drop) {
                Ok(()) => break,
                Err(SendError::Timeout | SendError::Full) => {
                    self.refusals.tell(&self.pusher);
                    // What was given up takes up room until it is taken.
                    self.take_dead()?;
                    self.check_limit()?;
                }
                Err(error) => {
                    let (number, why) = (self.items + 1, Failure::from(error).to_string());
                    return Err(Failure::Failed(format!("cannot push item {number}, nor those behind it: {why}")));
                }
            }
        }
        self.items += 1;
        self.bytes += item.len() as u64;
        Ok(())
    }

    /// Waits until everything is settled, and says what came of it.
    fn finish(&mut self, ending: &Ending) -> Result<(), Failure> {
        self.moved = Instant::now();
        let mut outcome = Ok(());
        // Ends when all is settled, with the time limit, or a signal.
        while outcome.is_ok() && !self.look_after(SLICE)? {
            outcome = ending.check().and_then(|()| self.check_limit());
        }
        if self.asked.json {
            let settled = self.items - self.pusher.unsettled() as u64;
            let end = ShownEnd {
                queue: self.asked.queue.as_str(),
                items: self.items,
                bytes: self.bytes,
                acknowledged: settled.saturating_sub(self.dead),
                dead: self.dead,
            };
            self.output.line(&to_json_line(&end)?)?;
            self.output.flush()?;
        }
        outcome?;
        match self.dead {
            0 => Ok(()),
            dead => Err(Failure::Failed(format!(
                "{dead} of {} items were given back {} times, and are dropped: whoever pulls them fails",
                self.items, self.asked.deliveries
            ))),
        }
    }

    /// Takes in what pullers say, for so long; whether everything is settled.
    fn look_after(&mut self, limit: Duration) -> Result<bool, Failure> {
        let settled = match self.pusher.flush(limit) {
            Ok(()) => true,
            Err(SendError::NotSettled) => false,
            Err(error) => return Err(error.into()),
        };
        self.refusals.tell(&self.pusher);
        self.note_progress();
        self.take_dead()?;
        Ok(settled)
    }

    /// Takes out the items that were given up, and counts them.
    fn take_dead(&mut self) -> Result<(), Failure> {
        // Not more than there are items.
        while let Some(dead) = self.pusher.dead_letter()? {
            self.dead += 1;
            if self.asked.json {
                let shown = ShownDead {
                    queue: self.asked.queue.as_str(),
                    dead_after_deliveries: dead.deliveries,
                    content: Content::of(&dead.bytes),
                };
                self.output.line(&to_json_line(&shown)?)?;
            }
        }
        Ok(())
    }

    fn note_progress(&mut self) {
        let unsettled = self.pusher.unsettled();
        if unsettled != self.unsettled {
            (self.unsettled, self.moved) = (unsettled, Instant::now());
        }
        self.standstill.look(&mut self.pusher, self.items);
    }

    fn check_limit(&mut self) -> Result<(), Failure> {
        self.note_progress();
        let Some(limit) = self.asked.timeout.filter(|limit| self.moved.elapsed() >= *limit) else { return Ok(()) };
        let limit = units::nanos(limit.as_nanos() as f64);
        Err(Failure::Timeout(format!(
            "timeout: none of {} items was acknowledged within {limit}, and {} were before",
            self.unsettled,
            self.items.saturating_sub(self.unsettled as u64 + self.dead)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backlog::MOST_BYTES;
    use crate::usage::topics::InputArguments;

    #[test]
    fn long_lines_are_read_ahead_as_far_as_the_memory_for_them_goes() {
        const LINE: usize = 8 << 20;
        const LINES: usize = 2 * MOST_BYTES / LINE;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("{}\n", "x".repeat(LINE)).repeat(LINES)).expect("room");
        let ending = Ending::watch().expect("signals");
        let asked = InputArguments { lines: true, file: Some(file.path().to_owned()) };
        let lines = read_ahead(Input::open(&asked, &ending).expect("a file")).expect("a thread");
        // They are fewer than AHEAD, so it is their bytes that leave no room; then they come, all of them.
        const { assert!(LINES < AHEAD) };
        let began = Instant::now();
        while lines.wait_for_room(Duration::ZERO) {
            assert!(began.elapsed() < Duration::from_secs(120), "all of them were read ahead");
            thread::sleep(Duration::from_millis(1));
        }
        let mut taken = 0;
        while let Some(line) = lines.next() {
            assert_eq!(line.expect("a line").len(), LINE);
            lines.done();
            taken += 1;
        }
        assert_eq!(taken, LINES);
    }
}

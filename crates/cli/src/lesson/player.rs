//! The other side of [`Player`](super::cast::Player): carries out orders, one a line, and answers each with a line.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wharf::{
    BytesRegion, Domain, Latest, Link, Mutex, Node, NodeOptions, Options, RecvError, Region, RegionOptions, Subscriber,
    Wait,
};

use wharf_sys::cpu::spinning_pays;

use super::footprint::Footprint;
use super::rows::marshaling::{Track, WrittenTrack};
use crate::compare::peer::stay_on;
use crate::compare::place::enter;
use crate::compare::trouble::Trouble;
use crate::failure::Failure;
use crate::usage::lesson::LessonPlayerArguments;

/// How long two sides may take to meet.
const MEETING: Duration = Duration::from_secs(5);

/// A subscriber that hears nothing for so long has heard everything.
const SILENCE: Duration = Duration::from_millis(300);

/// Runs one player, until there are no more orders.
pub(crate) fn run(asked: &LessonPlayerArguments) -> Result<(), Failure> {
    let domain = enter(&asked.place).map_err(|trouble| Failure::Failed(trouble.why))?;
    let place = asked.place.clone();
    let mut part = Part { domain, place, region: None, link: None, topic: None };
    // The director ends the loop by giving no more orders, or by its death.
    for order in std::io::stdin().lock().lines() {
        let Ok(order) = order else { break };
        let answer = part.play(&order).unwrap_or_else(|trouble| format!("failed {}", trouble.why.replace('\n', " ")));
        let mut output = std::io::stdout().lock();
        if writeln!(output, "{answer}").and_then(|()| output.flush()).is_err() {
            break;
        }
    }
    Ok(())
}

/// What a player has in its hands.
struct Part {
    domain: Domain,
    /// Where that is.
    place: PathBuf,
    region: Option<BytesRegion>,
    link: Option<Link>,
    topic: Option<(Subscriber, Node)>,
}

impl Part {
    fn play(&mut self, order: &str) -> Result<String, Trouble> {
        let words: Vec<&str> = order.split_whitespace().collect();
        match words.as_slice() {
            ["footprint"] => {
                let Footprint { descriptors, kib } = Footprint::of_this_process()?;
                return Ok(format!("{descriptors} {kib}"));
            }
            ["count-unlocked", times] => {
                let cell = self.regions().attach::<Latest<u64>>("unlocked").map_err(Trouble::from)?;
                return count_unlocked(&cell, number(times)?).map(|()| "done".into());
            }
            ["count-locked", times] => {
                let cell = self.regions().attach::<Mutex<u64>>("locked").map_err(Trouble::from)?;
                return count_locked(&cell, number(times)?).map(|()| "done".into());
            }
            ["attach", name] => {
                let region = self.regions().attach_bytes(name).map_err(Trouble::from)?;
                // Every page of it, as whoever works with it touches every page.
                let sum: u64 = region.lock()?.iter().step_by(4096).map(|byte| u64::from(*byte)).sum();
                self.region = Some(region);
                return Ok(sum.to_string());
            }
            ["connect", address] => {
                let mut link = self.links().connect_timeout(address, MEETING)?;
                link.send(b"hello")?;
                self.link = Some(link);
            }
            ["echo"] => {
                let link = self.link.as_mut().ok_or_else(|| Trouble::wrong("no link is open"))?;
                let message = link.recv_timeout(MEETING)?.to_vec();
                link.send(&message)?;
            }
            ["subscribe", name] => {
                let node = NodeOptions::new().domain(self.domain.clone()).open().map_err(wrong)?;
                self.topic = Some((node.topic(*name).subscriber().map_err(wrong)?, node));
            }
            ["drain", delay_ms, expected] => {
                std::thread::sleep(Duration::from_millis(number(delay_ms)?));
                let (received, missed) = self.drain(number(expected)?)?;
                return Ok(format!("{received} {missed}"));
            }
            ["far-away", cpus @ ..] => {
                let cpus = match cpus {
                    [near, far] => Some([number(near)? as usize, number(far)? as usize]),
                    _ => None,
                };
                return super::network::measure(&self.place, self.domain.clone(), cpus).map(|ns| format!("{ns:.0}"));
            }
            ["call", address] => echo(self.links().insecure().wait(Wait::Sleep).connect_timeout(address, MEETING)?)?,
            ["stay-on", cpu] => stay_on(usize::try_from(number(cpu)?).ok())?,
            ["tracks"] => echo_tracks(&self.links().wait(if spinning_pays() { Wait::Spin } else { Wait::Sleep }))?,
            other => return Err(Trouble::wrong(format!("there is no part {other:?}"))),
        }
        Ok("done".into())
    }

    fn regions(&self) -> RegionOptions {
        RegionOptions::new().domain(self.domain.clone())
    }

    fn links(&self) -> Options {
        Options::new().domain(self.domain.clone())
    }

    /// Receives until everything that is expected was received or missed, or nothing more comes.
    fn drain(&mut self, expected: u64) -> Result<(u64, u64), Trouble> {
        let (subscriber, _node) = self.topic.as_mut().ok_or_else(|| Trouble::wrong("nothing is subscribed"))?;
        let (mut received, mut lost) = (0, 0);
        let mut last = Instant::now();
        // Silence ends the loop at the latest.
        while received + lost < expected && last.elapsed() < SILENCE {
            match subscriber.recv_timeout(SILENCE) {
                Ok(_) => received += 1,
                Err(RecvError::Lagged { missed, .. }) => lost += missed,
                Err(RecvError::Timeout) => break,
                Err(error) => return Err(error.into()),
            }
            last = Instant::now();
        }
        Ok((received, lost))
    }
}

fn number(word: &str) -> Result<u64, Trouble> {
    word.parse().map_err(|_| Trouble::wrong(format!("'{word}' is no number")))
}

fn wrong(error: impl std::fmt::Display) -> Trouble {
    Trouble::wrong(error.to_string())
}

/// Each value is read whole and written whole, and still the increment is two steps.
pub(crate) fn count_unlocked(cell: &Region<Latest<u64>>, times: u64) -> Result<(), Trouble> {
    for _ in 0..times {
        cell.write(&(cell.read() + 1)).map_err(wrong)?;
    }
    Ok(())
}

/// Each increment is one step for everybody else.
pub(crate) fn count_locked(cell: &Region<Mutex<u64>>, times: u64) -> Result<(), Trouble> {
    for _ in 0..times {
        *cell.lock().map_err(wrong)? += 1;
    }
    Ok(())
}

/// Sends back every message until the link is closed.
fn echo(mut link: Link) -> Result<(), Trouble> {
    loop {
        match link.recv() {
            Ok(message) => {
                let message = message.to_vec();
                link.send(&message)?;
            }
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends back every track, first as they lie in memory, then as serde writes them; each until the link is closed.
fn echo_tracks(options: &Options) -> Result<(), Trouble> {
    let mut in_place = options.connect_typed_timeout::<Track>("shm:lesson-in-place", MEETING)?;
    let ended = loop {
        match in_place.recv() {
            Ok(track) => {
                let track = *track;
                in_place.send(&track)?;
            }
            Err(error) => break error,
        }
    };
    if !matches!(ended, RecvError::Closed) {
        return Err(ended.into());
    }
    let mut written = options.connect_serde_timeout::<WrittenTrack>("shm:lesson-written", MEETING)?;
    // Ends with the link.
    loop {
        match written.recv() {
            Ok(track) => written.send(&track)?,
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

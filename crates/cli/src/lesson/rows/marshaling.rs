//! What it costs to write data into bytes and to read it back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf::{Mutex, Plain, Region, Wait};
use wharf_measure::ping_pong;

use crate::compare::peer::stay_on;
use crate::compare::trouble::Trouble;
use crate::lesson::cast::Player;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;
use crate::units;

/// Points of a track.
const POINTS: usize = 100;
/// How long each of the figures is taken.
const WINDOW: Duration = Duration::from_millis(150);
/// Figures that differ by less than this are the same on a busy machine.
const SAME: f64 = 1.25;

/// Data as it lies in memory: it needs no marshaling.
#[derive(Clone, Copy, Plain)]
#[repr(C)]
pub(crate) struct Track {
    id: u64,
    points: [[f64; 3]; POINTS],
}

/// The same as serde writes it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WrittenTrack {
    id: u64,
    points: Vec<[f64; 3]>,
}

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let mut track = Track { id: 7, points: [[0.5; 3]; POINTS] };
    let mut written = WrittenTrack { id: 7, points: track.points.to_vec() };
    let mut other = Player::start(ground)?;
    let mut options = ground.links();
    if let Some(pair) = ground.pair {
        stay_on(Some(pair.first))?;
        other.ask(&format!("stay-on {}", pair.second))?;
        options = options.wait(Wait::Spin);
    }
    let mut listener = options.listen_typed::<Track>("shm:lesson-in-place")?;
    let mut second = options.listen_serde::<WrittenTrack>("shm:lesson-written")?;
    other.tell("tracks")?;
    let mut link = listener.accept_timeout(ground.left())?;
    let in_place = ping_pong(WINDOW, || -> Result<(), Trouble> {
        track.id += 1;
        link.send(&track)?;
        same(link.recv()?.id, track.id)
    })?;
    drop(link);
    let mut link = second.accept_timeout(ground.left())?;
    let marshaled = ping_pong(WINDOW, || -> Result<(), Trouble> {
        written.id += 1;
        link.send(&written)?;
        same(link.recv()?.id, written.id)
    })?;
    drop(link);
    other.hear()?;
    let region: Region<Mutex<[u64; 1]>> = ground.regions().create("lesson-track")?;
    let changed = ping_pong(WINDOW / 3, || -> Result<(), Trouble> {
        let mut here = region.lock().map_err(|error| Trouble::wrong(error.to_string()))?;
        if let Some(first) = here.first_mut() {
            *first += 1;
        }
        Ok(())
    })?;
    // The best of many, because what else runs on a machine is no part of a format. Half of a round trip is what is summed up,
    // and a change in place has no way back.
    let (fixed, marshaled, changed) = (in_place.min_ns, marshaled.min_ns, 2.0 * changed.min_ns);
    let figures = vec![
        Figure::new("changed in place under a lock", changed, "ns"),
        Figure::new("message of fixed size, read where it was written", fixed, "ns"),
        Figure::new("the same data marshaled by serde", marshaled, "ns"),
    ];
    let (fixed_words, marshaled_words) = (units::nanos(fixed), units::nanos(marshaled));
    let (verdict, so) = if marshaled < SAME * fixed {
        (Verdict::HoldsNoLonger, "here it costs next to nothing")
    } else {
        (Verdict::Depends, "it is the price of a format, and a message of a fixed type does not pay it")
    };
    let why = format!(
        "a message of {} took {fixed_words} as it lies in memory and {marshaled_words} when serde wrote and read it: {so}",
        units::size(size_of::<Track>() as u64),
    );
    Ok(Finding::new(verdict, why, figures)
        .noting("half of a round trip over shm: between two processes, the best of many; the lock has no rival"))
}

fn same(heard: u64, said: u64) -> Result<(), Trouble> {
    if heard == said { Ok(()) } else { Err(Trouble::wrong(format!("sent track {said}, track {heard} came back"))) }
}

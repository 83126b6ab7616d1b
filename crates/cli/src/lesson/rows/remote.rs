//! The same machine and another one.

use wharf::Mutex;

use crate::compare::trouble::Trouble;
use crate::lesson::cast::Player;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;
use crate::lesson::network::{self, APART};
use crate::units::nanos;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    // There is no address of another machine that a region or shm: could be asked for.
    let refused = [
        ground.links().connect("shm:other-machine/name").err().map(|error| error.to_string()),
        ground.regions().attach::<Mutex<u64>>("tcp:other-machine:1").err().map(|error| error.to_string()),
    ];
    if refused.iter().any(Option::is_none) {
        return Err(Trouble::wrong("a region or a log was found on another machine"));
    }
    let (here, there) = (in_turn(ground, "shm:lesson-remote")?, in_turn(ground, "tcp:127.0.0.1:0")?);
    let mut figures = vec![
        Figure::new("shm: one message", here, "ns"),
        Figure::new("tcp: one message over the loopback", there, "ns"),
    ];
    let apart = through_a_network(ground);
    let (beyond, note) = match &apart {
        Ok(ns) => {
            figures.push(Figure::new("tcp: one message between two network namespaces", *ns, "ns"));
            let note = "a virtual cable between two network namespaces is shorter than any real one; 'wharf compare --serve' on \
                        another machine measures that";
            (format!(" and {} through a virtual cable between two network namespaces", nanos(*ns)), note.to_owned())
        }
        Err(trouble) => {
            let note = format!(
                "over the loopback, because there are no network namespaces here ({}): no network lies in between, and another \
                 machine is further away; 'wharf compare --serve' there measures it",
                trouble.why
            );
            ("; whether a network carries it was not tried".to_owned(), note)
        }
    };
    let why = format!(
        "neither a region nor shm: has an address on another machine; the same program goes there with tcp: or tls: in its place, and \
         a message that took {} over shm: took {} over tcp: on the loopback{beyond}",
        nanos(here),
        nanos(there)
    );
    let verdict = if apart.is_ok() { Verdict::Holds } else { Verdict::Depends };
    let note = format!("half of a round trip of 64 bytes, one after the other, both sides asleep in between; {note}");
    Ok(Finding::new(verdict, why, figures).noting(note))
}

/// How long a message takes at an address of this machine, in nanoseconds: measured as it is beyond it.
fn in_turn(ground: &Ground, address: &str) -> Result<f64, Trouble> {
    let pair = ground.pair.map(|pair| [pair.first, pair.second]);
    let mut far = Player::start(ground)?;
    far.ask("footprint")?;
    network::round_trips(ground.links(), address, &mut far, pair, ground.left() / 4)
}

/// How long a message takes between two network namespaces, in nanoseconds, where this user may make them.
fn through_a_network(ground: &Ground) -> Result<f64, Trouble> {
    let mut near = Player::start_behind(&APART, ground.place.path(), ground.deadline())?;
    near.ask("footprint").map_err(|_| Trouble::lacking("this user may not make them"))?;
    let answer = match ground.pair {
        Some(pair) => near.ask(&format!("far-away {} {}", pair.first, pair.second))?,
        None => near.ask("far-away")?,
    };
    answer.parse().map_err(|_| Trouble::wrong(format!("expected a time, heard '{answer}'")))
}

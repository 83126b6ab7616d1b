//! The same machine and another one.

use wharf::{Mutex, Transport};

use crate::compare::report::{Figures, Stream};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::cast::Player;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;
use crate::lesson::network::APART;
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
    let (shm, tcp) = (ground.figures(Way::Link(Transport::Shm))?, ground.figures(Way::Link(Transport::Tcp))?);
    let latency = |figures: &Figures| figures.sleeping.value().map(|it| it.p50_ns);
    let (Some(here), Some(there)) = (latency(shm), latency(tcp)) else {
        return Err(Trouble::wrong("latency was not measured"));
    };
    let mut figures = vec![
        Figure::new("shm: one message, both asleep", here, "ns"),
        Figure::new("tcp: one message, both asleep", there, "ns"),
    ];
    for (name, of) in [("shm", shm), ("tcp", tcp)] {
        let rate = of.streams.last().and_then(|Stream { rate, .. }| rate.value());
        figures.extend(rate.map(|rate| Figure::new(format!("{name}: stream of 64 KiB"), rate.gib_per_second, "GiB/s")));
    }
    let apart = through_a_network(ground);
    let (beyond, note) = match &apart {
        Ok(ns) => {
            figures.push(Figure::new("tcp: one message between two network namespaces", *ns, "ns"));
            let note = "a virtual cable between two network namespaces is shorter than any real one; 'wharf compare --serve' on \
                        another machine measures that";
            (format!("and {} through a virtual cable between two network namespaces", nanos(*ns)), note.to_owned())
        }
        Err(trouble) => {
            let note = format!(
                "over the loopback, because there are no network namespaces here ({}): no network lies in between, and another \
                 machine is further away; 'wharf compare --serve' there measures it",
                trouble.why
            );
            ("on this machine alone".to_owned(), note)
        }
    };
    let why = format!(
        "neither a region nor shm: has an address on another machine; the same program goes there with tcp: or tls: in its place, and \
         a message that took {} over shm: took {} over tcp: on the loopback {beyond}",
        nanos(here),
        nanos(there)
    );
    Ok(Finding::new(Verdict::Holds, why, figures).noting(note))
}

/// How long a message takes between two network namespaces, in nanoseconds, where this user may make them.
fn through_a_network(ground: &Ground) -> Result<f64, Trouble> {
    let mut near = Player::start_behind(&APART, ground.place.path())?;
    near.ask("footprint").map_err(|_| Trouble::lacking("this user may not make them"))?;
    let answer = near.ask("far-away")?;
    answer.parse().map_err(|_| Trouble::wrong(format!("expected a time, heard '{answer}'")))
}

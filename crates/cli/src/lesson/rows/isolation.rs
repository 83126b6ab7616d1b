//! What a peer can write of the other side's memory, and how often bytes are copied.

use wharf::Transport;

use crate::compare::report::Isolation;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let of = |way: Way| -> Result<&Isolation, Trouble> {
        let isolation = &ground.figures(way)?.isolation;
        isolation.value().ok_or_else(|| Trouble::lacking(isolation.why_absent().unwrap_or_default()))
    };
    let (plain, shm, unix) = (of(Way::Plain)?, of(Way::Link(Transport::Shm))?, of(Way::Link(Transport::Unix))?);
    let changed = |isolation: &Isolation| isolation.attempts.iter().filter(|it| it.outcome == "changed").count();
    let copies = |way: Way| f64::from(way.copies().at_least);
    let mut figures = Vec::new();
    for (way, isolation) in [(Way::Plain, plain), (Way::Link(Transport::Shm), shm), (Way::Link(Transport::Unix), unix)]
    {
        let label = way.label();
        figures.push(Figure::new(format!("{label} copies of each byte, at least"), copies(way), "copies"));
        figures.push(Figure::new(
            format!("{label} writes tried by the peer"),
            isolation.attempts.len() as f64,
            "attempts",
        ));
        figures.push(Figure::new(format!("{label} of them changed our memory"), changed(isolation) as f64, "attempts"));
    }
    let verdict = match (changed(plain), changed(shm)) {
        (1.., 0) => Verdict::HoldsNoLonger,
        (0, 0) => Verdict::Depends,
        (_, 1..) => Verdict::Holds,
    };
    let why = format!(
        "the peer changed our memory in a plain region; over shm: {} of {} attempts to write did ({}), although no byte is copied: its \
         pages have one writer, and the kernel sees to it",
        changed(shm),
        shm.attempts.len(),
        shm.outcome
    );
    Ok(Finding::new(verdict, why, figures)
        .noting("copies are by design, with loans and views; each attempt runs in a child that may die of it"))
}

//! The far side of a comparison: carries out orders, one at a time, until there are no more.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::mpsc;

use wharf_sys::cpu;

use crate::compare::carry;
use crate::compare::ground::{Ground, Owner};
use crate::compare::isolation;
use crate::compare::jobs;
use crate::compare::line::{AnyLine, Line, join, with_line};
use crate::compare::order::{Answer, Order};
use crate::compare::place::enter;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// Carries out orders until `next` has no more or nobody hears the answers.
pub(crate) fn serve(
    way: Way,
    ground: &Ground,
    mut next: impl FnMut() -> Option<Order>,
    mut answer: impl FnMut(Answer) -> bool,
) {
    let here = Answer::Here { pid: std::process::id(), tid: isolation::thread_id() };
    let mut heard = answer(here);
    let mut line = None;
    // The near side ends the loop by giving no more orders, or by its death.
    while heard {
        let Some(order) = next() else { break };
        let answered = obey(way, ground, &mut line, order)
            .unwrap_or_else(|trouble| Answer::Failed { why: trouble.why, lacking: trouble.lacking });
        heard = answer(answered);
    }
}

fn obey(way: Way, ground: &Ground, line: &mut Option<AnyLine>, order: Order) -> Result<Answer, Trouble> {
    match order {
        Order::Open(opening) => {
            // The line before is closed first.
            *line = None;
            *line = Some(join(way, ground, &opening)?);
        }
        Order::Close => *line = None,
        Order::Echo => with_line!(open(line)?, line => jobs::echo(line)?),
        Order::Drain { size } => {
            let size = usize::try_from(size).map_err(|_| Trouble::wrong("a size beyond this machine"))?;
            let got = with_line!(open(line)?, line => jobs::drain(line, size)?);
            return Ok(Answer::Drained {
                messages: got.messages,
                bytes: got.bytes,
                nanos: u64::try_from(got.elapsed.as_nanos()).unwrap_or(u64::MAX),
            });
        }
        Order::TakeFile => {
            let got = with_line!(open(line)?, line => carry::take_file(line)?);
            return Ok(Answer::File { bytes: got.bytes, crc32: got.crc32, messages: got.messages });
        }
        Order::Await => with_line!(open(line)?, line => line.recv(|_| ())?),
        Order::Trespass => return Ok(Answer::Trespassed(isolation::trespass(open(line)?)?)),
    }
    Ok(Answer::Done)
}

fn open(line: &mut Option<AnyLine>) -> Result<&mut AnyLine, Trouble> {
    line.as_mut().ok_or_else(|| Trouble::wrong("no line is open"))
}

/// Keeps the calling thread on one CPU, while whoever it waits for runs on another.
pub(crate) fn stay_on(on: Option<usize>) -> Result<(), Trouble> {
    match on {
        Some(on) => Ok(cpu::pin_this_thread_apart(on)?),
        None => Ok(()),
    }
}

/// The far side as a process: orders on standard input, answers on standard output.
///
/// A thread of its own reads the orders, so that this process ends at once when the near side does,
/// whatever it is waiting for.
pub(crate) fn run_process(way: Way, place: &Path, on: Option<usize>) -> Result<(), Trouble> {
    // Before the thread that reads orders is made: on the near side's CPU it would wait for a near side that spins.
    stay_on(on)?;
    let (orders, to_obey) = mpsc::channel();
    std::thread::Builder::new().name("orders".into()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let order = line.ok().and_then(|line| serde_json::from_str::<Order>(&line).ok());
            if order.is_none_or(|order| orders.send(order).is_err()) {
                break;
            }
        }
        std::process::exit(0);
    })?;
    let ground = Ground::find(enter(place)?, Owner::Orders)?;
    serve(
        way,
        &ground,
        || to_obey.recv().ok(),
        |answer| {
            let Ok(line) = serde_json::to_string(&answer) else { return false };
            let mut output = std::io::stdout().lock();
            writeln!(output, "{line}").and_then(|()| output.flush()).is_ok()
        },
    );
    Ok(())
}

//! `wharf event notify`: gives notice to everybody who waits.

use serde::Serialize;
use wharf::Node;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
use crate::pace::Pace;
use crate::peers;
use crate::usage::complain;
use crate::usage::values::EventNotifyArguments;

/// What came of it.
#[derive(Serialize)]
struct ShownNotify<'a> {
    event: &'a str,
    notices: u64,
    unheard: u64,
    told: usize,
    listeners: usize,
}

/// Runs the command.
pub(super) fn run(asked: &EventNotifyArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let node = Node::open()?;
    let mut notifier = node.event(&asked.name).notifier()?;
    let listens = format!("listens to '{}'", asked.name);
    if asked.wait_for_peer {
        peers::wait_for(|| notifier.listeners(), asked.timeout, &listens, &mut ending)?;
    }
    let mut pace = Pace::new(asked.rate);
    let (mut unheard, mut told) = (0, 0);
    for _ in 0..asked.count {
        pace.wait(&mut ending)?;
        let there = notifier.listeners();
        unheard += u64::from(there == 0);
        told = told.max(there);
        notifier.notify()?;
    }
    if asked.json {
        let (notices, listeners) = (asked.count, notifier.listeners());
        let mut output = Output::take();
        output.line(&to_json_line(&ShownNotify { event: &asked.name, notices, unheard, told, listeners })?)?;
        output.flush()?;
    }
    if asked.count > 0 && unheard == asked.count {
        complain(&format!("nobody {listens}: nobody was told (--wait-for-peer waits)"));
    }
    Ok(())
}

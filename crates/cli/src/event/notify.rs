//! `wharf event notify`: gives notice to everybody who waits.

use wharf::Node;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::pace::Pace;
use crate::peers;
use crate::usage::complain;
use crate::usage::values::EventNotifyArguments;

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
    let mut heard = asked.count == 0;
    for _ in 0..asked.count {
        pace.wait(&mut ending)?;
        heard |= notifier.listeners() > 0;
        notifier.notify()?;
    }
    if !heard {
        complain(&format!("nobody {listens}: nobody was told (--wait-for-peer waits)"));
    }
    Ok(())
}

//! The honest ends beside hostile ones: a pusher that always has work, and a puller that does whatever it is given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Node, Options, Puller, Pusher, RecvError, Wait};
use wharf_proof::process::PATIENCE;
use wharf_proof::promptness::{Company, SOON, watch};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_proof::working::{ADDRESS, NAME, SILENT, item};
use wharf_sys::clock::Instant;

use crate::{Failure, told};

/// Items that a pusher keeps.
const MOST_ITEMS: usize = 64;

/// Between two of them.
const PAUSE: Duration = Duration::from_micros(50);

/// What one end has done.
#[derive(Default)]
struct Sums {
    done: u64,
    dead: u64,
    left: u64,
    longest: Duration,
}

/// `worked-honestly push|pull`: says `ready`, and at the end of its input `done` with what it has done.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    watch();
    let over = AtomicBool::new(false);
    let over = &over;
    let node = Node::open()?;
    match words.at(1, "to push or to pull")? {
        "push" => {
            let by_name = node.queue(NAME).wait(Wait::Sleep);
            let at_address = Options::new().wait(Wait::Sleep).queue(ADDRESS);
            let open =
                |queue: wharf_message_passing::Queue| queue.most_items(MOST_ITEMS).acknowledge_within(SILENT).pusher();
            let pushers = [open(by_name)?, open(at_address)?];
            thread::scope(|scope| -> Result<(), Failure> {
                let pushing = pushers.map(|pusher| scope.spawn(move || push(pusher, over)));
                until_told(over)?;
                let mut text = Vec::new();
                for thread in pushing {
                    let sums = thread.join().map_err(|_| "a pusher panicked")??;
                    text.push(format!(
                        "{} pushed, {} dead, {} pullers cut off, the longest push {:?}",
                        sums.done, sums.dead, sums.left, sums.longest
                    ));
                }
                say("done", &text.join("; "))?;
                Ok(())
            })
        }
        "pull" => {
            let by_name = node.queue(NAME).wait(Wait::Sleep).puller()?;
            thread::scope(|scope| -> Result<(), Failure> {
                let pulling = scope.spawn(move || pull(by_name, over).map(|(sums, _)| sums));
                let at_address = scope.spawn(move || pull_at_the_address(over));
                until_told(over)?;
                let one = pulling.join().map_err(|_| "the puller by name panicked")??;
                let two = at_address.join().map_err(|_| "the puller at the address panicked")??;
                let text = [one, two].map(|sums| format!("{} done, {} pushers lost", sums.done, sums.left));
                say("done", &text.join("; "))?;
                Ok(())
            })
        }
        other => Err(format!("nobody can {other} here").into()),
    }
}

fn until_told(over: &AtomicBool) -> Result<(), Failure> {
    say("ready", "")?;
    // Ends with the input.
    while told()? {}
    // Relaxed: nothing but the word itself matters.
    over.store(true, Ordering::Relaxed);
    Ok(())
}

/// Pushes whenever there is room, which somebody honest soon makes.
fn push(mut pusher: Pusher, over: &AtomicBool) -> Result<Sums, String> {
    let mut sums = Sums::default();
    // The test's own process does its items.
    let mut company = Company::of([std::process::id(), std::os::unix::process::parent_id()]);
    while !over.load(Ordering::Relaxed) {
        // What computes all the time is late whenever the machine is busy.
        thread::sleep(PAUSE);
        let bytes = item(sums.done);
        let since = Instant::now();
        if let Err(error) = pusher.push_timeout(&bytes, PATIENCE).map(drop) {
            let (waiting, unsettled) = (pusher.waiting(), pusher.unsettled());
            let (dead, pullers) = (pusher.dead_letters(), pusher.pullers());
            return Err(format!("{error}: {unsettled} items, {waiting} of them wait, {dead} dead, {pullers} pullers"));
        }
        sums.done += 1;
        let now = Instant::now();
        let took = now.saturating_since(since);
        sums.longest = sums.longest.max(took);
        // Whoever hoards loses what it has when it has been silent for so long, and another may have had it before.
        company.assert_within("an honest push beside hostile pullers", 4 * SILENT + SOON, since, now);
        // Bound: there are no more than the pusher keeps.
        while pusher.dead_letter().map_err(|error| error.to_string())?.is_some() {
            sums.dead += 1;
        }
    }
    sums.left = pusher.cut_off().0;
    Ok(sums)
}

/// Does whatever comes; how the pusher of an address ended.
fn pull(mut puller: Puller, over: &AtomicBool) -> Result<(Sums, Option<RecvError>), String> {
    let mut sums = Sums::default();
    let mut ended = None;
    while !over.load(Ordering::Relaxed) && ended.is_none() {
        match puller.recv_timeout(Duration::from_millis(5)) {
            // A pusher that is gone by then needs no word.
            Ok(item) => sums.done += u64::from(item.ack().is_ok()),
            Err(RecvError::Timeout) => {}
            Err(error @ (RecvError::Closed | RecvError::PeerDied)) => ended = Some(error),
            Err(error) => return Err(error.to_string()),
        }
    }
    sums.left = puller.lost().0;
    Ok((sums, ended))
}

fn pull_at_the_address(over: &AtomicBool) -> Result<Sums, String> {
    let mut all = Sums::default();
    while !over.load(Ordering::Relaxed) {
        let Ok(puller) = Options::new().queue(ADDRESS).puller_timeout(SOON) else { continue };
        let (sums, _ended) = pull(puller, over)?;
        (all.done, all.left) = (all.done + sums.done, all.left + sums.left);
    }
    Ok(all)
}

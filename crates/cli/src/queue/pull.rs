//! `wharf pull`: takes work, and writes it or runs a command for it.

use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Item, Puller, Queue, RecvError};

use crate::attend::attend;
use crate::backlog::{Backlog, MOST_JOBS};
use crate::children::Children;
use crate::destination::Destination;
use crate::ending::{Ending, SLICE};
use crate::failure::Failure;
use crate::group::Group;
use crate::json::to_json_line;
use crate::output::Output;
use crate::peers::{self, FOR_EVER};
use crate::place::Place;
use crate::program;
use crate::units;
use crate::usage::complain;
use crate::usage::queues::PullArguments;
use crate::written::{self, Content};

/// Items that a puller which only writes them has at once.
const PREFETCH: usize = 16;

#[derive(Serialize)]
struct ShownItem<'a> {
    queue: &'a str,
    deliveries: u32,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
struct ShownWork<'a> {
    queue: &'a str,
    deliveries: u32,
    bytes: usize,
    acknowledged: bool,
    status: &'a str,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(asked: &PullArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    if asked.count == Some(0) {
        return Ok(());
    }
    // What cannot be done is told before anybody gives us something to do.
    program::check(&asked.command)?;
    let jobs = usize::try_from(asked.jobs).unwrap_or(usize::MAX).min(MOST_JOBS);
    // What cannot be written is told before anything is taken from others.
    let destination = match asked.command.as_slice() {
        [] => Some(Destination::open(("--file", asked.file.as_deref()), asked.timeout, &mut ending)?),
        _ => None,
    };
    let place = Place::<Queue>::of(&asked.queue, &asked.network, false, asked.timeout)?;
    let mut prefetch = if destination.is_some() { PREFETCH } else { jobs };
    // Who wants so many takes no more from others.
    prefetch = asked.count.map_or(prefetch, |count| usize::try_from(count).unwrap_or(prefetch).min(prefetch));
    let queue = place.meant.prefetch(prefetch as u32);
    let mut puller = match (&place.address, asked.wait_for_peer) {
        (Some(_), true) => ending.meanwhile(|| queue.puller_timeout(asked.timeout.unwrap_or(FOR_EVER)))??,
        _ => queue.puller()?,
    };
    if asked.wait_for_peer {
        let whom = format!("pushes into '{}'", asked.queue);
        peers::wait_for(|| puller.pushers(), asked.timeout, &whom, &mut ending)?;
    }
    let Some(mut destination) = destination else { return work(asked, puller, jobs, &mut ending) };
    match write(asked, puller, &mut destination, &mut ending) {
        Ok(()) => destination.finish(),
        Err(failure) => Err(destination.give_up(failure, false, "item")),
    }
}

/// Receives items one after the other.
struct Ear<'a> {
    puller: Puller,
    asked: &'a PullArguments,
    /// There has been a pusher.
    met: bool,
    taken: u64,
    last: Instant,
}

impl<'a> Ear<'a> {
    fn new(puller: Puller, asked: &'a PullArguments) -> Ear<'a> {
        Ear { puller, asked, met: false, taken: 0, last: Instant::now() }
    }

    fn wants_more(&self) -> bool {
        self.asked.count.is_none_or(|count| self.taken < count)
    }

    /// The next item; `Ok(None)`: ask again. `busy`: something else happens, which is to be looked after now and then.
    fn next(&mut self, busy: bool, ending: &mut Ending) -> Result<Option<Item>, Ended> {
        match self.puller.try_recv() {
            Ok(item) => {
                (self.taken, self.last, self.met) = (self.taken + 1, Instant::now(), true);
                return Ok(Some(item));
            }
            Err(RecvError::Empty) => {}
            Err(RecvError::Closed | RecvError::PeerDied) => return Err(Ended::Gone),
            Err(error) => return Err(Ended::Failed(error.into())),
        }
        let there = self.puller.pushers() > 0;
        self.met |= there;
        if self.asked.until_gone && self.met && !there {
            return Err(Ended::Gone);
        }
        if busy {
            self.last = Instant::now();
        }
        let left = self.asked.timeout.map(|limit| limit.saturating_sub(self.last.elapsed()));
        if let (Some(limit), Some(Duration::ZERO)) = (self.asked.timeout, left) {
            let limit = units::nanos(limit.as_nanos() as f64);
            let taken = self.taken;
            return Err(Ended::Failed(Failure::Timeout(format!(
                "timeout: no item came within {limit}, after {taken}"
            ))));
        }
        // A pusher that leaves wakes nobody who waits for items.
        let looks = busy || self.asked.until_gone;
        let limit = if looks { Some(left.map_or(SLICE, |left| left.min(SLICE))) } else { left };
        ending.wait_for_any(&mut [&mut self.puller], limit).map_err(Ended::Failed)?;
        Ok(None)
    }

    /// The pushers are gone.
    fn gone(&self) -> Result<(), Failure> {
        match self.asked.count {
            Some(count) if self.taken < count => {
                Err(Failure::PeerGone(format!("the pushers were gone after {} of {count} items", self.taken)))
            }
            _ => Ok(()),
        }
    }
}

/// Why no more items come.
enum Ended {
    Gone,
    Failed(Failure),
}

/// Writes items; one counts as done when it is written, and a file has its name from the first one on.
fn write(
    asked: &PullArguments,
    puller: Puller,
    destination: &mut Destination,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let form = destination.form(asked.lines, asked.json);
    let mut ear = Ear::new(puller, asked);
    // Ends with the count, the pushers, the time limit, a signal, or when nobody reads.
    while ear.wants_more() {
        ending.check()?;
        let item = match ear.next(false, ending) {
            Ok(Some(item)) => item,
            Ok(None) => continue,
            Err(Ended::Gone) => return ear.gone(),
            Err(Ended::Failed(failure)) => return Err(failure),
        };
        let deliveries = item.deliveries();
        let object = |content| ShownItem { queue: asked.queue.as_str(), deliveries, content };
        written::write(&mut destination.output, form, &item, object)?;
        destination.end_message();
        // Nobody else is asked for what is acknowledged: from now on the file must be there.
        destination.finish()?;
        // A pusher that is gone asks no more for it.
        let _ = item.ack();
    }
    Ok(())
}

/// Runs a command for each item.
fn work(asked: &PullArguments, puller: Puller, jobs: usize, ending: &mut Ending) -> Result<(), Failure> {
    let backlog = Backlog::new(jobs);
    let children = Children::default();
    let output = Mutex::new(Output::take());
    let mut ear = Ear::new(puller, asked);
    let outcome = thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                // Ends when no more items come.
                while let Some(item) = backlog.next() {
                    if let Err(failure) = run_for(item, asked, &children, &output) {
                        backlog.give_up(failure);
                    }
                    backlog.done();
                }
            });
        }
        let outcome = hand_out(&mut ear, &backlog, ending);
        // Those that run now give their items back.
        if outcome.is_err() {
            children.kill_all();
        }
        backlog.close(outcome.is_err());
        outcome
    });
    outcome.and_then(|()| backlog.check())?;
    ear.gone()
}

fn hand_out(ear: &mut Ear<'_>, backlog: &Backlog<Item>, ending: &mut Ending) -> Result<(), Failure> {
    let mut over = false;
    // Ends with the count, the pushers, the time limit, a signal, or an error.
    loop {
        ending.check()?;
        backlog.check()?;
        if over || !ear.wants_more() {
            if backlog.wait_for_rest(SLICE) {
                return backlog.check();
            }
            continue;
        }
        if !backlog.wait_for_room(SLICE) {
            continue;
        }
        let busy = !backlog.wait_for_rest(Duration::ZERO);
        // Where nothing can be worked on any more it rests, too, and nothing would end the wait below.
        backlog.check()?;
        match ear.next(busy, ending) {
            Ok(Some(item)) => {
                let bytes = item.len();
                backlog.push(item, bytes);
            }
            Ok(None) => {}
            Err(Ended::Gone) => over = true,
            Err(Ended::Failed(failure)) => return Err(failure),
        }
    }
}

/// Runs the command for an item; one that fails gives it back.
fn run_for(item: Item, asked: &PullArguments, children: &Children<()>, output: &Mutex<Output>) -> Result<(), Failure> {
    let Some((program, arguments)) = asked.command.split_first() else { return Ok(()) };
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    if asked.json {
        // Standard output is for the objects.
        command.stdout(io::stderr());
    }
    let (group, pipes) = Group::start(&mut command)
        .map_err(|error| Failure::Failed(format!("cannot run '{}': {error}", program.to_string_lossy())))?;
    let end = group.end();
    let number = children.enter(group, ());
    // Where that fails, its end is waited for all the same.
    let _ = attend(pipes, end.as_fd(), &item, &mut |_, _| {});
    let (status, _) = children.leave(number);
    let status = status.map_err(|error| Failure::Failed(format!("cannot wait for the command: {error}")))?;
    let (deliveries, bytes) = (item.deliveries(), item.len());
    // A pusher that is gone asks no more for it.
    let _ = if status.success() { item.ack() } else { item.give_back() };
    if asked.json {
        let shown = ShownWork {
            queue: asked.queue.as_str(),
            deliveries,
            bytes,
            acknowledged: status.success(),
            status: &status.to_string(),
            seconds: began.elapsed().as_secs_f64(),
        };
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.line(&to_json_line(&shown)?)?;
        output.flush()?;
    } else if !status.success() {
        complain(&format!("gave an item of {bytes} bytes back: the command ended with {status}"));
    }
    Ok(())
}

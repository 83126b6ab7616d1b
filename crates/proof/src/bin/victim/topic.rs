//! Parts among topics, events and states: one end that is busy, many that are idle, and one that counts what opening costs.

use std::thread;
use std::time::Duration;

use wharf_message_passing::{Node, OnFull, RecvError, SendError};
use wharf_proof::footprint::{Footprint, taken_kib, threads};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;
use wharf_sys::trace::mark;

use crate::over::Over;
use crate::{Failure, told};

/// How long a busy one waits at a time, so that it sees the end.
const A_WHILE: Duration = Duration::from_millis(2);

/// `topic publish|subscribe|notify|listen|own|watch NAME`, `topic idle NAME count=N` or `topic open NAME`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let (part, name) = (words.at(1, "what to do")?, words.at(2, "the name")?);
    match part {
        "idle" => idle(name, words.number("first", 0)?, words.number("count", 1)?, words.setting("part")),
        "open" => open(name, words.number("count", 8)?),
        _ => busy(part, name),
    }
}

/// Says `ready`, acts until it is told that it was enough, and says `left` with what it still holds after that.
fn busy(part: &str, name: &str) -> Result<(), Failure> {
    let (before, tasks) = (Footprint::now(), threads());
    let enough = Over::watch();
    act(part, name, || enough.is_seen())?;
    enough.wait()?;
    let mut left = Footprint::now().more_than(&before).unwrap_or_default();
    // One that has been joined is listed a moment longer, on a machine without a free processor a long one.
    let deadline = Deadline::after(Duration::from_secs(10));
    while threads() > tasks && !deadline.passed() {
        thread::sleep(A_WHILE);
    }
    if threads() > tasks {
        left.push_str(&format!(" {} threads", threads() - tasks));
    }
    say("left", &left)?;
    Ok(())
}

fn act(part: &str, name: &str, over: impl Fn() -> bool) -> Result<(), Failure> {
    let node = Node::open()?;
    let (mut letter, mut number) = ([7; 300], 0u64);
    match part {
        "publish" => {
            let mut publisher = node.topic(name).on_full(OnFull::DropOldest).publisher()?;
            say("ready", "")?;
            while !over() {
                publisher.send(&letter)?;
                number += 1;
                letter[0] = number as u8;
                // A larger log, now and then.
                match publisher.send_timeout(&vec![1; if number == 1000 { 1 << 20 } else { 10 }], A_WHILE) {
                    Ok(()) | Err(SendError::Timeout) => {}
                    Err(other) => return Err(other.into()),
                }
                if number % 100 == 0 {
                    thread::sleep(A_WHILE);
                }
            }
        }
        "subscribe" => {
            let mut subscriber = node.topic(name).subscriber()?;
            let mut held = None;
            say("ready", "")?;
            while !over() {
                match subscriber.recv_timeout(A_WHILE) {
                    Ok(sample) => held = Some(sample.hold()),
                    Err(RecvError::Timeout | RecvError::Lagged { .. }) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            drop(held);
        }
        "notify" => {
            let mut notifier = node.event(name).notifier()?;
            say("ready", "")?;
            while !over() {
                notifier.notify()?;
                thread::sleep(A_WHILE / 10);
            }
        }
        "listen" => {
            let mut listener = node.event(name).listener()?;
            say("ready", "")?;
            while !over() {
                if listener.take()? == 0 {
                    thread::sleep(A_WHILE / 10);
                }
            }
        }
        "own" => {
            let mut owner = node.state_of::<u64>(name).owner(&0)?;
            say("ready", "")?;
            while !over() {
                number += 1;
                owner.set(&number)?;
                thread::sleep(A_WHILE / 10);
            }
        }
        "watch" => {
            let mut watcher = node.state_of::<u64>(name).watcher()?;
            say("ready", "")?;
            while !over() {
                match watcher.changed_timeout(A_WHILE) {
                    Ok(_) | Err(RecvError::Timeout) => {}
                    Err(other) => return Err(other.into()),
                }
            }
        }
        other => return Err(format!("no part is called 'topic {other}'").into()),
    }
    Ok(())
}

/// Opens `count` endpoints of one kind, `NAME/FIRST` and following; says `ready` with its own part of the memory before and
/// after, and then does nothing.
fn idle(name: &str, first: u64, count: u64, part: Option<&str>) -> Result<(), Failure> {
    let node = Node::open()?;
    // What happens only once has happened.
    drop((node.topic("warm").publisher()?, node.topic("warm").subscriber()?));
    let before = taken_kib();
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    for number in first..first + count {
        let topic = node.topic(format!("{name}/{number}"));
        if part == Some("subscriber") {
            subscribers.push(topic.subscriber()?);
        } else {
            publishers.push(topic.publisher()?);
        }
    }
    say("ready", &format!("{before} {}", taken_kib()))?;
    // Every line asks for the memory once more.
    while told()? {
        say("memory", &taken_kib().to_string())?;
    }
    Ok(())
}

/// Opens `count` publishers and subscribers, each under a name of its own, with a mark before each kind, and a last one.
fn open(name: &str, count: u64) -> Result<(), Failure> {
    let node = Node::open()?;
    drop((node.topic("warm").publisher()?, node.topic("warm").subscriber()?));
    let mut ends = (Vec::with_capacity(64), Vec::with_capacity(64));
    mark(1);
    let began = wharf_sys::clock::Instant::now();
    for number in 0..count {
        ends.0.push(node.topic(format!("{name}/p{number}")).publisher()?);
    }
    mark(2);
    for number in 0..count {
        ends.1.push(node.topic(format!("{name}/s{number}")).subscriber()?);
    }
    let elapsed = began.elapsed();
    mark(3);
    say("done", &elapsed.as_micros().to_string())?;
    Ok(())
}

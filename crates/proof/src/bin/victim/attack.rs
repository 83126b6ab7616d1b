//! Hostile subscribers: each joins in good order and then does its worst.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{HeldSample, Node, RecvError, Subscriber};
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;
use wharf_sys::socket::{self, Kind};

use crate::Failure;
use crate::scribble::{scribble, shared_and_writable};

/// Samples that one holds who lets go of nothing; what lies beyond its quota is copied, so it is its own memory.
const HOARD: usize = 20_000;

/// `attack scribble|hold|sit|churn|flood TOPIC seed=N seconds=N`: says `ready`, and `done` with what it has done.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let (how, topic) = (words.at(1, "how")?, words.at(2, "the topic")?);
    let deadline = Deadline::after(Duration::from_secs(words.number("seconds", 1)?));
    let mut random = Random::new(words.number("seed", 1)?);
    let node = Node::open()?;
    let done = match how {
        "scribble" => scribbles(&node, topic, deadline, &mut random)?,
        "hold" => holds(&node, topic, deadline)?,
        "sit" => sits(&node, topic, deadline)?,
        "churn" => churns(&node, topic, deadline)?,
        "flood" => floods(&node, topic, deadline, &mut random)?,
        other => return Err(format!("no attack is called '{other}'").into()),
    };
    say("done", &done)?;
    Ok(())
}

fn join(node: &Node, topic: &str) -> Result<Subscriber, Failure> {
    let subscriber = node.topic(topic).subscriber()?;
    Ok(subscriber)
}

/// Writes nonsense over its own page, and whatever else it shares, while it receives.
fn scribbles(node: &Node, topic: &str, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let (mut joined, mut written, mut received, mut cut_off) = (0u64, 0u64, 0u64, 0u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut subscriber = join(node, topic)?;
        joined += 1;
        // Nothing is shared with a publisher before something comes from it.
        let _ = subscriber.recv_timeout(Duration::from_millis(20));
        let spans = shared_and_writable("/memfd:");
        let (rounds, rarity) = (random.below(3000), 1 << random.below(10));
        for _ in 0..rounds {
            match subscriber.recv_timeout(Duration::from_micros(50)) {
                Ok(_) => received += 1,
                Err(RecvError::CutOff { .. }) => {
                    cut_off += 1;
                    break;
                }
                Err(_) => {}
            }
            if random.below(rarity) == 0 {
                written += scribble(&memory, &spans, random);
            }
        }
    }
    if written == 0 || received == 0 {
        return Err(format!("{written} stores and {received} messages: nothing was tried").into());
    }
    Ok(format!("joined={joined} stores={written} received={received} cut_off={cut_off}"))
}

/// Holds everything that it receives.
fn holds(node: &Node, topic: &str, deadline: Deadline) -> Result<String, Failure> {
    let (mut joined, mut most) = (0u64, 0);
    say("ready", "")?;
    while !deadline.passed() {
        let mut subscriber = join(node, topic)?;
        joined += 1;
        let mut held: VecDeque<HeldSample> = VecDeque::new();
        while !deadline.passed() {
            match subscriber.recv_timeout(Duration::from_millis(5)) {
                Ok(sample) if held.len() < HOARD => held.push_back(sample.hold()),
                Ok(_) | Err(RecvError::Timeout | RecvError::Lagged { .. }) => {}
                // Shown out: comes again.
                Err(_) => break,
            }
        }
        most = most.max(held.len());
    }
    if most < 10 {
        return Err(format!("only {most} were held").into());
    }
    Ok(format!("joined={joined} held={most}"))
}

/// Receives nothing at all.
fn sits(node: &Node, topic: &str, deadline: Deadline) -> Result<String, Failure> {
    let _subscriber = join(node, topic)?;
    say("ready", "")?;
    while let Some(rest) = deadline.remaining() {
        thread::sleep(rest.min(Duration::from_millis(100)));
    }
    Ok("sat".to_owned())
}

/// Comes and goes as fast as it can: every time an offer, an answer with descriptors, and a leave on the lifeline.
fn churns(node: &Node, topic: &str, deadline: Deadline) -> Result<String, Failure> {
    let mut joined = 0u64;
    say("ready", "")?;
    while !deadline.passed() {
        drop(join(node, topic)?);
        joined += 1;
    }
    Ok(format!("joined={joined}"))
}

/// Lifelines made by hand under its own node's name, each flooded with records of every kind until it is cut.
fn floods(node: &Node, topic: &str, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let _subscriber = join(node, topic)?;
    let own = node.id().to_string();
    let nodes = PathBuf::from(std::env::var("WHARF_DIR")?).join(".nodes");
    let (mut lines, mut records) = (0u64, 0u64);
    say("ready", "")?;
    while !deadline.passed() {
        for entry in fs::read_dir(&nodes)?.flatten() {
            let path = entry.path();
            let theirs = path.extension().is_some_and(|end| end == "sock") && !path.to_string_lossy().contains(&own);
            let Some(line) = theirs
                .then(|| socket::connect(&path, Kind::SeqPacket, Some(Deadline::after(Duration::from_millis(200)))))
                .and_then(Result::ok)
            else {
                continue;
            };
            lines += 1;
            let _ = socket::send(&line, &hello(&own)?);
            // Bound: in good order no more than what is heard of one peer at once; ends before, when it is cut off.
            for number in 0..random.below(20_000) {
                match socket::send(&line, &record(number, random)) {
                    Ok(_) => records += 1,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => thread::yield_now(),
                    Err(_) => break,
                }
                if deadline.passed() {
                    break;
                }
            }
        }
    }
    if records == 0 {
        return Err("nothing was said".into());
    }
    Ok(format!("lines={lines} records={records}"))
}

/// An introduction in good order (see `docs/wire.md`, *How nodes meet*).
fn hello(id: &str) -> Result<Vec<u8>, Failure> {
    let mut hello = vec![1, 0, 0, 0, 1, 0, 0, 0];
    hello.extend([0; 8]);
    hello.extend(b"WHARFNOD");
    hello.extend([0; 2]);
    hello.extend(u128::from_str_radix(id, 16)?.to_be_bytes());
    Ok(hello)
}

/// Mostly words for pairings that are not there, which are no breach; now and then something that is.
fn record(number: u64, random: &mut Random) -> Vec<u8> {
    let kind = match random.below(5000) {
        0 => random.below(12) as u8,
        1..3000 => 7,
        _ => 8,
    };
    let to = if random.below(2) == 0 { b'h' } else { b'g' };
    let mut record = vec![kind, to, 0, 0, 1, 0, 0, 0];
    record.extend((number + 1).to_le_bytes());
    if kind == 7 {
        record.resize(16 + random.below(4000) as usize, 3);
    }
    record
}

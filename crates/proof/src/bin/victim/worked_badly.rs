//! Hostile pullers and pushers of a queue: each joins in good order and then does its worst.

use std::fs::OpenOptions;
use std::time::Duration;

use wharf_message_passing::{Link, Node, Options, Wait};
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_proof::working::{ADDRESS, NAME, SILENT};
use wharf_sys::clock::Deadline;

use crate::Failure;
use crate::scribble::{scribble, shared_and_writable};

/// Bytes of a header.
const HEAD: usize = 16;

/// Kinds of messages, as they are numbered on the wire.
const ITEM: u8 = 1;
const ACKNOWLEDGE: u8 = 2;
const BEGUN: u8 = 4;
const CREDIT: u8 = 5;
const SHORT_ITEM: u8 = 7;
const KINDS: u64 = 7;

/// `worked-badly HOW seconds=N seed=N`: says `ready`, and `done` with what it has done. As a puller: `scribble`, `garbage`, `lie`,
/// `hoard`, `mute`, `churn`; as a pusher: `scribble-back`, `garbage-back`, `flood-back`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let how = words.at(1, "how")?;
    let deadline = Deadline::after(Duration::from_secs(words.number("seconds", 1)?));
    let mut random = Random::new(words.number("seed", 1)?);
    let node = Node::open()?;
    let done = match how {
        "scribble" => scribbles(&node, deadline, &mut random)?,
        "garbage" => sends_garbage(deadline, &mut random)?,
        "lie" => lies(deadline, &mut random)?,
        "hoard" => hoards(&node, deadline, &mut random)?,
        "mute" => never_reads(deadline)?,
        "churn" => churns(&node, deadline, &mut random)?,
        "scribble-back" => scribbles_back(&node, deadline, &mut random)?,
        "garbage-back" => pushes_garbage(deadline, &mut random)?,
        "flood-back" => floods(deadline)?,
        other => return Err(format!("no attack is called '{other}'").into()),
    };
    say("done", &done)?;
    Ok(())
}

fn frame(kind: u8, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, kind, 0, 0, 1, 0, 0, 0];
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An item with a short header.
fn short(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (1 | u64::from(SHORT_ITEM) << 8 | number << 24).to_le_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A message that may be right in every part, and seldom is in all.
fn nonsense(random: &mut Random) -> Vec<u8> {
    let mut message = vec![0; HEAD + random.below(300) as usize];
    random.fill(&mut message);
    if random.below(8) > 0 {
        message[0] = 1;
        message[1] = 1 + random.below(KINDS) as u8;
        let number = random.below(64).to_le_bytes();
        message[8..16].copy_from_slice(&number);
        if message[1] == SHORT_ITEM && random.below(2) == 0 {
            message[3..8].copy_from_slice(&number[..5]);
        }
    }
    if random.below(16) == 0 {
        message.truncate(random.below(HEAD as u64) as usize);
    }
    message
}

fn connect() -> Result<Link, Failure> {
    Ok(Options::new().unsaid_purpose().connect_timeout(ADDRESS, Duration::from_secs(10))?)
}

/// Writes nonsense over whatever memory of its own it shares, while it works.
fn scribbles(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let (mut joined, mut written, mut done) = (0_u64, 0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut puller = node.queue(NAME).wait(Wait::Sleep).puller()?;
        joined += 1;
        // Nothing is shared before a pusher has come.
        let _ = puller.recv_timeout(Duration::from_millis(20)).map(drop);
        let spans = shared_and_writable("/memfd:");
        for _ in 0..random.below(200) {
            written += scribble(&memory, &spans, random);
            if let Ok(item) = puller.recv_timeout(Duration::from_micros(1500)) {
                done += u64::from(item.ack().is_ok());
            }
        }
    }
    if written == 0 {
        return Err("nothing was written".into());
    }
    Ok(format!("joined={joined} stores={written} done={done}"))
}

/// Sends messages of its own making.
fn sends_garbage(deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let (mut joined, mut sent) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut link = connect()?;
        joined += 1;
        // Until it is cut off, or has had enough.
        for _ in 0..200 {
            if link.send_timeout(&nonsense(random), Duration::from_millis(5)).is_err() {
                break;
            }
            sent += 1;
            let _ = link.try_recv();
        }
    }
    Ok(format!("joined={joined} sent={sent}"))
}

/// Takes items and says of deliveries, its own and others', what could be true: done, given back, begun, in any order and again.
fn lies(deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let (mut joined, mut taken, mut said) = (0_u64, 0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut link = connect()?;
        joined += 1;
        let _ = link.send_timeout(&frame(CREDIT, 1 + random.below(2000), b""), Duration::from_millis(5));
        let mut latest = 0;
        for _ in 0..random.below(2000) {
            if let Ok(message) = link.recv_timeout(Duration::from_micros(500)) {
                latest = message
                    .get(8..16)
                    .map_or(latest, |number| u64::from_le_bytes(number.try_into().unwrap_or_default()));
                taken += 1;
            }
            // Never above what it was given: that alone would be found out.
            let kind = ACKNOWLEDGE + random.below(3) as u8;
            let number = latest.saturating_sub(random.below(100));
            if latest > 0 && link.send_timeout(&frame(kind, number, b""), Duration::from_millis(5)).is_err() {
                break;
            }
            said += 1;
        }
    }
    Ok(format!("joined={joined} taken={taken} said={said}"))
}

/// Takes all that it is given, wants ever more, and does nothing: by name, and over many links.
fn hoards(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let (mut joined, mut held_in_all) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut puller = node.queue(NAME).prefetch(1024).puller()?;
        let mut links = Vec::new();
        for _ in 0..1 + random.below(8) {
            let mut link = connect()?;
            let _ = link.send_timeout(&frame(CREDIT, u64::MAX, b""), Duration::from_millis(5));
            links.push(link);
        }
        joined += 1 + links.len() as u64;
        let mut held = Vec::new();
        let until = Deadline::after(SILENT * (1 + random.below(20) as u32));
        while !until.passed() {
            held.extend(puller.recv_timeout(Duration::from_millis(2)));
            for link in &mut links {
                if let Ok(message) = link.try_recv() {
                    held_in_all += 1;
                    // One that is heard is given more.
                    let number = message.get(8..16).map_or([0; 8], |number| number.try_into().unwrap_or_default());
                    let begun = frame(BEGUN, u64::from_le_bytes(number), b"");
                    if random.below(4) == 0 {
                        let _ = link.try_send(&begun);
                    }
                }
            }
        }
        held_in_all += held.len() as u64;
    }
    Ok(format!("joined={joined} held={held_in_all}"))
}

/// Wants everything, and reads nothing.
fn never_reads(deadline: Deadline) -> Result<String, Failure> {
    let mut joined = 0_u64;
    say("ready", "")?;
    while !deadline.passed() {
        let mut links = Vec::new();
        for _ in 0..4 {
            let mut link = connect()?;
            let _ = link.send_timeout(&frame(CREDIT, 1024, b""), Duration::from_millis(5));
            links.push(link);
        }
        joined += links.len() as u64;
        // Heard all the time, so that it is given more.
        let until = Deadline::after(10 * SILENT);
        while !until.passed() {
            for link in &mut links {
                let _ = link.send_timeout(&frame(CREDIT, 1024, b""), Duration::from_millis(1));
            }
        }
    }
    Ok(format!("joined={joined}"))
}

/// Comes and goes as fast as it can, now and then with items in its hands.
fn churns(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let (mut joined, mut taken) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut puller = node.queue(NAME).puller()?;
        let items: Vec<_> =
            (0..random.below(4)).map_while(|_| puller.recv_timeout(Duration::from_millis(2)).ok()).collect();
        taken += items.len() as u64;
        joined += 1;
        if random.below(2) == 0 {
            // What it holds it gives back when it has left.
            drop(puller);
        }
        drop(items);
        let link = connect()?;
        joined += 1;
        drop(link);
    }
    Ok(format!("joined={joined} taken={taken}"))
}

/// Pushes by name, and writes nonsense over whatever memory of its own it shares.
fn scribbles_back(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let (mut opened, mut written, mut pushed) = (0_u64, 0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut pusher = node.queue(NAME).most_items(64).acknowledge_within(SILENT).pusher()?;
        opened += 1;
        for _ in 0..random.below(300) {
            if pusher.pullers() > 0 {
                let spans = shared_and_writable("/memfd:");
                written += scribble(&memory, &spans, random);
            }
            let item = vec![7; random.below(3000) as usize];
            pushed += u64::from(pusher.push_timeout(&item, Duration::from_millis(5)).is_ok());
        }
    }
    if written == 0 {
        return Err("nothing was written".into());
    }
    Ok(format!("opened={opened} stores={written} pushed={pushed}"))
}

/// Listens at the address and sends messages of its own making.
fn pushes_garbage(deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let mut listener = Options::new().unsaid_purpose().listen(ADDRESS)?;
    let (mut met, mut sent, mut number) = (0_u64, 0_u64, 0);
    say("ready", "")?;
    while !deadline.passed() {
        let Ok(mut link) = listener.accept_timeout(Duration::from_millis(20)) else { continue };
        met += 1;
        for _ in 0..random.below(200) {
            let _ = link.recv_timeout(Duration::from_micros(100));
            number += 1 + random.below(3);
            let message = match random.below(8) {
                0 => nonsense(random),
                1..=3 => short(number, b"work"),
                // The last numbers for which a short header has room, and the first behind them, where it says a small one.
                4 if random.below(8) == 0 => {
                    number = number.max((1 << 40) - 2);
                    short(number, b"work")
                }
                _ => frame(ITEM, number, b"work"),
            };
            if link.send_timeout(&message, Duration::from_millis(1)).is_err() {
                break;
            }
            sent += 1;
        }
    }
    Ok(format!("met={met} sent={sent}"))
}

/// Listens at the address, gives more than was asked for, and takes nothing of what is said of it.
fn floods(deadline: Deadline) -> Result<String, Failure> {
    let mut listener = Options::new().unsaid_purpose().listen(ADDRESS)?;
    let (mut met, mut sent) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let Ok(mut link) = listener.accept_timeout(Duration::from_millis(20)) else { continue };
        met += 1;
        let mut number = 0;
        let mut item = frame(ITEM, 0, b"work");
        // Delivered before, so that its beginning is said as well as its end.
        item[4] = 2;
        // Until it is left alone.
        while !deadline.passed() {
            number += 1;
            item[8..16].copy_from_slice(&u64::to_le_bytes(number));
            if link.send_timeout(&item, Duration::from_millis(50)).is_err() {
                break;
            }
            sent += 1;
        }
    }
    Ok(format!("met={met} sent={sent}"))
}

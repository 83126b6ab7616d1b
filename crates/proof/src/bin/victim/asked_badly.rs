//! Hostile clients and servers of a service: each joins in good order and then does its worst.

use std::fs::OpenOptions;
use std::time::Duration;

use wharf_message_passing::{Client, Node, Options, RecvError, Wait};
use wharf_proof::asking::{ADDRESS, NAME};
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;

use crate::Failure;
use crate::scribble::{scribble, shared_and_writable};

/// Bytes of a header.
const HEAD: usize = 24;

/// `asked-badly HOW seconds=N seed=N`: says `ready`, and `done` with what it has done. As a client: `scribble`, `garbage`, `mute`,
/// `churn`, `cancel`; as a server: `scribble-back`, `garbage-back`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let how = words.at(1, "how")?;
    let deadline = Deadline::after(Duration::from_secs(words.number("seconds", 1)?));
    let mut random = Random::new(words.number("seed", 1)?);
    let node = Node::open()?;
    let done = match how {
        "scribble" => scribbles(&node, deadline, &mut random)?,
        "garbage" => sends_garbage(deadline, &mut random)?,
        "mute" => never_reads(&node, deadline, &mut random)?,
        "churn" => churns(&node, deadline)?,
        "cancel" => cancels(&node, deadline, &mut random)?,
        "scribble-back" => scribbles_back(&node, deadline, &mut random)?,
        "garbage-back" => answers_garbage(deadline, &mut random)?,
        other => return Err(format!("no attack is called '{other}'").into()),
    };
    say("done", &done)?;
    Ok(())
}

fn join(node: &Node) -> Result<Client, Failure> {
    Ok(node.service(NAME).wait(Wait::Sleep).client()?)
}

/// A message that may be right in every part, and seldom is in all.
fn nonsense(random: &mut Random, kinds: u64) -> Vec<u8> {
    let mut message = vec![0; HEAD + random.below(300) as usize];
    random.fill(&mut message);
    if random.below(8) > 0 {
        message[0] = 1;
        message[1] = 1 + random.below(kinds) as u8;
        message[8..16].copy_from_slice(&random.below(64).to_le_bytes());
    }
    if random.below(16) == 0 {
        message.truncate(random.below(HEAD as u64) as usize);
    }
    message
}

/// Writes nonsense over whatever memory of its own it shares, while it asks.
fn scribbles(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let (mut joined, mut written, mut answered) = (0_u64, 0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut client = join(node)?;
        joined += 1;
        // Nothing is shared before a server has come.
        let _ = client.call(b"echo", Duration::from_millis(20));
        let spans = shared_and_writable("/memfd:");
        for _ in 0..random.below(200) {
            written += scribble(&memory, &spans, random);
            answered += u64::from(client.call(b"echo", Duration::from_micros(1500)).is_ok());
        }
    }
    if written == 0 {
        return Err("nothing was written".into());
    }
    Ok(format!("joined={joined} stores={written} answered={answered}"))
}

/// Sends messages of its own making, over a link at the address.
fn sends_garbage(deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let (mut joined, mut sent) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut link = Options::new().unsaid_purpose().connect_timeout(ADDRESS, Duration::from_secs(10))?;
        joined += 1;
        // Until it is cut off, or has had enough.
        for _ in 0..200 {
            if link.send_timeout(&nonsense(random, 2), Duration::from_millis(5)).is_err() {
                break;
            }
            sent += 1;
            let _ = link.try_recv();
        }
    }
    Ok(format!("joined={joined} sent={sent}"))
}

/// Asks and asks, and takes no answer.
fn never_reads(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let (mut joined, mut asked) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut link = Options::new().unsaid_purpose().connect_timeout(ADDRESS, Duration::from_secs(10))?;
        let mut client = join(node)?;
        joined += 1;
        for number in 1..2_000_u64 {
            let mut request = vec![0; HEAD + random.below(4000) as usize];
            request[..2].copy_from_slice(&[1, 1]);
            request[8..16].copy_from_slice(&number.to_le_bytes());
            request[16..24].fill(0xFF);
            asked += u64::from(link.send_timeout(&request, Duration::from_millis(1)).is_ok());
            if client.open_calls() < 1000 {
                let _ = client.request(&request).limit(Duration::from_millis(1)).start();
            }
            if deadline.passed() {
                break;
            }
        }
    }
    Ok(format!("joined={joined} asked={asked}"))
}

/// Comes and goes as fast as it can, now and then with a call in flight.
fn churns(node: &Node, deadline: Deadline) -> Result<String, Failure> {
    let mut joined = 0_u64;
    say("ready", "")?;
    while !deadline.passed() {
        let mut client = join(node)?;
        if joined.is_multiple_of(2) {
            let _ = client.request(b"in vain").limit(Duration::from_millis(5)).start();
        }
        joined += 1;
    }
    Ok(format!("joined={joined}"))
}

/// Asks, and gives up at once.
fn cancels(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let mut cancelled = 0_u64;
    let mut client = join(node)?;
    say("ready", "")?;
    while !deadline.passed() {
        let calls: Vec<_> = (0..random.below(100))
            .filter_map(|_| client.request(b"in vain").limit(Duration::from_millis(5)).start().ok())
            .collect();
        for call in calls {
            client.cancel(call);
            let _ = client.wait(call);
            cancelled += 1;
        }
    }
    Ok(format!("cancelled={cancelled}"))
}

/// Serves by name, and writes nonsense over whatever memory of its own it shares.
fn scribbles_back(node: &Node, deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let (mut opened, mut written, mut answered) = (0_u64, 0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let mut server = node.service(NAME).server()?;
        opened += 1;
        for _ in 0..random.below(300) {
            match server.recv_timeout(Duration::from_millis(5)) {
                Ok(request) => {
                    let spans = shared_and_writable("/memfd:");
                    written += scribble(&memory, &spans, random);
                    answered += u64::from(request.reply(b"nonsense").is_ok());
                }
                Err(RecvError::Timeout) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(format!("opened={opened} stores={written} answered={answered}"))
}

/// Listens at the address and answers with messages of its own making.
fn answers_garbage(deadline: Deadline, random: &mut Random) -> Result<String, Failure> {
    let mut listener = Options::new().unsaid_purpose().listen(ADDRESS)?;
    let (mut met, mut sent) = (0_u64, 0_u64);
    say("ready", "")?;
    while !deadline.passed() {
        let Ok(mut link) = listener.accept_timeout(Duration::from_millis(20)) else { continue };
        met += 1;
        for _ in 0..random.below(200) {
            if link.recv_timeout(Duration::from_millis(2)).is_err() && random.below(4) == 0 {
                break;
            }
            for _ in 0..random.below(20) {
                sent += u64::from(link.try_send(&nonsense(random, 8)).is_ok());
            }
        }
    }
    Ok(format!("met={met} sent={sent}"))
}

//! One side of a link, or of a topic, that moves its messages under a filter that kills on any system call.
//!
//! The filter holds for one thread. The main thread sets the link up, waits, and says how it went;
//! the working thread, once filtered, can neither return nor end, so it spins until the process does.
//! Every allocation is counted, that of the working thread and that of the whole process: a topic's process has a thread
//! more, which hears who comes and goes whenever they do.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use wharf_message_passing::{Link, Node, Options, Publisher, Receiver, RecvError, SendError, Sender, Subscriber, Wait};
use wharf_proof::letter::{Kind, fill};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;
use wharf_sys::trace::{CountingAllocator, allocations, own_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes of each message.
const LEN: usize = 64;
/// Messages before the filter, so that everything that happens only once has happened.
const WARM_UP: u64 = 20_000;
/// The longest that a run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The working thread still works.
const WORKING: u64 = u64::MAX;
/// The working thread met something that it did not expect.
const FAILED: u64 = u64::MAX - 1;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let words = Words::new(std::env::args().skip(1));
    match play(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Should nobody listen, the exit code still tells.
            let _ = say("failed", &failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// `send|receive|break ADDRESS count=N form=try|wait`: the receiver listens, the sender connects. `topic:NAME` is a topic, of
/// which the receiver is the subscriber.
fn play(words: &Words) -> Result<(), Failure> {
    let count = words.number("count", 10_000_000u64)?;
    let waits = words.setting("form") == Some("wait");
    let filter = any_system_call_kills()?;
    let (outcome, all) = (Arc::new(AtomicU64::new(WORKING)), Arc::new(AtomicU64::new(0)));
    let job = words.at(0, "send, receive or break")?;
    if job == "break" {
        return break_the_rule(&filter);
    }
    let (mut sender, mut receiver) = ends(job, words.at(1, "the address")?)?;
    let worker = {
        let (outcome, all, sends) = (Arc::clone(&outcome), Arc::clone(&all), job == "send");
        // Both ends stay alive in here: closing them takes system calls.
        move || {
            let allocated = match (sends, &mut sender, &mut receiver) {
                (true, Some(sender), _) => transmit(&mut **sender, count, waits, &filter),
                (false, _, Some(receiver)) => take(&mut **receiver, count, waits, &filter),
                _ => None,
            };
            if let Some(allocated) = &allocated {
                // Relaxed: the release below comes behind it.
                all.store(allocated.all, Ordering::Relaxed);
            }
            // Release: pairs with the Acquire below, so that whoever sees the end sees all of it.
            outcome.store(allocated.map_or(FAILED, |it| it.own), Ordering::Release);
            loop {
                std::hint::spin_loop();
            }
        }
    };
    thread::Builder::new().name("worker".into()).spawn(worker)?;
    let deadline = Deadline::after(LIMIT);
    // Ends at the deadline.
    while !deadline.passed() {
        thread::sleep(Duration::from_millis(2));
        // Acquire: see the store.
        match outcome.load(Ordering::Acquire) {
            WORKING => {}
            FAILED => return Err("a message was lost, changed or refused".into()),
            own => {
                // Relaxed: see the store.
                let all = all.load(Ordering::Relaxed);
                say("done", &format!("count={count} own={own} all={all}"))?;
                // Stays until told to go, so that the other side never meets its end.
                std::io::stdin().read_line(&mut String::new())?;
                return Ok(());
            }
        }
    }
    Err(format!("not done within {LIMIT:?}").into())
}

/// An end that sends.
trait Sends: Send {
    fn push(&mut self, message: &[u8], waits: bool) -> Result<(), SendError>;
}

/// An end that receives: whether what came next is what `check` takes it for.
trait Takes: Send {
    fn pull(&mut self, waits: bool, check: &dyn Fn(&[u8]) -> bool) -> Result<bool, RecvError>;
}

impl Sends for Sender {
    fn push(&mut self, message: &[u8], waits: bool) -> Result<(), SendError> {
        if waits { self.send(message) } else { self.try_send(message) }
    }
}

impl Sends for Publisher {
    fn push(&mut self, message: &[u8], waits: bool) -> Result<(), SendError> {
        if waits { self.send(message) } else { self.try_send(message) }
    }
}

impl Takes for Receiver {
    fn pull(&mut self, waits: bool, check: &dyn Fn(&[u8]) -> bool) -> Result<bool, RecvError> {
        let message = if waits { self.recv()? } else { self.try_recv()? };
        Ok(check(&message))
    }
}

impl Takes for Subscriber {
    fn pull(&mut self, waits: bool, check: &dyn Fn(&[u8]) -> bool) -> Result<bool, RecvError> {
        let message = if waits { self.recv()? } else { self.try_recv()? };
        Ok(check(&message))
    }
}

type Ends = (Option<Box<dyn Sends>>, Option<Box<dyn Takes>>);

/// Both ends of a link, or the one end of a topic that this job is about.
fn ends(job: &str, address: &str) -> Result<Ends, Failure> {
    let Some(name) = address.strip_prefix("topic:") else {
        let (sender, receiver) = meet(job, address)?.split();
        return Ok((Some(Box::new(sender)), Some(Box::new(receiver))));
    };
    let topic = Node::open()?.topic(name).wait(Wait::Spin);
    if job == "receive" {
        let subscriber = topic.subscriber()?;
        say("listening", "")?;
        return Ok((None, Some(Box::new(subscriber))));
    }
    let publisher = topic.publisher()?;
    Ok((Some(Box::new(publisher)), None))
}

fn meet(job: &str, address: &str) -> Result<Link, Failure> {
    let options = Options::new().wait(Wait::Spin);
    match job {
        "receive" => {
            let mut listener = options.listen(address)?;
            say("listening", "")?;
            Ok(listener.accept_timeout(Duration::from_secs(15))?)
        }
        "send" => Ok(options.connect_timeout(address, Duration::from_secs(15))?),
        other => Err(format!("no part is called '{other}'").into()),
    }
}

/// How often the working thread allocated while messages moved, and how often the whole process did.
struct Allocated {
    own: u64,
    all: u64,
}

impl Allocated {
    fn until_now() -> Allocated {
        Allocated { own: own_allocations(), all: allocations() }
    }

    fn since(before: &Allocated) -> Allocated {
        Allocated { own: own_allocations() - before.own, all: allocations() - before.all }
    }
}

/// Sends `count` messages; returns how often was allocated meanwhile.
fn transmit(sender: &mut dyn Sends, count: u64, waits: bool, filter: &BpfProgram) -> Option<Allocated> {
    let mut letter = [0u8; LEN];
    let mut push = |number: u64, waits: bool| {
        fill(number, &mut letter);
        if waits {
            return sender.push(&letter, true).ok();
        }
        // Ends when the receiver has made room; the main thread ends it when it takes too long.
        loop {
            match sender.push(&letter, false) {
                Ok(()) => return Some(()),
                Err(SendError::Full) => std::hint::spin_loop(),
                Err(_) => return None,
            }
        }
    };
    for number in 0..WARM_UP {
        push(number, false)?;
    }
    seccompiler::apply_filter(filter).ok()?;
    let before = Allocated::until_now();
    for number in WARM_UP..WARM_UP + count {
        push(number, waits)?;
    }
    Some(Allocated::since(&before))
}

/// Receives `count` messages and checks each; returns how often was allocated meanwhile.
fn take(receiver: &mut dyn Takes, count: u64, waits: bool, filter: &BpfProgram) -> Option<Allocated> {
    let kind = Kind::Fixed(LEN);
    let mut pull = |number: u64, waits: bool| {
        if waits {
            return receiver.pull(true, &|letter| kind.is(number, letter)).is_ok_and(|same| same).then_some(());
        }
        // Ends when the sender has sent; the main thread ends it when it takes too long.
        loop {
            match receiver.pull(false, &|letter| kind.is(number, letter)) {
                Ok(same) => return same.then_some(()),
                Err(RecvError::Empty) => std::hint::spin_loop(),
                Err(_) => return None,
            }
        }
    };
    for number in 0..WARM_UP {
        pull(number, false)?;
    }
    seccompiler::apply_filter(filter).ok()?;
    let before = Allocated::until_now();
    for number in WARM_UP..WARM_UP + count {
        pull(number, waits)?;
    }
    Some(Allocated::since(&before))
}

/// Shows that the filter means what it says: one system call, and the process is gone.
fn break_the_rule(filter: &BpfProgram) -> Result<(), Failure> {
    say("breaking", "")?;
    seccompiler::apply_filter(filter)?;
    thread::yield_now();
    Ok(())
}

/// A filter without a single exception.
fn any_system_call_kills() -> Result<BpfProgram, Failure> {
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(BTreeMap::new(), SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
    Ok(filter.try_into()?)
}

//! Parts with marks around one set-up operation, for a tracer that makes one of its calls fail.
//!
//! Afterwards the part compares what the process holds, and has put outside itself, with what it held before, and does
//! the operation once more without a fault: an error must leave nothing behind and nothing broken.

mod regions;
mod trial;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Stdio};
use std::time::Duration;

use wharf_message_passing::{Attachment, ConnectError, Link, Listener, Node, Options, Transport};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::SealedBuffer;

use self::trial::Trial;
use crate::heir::{heir, transport};
use crate::link::options;
use crate::{Failure, told};

/// How long an introduction may take; a fault can silence it.
const INTRODUCTION: Duration = Duration::from_millis(300);
/// How long a message of a channel may take; a fault can lose the ring for it, and nothing else.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// How long a part waits for a visitor.
const VISIT: Duration = Duration::from_secs(5);

/// `fault OPERATION PLACE [cold=yes] [queues=yes] …`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let place = words.at(2, "a name, an address or a path")?;
    let trial = &Trial::new(words)?;
    match words.at(1, "which operation")? {
        "create" => regions::create(trial, place),
        "create-file" => regions::create_file(trial, place.as_ref()),
        "open-or-create" => regions::open_or_create(trial, place),
        "anonymous" => regions::anonymous(trial),
        "attach" => regions::attach(trial, place),
        "attach-file" => regions::attach_file(trial, place.as_ref()),
        "attach-read-only" => regions::attach_read_only(trial, place),
        "listen" => listen(trial, words, place),
        "connect" => connect(trial, words, place),
        "accept" => accept(trial, words, place),
        "meet" => meet(trial, words, place),
        "queue" => queue(trial),
        "knock" => knock(words, place),
        "carry" => carry(trial, words, place),
        "unload" => unload(trial, words, place),
        "channel" => channel(trial, transport(place)?),
        "spawn" => spawn(trial, transport(place)?),
        "inherit" => inherit(trial, transport(place)?),
        "node" => node(trial),
        "publish" => end(trial, |node| Ok(node.topic(place).publisher()?)),
        "subscribe" => end(trial, |node| Ok(node.topic(place).subscriber()?)),
        "own" => end(trial, |node| Ok(node.state(place).owner(&Vec::new())?)),
        "watch" => end(trial, |node| Ok(node.state(place).watcher()?)),
        "notify" => end(trial, |node| Ok(node.event(place).notifier()?)),
        "hear" => end(trial, |node| Ok(node.event(place).listener()?)),
        "serve" => end(trial, |node| Ok(node.service(place).server()?)),
        "call" => end(trial, |node| Ok(node.service(place).client()?)),
        "push" => end(trial, |node| Ok(node.queue(place).pusher()?)),
        "pull" => end(trial, |node| Ok(node.queue(place).puller()?)),
        other => Err(format!("no part is called 'fault {other}'").into()),
    }
}

fn introduction(words: &Words) -> Result<Options, Failure> {
    Ok(options(words)?.handshake_timeout(INTRODUCTION))
}

fn listen(trial: &Trial, words: &Words, address: &str) -> Result<(), Failure> {
    let options = introduction(words)?;
    let listen = || -> Result<(), Failure> {
        drop(options.listen(address)?);
        Ok(())
    };
    trial.warm(listen)?;
    trial.run(
        || Ok(options.listen(address)?),
        |faulted| {
            // The name must be free again first.
            drop(faulted);
            listen()
        },
    )
}

fn connect(trial: &Trial, words: &Words, address: &str) -> Result<(), Failure> {
    let options = introduction(words)?;
    trial.warm(|| greet(&mut options.connect(address)?))?;
    trial.run(
        || Ok(options.connect(address)?),
        |faulted| {
            if let Some(mut link) = faulted {
                greet(&mut link)?;
            }
            greet(&mut options.connect(address)?)
        },
    )
}

fn accept(trial: &Trial, words: &Words, address: &str) -> Result<(), Failure> {
    let listen = || -> Result<Listener, Failure> { Ok(introduction(words)?.listen(address)?) };
    // The first one sets up what all later ones use.
    trial.warm(|| visitor(&mut listen()?).map(drop))?;
    let before = trial.before();
    let mut listener = listen()?;
    say("listening", "")?;
    trial.warm(|| visitor(&mut listener).map(drop))?;
    drop(trial.outcome(|| Ok(listener.accept_timeout(VISIT)?))?);
    // The listener of a failed accept accepts the next visitor.
    drop(visitor(&mut listener)?);
    say("accepted-again", "")?;
    // It may keep memory in reserve for somebody who has not introduced himself yet: what is left is counted behind it.
    drop(listener);
    trial.nothing_left_of(&before)
}

/// Accepts somebody, passing over visitors that are gone before they were met.
fn visitor(listener: &mut Listener) -> Result<Link, Failure> {
    let mut last = None;
    // Bound: a visitor that left while a fault was acted on can be waiting in the queue, not fifty.
    for _ in 0..50 {
        match listener.accept_timeout(VISIT) {
            Ok(link) => return Ok(link),
            Err(error @ ConnectError::Timeout { .. }) => return Err(error.into()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| "no visitor".into(), Failure::from))
}

/// A message queue, as the links over them have it.
fn queue(trial: &Trial) -> Result<(), Failure> {
    let make = || Ok(wharf_sys::queue::make(1, 8)?);
    trial.warm(|| make().map(drop))?;
    trial.run(make, |_| make().map(drop))
}

/// Both sides in one thread of this process.
fn meet(trial: &Trial, words: &Words, address: &str) -> Result<(), Failure> {
    let options = introduction(words)?;
    let meet = || -> Result<(), Failure> {
        let mut listener = options.listen(address)?;
        let mut link = options.connect(address)?;
        let mut other = listener.accept_timeout(VISIT)?;
        link.send(b"hello")?;
        match &*other.recv_timeout(VISIT)? {
            b"hello" => Ok(()),
            another => Err(format!("another message than was sent: {another:?}").into()),
        }
    };
    trial.warm(meet)?;
    trial.run(meet, |_| meet())
}

/// Connects again and again, so that an accepting side always finds a visitor.
fn knock(words: &Words, address: &str) -> Result<(), Failure> {
    let options = introduction(words)?;
    say("ready", "")?;
    std::thread::spawn(move || {
        // The test closes the input when it has seen enough.
        let _ = told();
        std::process::exit(0);
    });
    let address = address.to_owned();
    // Ends with the process, when the test closes its input.
    loop {
        if options.connect(address.as_str()).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// How many messages with attachments one trial sends or receives: each takes few system calls.
const PARCELS: usize = 3;

/// Sends sealed buffers to somebody who takes anything.
fn carry(trial: &Trial, words: &Words, address: &str) -> Result<(), Failure> {
    let link = RefCell::new(introduction(words)?.connect(address)?);
    let parcel = || -> Result<(), Failure> {
        let buffer = SealedBuffer::copy_of(b"sealed")?;
        Ok(link.borrow_mut().send_with_timeout(b"letter", &[Attachment::from(&buffer)], VISIT)?)
    };
    trial.warm(parcel)?;
    // A link on which a call failed goes on: what was not sent can be sent again.
    trial.run(|| (0..PARCELS).try_for_each(|_| parcel()), |_| parcel())
}

/// Receives sealed buffers from somebody who sends as many as fit.
fn unload(trial: &Trial, words: &Words, address: &str) -> Result<(), Failure> {
    let link = RefCell::new(introduction(words)?.connect(address)?);
    let parcel = || -> Result<(), Failure> {
        let mut link = link.borrow_mut();
        let mut message = link.recv_timeout(VISIT)?;
        drop(message.take_buffer()?);
        Ok(())
    };
    trial.warm(parcel)?;
    // What came with the last message and was not taken is closed by the next call.
    trial.run(|| (0..PARCELS).try_for_each(|_| parcel()), |_| parcel())
}

/// Makes channels, sends the ends of one through another, takes them out and uses them.
fn channel(trial: &Trial, transport: Transport) -> Result<(), Failure> {
    let pass = || -> Result<(), Failure> {
        let (mut outer, mut inner) = Options::new().channel(transport)?;
        let (tx, rx) = Options::new().channel(transport)?;
        outer.send_with(b"take", &[Attachment::sender(tx)?, Attachment::receiver(rx)?])?;
        let mut message = inner.recv_timeout(ON_ITS_WAY)?;
        let (mut tx, mut rx) = (message.take_sender()?, message.take_receiver()?);
        for word in [b"first", b"again", b"third"] {
            tx.send(word)?;
            if *rx.recv_timeout(ON_ITS_WAY)? != word[..] {
                return Err("another message than was sent".into());
            }
        }
        Ok(())
    };
    trial.warm(pass)?;
    trial.run(pass, |_| pass())
}

/// Starts an heir and hands it a link.
fn spawn(trial: &Trial, transport: Transport) -> Result<(), Failure> {
    let options = Options::new().handshake_timeout(VISIT);
    let start = || -> Result<(Child, Link), Failure> {
        let mut command = heir()?;
        command.arg("patience=little").stdout(Stdio::null());
        // The standard library panics when it cannot read how starting went; that is an error like any other here.
        let started = catch_unwind(AssertUnwindSafe(|| options.spawn(transport, command)));
        Ok(started.map_err(|_| "the standard library panicked")??)
    };
    let talk = |(mut child, mut link): (Child, Link)| -> Result<(), Failure> {
        link.send(b"hello")?;
        link.recv_timeout(VISIT)?;
        drop(link);
        child.wait()?;
        Ok(())
    };
    trial.warm(|| talk(start()?))?;
    trial.run(start, |faulted| {
        if let Some(both) = faulted {
            talk(both)?;
        }
        talk(start()?)
    })
}

/// Takes the link that the test has handed over. It can do so once, so what happens only the first time is done with a
/// link to itself.
fn inherit(trial: &Trial, transport: Transport) -> Result<(), Failure> {
    let options = Options::new().handshake_timeout(INTRODUCTION);
    trial.warm(|| meet_oneself(transport))?;
    trial.run(
        || Ok(options.inherited()?),
        |faulted| {
            let taken = faulted.is_some();
            if let Some(mut link) = faulted {
                greet(&mut link)?;
            }
            match options.inherited() {
                Err(ConnectError::NotHanded(_)) => meet_oneself(transport),
                // What failed before the descriptor was taken can be done again.
                Ok(mut link) if !taken => greet(&mut link),
                other => Err(format!("a second try should find nothing: {:?}", other.map(|_| ())).into()),
            }
        },
    )
}

fn meet_oneself(transport: Transport) -> Result<(), Failure> {
    let address = format!("{transport}:oneself-{}", std::process::id());
    let mut listener = Options::new().listen(&address)?;
    let there = std::thread::spawn(move || Options::new().connect(&address).map(drop));
    drop(listener.accept_timeout(VISIT)?);
    there.join().map_err(|_| "connecting panicked")??;
    Ok(())
}

/// Opens a node and closes it again.
fn node(trial: &Trial) -> Result<(), Failure> {
    // The first node of a process also sets up what all later ones use.
    trial.warm(|| Ok(Node::open().map(drop)?))?;
    trial.run(
        || Ok(Node::open()?),
        |faulted| {
            drop(faulted);
            drop(Node::open()?);
            Ok(())
        },
    )
}

/// Waits until every other thread of this process sleeps, twice in a row.
fn wait_for_sleepers() -> Result<(), Failure> {
    let me = std::process::id().to_string();
    let mut asleep = 0;
    // Bound: a thread that has nothing to do sleeps after some microseconds of its own.
    for _ in 0..5_000 {
        let mut all = true;
        for task in std::fs::read_dir("/proc/self/task")?.flatten() {
            let others = task.file_name().to_string_lossy() != me;
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            all &= !others || status.lines().any(|line| line.starts_with("State:\tS"));
        }
        asleep = if all { asleep + 1 } else { 0 };
        if asleep == 3 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("some thread does not rest".into())
}

/// Opens an end of a node, and once more afterwards.
fn end<T>(trial: &Trial, open: impl Fn(&Node) -> Result<T, Failure>) -> Result<(), Failure> {
    let warm = if trial.is_cold() { None } else { Some(Node::open()?) };
    let both = || -> Result<(T, Node), Failure> {
        // What a process does first includes opening the node.
        let node = warm.clone().map_or_else(Node::open, Ok)?;
        Ok((open(&node)?, node))
    };
    trial.warm(|| {
        drop(both()?);
        // What a thread does at its start is not ours, and must not fail here.
        wait_for_sleepers()
    })?;
    trial.run(both, |faulted| {
        // A state can be owned once only.
        drop(faulted);
        drop(both()?);
        Ok(())
    })
}

/// Sends one letter, so that a link that was made is seen to work.
fn greet(link: &mut Link) -> Result<(), Failure> {
    Ok(link.send_rendezvous(b"hello", Some(VISIT))?)
}

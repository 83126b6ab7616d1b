//! Parts with marks around one operation, for a tracer that steps through it.
//!
//! Each part does its operation once before the marks, so that what happens only the first time (a
//! thread's cache of attachments, lazily bound symbols) is not in the span.

use std::time::Duration;

use wharf_message_passing::Link;
use wharf_proof::board::{Board, Locks, Pair};
use wharf_proof::said::say;
use wharf_proof::stepping::{CLOSE, HELD, OPEN};
use wharf_proof::words::Words;
use wharf_shared_memory::{Region, RwLock, RwLockError};
use wharf_sys::trace::mark;

use crate::link::{kind, options, wrong};
use crate::{Failure, told};

/// How long a receiver without work takes to fall asleep.
const RECEIVER_ASLEEP: Duration = Duration::from_millis(3);

/// `span lock|unlock|read|unread|write|unwrite NAME` or `span send|receive ADDRESS`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let place = words.at(2, "a name or an address")?;
    match words.at(1, "which operation")? {
        "lock" => lock(&Region::attach(place)?),
        "unlock" => unlock(&Region::attach(place)?),
        "read" => book(&Region::attach(place)?, RwLock::read, false),
        "unread" => book(&Region::attach(place)?, RwLock::read, true),
        "write" => book(&Region::attach(place)?, RwLock::write, false),
        "unwrite" => book(&Region::attach(place)?, RwLock::write, true),
        "send" => send(connect(words, place)?, words),
        "receive" => receive(connect(words, place)?, words),
        other => Err(format!("no part is called 'span {other}'").into()),
    }
}

fn connect(words: &Words, address: &str) -> Result<Link, Failure> {
    Ok(options(words)?.connect(address)?)
}

fn lock(region: &Region<Board>) -> Result<(), Failure> {
    drop(region.pair.lock());
    mark(OPEN);
    let guard = region.pair.lock();
    mark(CLOSE);
    drop(guard);
    Ok(())
}

fn unlock(region: &Region<Board>) -> Result<(), Failure> {
    drop(region.pair.lock());
    let mut guard = region.pair.lock().map_err(|error| error.to_string())?;
    guard.advance();
    mark(HELD);
    mark(OPEN);
    drop(guard);
    mark(CLOSE);
    Ok(())
}

/// Takes the lock for readers and writers with `take`, or gives it back, inside the span.
fn book<'a, G>(
    region: &'a Region<Locks>,
    take: impl Fn(&'a RwLock<Pair>) -> Result<G, RwLockError<'a, Pair>>,
    gives_back: bool,
) -> Result<(), Failure> {
    drop(take(&region.book).map_err(|error| error.to_string())?);
    if gives_back {
        let guard = take(&region.book).map_err(|error| error.to_string())?;
        mark(HELD);
        mark(OPEN);
        drop(guard);
        mark(CLOSE);
    } else {
        mark(OPEN);
        let guard = take(&region.book);
        mark(CLOSE);
        drop(guard);
    }
    Ok(())
}

/// Sends letters 0 and 1 before the span and letter 2 inside it.
fn send(mut link: Link, words: &Words) -> Result<(), Failure> {
    let kind = kind(words)?;
    let mut letter = Vec::new();
    for number in 0..2 {
        kind.compose(number, &mut letter);
        link.send(&letter)?;
    }
    kind.compose(2, &mut letter);
    // By then the receiver sleeps, so the span has the ringing in it, every time.
    std::thread::sleep(RECEIVER_ASLEEP);
    mark(OPEN);
    let sent = link.send(&letter);
    mark(CLOSE);
    Ok(sent?)
}

/// Receives letters 0 and 1 before the span and letter 2, which is there already, inside it.
fn receive(mut link: Link, words: &Words) -> Result<(), Failure> {
    let kind = kind(words)?;
    for number in 0..2 {
        let letter = link.recv()?;
        if !kind.is(number, &letter) {
            return Err(wrong(number, &letter));
        }
    }
    say("ready", "")?;
    told()?;
    mark(OPEN);
    let received = link.recv();
    mark(CLOSE);
    let letter = received?;
    if !kind.is(2, &letter) {
        return Err(wrong(2, &letter));
    }
    Ok(())
}

//! The honest ends beside hostile ones: a server that answers whoever asks, and a client that asks whoever is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{CallError, Client, Node, Options, Outcome, RecvError, Server, Wait};
use wharf_proof::asking::{ADDRESS, NAME};
use wharf_proof::promptness::{SOON, assert_within, watch};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Instant;

use crate::{Failure, told};

/// How long its callers wait.
const LIMIT: Duration = Duration::from_millis(20);

/// `asked-honestly serve|ask`: says `ready`, and at the end of its input `done` with what it has done.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let over = AtomicBool::new(false);
    let over = &over;
    let node = Node::open()?;
    match words.at(1, "to serve or to ask")? {
        "serve" => {
            let by_name = node.service(NAME).wait(Wait::Sleep).server()?;
            let at_address = Options::new().wait(Wait::Sleep).service(ADDRESS).server()?;
            thread::scope(|scope| -> Result<(), Failure> {
                let serving = [by_name, at_address].map(|server| scope.spawn(move || serve(server, over)));
                until_told(over)?;
                let mut sums = [0, 0];
                for thread in serving {
                    let (answered, cut_off) = thread.join().map_err(|_| "a server panicked")??;
                    sums = [sums[0] + answered, sums[1] + cut_off];
                }
                say("done", &format!("{} answered, {} clients cut off", sums[0], sums[1]))?;
                Ok(())
            })
        }
        "ask" => {
            watch();
            let by_name = node.service(NAME).wait(Wait::Sleep).client()?;
            thread::scope(|scope| -> Result<(), Failure> {
                let asking = scope.spawn(move || ask_by_name(by_name, over));
                let at_address = scope.spawn(move || ask_at_the_address(over));
                until_told(over)?;
                let one = asking.join().map_err(|_| "the client by name panicked")??;
                let two = at_address.join().map_err(|_| "the client at the address panicked")??;
                say("done", &format!("answered, unknown, never sent: {one:?} by name, {two:?} at the address"))?;
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

/// Answers everything with what it was asked.
fn serve(mut server: Server, over: &AtomicBool) -> Result<(u64, u64), String> {
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        match server.recv_timeout(Duration::from_millis(5)) {
            Ok(request) => {
                let bytes = request.to_vec();
                // A client that is gone by then, or does not read, needs no answer.
                answered += u64::from(request.reply(&bytes).is_ok());
            }
            Err(RecvError::Timeout) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok((answered, server.cut_off().0))
}

/// Asks once, in time; what came of it, counted.
fn ask(client: &mut Client, counts: &mut [u64; 3]) -> Result<bool, String> {
    let since = Instant::now();
    let outcome = client.call(b"who is there", LIMIT);
    let now = Instant::now();
    if now.saturating_since(since) > LIMIT + SOON {
        assert_within("an honest call beside a hostile server", LIMIT + SOON, since, now);
    }
    let at = match &outcome {
        Ok(_) => 0,
        Err(CallError::System(error)) => return Err(error.to_string()),
        Err(error) => match error.outcome() {
            Outcome::Answered => 0,
            Outcome::NeverSent => 2,
            _ => 1,
        },
    };
    counts[at] += 1;
    Ok(!matches!(outcome, Err(CallError::ServerGone { .. } | CallError::NoServer { .. })))
}

fn ask_by_name(mut client: Client, over: &AtomicBool) -> Result<[u64; 3], String> {
    let mut counts = [0; 3];
    while !over.load(Ordering::Relaxed) {
        ask(&mut client, &mut counts)?;
    }
    Ok(counts)
}

fn ask_at_the_address(over: &AtomicBool) -> Result<[u64; 3], String> {
    let mut counts = [0; 3];
    while !over.load(Ordering::Relaxed) {
        let Ok(mut client) = Options::new().service(ADDRESS).client_timeout(LIMIT) else { continue };
        while !over.load(Ordering::Relaxed) && ask(&mut client, &mut counts)? {}
    }
    Ok(counts)
}

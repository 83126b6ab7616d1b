//! A part among servers and clients, until it is over or killed.

use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{Node, Options, Wait};
use wharf_proof::asking::{ADDRESS, Account, Ask, Asking, NAME, Serving};
use wharf_proof::promptness::watch;
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;

use crate::Failure;

/// `asking serve DIRECTORY seed=N address=0|1`, `asking ask DIRECTORY life=N seed=N address=0|1`: says `ready`, serves or asks
/// until the accounts in the directory say that nobody is to do so any more, then says `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let account = Account::at(Path::new(words.at(2, "the directory of the accounts")?));
    let (seed, by_address) = (words.number("seed", 0)?, words.number("address", 0)? == 1);
    let wait = if Random::new(seed).below(2) == 0 { Wait::Adaptive } else { Wait::Sleep };
    let options = Options::new().wait(wait);
    match words.at(1, "to serve or to ask")? {
        "serve" if by_address => serve(&account, || options.service(ADDRESS).server(), seed),
        "serve" => {
            let node = Node::open()?;
            serve(&account, || node.service(NAME).wait(wait).server(), seed)
        }
        "ask" => {
            watch();
            let first = Ask { life: words.number("life", 0)?, number: 0 };
            match by_address {
                true => ask_at_an_address(&account, &options, first, seed),
                false => {
                    let node = Node::open()?;
                    say("ready", "")?;
                    let client = node.service(NAME).wait(wait).client()?;
                    let mut asking = Asking::new(client, &account, first, seed, true)?;
                    while !account.is_over() {
                        asking.ask()?;
                    }
                    drop((asking, node));
                    say("done", "")?;
                    Ok(())
                }
            }
        }
        other => Err(format!("nobody can {other} here").into()),
    }
}

/// Serves, and leaves and comes again now and then.
fn serve(
    account: &Account,
    open: impl Fn() -> Result<wharf_message_passing::Server, wharf_message_passing::OpenError>,
    seed: u64,
) -> Result<(), Failure> {
    let mut random = Random::new(seed);
    let mut is_ready = false;
    // Once at least: whoever starts it waits for its word.
    loop {
        let mut serving = Serving::new(open()?, account, random.number())?;
        if !std::mem::replace(&mut is_ready, true) {
            say("ready", "")?;
        }
        for _ in 0..100 + random.below(3000) {
            if !serving.serve(Duration::from_millis(2))? && account.is_closed() {
                break;
            }
        }
        if account.is_closed() {
            drop(serving);
            say("done", "")?;
            return Ok(());
        }
    }
}

/// Asks whoever serves at the address, one after another.
fn ask_at_an_address(account: &Account, options: &Options, first: Ask, seed: u64) -> Result<(), Failure> {
    say("ready", "")?;
    let mut next = first;
    while !account.is_over() {
        let Ok(client) = options.service(ADDRESS).client_timeout(Duration::from_millis(20)) else { continue };
        let mut asking = Asking::new(client, account, next, seed ^ next.number, false)?;
        while !account.is_over() && asking.ask()? {}
        next = asking.next();
    }
    say("done", "")?;
    Ok(())
}

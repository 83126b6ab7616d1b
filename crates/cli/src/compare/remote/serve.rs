//! `wharf compare --serve`: waits for clients on other machines and serves one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use wharf::{ConnectError, Link, Listener};

use crate::compare::machine;
use crate::compare::remote::address;
use crate::compare::remote::bounds;
use crate::compare::remote::security::Offer;
use crate::compare::remote::session;
use crate::compare::remote::words::{LONGEST, PROTOCOL, Say, tell};
use crate::compare::secret::Secret;
use crate::compare::trouble::Trouble;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::network::reachable;
use crate::output::Output;
use crate::printable::printable;
use crate::usage::CompareArguments;

/// How often a server that waits for clients looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What the threads of one server share.
struct Desk {
    offer: Offer,
    /// Whether a client is being served.
    busy: AtomicBool,
    /// Newcomers that have not said yet who they are.
    newcomers: AtomicUsize,
}

/// Serves until Ctrl-C.
pub(crate) fn run(asked: &CompareArguments, at: &str) -> Result<(), Failure> {
    let address = address::read(at).map_err(|why| Failure::Usage(format!("--serve: {why}")))?;
    let new = || Ok((Secret::new()?, Identity::make().map_err(Trouble::wrong)?));
    let (token, identity) = new().map_err(|trouble: Trouble| Failure::Failed(trouble.why))?;
    let offer = Offer { token, address, insecure: asked.insecure, identity };
    let over = offer.address.transport();
    let options = offer.listening(over).map_err(|trouble| Failure::Usage(format!("--serve: {}", trouble.why)))?;
    let mut listener = options.max_message(LONGEST).listen(offer.address.as_str())?;
    let ending = Ending::watch()?;
    announce(&offer, &listener)?;
    let desk = Arc::new(Desk { offer, busy: AtomicBool::new(false), newcomers: AtomicUsize::new(0) });
    // A signal ends the loop, as it was to be.
    while ending.check().is_ok() {
        match listener.accept_timeout(LOOK) {
            Ok(link) => receive(&desk, link),
            Err(ConnectError::Timeout { .. }) => {}
            // What the system lacks now, descriptors for example, it may have again in a moment.
            Err(error) => {
                report(&format!("cannot accept: {error}"));
                std::thread::sleep(LOOK);
            }
        }
    }
    Ok(())
}

/// What whoever sits at the other machine needs, ready to be copied.
fn announce(offer: &Offer, listener: &Listener) -> Result<(), Failure> {
    let at = listener.address();
    let mut output = Output::take();
    output.line(&format!("serving comparisons at {at}, one client at a time, until Ctrl-C"))?;
    output.line("on the other machine:")?;
    let to = reachable(at);
    let mut command = format!("  wharf compare --remote {to} --token {}", offer.token.text());
    if at.transport().crosses_machines() {
        command.push_str(&format!(" --fingerprint {}", offer.identity.fingerprint));
    }
    if offer.insecure {
        command.push_str(" --insecure");
    }
    output.line(&command)?;
    output.flush()
}

/// Takes a newcomer in on a thread of its own, so that a silent one keeps nobody waiting.
fn receive(desk: &Arc<Desk>, mut link: Link) {
    // Relaxed: a count and nothing else.
    if desk.newcomers.fetch_add(1, Ordering::Relaxed) >= bounds::NEWCOMERS {
        desk.newcomers.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let at_desk = Arc::clone(desk);
    let started = std::thread::Builder::new().name("client".into()).spawn(move || {
        let known = session::introduce(&mut link, &at_desk.offer);
        at_desk.newcomers.fetch_sub(1, Ordering::Relaxed);
        let who = link.peer().to_string();
        let served = known.and_then(|()| serve_alone(&at_desk, &mut link, &who));
        match served {
            Ok(()) => report(&format!("{who} is done")),
            Err(trouble) => {
                report(&format!("{who}: {trouble}"));
                // A client that has gone does not hear it.
                let _told = tell(&mut link, &Say::Refused { why: trouble.why }, bounds::INTRODUCTION);
            }
        }
    });
    if started.is_err() {
        desk.newcomers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a client unless another one is being served.
fn serve_alone(desk: &Desk, link: &mut Link, who: &str) -> Result<(), Trouble> {
    // Acquire and release: one client's lines are closed before the next one's are opened.
    if desk.busy.swap(true, Ordering::Acquire) {
        return Err(Trouble::lacking("the server is busy with another client: try again in a minute"));
    }
    let _free = Free(&desk.busy);
    report(&format!("{who} has come"));
    let welcome = Say::Welcome { protocol: PROTOCOL, machine: machine::remote() };
    tell(link, &welcome, bounds::INTRODUCTION)?;
    session::serve(link, &desk.offer)
}

/// Frees the server for the next client, however the last one's time ended.
struct Free<'a>(&'a AtomicBool);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A line for whoever watches the server. Nobody has to.
fn report(line: &str) {
    let told = Output::take().line(&printable(line));
    let _unwatched = told;
}

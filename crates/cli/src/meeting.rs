//! How `send` and `recv` find each other: one listens, the other connects.

use std::time::{Duration, Instant};

use wharf::{Address, AddressError, ConnectError, Link, Listener, Options, Transport};
use wharf_sys::directory::Domain;

use crate::ending::Ending;
use crate::failure::{Failure, in_own_words};
use crate::identity::Fingerprint;
use crate::peers::FOR_EVER;
use crate::usage::{MeetingArguments, complain};

/// How soon a user who wants to know hears of a peer that was refused.
const LOOK: Duration = Duration::from_millis(100);

/// How long whoever listens may take to introduce himself, unless he gets less.
const SILENCE: Duration = Duration::from_secs(2);

/// No time at all would be a mistake.
const SHORTEST: Duration = Duration::from_millis(1);

/// Which side waits when the user does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// `recv` listens.
    Listens,
    /// `send` connects.
    Connects,
}

/// Makes the link, as listener or as connector.
pub(crate) fn meet(
    address: &str,
    asked: &MeetingArguments,
    habit: Habit,
    options: &Options,
    ending: &mut Ending,
) -> Result<Link, Failure> {
    let parsed = check(address)?;
    let listens = asked.listen || (habit == Habit::Listens && !asked.connect);
    check_others(&parsed, asked)?;
    let options = asked.allow_uid.iter().fold(options.clone(), |options, uid| options.allow_uid(*uid));
    let (options, made) = asked.network.apply(options, &parsed, listens)?;
    let link = if listens {
        let mut listener = options.listen(address)?;
        announce_address(listener.address(), &parsed, made, asked.verbose);
        accept(&mut listener, asked, ending)?
    } else {
        let outcome = ending.meanwhile(|| match patience(asked, asked.wait_for_peer) {
            None if asked.wait_for_peer => options.connect_timeout(address, FOR_EVER),
            // Who is there and says nothing is given no longer than anybody else.
            None => asked
                .timeout
                .map_or(options.clone(), |limit| options.handshake_timeout(limit.clamp(SHORTEST, SILENCE)))
                .connect(address),
            Some(limit) => options.connect_timeout(address, limit),
        })?;
        outcome.map_err(|error| match Failure::from(error) {
            gone @ Failure::PeerGone(_) => gone.adding("--wait TIME waits for the next that listens"),
            other => other,
        })?
    };
    if asked.verbose {
        complain(&format!("linked with {}", link.peer()));
    }
    Ok(link)
}

/// Refuses to admit users who cannot come: a name stands in this side's directory of names.
fn check_others(address: &Address, asked: &MeetingArguments) -> Result<(), Failure> {
    let is_name = match address.transport() {
        Transport::Shm | Transport::Mq => true,
        Transport::Unix | Transport::Pipe => !address.name().contains('/'),
        _ => false,
    };
    if asked.allow_uid.is_empty() || !is_name {
        return Ok(());
    }
    match Domain::existing() {
        // Writable for a group, or made by the first who listens in it.
        Ok(Some(domain)) if domain.file_mode() & 0o020 == 0 => Err(Failure::Usage(format!(
            "--allow-uid: {address} is a name in {}, which no other user may enter: have both sides set WHARF_DIR to a directory of a \
             group that both are in (chmod 2770), or use unix:PATH with a path that both can reach",
            domain.path().display()
        ))),
        // What is wrong with it is said by whoever uses it.
        _ => Ok(()),
    }
}

/// Says what the other side has to know and cannot: a port that the system chose, a certificate that was just made.
pub(crate) fn announce_address(address: &Address, asked: &Address, made: Option<Fingerprint>, verbose: bool) {
    match made {
        Some(fingerprint) => complain(&format!("listening at {address}, known by --pin {fingerprint}")),
        None if verbose || address.as_str() != asked.as_str() => complain(&format!("listening at {address}")),
        None => {}
    }
}

/// How long the peer is waited for, where that has an end: who waits for it at all waits no longer than for a message.
fn patience(asked: &MeetingArguments, waits: bool) -> Option<Duration> {
    asked.wait.or(if waits { asked.timeout } else { None })
}

/// Waits for the peer. Whoever did not fit is named at once to a user who wants to know, and to any other when nobody
/// comes that does.
fn accept(listener: &mut Listener, asked: &MeetingArguments, ending: &mut Ending) -> Result<Link, Failure> {
    let limit = patience(asked, true);
    let end = limit.map(|limit| Instant::now() + limit);
    let mut told = 0;
    // Each round waits; the limit, a signal, or else the first peer that fits, ends them.
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        match (asked.verbose, left) {
            (false, None) => ending.wait_with(listener)?,
            (false, Some(left)) => drop(ending.wait_with_for(listener, left)?),
            (true, left) => drop(ending.wait_with_for(listener, left.map_or(LOOK, |left| left.min(LOOK)))?),
        }
        let outcome = listener.try_accept();
        if asked.verbose {
            told = tell_refused(listener, told);
        }
        match (outcome, left) {
            (Err(ConnectError::NobodyWaiting), Some(Duration::ZERO)) => {
                let late = ConnectError::Timeout {
                    address: listener.address().to_string(),
                    limit: limit.unwrap_or_default(),
                    missing: "nobody connected",
                };
                return Err(with_the_refused(Failure::from(late), listener));
            }
            (Err(ConnectError::NobodyWaiting), _) => {}
            (outcome, _) => return Ok(outcome?),
        }
    }
}

/// Names those who were refused since so many had been; returns how many it are now.
fn tell_refused(listener: &Listener, told: u64) -> u64 {
    let count = listener.refusals();
    let new = usize::try_from(count - told).unwrap_or(usize::MAX);
    let known = listener.refused().count();
    for refused in listener.refused().skip(known.saturating_sub(new)) {
        complain(&format!("refused {}", in_own_words(&refused.to_string())));
    }
    count
}

/// Adds to a time that ran out why it did, if somebody came and did not fit.
fn with_the_refused(failure: Failure, listener: &Listener) -> Failure {
    match (failure, listener.refused().last()) {
        (Failure::Timeout(why), Some(last)) => Failure::Timeout(format!(
            "{why} that fits; {} came that did not, the last was {}",
            listener.refusals(),
            in_own_words(&last.to_string())
        )),
        (failure, _) => failure,
    }
}

/// Whether this command can use the address at all: `inproc:` joins threads of one process, and a command is a process
/// of its own.
pub(crate) fn check(address: &str) -> Result<Address, Failure> {
    let parsed = Address::parse(address).map_err(|error| Failure::Usage(format!("{error}{}", near_miss(&error))))?;
    if parsed.transport() == Transport::Inproc {
        return Err(Failure::Usage(format!(
            "'{address}' joins threads of one process, and this command is a process of its own: use shm: or unix:"
        )));
    }
    Ok(parsed)
}

/// Offers the scheme that was meant, if one is near.
fn near_miss(error: &AddressError) -> String {
    let AddressError::UnknownScheme { address, scheme, .. } = error else { return String::new() };
    let rest = address.get(scheme.len()..).unwrap_or_default();
    nearest_scheme(scheme).map_or_else(String::new, |near| format!("; did you mean '{near}{rest}'?"))
}

/// The usual options, for whoever connects to somebody who is to answer within this time, if any was said.
pub(crate) fn answered_within(limit: Option<Duration>) -> Options {
    // None at all would be no time to answer in.
    let limit = limit.map(|limit| limit.max(Duration::from_millis(1)));
    limit.map_or_else(Options::new, |limit| Options::new().handshake_timeout(limit))
}

/// The transport whose scheme was nearly typed: one letter more, fewer or another, or two that changed places.
pub(crate) fn nearest_scheme(given: &str) -> Option<Transport> {
    let given = given.to_ascii_lowercase();
    Transport::ALL.iter().copied().find(|it| strsim::damerau_levenshtein(&given, it.scheme()) <= 1)
}

/// The schemes that join processes, as a list.
pub(crate) fn schemes() -> String {
    let between_processes = Transport::ALL.iter().filter(|it| **it != Transport::Inproc);
    between_processes.map(|it| format!("{it}:")).collect::<Vec<_>>().join(", ")
}

/// Whether this is an address, and no name.
pub(crate) fn is_address(target: &str) -> bool {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| Transport::ALL.iter().any(|it| it.scheme() == scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_was_nearly_right_is_offered() {
        let said = |address: &str| check(address).expect_err("no such scheme").to_string();
        assert!(said("shn:x").ends_with("; did you mean 'shm:x'?"), "{}", said("shn:x"));
        assert!(said("TCP:a:1").ends_with("; did you mean 'tcp:a:1'?"), "{}", said("TCP:a:1"));
        assert!(said("tpc:a:1").ends_with("; did you mean 'tcp:a:1'?"), "{}", said("tpc:a:1"));
        assert!(said("unx:/tmp/a").ends_with("; did you mean 'unix:/tmp/a'?"), "{}", said("unx:/tmp/a"));
        assert!(!said("pigeon:x").contains("did you mean"), "{}", said("pigeon:x"));
    }
}

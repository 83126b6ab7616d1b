//! How `send` and `recv` find each other: one listens, the other connects.

use wharf::{Address, Link, Options, Transport};

use crate::failure::Failure;
use crate::usage::MeetingArguments;

/// Which side waits when the user does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// `recv` listens.
    Listens,
    /// `send` connects.
    Connects,
}

/// Makes the link, as listener or as connector.
pub(crate) fn meet(address: &str, asked: &MeetingArguments, habit: Habit, options: &Options) -> Result<Link, Failure> {
    check(address)?;
    let options = asked.allow_uid.iter().fold(options.clone(), |options, uid| options.allow_uid(*uid));
    let listens = asked.listen || (habit == Habit::Listens && !asked.connect);
    match (listens, asked.wait) {
        (true, None) => Ok(options.listen(address)?.accept()?),
        (true, Some(limit)) => Ok(options.listen(address)?.accept_timeout(limit)?),
        (false, None) => Ok(options.connect(address)?),
        (false, Some(limit)) => Ok(options.connect_timeout(address, limit)?),
    }
}

/// Whether this command can use the address at all: `inproc:` joins threads of one process, and a command is a process
/// of its own.
pub(crate) fn check(address: &str) -> Result<(), Failure> {
    let parsed = Address::parse(address).map_err(|error| Failure::Usage(error.to_string()))?;
    if parsed.transport() == Transport::Inproc {
        return Err(Failure::Usage(format!(
            "'{address}' joins threads of one process, and this command is a process of its own: use shm: or unix:"
        )));
    }
    Ok(())
}

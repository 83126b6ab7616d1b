//! Parts of a link that is handed over: a program that takes it, and one that starts such a program.

use std::process::{Command, Stdio};
use std::time::Duration;

use wharf_message_passing::{ConnectError, Link, Options, RecvError, Transport};
use wharf_proof::said::say;
use wharf_proof::words::Words;

use crate::{Failure, told};

/// How long the program that is started may take on a busy machine.
const STARTING: Duration = Duration::from_secs(15);

/// How long one waits whose parent may have been made to fail.
const SOON: Duration = Duration::from_secs(2);

/// `heir take [patience=little]` or `heir host TRANSPORT`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    match words.at(1, "take or host")? {
        "take" => take(if words.setting("patience").is_some() { SOON } else { STARTING }),
        "host" => host(transport(words.at(2, "a transport")?)?),
        other => Err(format!("no part is called 'heir {other}'").into()),
    }
}

/// The transport that is written like this.
pub(crate) fn transport(scheme: &str) -> Result<Transport, Failure> {
    let known = Transport::ALL.iter().find(|it| it.scheme() == scheme);
    Ok(*known.ok_or_else(|| format!("no transport is called '{scheme}'"))?)
}

/// The command that makes this program an heir.
pub(crate) fn heir() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["heir", "take"]).stdin(Stdio::null());
    Ok(command)
}

/// Takes its link and sends back what it receives; says what it meets.
fn take(patience: Duration) -> Result<(), Failure> {
    let mut link = match Options::new().handshake_timeout(patience).inherited() {
        Ok(link) => link,
        Err(error) => return Ok(say("no-link", &error.to_string())?),
    };
    say("met", "")?;
    answer(&mut link)
}

fn answer(link: &mut Link) -> Result<(), Failure> {
    // Ends with the link.
    loop {
        let message = match link.recv() {
            Ok(message) => message.to_vec(),
            Err(RecvError::PeerDied) => return Ok(say("peer-died", "")?),
            Err(RecvError::Closed) => return Ok(say("closed", "")?),
            Err(error) => return Err(error.into()),
        };
        if link.send(&message).is_err() {
            return Ok(say("peer-died", "")?);
        }
    }
}

/// Starts an heir, which speaks where this one speaks, talks with it, and stays.
fn host(transport: Transport) -> Result<(), Failure> {
    let mut command = heir()?;
    // A point at which this one is to die is not the heir's.
    command.env_remove("WHARF_CRASH_AT");
    let (mut child, mut link) = match Options::new().handshake_timeout(STARTING).spawn(transport, command) {
        Ok(both) => both,
        Err(error @ ConnectError::NotTaken { .. }) => return Ok(say("no-link", &error.to_string())?),
        Err(error) => return Err(error.into()),
    };
    link.send(b"hello")?;
    link.recv()?;
    say("hosting", "")?;
    told()?;
    drop(link);
    child.wait()?;
    Ok(())
}

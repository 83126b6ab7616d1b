//! A client's hold on a server: opens lines to it, gives orders, hears answers.

use std::time::Duration;

use wharf::{Link, RecvError, Transport};

use crate::compare::line::{AnyLine, Line};
use crate::compare::order::{Answer, Order, Waiting};
use crate::compare::remote::bounds;
use crate::compare::remote::security::Trusted;
use crate::compare::remote::session::line_options;
use crate::compare::remote::timed_line::TimedLine;
use crate::compare::remote::words::{Ask, LONGEST, PROTOCOL, Say, hear, tell};
use crate::compare::report::RemoteMachine;
use crate::compare::take::{FarSide, unexpected};
use crate::compare::trouble::Trouble;
use crate::printable::printable;

/// The server's own bounds, and time for its word that one was reached.
const PATIENCE: Duration = Duration::from_secs(bounds::FILE.as_secs() + 10);
/// How long a server may take to be reached.
const REACH: Duration = Duration::from_secs(5);

/// The server, seen from the client.
pub(crate) struct Remote {
    control: Link,
    trusted: Trusted,
    /// Answers to come.
    owed: u32,
    /// Where it runs.
    pub(crate) machine: RemoteMachine,
}

impl Remote {
    /// Connects and says the token.
    pub(crate) fn reach(trusted: Trusted, token: &str) -> Result<Remote, Trouble> {
        let address = &trusted.address;
        let options = trusted.connecting(address.transport())?.max_message(LONGEST);
        let mut control = options.handshake_timeout(REACH).connect(address.as_str())?;
        tell(&mut control, &Ask::Hello { protocol: PROTOCOL, token: token.to_owned() }, REACH)?;
        match hear(&mut control, REACH)? {
            Say::Welcome { protocol: PROTOCOL, machine } => Ok(Remote { control, trusted, owed: 0, machine }),
            Say::Welcome { protocol, .. } => Err(Trouble::wrong(format!(
                "the server speaks version {protocol} of the comparison protocol, this side {PROTOCOL}: use one and the same wharf"
            ))),
            Say::Refused { why } => Err(refused(&why)),
            Say::Listening { .. } | Say::Answer(_) => Err(Trouble::wrong("the server answered another question")),
        }
    }

    /// Opens a line.
    pub(crate) fn open(&mut self, transport: Transport, waiting: Waiting, largest: u64) -> Result<AnyLine, Trouble> {
        let options = self.trusted.connecting(transport)?;
        let ask = Ask::Listen { transport: transport.scheme().to_owned(), waiting, largest };
        tell(&mut self.control, &ask, REACH)?;
        self.owed += 1;
        let (name, secret) = match self.hear_words()? {
            Say::Listening { name, secret } => (name, secret),
            Say::Answer(answer) => {
                self.owed -= 1;
                return Err(trouble_of(answer));
            }
            Say::Refused { why } => return Err(refused(&why)),
            Say::Welcome { .. } => return Err(Trouble::wrong("the server answered another question")),
        };
        let options = line_options(options, transport, &secret, waiting, largest);
        let link = options.handshake_timeout(REACH).connect(self.trusted.line_address(transport, &name));
        let opened = link.map_err(Trouble::from).and_then(|link| {
            let mut line = TimedLine::new(link, bounds::MEETING);
            line.send(secret.as_bytes()).map(|()| line)
        });
        // When the server could not come, its reason is the better one, unless it only waited in vain.
        match (self.hear_done(), opened) {
            (Ok(()), opened) => Ok(AnyLine::Timed(Box::new(opened?))),
            (Err(_), Err(ours)) => Err(ours),
            (Err(theirs), Ok(_)) => Err(theirs),
        }
    }

    fn hear_words(&mut self) -> Result<Say, Trouble> {
        match self.control.recv_timeout(PATIENCE) {
            Ok(document) => serde_json::from_slice(&document)
                .map_err(|error| Trouble::wrong(format!("the server said something else than an answer: {error}"))),
            Err(RecvError::Timeout) => Err(Trouble::wrong(format!("the server did not answer within {PATIENCE:?}"))),
            Err(error) => Err(Trouble::wrong(format!("the server has ended or cannot be reached any more: {error}"))),
        }
    }
}

impl Remote {
    /// What a trouble comes from: once the line is closed the server says how its own order ended.
    pub(crate) fn explain(&mut self, trouble: Trouble) -> Trouble {
        let mut reasons = Vec::new();
        // Each round hears one answer that is owed.
        while self.owed > 0 {
            match self.hear() {
                Ok(_) => {}
                Err(theirs) => reasons.push(theirs.why),
            }
        }
        match reasons.pop() {
            Some(theirs) => Trouble { why: format!("{trouble} ({theirs})"), lacking: trouble.lacking },
            None => trouble,
        }
    }
}

impl FarSide for Remote {
    fn tell(&mut self, order: Order) -> Result<(), Trouble> {
        tell(&mut self.control, &Ask::Order(order), REACH)?;
        self.owed += 1;
        Ok(())
    }

    fn hear(&mut self) -> Result<Answer, Trouble> {
        self.owed = self.owed.saturating_sub(1);
        match self.hear_words()? {
            Say::Answer(Answer::Failed { why, lacking }) => Err(failed(&why, lacking)),
            Say::Answer(answer) => Ok(answer),
            Say::Refused { why } => Err(refused(&why)),
            Say::Welcome { .. } | Say::Listening { .. } => Err(Trouble::wrong("the server answered another question")),
        }
    }
}

fn refused(why: &str) -> Trouble {
    Trouble::lacking(printable(why)).of("the server refuses")
}

/// The server's words come from another machine, and are not to speak to this one's terminal.
fn failed(why: &str, lacking: bool) -> Trouble {
    Trouble { why: printable(why), lacking }.of("the server")
}

fn trouble_of(answer: Answer) -> Trouble {
    match answer {
        Answer::Failed { why, lacking } => failed(&why, lacking),
        other => unexpected(&other),
    }
}

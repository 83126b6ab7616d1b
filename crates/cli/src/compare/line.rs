//! A line between the two sides of a comparison: what every way of moving bytes can do.

use std::time::Duration;

use wharf::{Link, Options, Transport, Wait};

use crate::compare::ground::{Ground, NearGround};
use crate::compare::mailbox::Mailbox;
use crate::compare::order::{Opening, Order, Waiting};
use crate::compare::remote::{self, TimedLine};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// How long the two sides may take to meet.
const MEETING: Duration = Duration::from_secs(5);

/// One end of a line.
///
/// Sending copies from memory of the sender, and a receiver sees the bytes in memory of its own:
/// every way is measured with its bytes copied in and copied out.
pub(crate) trait Line {
    /// Sends one message; waits while there is no room.
    fn send(&mut self, message: &[u8]) -> Result<(), Trouble>;

    /// Waits for one message and shows it to `look`.
    fn recv<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<R, Trouble>;
}

/// A link as a line.
pub(crate) struct LinkLine {
    /// The link itself.
    pub(crate) link: Link,
    copied_out: Vec<u8>,
}

impl LinkLine {
    fn new(link: Link) -> LinkLine {
        LinkLine { link, copied_out: Vec::new() }
    }
}

impl Line for LinkLine {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Trouble> {
        Ok(self.link.send(message)?)
    }

    #[inline]
    fn recv<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<R, Trouble> {
        let message = self.link.recv()?;
        if !message.in_place() {
            // The transport has copied it out already.
            return Ok(look(&message));
        }
        self.copied_out.clear();
        self.copied_out.extend_from_slice(&message);
        Ok(look(&self.copied_out))
    }
}

/// Either kind of line; [`with_line!`] runs one piece of code on whichever it is.
pub(crate) enum AnyLine {
    /// A link.
    Link(Box<LinkLine>),
    /// A region with a lock.
    Mailbox(Box<Mailbox>),
    /// A link to another machine.
    Timed(Box<TimedLine>),
}

/// Runs `$body` with `$line` bound to the line itself, so that calls to it are static.
macro_rules! with_line {
    ($any:expr, $line:ident => $body:expr) => {
        match $any {
            $crate::compare::line::AnyLine::Link(boxed) => {
                let $line = &mut **boxed;
                $body
            }
            $crate::compare::line::AnyLine::Mailbox(boxed) => {
                let $line = &mut **boxed;
                $body
            }
            $crate::compare::line::AnyLine::Timed(boxed) => {
                let $line = &mut **boxed;
                $body
            }
        }
    };
}
pub(crate) use with_line;

impl AnyLine {
    /// The largest message that the line carries; none when any message that was asked for at its opening fits.
    pub(crate) fn largest(&self) -> Option<usize> {
        match self {
            AnyLine::Link(line) => Some(line.link.max_message()),
            AnyLine::Mailbox(_) => None,
            AnyLine::Timed(line) => Some(line.largest()),
        }
    }

    /// Whether packets may be lost on the way.
    pub(crate) fn crosses_a_network(&self) -> bool {
        matches!(self, AnyLine::Timed(_))
    }

    /// An order is about to be carried out; only a line to another machine bounds how long it takes.
    pub(crate) fn begin(&mut self, order: &Order) {
        if let AnyLine::Timed(line) = self {
            line.begin(remote::limit_of(order));
        }
    }
}

/// The near end between its two steps: it exists, and the far side has not come yet.
pub(crate) enum Waiter {
    /// A listener.
    Listener(Box<wharf::Listener>),
    /// A region that needs nobody to wait for.
    Ready(Box<Mailbox>),
}

impl Waiter {
    /// Listens, or creates the region.
    pub(crate) fn open(way: Way, ground: &NearGround, opening: &Opening) -> Result<Waiter, Trouble> {
        match way {
            Way::Plain => Ok(Waiter::Ready(Box::new(Mailbox::create(&ground.shared.domain, opening)?))),
            Way::Link(transport) => {
                let listener = options(ground.listening(transport), opening)
                    .listen(address(transport, meeting_place(transport, opening)))?;
                Ok(Waiter::Listener(Box::new(listener)))
            }
        }
    }

    /// What the far side is told: the name at which this end is really met, which may be a port that the system chose.
    pub(crate) fn told(&self, opening: Opening) -> Opening {
        match self {
            Waiter::Listener(listener) => Opening { name: listener.address().name().to_owned(), ..opening },
            Waiter::Ready(_) => opening,
        }
    }

    /// Takes the far side in.
    pub(crate) fn meet(self) -> Result<AnyLine, Trouble> {
        Ok(match self {
            Waiter::Listener(mut listener) => {
                let link = listener.accept_timeout(MEETING)?;
                AnyLine::Link(Box::new(LinkLine::new(link)))
            }
            Waiter::Ready(mailbox) => AnyLine::Mailbox(mailbox),
        })
    }
}

/// The far end: connects, or attaches the region.
pub(crate) fn join(way: Way, ground: &Ground, opening: &Opening) -> Result<AnyLine, Trouble> {
    Ok(match way {
        Way::Plain => AnyLine::Mailbox(Box::new(Mailbox::attach(&ground.domain, opening)?)),
        Way::Link(transport) => {
            let link = options(ground.connecting(transport), opening).connect(address(transport, &opening.name))?;
            AnyLine::Link(Box::new(LinkLine::new(link)))
        }
    })
}

/// Where the near side listens: under the line's own name, or at a port of the loopback that the system chooses.
fn meeting_place(transport: Transport, opening: &Opening) -> &str {
    if transport.crosses_machines() { "127.0.0.1:0" } else { &opening.name }
}

fn address(transport: Transport, name: &str) -> String {
    format!("{}:{name}", transport.scheme())
}

fn options(options: Options, opening: &Opening) -> Options {
    // Room for several of the largest messages, so that one side can write while the other reads.
    const LEAST: usize = 1 << 20;
    let largest = usize::try_from(opening.largest).unwrap_or(usize::MAX);
    let wait = match opening.waiting {
        Waiting::Spin => Wait::Spin,
        Waiting::Sleep => Wait::Sleep,
        Waiting::Usual => Wait::Adaptive,
    };
    options.capacity(LEAST.max(largest.saturating_mul(4))).wait(wait)
}

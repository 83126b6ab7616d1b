//! A server's side of one client: it opens lines, carries out orders within their bounds, and says what came of them.

use std::time::Instant;

use wharf::{Link, Options, Transport, Wait};

use crate::compare::carry;
use crate::compare::jobs;
use crate::compare::line::Line;
use crate::compare::order::{Answer, Order, Waiting};
use crate::compare::remote::bounds;
use crate::compare::remote::security::Offer;
use crate::compare::remote::timed_line::TimedLine;
use crate::compare::remote::words::{Ask, PROTOCOL, Say, hear, tell};
use crate::compare::secret::{self, Secret};
use crate::compare::trouble::Trouble;
use crate::units;

/// Serves one client until it leaves or a bound is reached.
pub(crate) fn serve(control: &mut Link, offer: &Offer) -> Result<(), Trouble> {
    let end = Instant::now() + bounds::CLIENT;
    let mut line = None;
    // The number of orders, the time and the client's leaving each end the loop.
    for _ in 0..bounds::ORDERS {
        if Instant::now() >= end {
            return Err(Trouble::wrong(format!("left after {:?}, which is all that one client gets", bounds::CLIENT)));
        }
        let ask = match control_words(control)? {
            Some(ask) => ask,
            None => return Ok(()),
        };
        let answer = match ask {
            Ask::Listen { transport, waiting, largest } => {
                line = None;
                open(control, offer, &transport, waiting, largest).map(|opened| {
                    line = Some(opened);
                    Answer::Done
                })
            }
            Ask::Order(Order::Close) => {
                line = None;
                Ok(Answer::Done)
            }
            Ask::Order(order) => {
                line.as_mut().ok_or_else(|| Trouble::wrong("no line is open")).and_then(|it| obey(it, order))
            }
            Ask::Hello { .. } => Err(Trouble::wrong("this client has introduced itself already")),
        };
        let answer = answer.unwrap_or_else(|trouble| Answer::Failed { why: trouble.why, lacking: trouble.lacking });
        if matches!(answer, Answer::Failed { .. }) {
            // Whatever is still under way on it belongs to an order that has ended.
            line = None;
        }
        tell(control, &Say::Answer(answer), bounds::MEETING)?;
    }
    Err(Trouble::wrong(format!("left after {} orders, which is all that one client gets", bounds::ORDERS)))
}

/// The client's next words; none when it has left in good order.
fn control_words(control: &mut Link) -> Result<Option<Ask>, Trouble> {
    match control.recv_timeout(bounds::SILENCE) {
        Err(wharf::RecvError::Closed) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(document) => match serde_json::from_slice(&document) {
            Ok(ask) => Ok(Some(ask)),
            Err(error) => Err(Trouble::wrong(format!("something else was said than a comparison says: {error}"))),
        },
    }
}

/// Listens for one line and takes it when it begins with the right secret.
fn open(
    control: &mut Link,
    offer: &Offer,
    transport: &str,
    waiting: Waiting,
    largest: u64,
) -> Result<TimedLine, Trouble> {
    let transport = Transport::ALL.iter().copied().find(|it| it.scheme() == transport);
    let transport = transport.ok_or_else(|| Trouble::lacking("the server does not know this transport"))?;
    if !offer.carries(transport) {
        return Err(Trouble::lacking(format!("{transport}: does not lead to this server")));
    }
    if largest > bounds::LARGEST {
        let most = units::size(bounds::LARGEST);
        return Err(Trouble::wrong(format!(
            "messages of {} were asked for, a server takes {most}",
            units::size(largest)
        )));
    }
    let secret = Secret::new()?;
    let options = line_options(offer.listening(transport)?, transport, secret.text(), waiting, largest);
    let mut listener = options.listen(offer.line_address(transport))?;
    let name =
        listener.address().name().rsplit_once(':').map_or(listener.address().name(), |(_, port)| port).to_owned();
    tell(control, &Say::Listening { name, secret: secret.text().to_owned() }, bounds::MEETING)?;
    let link = listener.accept_timeout(bounds::MEETING)?;
    let mut line = TimedLine::new(link, bounds::MEETING);
    if line.recv(|first| secret.is(first))? {
        Ok(line)
    } else {
        Err(Trouble::wrong("the line was opened by somebody else"))
    }
}

/// Both sides' options for a line. Over a network strangers who do not know its secret are turned away before they are a
/// link, so that they hold nobody up.
pub(crate) fn line_options(
    options: Options,
    transport: Transport,
    secret: &str,
    waiting: Waiting,
    largest: u64,
) -> Options {
    // A long queue would only have to run dry after every stream.
    const CAPACITY: usize = 1 << 20;
    let wait = match waiting {
        Waiting::Usual => Wait::Adaptive,
        // A server does not lend its CPU for spinning.
        Waiting::Sleep | Waiting::Spin => Wait::Sleep,
    };
    let largest = usize::try_from(largest).unwrap_or(usize::MAX).max(secret::BYTES * 2);
    let options = if transport.crosses_machines() { options.token(secret) } else { options };
    options.capacity(CAPACITY).max_message(largest).wait(wait)
}

fn obey(line: &mut TimedLine, order: Order) -> Result<Answer, Trouble> {
    line.begin(bounds::of(&order));
    match order {
        Order::Echo => jobs::echo(line).map(|()| Answer::Done),
        Order::Drain { size } => {
            let size = usize::try_from(size).map_err(|_| Trouble::wrong("a size beyond this machine"))?;
            jobs::drain(line, size).map(|got| Answer::Drained {
                messages: got.messages,
                bytes: got.bytes,
                nanos: u64::try_from(got.elapsed.as_nanos()).unwrap_or(u64::MAX),
            })
        }
        Order::TakeFile => carry::take_file(line).map(|got| Answer::File {
            bytes: got.bytes,
            crc32: got.crc32,
            messages: got.messages,
        }),
        Order::Open(_) | Order::Await | Order::Trespass | Order::Close => {
            Err(Trouble::wrong("this is not done between two machines"))
        }
    }
}

/// The first words of a newcomer: whether it knows the token.
pub(crate) fn introduce(control: &mut Link, offer: &Offer) -> Result<(), Trouble> {
    match hear(control, bounds::INTRODUCTION)? {
        Ask::Hello { protocol, .. } if protocol != PROTOCOL => Err(Trouble::wrong(format!(
            "the server speaks version {} of the comparison protocol, the client version {protocol}: use one and the same wharf",
            PROTOCOL
        ))),
        Ask::Hello { token, .. } if offer.token.is(token.as_bytes()) => Ok(()),
        Ask::Hello { .. } => Err(Trouble::wrong("another token: give the one that the server printed")),
        Ask::Listen { .. } | Ask::Order(_) => Err(Trouble::wrong("a client begins with a hello")),
    }
}

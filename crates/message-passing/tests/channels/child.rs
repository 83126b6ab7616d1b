//! The roles in which this program is started again.

use std::path::Path;

use wharf_message_passing::{
    Attachment, Link, Message, Options, Receiver, SendError, Sender, TakeError, Transport, TypedSender,
};
use wharf_sys::directory::Domain;

use crate::puppet::text;
use crate::world::SOON;

pub(crate) fn play(role: &str, path: &Path, words: &[&str]) -> bool {
    match (role, words) {
        ("puppet", [address]) => puppet(Options::new().domain(Domain::at(path).unwrap()).connect(address).unwrap()),
        ("started", []) => puppet(Options::new().inherited().unwrap()),
        _ => return false,
    }
    true
}

/// What a puppet holds.
#[derive(Default)]
struct Hands {
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
}

/// Does what it is told until nobody tells it anything.
fn puppet(mut link: Link) {
    let mut hands = Hands::default();
    loop {
        let answered = match link.recv() {
            Ok(message) => act(&mut hands, message),
            Err(_) => return,
        };
        let said = match answered {
            Answer::Words(words) => link.send(words.as_bytes()),
            Answer::End(attachment) => link.send_with(b"ok", &[attachment]),
        };
        if said.is_err() {
            return;
        }
    }
}

enum Answer {
    Words(String),
    End(Attachment<'static>),
}

fn act(hands: &mut Hands, mut message: Message<'_>) -> Answer {
    let words = text(&message);
    let mut words = words.split(' ');
    let done = match (words.next().unwrap(), words.next()) {
        ("take", Some("sender")) => taken(message.take_sender(), &mut hands.senders),
        ("take", Some("receiver")) => taken(message.take_receiver(), &mut hands.receivers),
        ("take", Some("number-sender")) => match message.take_end::<TypedSender<u64>>() {
            Ok(mut numbers) => told(numbers.send(&42)),
            Err(error) => error.to_string(),
        },
        ("leave", None) => "ok".to_owned(),
        ("send", Some(what)) => told(sender(hands).send(what.as_bytes())),
        ("send-large", Some(len)) => told(sender(hands).send(&vec![7; len.parse().unwrap()])),
        ("send-many", Some(count)) => {
            let count: u64 = count.parse().unwrap();
            told((0..count).try_for_each(|number| sender(hands).send(&number.to_le_bytes())))
        }
        ("send-rendezvous", Some(what)) => told(sender(hands).send_rendezvous(what.as_bytes(), Some(SOON))),
        ("send-back", None) => {
            // Whatever came with the message goes back through the channel.
            let fd = message.take_fd().unwrap();
            told(sender(hands).send_with(b"back", &[Attachment::from(fd)]))
        }
        ("fill", None) => {
            // So many that there is no room for another.
            let mut sent = 0_u32;
            loop {
                match sender(hands).try_send(&[1; 100]) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full) => break sent.to_string(),
                    Err(error) => break error.to_string(),
                }
            }
        }
        ("wait-room", None) => told(sender(hands).send(&[2; 100])),
        ("sent-by", None) => sender(hands).peer().to_string(),
        ("recv", None) => match hands.receivers.last_mut().unwrap().recv_timeout(SOON) {
            Ok(message) => format!("got {}", text(&message)),
            Err(error) => error.to_string(),
        },
        ("recv-many", Some(count)) => {
            let receiver = hands.receivers.last_mut().unwrap();
            let count: u64 = count.parse().unwrap();
            let wrong = (0..count).find(|number| match receiver.recv_timeout(SOON) {
                Ok(message) => *message != number.to_le_bytes()[..],
                Err(_) => true,
            });
            wrong.map_or("ok".to_owned(), |number| format!("number {number} is wrong"))
        }
        ("give", Some("sender")) => return end(hands.senders.pop().map(Attachment::sender)),
        ("give", Some("receiver")) => return end(hands.receivers.pop().map(Attachment::receiver)),
        ("make", Some(scheme)) => {
            let transport = Transport::ALL.iter().find(|it| it.scheme() == scheme).unwrap();
            let (tx, rx) = Options::new().channel(*transport).unwrap();
            hands.senders.push(tx);
            hands.receivers.push(rx);
            "ok".to_owned()
        }
        ("drop", Some("sender")) => hands.senders.pop().map_or("nothing", |_| "ok").to_owned(),
        ("drop", Some("receiver")) => hands.receivers.pop().map_or("nothing", |_| "ok").to_owned(),
        other => panic!("a puppet cannot do {other:?}"),
    };
    Answer::Words(done)
}

fn sender(hands: &mut Hands) -> &mut Sender {
    hands.senders.last_mut().unwrap()
}

fn taken<E>(outcome: Result<E, TakeError>, into: &mut Vec<E>) -> String {
    match outcome {
        Ok(end) => {
            into.push(end);
            "ok".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

fn end<E>(outcome: Option<Result<Attachment<'static>, wharf_message_passing::AttachError<E>>>) -> Answer {
    match outcome {
        Some(Ok(attachment)) => Answer::End(attachment),
        Some(Err(error)) => Answer::Words(error.to_string()),
        None => Answer::Words("nothing".to_owned()),
    }
}

fn told(outcome: Result<(), SendError>) -> String {
    outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
}

//! Parts on a link: listen or connect, then send, receive, call or answer.

use std::time::Duration;

use wharf_message_passing::{Attachment, Link, Options, RecvError, SendError, TakeError, Trust, Wait};
use wharf_proof::certificates;
use wharf_proof::letter::Kind;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::SealedBuffer;
use wharf_sys::clock::Deadline;

use crate::garbage::LIE;
use crate::{Failure, told};

/// How long a part waits for its peer to show up.
const MEETING: Duration = Duration::from_secs(15);

/// How long a tolerant part waits for a silent peer.
const SILENCE: Duration = Duration::from_millis(100);
/// How long it waits for a single message now and then.
const BLINK: Duration = Duration::from_millis(1);

/// `link listen|connect send|post|receive|carry|unload|sink|call|answer|tolerate|idle ADDRESS [count=N] [len=KIND] [wait=…] …`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let address = words.at(3, "the address")?;
    let options = options(words)?;
    let kind = kind(words)?;
    let count = words.number("count", u64::MAX)?;
    match words.at(1, "listen or connect")? {
        "listen" => {
            let mut listener = options.listen(address)?;
            say("listening", "")?;
            // Ends when killed, or after as many visitors as asked for.
            for _ in 0..words.number("visitors", 1u64)? {
                match listener.accept_timeout(MEETING) {
                    Ok(link) => meet(words, link, kind, count)?,
                    Err(error) => say("no-visitor", &error.to_string())?,
                }
            }
        }
        "connect" => meet(words, options.connect_timeout(address, MEETING)?, kind, count)?,
        other => return Err(format!("no part is called 'link {other}'").into()),
    }
    if words.setting("stay").is_some() {
        told()?;
    }
    Ok(())
}

/// The options that the words ask for.
pub(crate) fn options(words: &Words) -> Result<Options, Failure> {
    let wait = match words.setting("wait") {
        None | Some("adaptive") => Wait::Adaptive,
        Some("spin") => Wait::Spin,
        Some("sleep") => Wait::Sleep,
        Some(other) => return Err(format!("no way to wait is called '{other}'").into()),
    };
    let mut options = Options::new().wait(wait);
    if words.setting("capacity").is_some() {
        options = options.capacity(words.number("capacity", 0)?);
    }
    if words.setting("max").is_some() {
        options = options.max_message(words.number("max", 0)?);
    }
    if let Some(folder) = words.setting("certificates") {
        options = options.tls(certificates::read(folder.as_ref())?);
    }
    match words.setting("trust") {
        None => {}
        Some("hostile") => options = options.trust(Trust::Hostile),
        Some("cooperating") => options = options.trust(Trust::Cooperating),
        Some(other) => return Err(format!("no trust is called '{other}'").into()),
    }
    Ok(options)
}

/// The kind of letters that the words ask for.
pub(crate) fn kind(words: &Words) -> Result<Kind, Failure> {
    let text = words.setting("len").unwrap_or("64");
    Ok(Kind::parse(text).ok_or_else(|| format!("no kind of letter is written '{text}'"))?)
}

fn meet(words: &Words, mut link: Link, kind: Kind, count: u64) -> Result<(), Failure> {
    say("met", "")?;
    match words.at(2, "send, post, receive, call, answer or idle")? {
        "send" => send(&mut link, kind, count, words.number("pause", 0)?),
        "post" => post(&mut link, kind, count),
        "receive" => receive(&mut link, kind, count, words.number("pause", 0)?),
        "carry" => carry(&mut link, kind, count),
        "unload" => unload(&mut link, kind, count),
        "sink" => sink(&mut link),
        "call" => call(&mut link, kind, count),
        "answer" => answer(&mut link, kind, count),
        "tolerate" => tolerate(&mut link, words.setting("lies") == Some("never")),
        "idle" => told().map(drop),
        other => Err(format!("no part is called 'link … {other}'").into()),
    }
}

/// Sends letters until the count or the end of the link, and says which; `pause` microseconds before each make it a
/// slow sender.
fn send(link: &mut Link, kind: Kind, count: u64, pause: u64) -> Result<(), Failure> {
    let mut letter = Vec::new();
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        if pause > 0 {
            std::thread::sleep(Duration::from_micros(pause));
        }
        kind.compose(number, &mut letter);
        if let Err(error) = link.send(&letter) {
            return end_of_sending(&error, number);
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Sends letters and waits for each to be taken.
fn post(link: &mut Link, kind: Kind, count: u64) -> Result<(), Failure> {
    let mut letter = Vec::new();
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        kind.compose(number, &mut letter);
        if let Err(error) = link.send_rendezvous(&letter, Some(MEETING)) {
            return end_of_sending(&error, number);
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Receives letters until the count or the end of the link, and says which; `pause` microseconds
/// before each make it a slow reader.
fn receive(link: &mut Link, kind: Kind, count: u64, pause: u64) -> Result<(), Failure> {
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        if pause > 0 {
            std::thread::sleep(Duration::from_micros(pause));
        }
        match link.recv() {
            Ok(letter) if kind.is(number, &letter) => {}
            Ok(letter) => return Err(wrong(number, &letter)),
            Err(error) => return end_of_receiving(&error, number),
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Sends letters, each with itself in a sealed buffer.
fn carry(link: &mut Link, kind: Kind, count: u64) -> Result<(), Failure> {
    let mut letter = Vec::new();
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        kind.compose(number, &mut letter);
        let buffer = SealedBuffer::copy_of(&letter)?;
        if let Err(error) = link.send_with(&letter, &[Attachment::from(&buffer)]) {
            return end_of_sending(&error, number);
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Receives letters and the sealed buffer that comes with each.
fn unload(link: &mut Link, kind: Kind, count: u64) -> Result<(), Failure> {
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        match link.recv() {
            Ok(mut letter) if kind.is(number, &letter) => {
                let buffer = letter.take_buffer()?;
                if !kind.is(number, &buffer) {
                    return Err(wrong(number, &buffer));
                }
            }
            Ok(letter) => return Err(wrong(number, &letter)),
            Err(error) => return end_of_receiving(&error, number),
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Receives whatever comes, and takes nothing of what comes with it.
fn sink(link: &mut Link) -> Result<(), Failure> {
    let mut number = 0;
    // Ends with the link.
    loop {
        match link.recv() {
            Ok(_) => number += 1,
            Err(error) => return end_of_receiving(&error, number),
        }
    }
}

/// Sends a letter and waits for it to come back, again and again.
fn call(link: &mut Link, kind: Kind, count: u64) -> Result<(), Failure> {
    let mut letter = Vec::new();
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        kind.compose(number, &mut letter);
        if let Err(error) = link.send(&letter) {
            return end_of_sending(&error, number);
        }
        match link.recv() {
            Ok(letter) if kind.is(number, &letter) => {}
            Ok(letter) => return Err(wrong(number, &letter)),
            Err(error) => return end_of_receiving(&error, number),
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Sends back what it receives.
fn answer(link: &mut Link, kind: Kind, count: u64) -> Result<(), Failure> {
    let mut letter = Vec::new();
    // Ends with the link, or after `count` letters.
    for number in 0..count {
        match link.recv() {
            Ok(message) if kind.is(number, &message) => {
                letter.clear();
                letter.extend_from_slice(&message);
            }
            Ok(message) => return Err(wrong(number, &message)),
            Err(error) => return end_of_receiving(&error, number),
        }
        if let Err(error) = link.send(&letter) {
            return end_of_sending(&error, number);
        }
    }
    say("done", &count.to_string())?;
    Ok(())
}

/// Takes whatever comes, attachments too, and sends whatever fits, until the peer is gone, breaks the rules or has
/// said nothing for a while. What is accepted must keep the limit, and every byte of it is read; with `lies=never`
/// it must not begin with the mark of a liar either.
fn tolerate(link: &mut Link, check_lies: bool) -> Result<(), Failure> {
    let limit = link.max_message();
    let (mut number, mut taken, mut sum, mut letter) = (0u64, 0u64, 0u64, Vec::new());
    let mut silence = Deadline::after(SILENCE);
    // Ends with the link or with the peer's silence.
    let end = loop {
        if silence.passed() {
            break "silence".to_owned();
        }
        Kind::Varied(2000).compose(number, &mut letter);
        number += 1;
        // Now and then it waits, so that sleeping and being rung are tried on a liar too.
        let waits = number.is_multiple_of(64);
        let sent = if waits { link.send_timeout(&letter, BLINK) } else { link.try_send(&letter) };
        match sent {
            Ok(()) | Err(SendError::Full | SendError::Timeout) => {}
            Err(error) => break error.to_string(),
        }
        match if waits { link.recv_timeout(BLINK) } else { link.try_recv() } {
            Ok(message) if check_lies && message.first() == Some(&LIE) => {
                return Err(format!("{} bytes accepted with a length that was a lie", message.len()).into());
            }
            Ok(mut message) if message.len() <= limit => {
                // The last one is left to be closed.
                for at in 1..message.attachments() {
                    match if at.is_multiple_of(2) {
                        message.take_fd().map(drop)
                    } else {
                        message.take_buffer().map(drop)
                    } {
                        Ok(()) | Err(TakeError::Buffer(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                sum = message.iter().fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)));
                taken += 1;
                silence = Deadline::after(SILENCE);
            }
            Ok(message) => return Err(format!("{} bytes accepted, the limit is {limit}", message.len()).into()),
            Err(RecvError::Empty | RecvError::Timeout) => {}
            Err(error) => break error.to_string(),
        }
    };
    std::hint::black_box(sum);
    say("tolerated", &format!("{taken} {end}"))?;
    Ok(())
}

fn end_of_sending(error: &SendError, number: u64) -> Result<(), Failure> {
    match error {
        SendError::PeerDied { sent, taken } => {
            say("peer-died", &format!("sending after={number} sent={sent} taken={taken:?}"))?;
        }
        SendError::Closed => say("closed", &format!("sending after={number}"))?,
        other => return Err(format!("sending letter {number}: {other}").into()),
    }
    Ok(())
}

fn end_of_receiving(error: &RecvError, number: u64) -> Result<(), Failure> {
    match error {
        RecvError::PeerDied => say("peer-died", &format!("receiving after={number}"))?,
        RecvError::Closed => say("closed", &format!("receiving after={number}"))?,
        other => return Err(format!("receiving letter {number}: {other}").into()),
    }
    Ok(())
}

/// What to say of a letter that is not the one expected.
pub(crate) fn wrong(number: u64, letter: &[u8]) -> Failure {
    let head = letter.get(..16.min(letter.len())).unwrap_or_default();
    format!("not letter {number}: {} bytes that begin {head:02x?}", letter.len()).into()
}

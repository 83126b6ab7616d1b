//! Parts of a broadcast: a reader that takes, holds, lags and moves on, and a writer that drops, goes around and moves on.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use wharf_proof::letter::Kind;
use wharf_proof::relay;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::log::{BroadcastReader, BroadcastTerms, BroadcastWriter, Heard, Held, ReaderPage, WriteError};

use crate::Failure;

/// Letters between two generations.
const A_GENERATION: u64 = 3000;

/// `broadcast read` or `broadcast write`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    match words.at(1, "read or write")? {
        "read" => read(),
        "write" => write(),
        other => Err(format!("no part is called 'broadcast {other}'").into()),
    }
}

fn line() -> Result<Option<String>, Failure> {
    let mut line = String::new();
    Ok((std::io::stdin().read_line(&mut line)? > 0).then(|| line.trim_end().to_owned()))
}

/// Brings a page, reads from where it is told, and follows the log.
fn read() -> Result<(), Failure> {
    let page = ReaderPage::create()?;
    say("page", &relay::say_fd(page.fd()))?;
    let Some(told) = line()? else { return Ok(()) };
    let (fd, start) = relay::hear_both(&told).ok_or("a log was to be told")?;
    let memory = relay::open_fd(fd)?;
    let mut reader = BroadcastReader::open(page, memory, relay::geometry(), start, relay::reader_terms())?;
    let letters = Kind::Varied(300);
    let mut held: VecDeque<Held> = VecDeque::new();
    // Ends with the log, or with the test.
    loop {
        match reader.poll()? {
            Heard::Message if letters.is(reader.sequence(), reader.message()) => {
                if reader.sequence() % 7 == 0 {
                    held.push_back(reader.hold());
                }
                if held.len() > 3 {
                    held.pop_front();
                }
            }
            Heard::Message => return Err(format!("letter {} is not what was sent", reader.sequence()).into()),
            Heard::Moved => {
                let Some(told) = line()? else { return Ok(()) };
                let (fd, start) = relay::hear_both(&told).ok_or("a log was to be told")?;
                reader.next_generation(relay::open_fd(fd)?, relay::geometry(), start)?;
            }
            Heard::Closed => return Ok(()),
            Heard::Empty => thread::yield_now(),
            Heard::More | Heard::Lagged(_) => {}
        }
    }
}

/// Makes a log, takes in the two readers that it is told of, and writes without end.
fn write() -> Result<(), Failure> {
    let terms = BroadcastTerms { may_drop: true, ..BroadcastTerms::default() };
    let mut writer = BroadcastWriter::create(relay::geometry(), terms)?;
    for _ in 0..2 {
        let Some(page) = line()? else { return Ok(()) };
        let (_, start) = writer.join(relay::open_fd(&page)?, relay::seat_terms(), 0)?;
        say("log", &format!("{};{}", relay::say_fd(writer.fd()), relay::say_start(&start)))?;
    }
    if line()?.is_none() {
        return Ok(());
    }
    let letters = Kind::Varied(300);
    let mut letter = Vec::new();
    // The memory of each generation, open under a number of its own for whoever is told late.
    let mut told = Vec::new();
    // Ends with this process.
    loop {
        letters.compose(writer.sent(), &mut letter);
        match writer.try_write(&letter) {
            Ok(()) => {}
            Err(WriteError::Full) => match writer.make_room_by_dropping(letter.len() as u64) {
                Ok(()) => continue,
                Err(WriteError::Pinned) => move_on(&mut writer, &mut told)?,
                Err(other) => return Err(other.into()),
            },
            Err(WriteError::Pinned) => move_on(&mut writer, &mut told)?,
            Err(other) => return Err(other.into()),
        }
        if writer.sent().is_multiple_of(A_GENERATION) && told.len() < 2 {
            move_on(&mut writer, &mut told)?;
        }
    }
}

fn move_on(writer: &mut BroadcastWriter, told: &mut Vec<OwnedFd>) -> Result<(), Failure> {
    let start = writer.start_generation(relay::geometry())?;
    let memory = writer.fd().try_clone_to_owned()?;
    say("log", &format!("{};{}", relay::say_fd(memory.as_fd()), relay::say_start(&start)))?;
    told.push(memory);
    Ok(())
}

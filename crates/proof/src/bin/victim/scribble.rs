//! A hostile peer: it makes a link in good order, then writes nonsense over all memory it shares.
//!
//! A process may write its own memory through `/proc/self/mem`, which needs no unsafe code and does
//! exactly what a hostile peer's stray stores would do.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use wharf_message_passing::{Attachment, RecvError, SendError};
use wharf_proof::letter::Kind;
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;

use crate::Failure;
use crate::link::options;

/// `scribble ADDRESS seed=N seconds=N`: link after link, until the time is over.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let address = words.at(1, "the address")?;
    let deadline = Deadline::after(Duration::from_secs(words.number("seconds", 1)?));
    let mut random = Random::new(words.number("seed", 1)?);
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    let options = options(words)?;
    let (mut links, mut written) = (0u64, 0u64);
    say("ready", "")?;
    while !deadline.passed() {
        // The other side may have had enough of the last link and not be accepting again yet.
        let Ok(mut link) = options.connect_timeout(address, Duration::from_secs(2)) else {
            continue;
        };
        links += 1;
        let spans = shared_and_writable("");
        let mut letter = Vec::new();
        // Some links are left early, so that the other side also meets the end of a liar; on some the stores are so
        // rare that much goes well between them.
        let rounds = random.below(600);
        let rarity = 1 << random.below(8);
        for number in 0..rounds {
            Kind::Varied(3000).compose(number, &mut letter);
            // What goes along is counted by memory that is scribbled over, too.
            let attachments: Vec<_> = (0..random.below(3)).map(|_| Attachment::from(memory.as_fd())).collect();
            let sent = match random.below(8) {
                0 => link.try_send_with(&letter, &attachments),
                _ => link.try_send(&letter),
            };
            let received = link.try_recv().map(|_| ());
            if random.below(rarity) == 0 {
                written += scribble(&memory, &spans, &mut random);
            }
            // The other side has noticed and left; on to the next link.
            if matches!(sent, Err(SendError::Closed | SendError::PeerDied { .. }))
                && matches!(received, Err(RecvError::Closed | RecvError::PeerDied))
            {
                break;
            }
        }
    }
    if links == 0 || written == 0 {
        return Err(format!("{links} links and {written} stores: nothing was tried").into());
    }
    say("done", &format!("links={links} stores={written}"))?;
    Ok(())
}

/// A range of addresses.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    start: u64,
    len: u64,
}

/// Everything that this process shares with others and may write, and whose name holds this word.
pub(crate) fn shared_and_writable(word: &str) -> Vec<Span> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let span = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (range, permissions) = (fields.next()?, fields.next()?);
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        (permissions == "rw-s" && line.contains(word)).then_some(Span { start, len: end.saturating_sub(start) })
    };
    maps.lines().filter_map(span).collect()
}

/// Writes a few values where they hurt most; returns how many stores it made.
pub(crate) fn scribble(memory: &File, spans: &[Span], random: &mut Random) -> u64 {
    let mut written = 0;
    for _ in 0..random.below(8) {
        let Some(span) = usize::try_from(random.below(spans.len() as u64)).ok().and_then(|choice| spans.get(choice))
        else {
            return written;
        };
        // Control structures lie at the start, so most stores go there; the rest anywhere.
        let reach = match random.below(4) {
            0 => span.len,
            1 => span.len.min(256),
            _ => span.len.min(8192),
        };
        let at = span.start + random.below(reach / 8) * 8;
        let mut old = [0; 8];
        let _ = memory.read_exact_at(&mut old, at);
        let old = u64::from_le_bytes(old);
        let value = match random.below(9) {
            0 => 0,
            1 => u64::MAX,
            2 => random.below(1 << 16),
            3 => random.below(1 << 24) << 32 | random.below(1 << 24),
            4 => random.number() >> random.below(64),
            // Almost right is worse than wrong.
            5 => old.wrapping_add(random.below(64)),
            6 => old.wrapping_sub(8 << random.below(12)),
            7 => old ^ (1 << random.below(64)),
            _ => random.number(),
        };
        // A span that went away with its link is refused, which is as good as any other nonsense.
        if memory.write_all_at(&value.to_le_bytes(), at).is_ok() {
            written += 1;
        }
    }
    written
}

//! A link whose messages bear a header as long as a service's: the bound for a call and its answer on two links.

use crate::contender::{Contender, End, Home, copy_out, failed, foreign};
use std::io;
use std::path::Path;
use wharf::{Link, Listener, Options, Receiver, Sender, Wait};
use wharf_sys::directory::Domain;

/// Words of the header: a kind, a number and a time, as docs/wire.md draws them.
const HEAD_WORDS: usize = 3;

/// Bytes of the header.
const HEAD_BYTES: usize = HEAD_WORDS * 8;

/// The length whose copies the compiler knows, as in the other contenders.
const SMALL: usize = 64;

/// See the top of the file.
pub struct Headed {
    name: &'static str,
}

impl Headed {
    /// A link between two processes, both of which spin.
    pub fn new(name: &'static str) -> Headed {
        Headed { name }
    }
}

/// One side: it numbers what it sends, and counts what comes.
pub struct HeadedEnd {
    to: Sender,
    from: Receiver,
    sent: u64,
    taken: u64,
    longer: Vec<u8>,
}

fn head(number: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    for (word, value) in head.chunks_exact_mut(8).zip([1, number, u64::MAX]) {
        word.copy_from_slice(&u64::to_le_bytes(value));
    }
    head
}

impl End for HeadedEnd {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.sent += 1;
        let head = head(self.sent);
        if let Ok(message) = <&[u8; SMALL]>::try_from(message) {
            let mut whole = [0; HEAD_BYTES + SMALL];
            whole[..HEAD_BYTES].copy_from_slice(&head);
            whole[HEAD_BYTES..].copy_from_slice(message);
            return self.to.send(&whole).map_err(foreign);
        }
        self.longer.clear();
        self.longer.extend_from_slice(&head);
        self.longer.extend_from_slice(message);
        self.to.send(&self.longer).map_err(foreign)
    }

    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let message = self.from.recv().map_err(foreign)?;
        self.taken += 1;
        let Some((head, payload)) = message.split_first_chunk::<HEAD_BYTES>() else {
            return Err(failed(format!("expected a header, found {} bytes", message.len())));
        };
        if *head != self::head(self.taken) {
            return Err(failed(format!("expected message {}, found the header {head:?}", self.taken)));
        }
        copy_out(payload, into)
    }
}

impl Headed {
    fn options(&self, at: &Path) -> io::Result<Options> {
        Ok(Options::new().domain(Domain::at(at).map_err(foreign)?).wait(Wait::Spin))
    }
}

fn over(link: Link) -> HeadedEnd {
    let (to, from) = link.split();
    HeadedEnd { to, from, sent: 0, taken: 0, longer: Vec::new() }
}

impl Contender for Headed {
    type Door = Listener;
    type End = HeadedEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<Listener> {
        self.options(at)?.listen("shm:bench").map_err(foreign)
    }

    fn accept(&self, door: &mut Listener) -> io::Result<HeadedEnd> {
        door.accept().map(over).map_err(foreign)
    }

    fn connect(&self, at: &Path) -> io::Result<HeadedEnd> {
        self.options(at)?.connect("shm:bench").map(over).map_err(foreign)
    }
}

//! One process's half of a link: memory that it alone writes, sealed so that the other can only read it.

use super::ends::{LogReader, LogWriter};
use super::reader::Reader;
use super::sealed;
use super::start::Start;
use super::writer::Writer;
use super::{Barriers, Geometry};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use wharf_sys::memory::{Mapping, Seals};

/// Why the memory of a link could not be made or taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The machine, or the control group, has no room for it.
    #[error("no room for {asked} bytes of shared memory: {free} bytes are free; ask for a smaller capacity")]
    NoRoom {
        /// The bytes asked for.
        asked: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// The peer passed memory that it could shrink, grow or let others write.
    #[error("the peer's memory carries seals {found:?} where {expected:?} are needed")]
    NotSealed {
        /// What it carries.
        found: Seals,
        /// What it must carry.
        expected: Seals,
    },
    /// The peer passed memory of another size than it announced.
    #[error("the peer's memory has {found} bytes where {expected} were announced")]
    WrongSize {
        /// Its size.
        found: u64,
        /// The announced size.
        expected: u64,
    },
    /// The log already has as many readers as one can have.
    #[error("this log has {limit} readers, the most that one can have: let one leave")]
    TooManyReaders {
        /// How many.
        limit: usize,
    },
    /// The peer told a beginning that its log cannot have.
    #[error("the writer says that its log begins at {start:?}, which does not fit its sizes or what came before")]
    WrongStart {
        /// What it told.
        start: Start,
    },
    /// Room for a message is lent, and the stream cannot go on elsewhere meanwhile.
    #[error("room for a message is lent: send it or give it back first")]
    Lent,
    /// A new generation of a log that would not do.
    #[error("a log goes on in one of at least the same sizes and the same alignment, and only while it is open")]
    WrongSuccessor,
    /// This side already has its one writer and its one reader.
    #[error("this side of a link is joined already: make another side for another link")]
    Joined,
    /// The system refused.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// What the two sides have agreed on when they join.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The peer may be hostile: every message is copied before anybody looks at it.
    ///
    /// `false` is the caller's word, which nothing here can check, that the peer leaves unreleased frames alone:
    /// messages are then seen where the peer wrote them.
    pub hostile: bool,
    /// Largest message in bytes that is accepted.
    pub max_message: u64,
    /// Who pays for the order of things when a side goes to sleep; a side may only be spared the fence when its process
    /// is registered for membarrier(2).
    pub barriers: Barriers,
}

/// One process's half of a link, not yet joined with the other.
#[derive(Debug)]
pub struct Side {
    memory: OwnedFd,
    mapping: Arc<Mapping>,
    geometry: Geometry,
    joined: bool,
}

impl Side {
    /// Makes, reserves, maps and seals the memory of one side: a control page and two rings, all zero.
    ///
    /// The memory is reserved here: a machine without room is [`LogError::NoRoom`] now, not a signal later. The
    /// seals (`F_SEAL_SHRINK|GROW|FUTURE_WRITE|SEAL`, memfd_create(2)) leave this mapping as the only writable one.
    pub fn create(geometry: Geometry) -> Result<Side, LogError> {
        let (memory, mapping) = sealed::make(geometry.total_bytes())?;
        let page = sealed::page(&mapping)?;
        page.write_label(geometry.align, geometry.small_bytes, geometry.large_bytes);
        Ok(Side { memory, mapping, geometry, joined: false })
    }

    /// The memory, to be passed to the peer.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Its sizes, to be told to the peer.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Begins a link in one direction: gives the writer of our log, whose reader is not known yet. What is written waits in the
    /// log; the reader counts from [`LogWriter::meet`] on.
    ///
    /// A side is joined once: its rings have one writer.
    ///
    /// # Errors
    /// [`LogError::Joined`].
    pub fn lead(&mut self) -> Result<LogWriter, LogError> {
        if self.joined {
            return Err(LogError::Joined);
        }
        let page = sealed::page(&self.mapping)?;
        let (small, large) = sealed::rings(&self.mapping, self.geometry)?;
        self.joined = true;
        let mut writer = Writer::new(small, large, page.clone(), self.geometry, Barriers::FENCES);
        // Our own page stands for the reader's until it comes. This side reads nothing, so the words there that a reader
        // writes stay as they are: nothing released, nobody asleep.
        writer.add_reader(page);
        Ok(LogWriter::new(writer))
    }

    /// Joins this side with the peer's memory, which the peer says has `theirs` for its sizes. Gives the writer of
    /// our log and the reader of the peer's.
    ///
    /// The peer's memory is accepted only with all four seals and the announced size, so that nothing the peer does
    /// later can take it away under the mapping (no SIGBUS).
    ///
    /// A side is joined once: its rings have one writer.
    pub fn join(&mut self, peer: OwnedFd, theirs: Geometry, terms: Terms) -> Result<(LogWriter, LogReader), LogError> {
        if self.joined {
            return Err(LogError::Joined);
        }
        let peer_mapping = sealed::accept(&peer, theirs.total_bytes())?;
        let own_page = sealed::page(&self.mapping)?;
        let peer_page = sealed::page(&peer_mapping)?;
        let (small, large) = sealed::rings(&self.mapping, self.geometry)?;
        let mut writer = Writer::new(small, large, own_page.clone(), self.geometry, terms.barriers);
        let (small, large) = sealed::rings(&peer_mapping, theirs)?;
        self.joined = true;
        // Both sides begin with a fresh log: nobody writes before the handshake is over.
        writer.add_reader(peer_page.clone());
        let reader = Reader::new(
            small,
            large,
            own_page,
            peer_page,
            theirs,
            Start::fresh(theirs),
            terms.hostile,
            terms.max_message,
            terms.barriers,
        );
        Ok((LogWriter::new(writer), LogReader::new(reader, peer_mapping)))
    }
}

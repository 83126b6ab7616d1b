//! The node's thread: the only one that hears what others say, and that ends a lifeline. It never waits for a peer.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::poll::{Event, Interest, most_descriptors};
use wharf_sys::shortage::is_shortage;
use wharf_sys::socket::{self, Credentials};

use super::core::{Announced, Core, DOOR, Ended as EndedLine, Stage, WAKE};
use super::endpoint::{Gone, Refusal};
use super::hear::Nonsense;
use super::line::Line;
use super::pairing::PeerNode;
use super::quota::Quota;
use super::record::{MAX_RECORD, Record, VERSION};

/// Connections that are accepted in one turn, and records that are heard of one peer in one turn: the others have theirs.
const ACCEPTS_PER_TURN: usize = 16;
const RECORDS_PER_TURN: usize = 16;

/// How long a connection may take to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// The most connections that have not introduced themselves; the oldest has to go when one more comes.
const MOST_STRANGERS: usize = 128;

/// The part of this process's descriptors that the lifelines of others who are not trusted may take: a quarter.
const SHARE: usize = 4;

/// How long the door stays shut when this process may not open more descriptors.
const SHUT: Duration = Duration::from_millis(50);

/// What only the thread knows.
pub(super) struct Turn {
    core: Arc<Core>,
    /// Connections that have not introduced themselves, in the order in which they came, which is that of their deadlines.
    strangers: BTreeMap<u64, (Credentials, bool, Deadline)>,
    /// How much each peer may still say, and when those who have said too much are heard again.
    quotas: BTreeMap<u64, Quota>,
    deaf: BTreeMap<(Instant, u64), ()>,
    /// When the door is opened again.
    shut: Option<Deadline>,
    most_lines: usize,
    buffer: Vec<u8>,
}

impl Turn {
    pub(super) fn new(core: Arc<Core>) -> Turn {
        let most_lines = (most_descriptors().unwrap_or(1024) / SHARE).max(MOST_STRANGERS);
        Turn {
            core,
            strangers: BTreeMap::new(),
            quotas: BTreeMap::new(),
            deaf: BTreeMap::new(),
            shut: None,
            most_lines,
            buffer: vec![0; MAX_RECORD],
        }
    }

    /// Runs until the node is closed.
    pub(super) fn run(mut self) {
        let mut events = Vec::new();
        // Ends when the node is closed.
        while !self.core.stop.load(Ordering::Acquire) {
            let deadline = self.next_deadline();
            if self.core.set.wait(&mut events, deadline).is_err() {
                // Only a set that is broken, or memory that the kernel lacks: not to be asked at full speed.
                std::thread::sleep(SHUT);
            }
            for event in &events {
                match event.token {
                    DOOR => self.open_door(),
                    WAKE => self.drain_wake(),
                    number => self.serve(number, *event),
                }
            }
            self.keep_time();
        }
        self.end_all();
    }

    fn next_deadline(&self) -> Option<Deadline> {
        let strangers = self.strangers.first_key_value().map(|(_, (_, _, deadline))| *deadline);
        let deaf = self.deaf.first_key_value().map(|((at, _), ())| Deadline::at(*at));
        let again = self.core.state().later.first().map(Deadline::at);
        [strangers, deaf, self.shut, again].into_iter().fold(None, Deadline::earlier)
    }

    fn drain_wake(&mut self) {
        if let Ok(ear) = self.core.wake.1.get() {
            // One ring is as good as many; what is still there wakes once more.
            let _ = socket::recv(ear, &mut [0; 8]);
        }
    }

    /// Whose time is over?
    fn keep_time(&mut self) {
        // Bounded by the strangers: each round takes one out.
        while let Some((number, (_, _, deadline))) = self.strangers.first_key_value()
            && deadline.passed()
        {
            self.drop_line(*number);
        }
        let now = Instant::now();
        // Bounded by the deaf: each round takes one out.
        while let Some(entry) = self.deaf.first_entry().filter(|entry| entry.key().0 <= now) {
            let (_, number) = *entry.key();
            entry.remove();
            let line = self.core.state().lines.get(&number).cloned();
            if let Some(line) = line {
                line.turn_deaf(false);
            }
        }
        if self.shut.is_some_and(Deadline::passed) {
            self.shut = None;
            self.watch_door(Interest::READ);
        }
        self.core.try_what_is_due(now);
    }

    fn watch_door(&self, interest: Interest) {
        if let Ok(door) = self.core.door.get() {
            let _ = self.core.set.modify(door, DOOR, interest);
        }
    }

    fn open_door(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Ok(door) = self.core.door.get() else { return };
            let now = Deadline::at(Instant::from_nanos(0));
            match socket::accept(door, Some(now)) {
                Ok(Some(socket)) => self.greet(socket),
                Ok(None) => return,
                Err(_) => {
                    // No descriptors, or no memory: those who wait at the door may wait a little longer.
                    self.watch_door(Interest::NONE);
                    self.shut = Some(Deadline::after(SHUT));
                    return;
                }
            }
        }
    }

    /// Somebody has connected; he has to introduce himself.
    fn greet(&mut self, socket: OwnedFd) {
        crash_point!("node.accepted");
        let Ok(by) = socket::peer_credentials(&socket) else { return };
        let cooperating = match self.core.admit(&by) {
            Ok(cooperating) => cooperating,
            Err(why) => {
                self.core.refused.fetch_add(1, Ordering::Relaxed);
                // Whoever does not listen is left out all the same.
                let _ = socket::send(&socket, &Record::Refusal { number: 0, why }.write(0));
                return;
            }
        };
        let mut state = self.core.state();
        if state.lines.len() >= self.most_lines && !cooperating {
            drop(state);
            self.core.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Ok(line) = state.add_line(socket, &self.core.set) else { return };
        drop(state);
        self.strangers.insert(line.number, (by, cooperating, Deadline::after(INTRODUCTION)));
        if self.strangers.len() > MOST_STRANGERS
            && let Some((&oldest, _)) = self.strangers.first_key_value()
        {
            self.drop_line(oldest);
        }
    }

    /// Hears somebody, as long as it is his turn.
    fn serve(&mut self, number: u64, event: Event) {
        let (line, mut peer) = {
            let state = self.core.state();
            let Some(line) = state.lines.get(&number) else { return };
            (Arc::clone(line), state.peers.get(&number).cloned())
        };
        if event.writable {
            line.flush();
        }
        if !event.readable && !event.hangup {
            return;
        }
        for _ in 0..RECORDS_PER_TURN {
            let said = match self.listen(&line) {
                Ok(Some(said)) => said,
                Ok(None) => return,
                Err(Ended) => return self.drop_line(number),
            };
            let heard = match &peer {
                Some(peer) => said.and_then(|(record, fds, short)| self.core.hear(&line, peer, record, fds, short)),
                None => said.and_then(|(record, _, _)| self.introduce(&line, record)).map(|it| peer = Some(it)),
            };
            if let Err(Nonsense(_why)) = heard {
                self.core.refused.fetch_add(1, Ordering::Relaxed);
                return self.drop_line(number);
            }
            let quota = self.quotas.entry(number).or_default();
            // What was said before the end is heard in any case: the kernel bounds it.
            if let Some(until) = quota.spend(Instant::now())
                && !event.hangup
            {
                line.turn_deaf(true);
                self.deaf.insert((until, number), ());
                return;
            }
        }
    }

    /// One record of a peer; `None` when there is none now.
    #[allow(clippy::type_complexity, reason = "a record with what came along, said once")]
    fn listen(&mut self, line: &Line) -> Result<Option<Result<(Record, Vec<OwnedFd>, bool), Nonsense>>, Ended> {
        let socket = line.socket().map_err(|_| Ended)?;
        let arrival = match socket::recv_arrival(socket, &mut self.buffer) {
            Ok(arrival) => arrival,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Err(Ended),
        };
        // Whatever becomes of them: a sender must not choose how long it takes to close them.
        arrival.fds.iter().for_each(socket::forget_linger);
        if arrival.received.len == 0 {
            return Err(Ended);
        }
        let bytes = self.buffer.get(..arrival.received.len).unwrap_or_default();
        // How many came is what the record says, when some of them found no room in this process.
        let short = arrival.short && arrival.fds.len() < socket::MAX_DESCRIPTORS;
        let fds = match bytes.get(2) {
            Some(announced) if short => usize::from(*announced),
            _ => arrival.fds.len(),
        };
        let record = match arrival.received.truncated {
            true => Err(Nonsense(format!("a record of more than {MAX_RECORD} bytes"))),
            false => Record::read(bytes, fds).map_err(Nonsense),
        };
        Ok(Some(record.map(|record| (record, arrival.fds, short))))
    }

    /// The first record of a connection that has come says who it is.
    fn introduce(&mut self, line: &Arc<Line>, record: Record) -> Result<Arc<PeerNode>, Nonsense> {
        let Record::Hello { version, id, barriers } = record else {
            return Err(Nonsense("it began with something else than a hello".to_owned()));
        };
        let Some((by, cooperating, _)) = self.strangers.remove(&line.number) else {
            return Err(Nonsense("it introduced itself twice".to_owned()));
        };
        let refuse = |why: Refusal| {
            let _ = line.send(&Record::Refusal { number: 0, why }, Vec::new());
        };
        if version != VERSION {
            refuse(Refusal::Version(VERSION));
            return Err(Nonsense(format!("it speaks version {version} of the node protocol, this node {VERSION}")));
        }
        // Whoever calls himself by the name of a node is sent what is meant for it, so he must at least be its user.
        let owner = match self.core.registry.owner(id) {
            // What this process lacks is no lie of somebody else: he may come again.
            Err(error) if is_shortage(&error) => {
                refuse(Refusal::not_now(error.to_string()));
                return Err(Nonsense("it could not be looked up".to_owned()));
            }
            owner => owner.ok().flatten(),
        };
        if owner != Some(by.uid) {
            refuse(Refusal::words(format!("there is no board of node {id} that belongs to uid {}", by.uid)));
            return Err(Nonsense(format!("it calls itself {id}, and is not")));
        }
        let peer = self.core.peer(id, &by, cooperating);
        peer.theirs.store(barriers, Ordering::Relaxed);
        let mut state = self.core.state();
        state.peers.insert(line.number, Arc::clone(&peer));
        // Two that called each other at once keep both lifelines, and each goes on with its own.
        state.known.entry(id).or_insert(line.number);
        line.send_or_cut(&self.core.hello(&peer));
        crash_point!("node.introduced");
        Ok(peer)
    }

    /// A lifeline has ended, and with it everything on it.
    fn drop_line(&mut self, number: u64) {
        self.strangers.remove(&number);
        self.quotas.remove(&number);
        self.deaf.retain(|(_, it), ()| *it != number);
        let (line, ended) = {
            let mut state = self.core.state();
            (state.lines.get(&number).cloned(), state.remove_line(number))
        };
        if let Some(line) = line {
            line.cut();
            if let Ok(socket) = line.socket() {
                // Pairings may keep the line; the set must not.
                let _ = self.core.set.remove(socket);
            }
        }
        let EndedLine { pairings, announced } = ended;
        for paired in &pairings {
            paired.endpoint.tell_gone(paired.pairing.id(), Gone::Died);
        }
        if self.core.stop.load(Ordering::Acquire) {
            return;
        }
        for paired in pairings.iter().filter(|paired| paired.stage == Stage::Offered) {
            let peer = paired.pairing.peer();
            let again = paired.again.clone();
            self.core.ask_again(&paired.endpoint, &paired.host(), again, !peer.cooperating, &peer.to_string());
        }
        for Announced { host, guest, again, .. } in announced {
            let registered = self.core.state().endpoints.get(&host).cloned();
            if let Some(registered) = registered {
                self.core.ask_again(&registered, &guest, again, false, &format!("node {}", guest.node));
            }
        }
    }

    /// The node closes: all its lifelines end.
    fn end_all(&mut self) {
        let numbers: Vec<u64> = self.core.state().lines.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.drop_line(number));
    }
}

/// A connection has ended.
struct Ended;

//! The directory of a domain as nodes use it: boards, sockets, and one entry for each endpoint under its name.
//!
//! `.nodes/ID.board` comes first and goes last: whoever finds anything of a node whose board is missing, or not locked,
//! knows that the node is dead, and may remove it. Numbers are never used twice, so that stays true.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use wharf_shared_memory::board::{self, Board, LookError, SlotFacts, Snapshot};
use wharf_sys::crash_point;
use wharf_sys::directory::{Domain, Folder, PublishError, remove_dead_locks};
use wharf_sys::memory::Access;
use wharf_sys::shortage::is_shortage;

use super::error::NodeError;
use super::identity::{EndpointId, NodeId, Part, Pattern};
use super::name::{Filter, WILD_FOLDER, name_of};
use crate::handshake::Payload;

/// Where boards and sockets are.
pub(super) const NODES: &str = ".nodes";

const BOARD: &str = ".board";
const SOCKET: &str = ".sock";

/// Connections that the kernel keeps for a node that is busy or stopped.
const BACKLOG: u32 = 1024;

/// The most entries of one folder that are looked at.
const MOST_ENTRIES: usize = 65_536;

/// How many nodes one sweep looks at.
const MOST_SWEPT: usize = 256;

/// The names of a domain. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    domain: Domain,
    /// How many names were read out of folders.
    #[cfg(test)]
    pub(super) listed: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

/// An endpoint as the directory tells of it, before anybody asks its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: NodeId,
    pub(super) part: Part,
    /// What it carries: 0 for anything.
    pub(super) key: u64,
    pub(super) endpoint: EndpointId,
    /// The folder that it is in.
    pub(super) folder: String,
}

impl Entry {
    fn file_name(&self) -> String {
        let Entry { node, part, key, endpoint, .. } = self;
        let part = char::from(part.code());
        format!("{node}-{part}-{key:016x}-{:x}-{:x}", endpoint.index, endpoint.stamp)
    }

    fn parse(folder: &str, text: &str) -> Option<Entry> {
        let mut fields = text.split('-');
        let node = NodeId::parse(fields.next()?)?;
        let part = match fields.next()?.as_bytes() {
            [code] => Part::from_code(*code)?,
            _ => return None,
        };
        let key = u64::from_str_radix(fields.next()?, 16).ok()?;
        let index = u32::from_str_radix(fields.next()?, 16).ok()?;
        let stamp = u32::from_str_radix(fields.next()?, 16).ok()?;
        let entry = Entry { node, part, key, endpoint: EndpointId { index, stamp }, folder: folder.to_owned() };
        // Whatever is written otherwise was not made by this library.
        (entry.file_name() == text).then_some(entry)
    }
}

/// What an endpoint carries, in the name of its entry: 0 for anything.
pub(super) fn key_of(payload: Option<&Payload>) -> u64 {
    match payload {
        None => 0,
        Some(Payload::Bytes) => 1,
        Some(Payload::Serde) => 2,
        // The hash tells types apart; the size is compared with it when the two meet.
        Some(Payload::Typed { hash, .. }) => (*hash).max(3),
    }
}

/// Whether two such keys let their endpoints meet.
pub(super) fn keys_fit(one: u64, other: u64) -> bool {
    one == 0 || other == 0 || one == other
}

impl Registry {
    pub(super) fn new(domain: Domain) -> Registry {
        Registry {
            domain,
            #[cfg(test)]
            listed: std::sync::Arc::default(),
        }
    }

    fn list(&self, folder: &Folder) -> io::Result<Vec<String>> {
        let names = folder.list(MOST_ENTRIES)?;
        #[cfg(test)]
        self.listed.fetch_add(names.len(), std::sync::atomic::Ordering::Relaxed);
        Ok(names)
    }

    pub(super) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Publishes the board of a new node.
    pub(super) fn publish_board(&self, id: NodeId) -> Result<Board, NodeError> {
        // Nobody but its node writes it.
        let mode = if self.domain.file_mode() & 0o020 == 0 { 0o600 } else { 0o640 };
        let name = format!("{id}{BOARD}");
        let built = RefCell::new(None);
        let named = RefCell::new(None);
        let failed = RefCell::new(None);
        let publish = |folder: &Folder| {
            let published = folder.publish(&name, mode, |file| {
                *built.borrow_mut() = Some(Board::build(file, id.0)?);
                Ok::<(), board::BoardError>(())
            });
            match published {
                // Through its name: by that name others are told when it is written, or closed by a kill.
                Ok(_nameless) => {
                    let opened = folder.open_file(&name, Access::ReadWrite);
                    if opened.is_err() {
                        // Nobody holds it yet, so it would be a dead one's; what cannot be removed is.
                        let _ = folder.unlink(&name);
                    }
                    opened.map(|file| *named.borrow_mut() = Some(file))
                }
                Err(PublishError::System(error)) => Err(error),
                Err(PublishError::Build(error)) => {
                    *failed.borrow_mut() = Some(NodeError::from(error));
                    Ok(())
                }
                Err(taken) => Err(io::Error::new(io::ErrorKind::AlreadyExists, taken.to_string())),
            }
        };
        let done = self.domain.in_folder(&[NODES], publish);
        done.map_err(NodeError::system("publish this process's board"))?;
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        crash_point!("node.board-published");
        let (Some(mut board), Some(file)) = (built.into_inner(), named.into_inner()) else {
            return Err(NodeError::Options("the board was not built".to_owned()));
        };
        board.hold(file);
        Ok(board)
    }

    /// Listens under the name of a node whose board is published.
    pub(super) fn listen(&self, id: NodeId) -> io::Result<OwnedFd> {
        let name = format!("{id}{SOCKET}");
        let mode = self.domain.file_mode();
        // The board is in the folder, so nobody removes that.
        let folder = self.domain.folder(&[NODES])?.ok_or(io::ErrorKind::NotFound)?;
        let socket = folder.listen(&name, mode, BACKLOG)?;
        crash_point!("node.listening");
        Ok(socket)
    }

    /// Where a node listens.
    pub(super) fn socket(&self, id: NodeId) -> PathBuf {
        self.domain.path().join(NODES).join(format!("{id}{SOCKET}"))
    }

    /// Enters an endpoint of a living node.
    pub(super) fn enter(&self, pattern: Pattern, entry: &Entry) -> io::Result<()> {
        let nodes = self.domain.folder(&[NODES])?.ok_or(io::ErrorKind::NotFound)?;
        let board = format!("{}{BOARD}", entry.node);
        let link = |folder: &Folder| folder.link(&nodes, &board, &entry.file_name());
        self.domain.in_folder(&[pattern.folder(), &entry.folder], link)?;
        crash_point!("endpoint.entered");
        Ok(())
    }

    /// Removes an entry, and its folder with the last one.
    pub(super) fn remove(&self, pattern: Pattern, entry: &Entry) {
        let parts = [pattern.folder(), entry.folder.as_str()];
        if let Ok(Some(folder)) = self.domain.folder(&parts) {
            // What cannot be removed is found dead by the next visitor.
            let _ = folder.unlink(&entry.file_name());
            crash_point!("endpoint.removed");
        }
        self.domain.remove_empty_folders(&parts);
    }

    /// The entries under one name.
    pub(super) fn entries(&self, pattern: Pattern, folder: &str) -> io::Result<Vec<Entry>> {
        let Some(there) = self.domain.folder(&[pattern.folder(), folder])? else { return Ok(Vec::new()) };
        Ok(self.list(&there)?.iter().filter_map(|name| Entry::parse(folder, name)).collect())
    }

    /// The entries under one of many names; what is no folder, or may not be read, has none.
    fn entries_if_any(&self, pattern: Pattern, folder: &str) -> io::Result<Vec<Entry>> {
        match self.entries(pattern, folder) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied) => {
                Ok(Vec::new())
            }
            outcome => outcome,
        }
    }

    /// Whom an endpoint may meet: the entries of the other part where its name leads. Those with stars are looked up on
    /// their boards, as are names that are hashed.
    pub(super) fn candidates(&self, pattern: Pattern, part: Part, name: &Filter) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        if name.is_wild() {
            let Some(names) = self.domain.folder(&[pattern.folder()])? else { return Ok(found) };
            for folder in self.list(&names)? {
                match name_of(&folder) {
                    Some(full) if name.matches(&full) => found.extend(self.entries_if_any(pattern, &folder)?),
                    Some(_) => {}
                    None if folder == WILD_FOLDER => {}
                    None => {
                        for entry in self.entries_if_any(pattern, &folder)? {
                            if self.slot(&entry)?.is_some_and(|slot| name.matches(&slot.name)) {
                                found.push(entry);
                            }
                        }
                    }
                }
            }
        } else {
            found.extend(self.entries(pattern, &name.folder())?);
            if part == Part::Host {
                for entry in self.entries(pattern, WILD_FOLDER)? {
                    let filter = self.slot(&entry)?.and_then(|slot| Filter::new(&slot.name).ok());
                    if filter.is_some_and(|filter| filter.matches(name.as_str())) {
                        found.push(entry);
                    }
                }
            }
        }
        found.retain(|entry| entry.part == part.other());
        Ok(found)
    }

    /// What an entry's endpoint says of itself on its board; `None` when it is gone, or says nothing that makes sense. Fails
    /// only where that may pass.
    pub(super) fn slot(&self, entry: &Entry) -> io::Result<Option<SlotFacts>> {
        let found = match self.open_board(entry.node) {
            Err(error) if is_shortage(&error) => return Err(error),
            found => found.ok().flatten(),
        };
        let Some(board) = found else { return Ok(None) };
        let slot = match board::look_at_slot(&board, entry.endpoint.index) {
            Err(LookError::System(error)) if is_shortage(&error) => return Err(error),
            slot => slot.ok().flatten(),
        };
        Ok(slot.filter(|slot| slot.slot == entry.endpoint))
    }

    /// A node's board; `None` when there is none.
    pub(super) fn open_board(&self, id: NodeId) -> io::Result<Option<File>> {
        let Some(nodes) = self.domain.folder(&[NODES])? else { return Ok(None) };
        match nodes.open_file(&format!("{id}{BOARD}"), Access::ReadOnly) {
            Ok(board) => Ok(Some(File::from(board))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The user to whom a node's board belongs; `None` when there is none. Needs no descriptor.
    pub(super) fn owner(&self, id: NodeId) -> io::Result<Option<u32>> {
        self.domain.owner_of(&[NODES], &format!("{id}{BOARD}"))
    }

    /// The nodes that have a board.
    pub(super) fn nodes(&self) -> io::Result<Vec<NodeId>> {
        let Some(nodes) = self.domain.folder(&[NODES])? else { return Ok(Vec::new()) };
        let mut found: Vec<NodeId> =
            self.list(&nodes)?.iter().filter_map(|it| NodeId::parse(it.strip_suffix(BOARD)?)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Whether a node is dead beyond doubt: it has no board, or one that nobody holds.
    pub(super) fn is_dead(&self, id: NodeId) -> bool {
        match self.open_board(id) {
            Ok(Some(board)) => board::is_alive(&board).is_ok_and(|alive| !alive),
            Ok(None) => true,
            // What is no board, or may not be read, proves nothing.
            Err(_) => false,
        }
    }

    /// Removes what a node left behind: its entries, its socket, and last its board, so that whoever is interrupted in the
    /// middle leaves the next one the same to do. For nodes that are dead, or closing.
    pub(super) fn bury(&self, id: NodeId) {
        if let Ok(Some(board)) = self.open_board(id)
            && let Ok(Snapshot { slots, .. }) = board::look(&board)
        {
            for (pattern, entry) in slots.iter().filter_map(|slot| entry_of(id, slot)) {
                self.remove(pattern, &entry);
            }
        }
        if let Ok(Some(nodes)) = self.domain.folder(&[NODES]) {
            // What cannot be removed stays dead.
            let _ = nodes.unlink(&format!("{id}{SOCKET}"));
            crash_point!("node.socket-removed");
            let _ = nodes.unlink(&format!("{id}{BOARD}"));
            crash_point!("node.board-removed");
        }
        self.domain.remove_empty_folders(&[NODES]);
    }

    /// Removes what dead nodes left behind; looks at a bounded number of them, so that opening a node stays cheap where
    /// there are many. It begins with the one that would follow this new node, which is anywhere: so every dead one is come
    /// across at some time.
    pub(super) fn sweep(&self, new: NodeId) {
        self.sweep_locks();
        let mut nodes = self.nodes().unwrap_or_default();
        let first = nodes.partition_point(|id| *id < new);
        nodes.rotate_left(first);
        for id in nodes.into_iter().take(MOST_SWEPT).filter(|id| self.is_dead(*id)) {
            self.bury(id);
        }
    }

    /// Removes the locks that dead owners left behind.
    pub(super) fn sweep_locks(&self) {
        remove_dead_locks(&self.domain);
    }

    /// Removes the entry of a dead endpoint, and everything else that its node left if that is dead. An entry of a living
    /// node stays, whether it is true or not. Whether the node is dead.
    pub(super) fn bury_entry(&self, pattern: Pattern, entry: &Entry) -> bool {
        let dead = self.is_dead(entry.node);
        if dead {
            self.bury(entry.node);
            self.remove(pattern, entry);
        }
        dead
    }
}

/// The entry that a slot's endpoint has.
pub(super) fn entry_of(node: NodeId, slot: &SlotFacts) -> Option<(Pattern, Entry)> {
    let [pattern, part, payload, _] = slot.kind;
    let (pattern, part) = (Pattern::from_code(pattern)?, Part::from_code(part)?);
    let payload = payload_of(payload, slot)?;
    let name = Filter::new(&slot.name).ok()?;
    let entry = Entry { node, part, key: key_of(payload.as_ref()), endpoint: slot.slot, folder: name.folder() };
    Some((pattern, entry))
}

/// What a slot says that its endpoint carries; `Some(None)` for anything.
pub(super) fn payload_of(code: u8, slot: &SlotFacts) -> Option<Option<Payload>> {
    Some(match code {
        0 => None,
        1 => Some(Payload::Bytes),
        2 => Some(Payload::Serde),
        3 => Some(Payload::Typed { hash: slot.type_hash, size: slot.type_size, name: slot.type_name.clone() }),
        _ => return None,
    })
}

/// The third byte of a slot's kind.
pub(super) fn payload_code(payload: Option<&Payload>) -> u8 {
    match payload {
        None => 0,
        Some(Payload::Bytes) => 1,
        Some(Payload::Serde) => 2,
        Some(Payload::Typed { .. }) => 3,
    }
}

/// Reads a whole board; `None` when there is none, or none that makes sense.
pub(super) fn snapshot(registry: &Registry, id: NodeId) -> Result<Option<(Snapshot, bool)>, LookError> {
    let Some(board) = registry.open_board(id)? else { return Ok(None) };
    let alive = board::is_alive(&board)?;
    let snapshot = board::look(&board)?;
    Ok((snapshot.facts.id == id.0).then_some((snapshot, alive)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        let entry = Entry {
            node: NodeId([7; 16]),
            part: Part::Guest,
            key: 0xabc,
            endpoint: EndpointId { index: 17, stamp: 3 },
            folder: "a".to_owned(),
        };
        assert_eq!(Entry::parse("a", &entry.file_name()), Some(entry.clone()));
        for text in ["", "x", &entry.file_name().to_uppercase(), &format!("{}-", entry.file_name()), "-h---"] {
            assert_eq!(Entry::parse("a", text), None, "{text}");
        }
    }

    #[test]
    fn what_carries_anything_fits_everything() {
        assert!(keys_fit(0, 5) && keys_fit(5, 0) && keys_fit(5, 5) && !keys_fit(5, 6));
        let typed = |hash| Payload::Typed { hash, size: 8, name: "T".to_owned() };
        assert_ne!(key_of(Some(&typed(0))), key_of(None));
        assert_ne!(key_of(Some(&typed(1))), key_of(Some(&Payload::Bytes)));
    }
}

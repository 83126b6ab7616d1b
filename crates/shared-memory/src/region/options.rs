//! Everything that can be said about a region before it is made or attached.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use wharf_sys::directory::Domain;
use wharf_sys::memory::Access;

use super::attach::{self, Expected, Trust};
use super::attached::Attached;
use super::bytes::BytesRegion;
use super::create;
use super::description::Description;
use super::header::{DESCRIPTION_MAX, Header, Kind, Plan};
use super::memory::Memory;
use super::place::Place;
use super::typed::{ReadOnlyRegion, Region};
use crate::sync::ObjectKind;
use crate::sync::owner::MAX_SLOTS;
use crate::{RegionError, Shared};

/// Slots in the participant table unless the options say otherwise.
const DEFAULT_PARTICIPANTS: u32 = 256;

/// How often `open_or_create` tries both. A turn fails only when another process made or removed the name between two
/// system calls of ours, so even a storm of processes needs a few.
const ATTEMPTS: u32 = 100;

/// How to make or attach a region. The free-standing verbs on [`Region`] and [`BytesRegion`] use the defaults.
#[derive(Clone, Debug)]
pub struct RegionOptions {
    max_participants: u32,
    domain: Option<Domain>,
    trust: Trust,
}

impl Default for RegionOptions {
    fn default() -> RegionOptions {
        RegionOptions::new()
    }
}

impl RegionOptions {
    /// At most 256 participants, in the user's own directory, for this user alone.
    pub fn new() -> RegionOptions {
        RegionOptions { max_participants: DEFAULT_PARTICIPANTS, domain: None, trust: Trust::default() }
    }

    /// How many attachments the region can have at one time, 1 to 1,023; 64 bytes each. Counts when it is made.
    #[must_use]
    pub fn max_participants(mut self, max: u32) -> RegionOptions {
        self.max_participants = max;
        self
    }

    /// The directory in which the name lives; without it `WHARF_DIR` or the user's own.
    #[must_use]
    pub fn domain(mut self, domain: Domain) -> RegionOptions {
        self.domain = Some(domain);
        self
    }

    /// The permission bits that the region's file gets when it is made (the process's mask does not apply), and the
    /// most that others' writing is accepted when it is attached. Without it 0600, or 0660 in a directory that a
    /// group may write.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> RegionOptions {
        self.trust.mode = Some(mode & 0o777);
        self
    }

    /// Accepts regions that belong to this user too. Regions are for processes that trust each other: any one that
    /// may write can spoil the data of all.
    #[must_use]
    pub fn allow_uid(mut self, uid: u32) -> RegionOptions {
        self.trust.uids.push(uid);
        self
    }

    /// Makes the region `name`; its root is all zeroes.
    pub fn create<T: Shared>(&self, name: &str) -> Result<Region<T>, RegionError> {
        self.make(self.named(name)?, |_| Ok(()))
    }

    /// Makes the region `name` with a first value, which whoever attaches sees from the start.
    pub fn create_with<T: Shared>(&self, name: &str, first: T) -> Result<Region<T>, RegionError> {
        self.make(self.named(name)?, |memory| write_first(memory, first))
    }

    /// Attaches to the region `name`.
    pub fn attach<T: Shared>(&self, name: &str) -> Result<Region<T>, RegionError> {
        self.join(self.existing(name)?)
    }

    /// Attaches to the region `name` for reading only; see [`ReadOnlyRegion`].
    pub fn attach_read_only<T: Shared>(&self, name: &str) -> Result<ReadOnlyRegion<T>, RegionError> {
        self.look(self.existing(name)?)
    }

    /// Attaches to the region `name`, or makes it with an all-zero root: exactly one of any number of processes that
    /// call this at once makes it.
    pub fn open_or_create<T: Shared>(&self, name: &str) -> Result<Region<T>, RegionError> {
        let place = self.named(name)?;
        let attached = open_or_create(
            &place,
            || Ok(self.join::<T>(place.clone())?.into_attached()),
            || Ok(self.make::<T>(place.clone(), |_| Ok(()))?.into_attached()),
        )?;
        Ok(Region::new(attached))
    }

    /// Makes a region without a name, all zeroes, sealed against changes of its length. Others attach through the
    /// descriptor that [`Region::share`] gives.
    pub fn anonymous<T: Shared>(&self) -> Result<Region<T>, RegionError> {
        self.make(Place::Anonymous, |_| Ok(()))
    }

    /// Attaches to the region behind a descriptor that another process passed on.
    pub fn attach_fd<T: Shared>(&self, fd: OwnedFd) -> Result<Region<T>, RegionError> {
        let own = attach::open_passed(fd.as_fd(), Access::ReadWrite)?;
        attach::attach(Place::Anonymous, own, Access::ReadWrite, &self.trust, &expected::<T>()).map(Region::new)
    }

    /// Makes a region in a file of its own at `path`; its root is all zeroes.
    pub fn create_file<T: Shared>(&self, path: impl AsRef<Path>) -> Result<Region<T>, RegionError> {
        self.make(Place::file(path.as_ref()), |_| Ok(()))
    }

    /// Attaches to the region in the file at `path`.
    pub fn attach_file<T: Shared>(&self, path: impl AsRef<Path>) -> Result<Region<T>, RegionError> {
        self.join(Place::file(path.as_ref()))
    }

    /// Attaches to the region in the file at `path` for reading only; see [`ReadOnlyRegion`].
    pub fn attach_file_read_only<T: Shared>(&self, path: impl AsRef<Path>) -> Result<ReadOnlyRegion<T>, RegionError> {
        self.look(Place::file(path.as_ref()))
    }

    /// Attaches to the region in the file at `path`, or makes it with an all-zero root.
    pub fn open_or_create_file<T: Shared>(&self, path: impl AsRef<Path>) -> Result<Region<T>, RegionError> {
        let place = Place::file(path.as_ref());
        let attached = open_or_create(
            &place,
            || Ok(self.join::<T>(place.clone())?.into_attached()),
            || Ok(self.make::<T>(place.clone(), |_| Ok(()))?.into_attached()),
        )?;
        Ok(Region::new(attached))
    }

    /// Makes the region `name` of `len_bytes` bytes, all zero, under one lock.
    pub fn create_bytes(&self, name: &str, len_bytes: usize) -> Result<BytesRegion, RegionError> {
        self.make_bytes(self.named(name)?, len_bytes)
    }

    /// Attaches to the bytes region `name`.
    pub fn attach_bytes(&self, name: &str) -> Result<BytesRegion, RegionError> {
        self.join_bytes(self.existing(name)?, None)
    }

    /// Attaches to the bytes region `name`, which must have `len_bytes` bytes, or makes it.
    pub fn open_or_create_bytes(&self, name: &str, len_bytes: usize) -> Result<BytesRegion, RegionError> {
        let place = self.named(name)?;
        let attached = open_or_create(
            &place,
            || Ok(self.join_bytes(place.clone(), Some(len_bytes))?.into_attached()),
            || Ok(self.make_bytes(place.clone(), len_bytes)?.into_attached()),
        )?;
        Ok(BytesRegion::new(attached))
    }

    /// Makes a bytes region without a name; see [`anonymous`](RegionOptions::anonymous).
    pub fn anonymous_bytes(&self, len_bytes: usize) -> Result<BytesRegion, RegionError> {
        self.make_bytes(Place::Anonymous, len_bytes)
    }

    /// Attaches to the bytes region behind a descriptor that another process passed on.
    pub fn attach_bytes_fd(&self, fd: OwnedFd) -> Result<BytesRegion, RegionError> {
        let own = attach::open_passed(fd.as_fd(), Access::ReadWrite)?;
        let expected = BytesRegion::expected(None);
        attach::attach(Place::Anonymous, own, Access::ReadWrite, &self.trust, &expected).map(BytesRegion::new)
    }

    fn named(&self, name: &str) -> Result<Place, RegionError> {
        Place::named(self.domain.as_ref(), name)
    }

    fn existing(&self, name: &str) -> Result<Place, RegionError> {
        Place::existing(self.domain.as_ref(), name)
    }

    fn plan(&self, root_len: usize) -> Result<Plan, RegionError> {
        Plan::new(self.max_participants, root_len).ok_or_else(|| RegionError::BadOptions {
            why: format!(
                "{} participants and a root of {root_len} bytes were asked for; possible are 1 to {MAX_SLOTS} \
                 participants and what fits the address space",
                self.max_participants
            ),
        })
    }

    fn make<T: Shared>(
        &self,
        place: Place,
        fill: impl FnOnce(&mut Memory) -> Result<(), String>,
    ) -> Result<Region<T>, RegionError> {
        let plan = self.plan(size_of::<T>())?;
        let header = Header::new(
            Kind::Typed,
            T::LAYOUT.hash,
            &T::LAYOUT.to_string(),
            plan,
            Description::of(&T::LAYOUT, DESCRIPTION_MAX),
        )
        .map_err(|source| create::failed(&place.to_string(), source))?;
        create::create(place, self.trust.mode, header, fill).map(Region::new)
    }

    fn join<T: Shared>(&self, place: Place) -> Result<Region<T>, RegionError> {
        let own = attach::open(&place, Access::ReadWrite)?;
        attach::attach(place, own, Access::ReadWrite, &self.trust, &expected::<T>()).map(Region::new)
    }

    fn look<T: Shared>(&self, place: Place) -> Result<ReadOnlyRegion<T>, RegionError> {
        let own = attach::open(&place, Access::ReadOnly)?;
        attach::attach(place, own, Access::ReadOnly, &self.trust, &expected::<T>()).map(ReadOnlyRegion::new)
    }

    fn make_bytes(&self, place: Place, len_bytes: usize) -> Result<BytesRegion, RegionError> {
        let root_len = BytesRegion::root_len(len_bytes).unwrap_or(usize::MAX);
        let (plan, objects) = (self.plan(root_len)?, Description::one(ObjectKind::Bytes, root_len as u64));
        let header =
            Header::new(Kind::Bytes, BytesRegion::HASH, &BytesRegion::type_name(Some(len_bytes)), plan, objects)
                .map_err(|source| create::failed(&place.to_string(), source))?;
        create::create(place, self.trust.mode, header, |_| Ok(())).map(BytesRegion::new)
    }

    fn join_bytes(&self, place: Place, len_bytes: Option<usize>) -> Result<BytesRegion, RegionError> {
        let own = attach::open(&place, Access::ReadWrite)?;
        let expected = BytesRegion::expected(len_bytes);
        attach::attach(place, own, Access::ReadWrite, &self.trust, &expected).map(BytesRegion::new)
    }
}

fn expected<T: Shared>() -> Expected {
    Expected {
        kind: Kind::Typed,
        hash: T::LAYOUT.hash,
        type_name: T::LAYOUT.to_string(),
        root_len: Some(size_of::<T>()),
    }
}

fn write_first<T: Shared>(memory: &mut Memory, first: T) -> Result<(), String> {
    if memory.write_root(first) { Ok(()) } else { Err(format!("{} does not fit its root", T::LAYOUT)) }
}

fn open_or_create(
    place: &Place,
    attach: impl Fn() -> Result<Attached, RegionError>,
    create: impl Fn() -> Result<Attached, RegionError>,
) -> Result<Attached, RegionError> {
    // Bound: see ATTEMPTS.
    for _ in 0..ATTEMPTS {
        match attach() {
            // Unlinked while we attached: others would never meet us there.
            Ok(attached) if !attach::still_has_a_name(&attached) => continue,
            Err(RegionError::NotFound { .. }) => {}
            done => return done,
        }
        match create() {
            Err(RegionError::Taken { .. }) => {}
            done => return done,
        }
    }
    Err(RegionError::Restless { region: place.to_string(), attempts: ATTEMPTS })
}

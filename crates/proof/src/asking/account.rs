//! What servers carried out and what clients were told, in files to which each appends: whatever a process has written there
//! outlives it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wharf_sys::clock::Instant;

use super::Ask;
use crate::entries::{self, Entries};

/// What a client was told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The right answer, or all the right results.
    Answered = 1,
    /// That it has failed, in its server's words.
    Failed = 2,
    /// Nothing is known.
    Unknown = 3,
    /// It was never sent.
    NeverSent = 4,
}

impl Told {
    const ALL: [Told; 4] = [Told::Answered, Told::Failed, Told::Unknown, Told::NeverSent];
}

/// What all the accounts say together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Calls whose clients were told something, by [`Told`].
    pub told: [u64; 4],
    /// Calls that were carried out.
    pub carried_out: u64,
    /// Idempotent calls that were carried out more than once.
    pub again: u64,
}

/// A directory of accounts.
#[derive(Clone, Debug)]
pub struct Account {
    at: PathBuf,
}

impl Account {
    /// The accounts in this directory.
    pub fn at(at: &Path) -> Account {
        Account { at: at.to_owned() }
    }

    /// The one to which servers append what they carry out.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn done(&self) -> Result<Entries, String> {
        self.append("done")
    }

    /// Whether nobody is to ask any more.
    pub fn is_over(&self) -> bool {
        self.at.join("over").exists()
    }

    /// Has everybody end who asks.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn end(&self) -> Result<(), String> {
        self.append("over").map(drop)
    }

    /// Whether nobody is to serve any more.
    pub fn is_closed(&self) -> bool {
        self.at.join("closed").exists()
    }

    /// Has everybody end who serves: when nobody asks any more.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn close(&self) -> Result<(), String> {
        self.append("closed").map(drop)
    }

    /// The one to which a client appends what it is told.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn told(&self) -> Result<Entries, String> {
        self.append("told")
    }

    fn append(&self, name: &str) -> Result<Entries, String> {
        Entries::open(&self.at.join(name)).map_err(|error| format!("the account '{name}': {error}"))
    }

    /// Compares what was told with what was done, and says how much there was of each.
    ///
    /// # Errors
    /// What does not agree.
    pub fn settle(&self) -> Result<Totals, String> {
        let mut totals = Totals::default();
        // By whom each was carried out, and when.
        let mut done: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
        for [life, number, by, at] in self.entries("done")? {
            done.entry((life, number)).or_default().push((by >> 32, at));
        }
        let mut told: BTreeMap<(u64, u64), (Told, u64)> = BTreeMap::new();
        for [life, number, by, at] in self.entries("told")? {
            let found = Told::ALL.into_iter().find(|it| *it as u64 == by & u64::from(u32::MAX));
            let found = found.ok_or_else(|| format!("{:?}: no client writes that", Ask { life, number }))?;
            if let Some(before) = told.insert((life, number), (found, at)) {
                return Err(format!("{:?} was told twice: {before:?} and {found:?} at {at}", Ask { life, number }));
            }
        }
        for ((life, number), times) in &done {
            let ask = Ask { life: *life, number: *number };
            totals.carried_out += 1;
            totals.again += u64::from(times.len() > 1);
            if times.len() > 1 && !ask.is_idempotent() {
                let told = told.get(&(*life, *number));
                return Err(format!(
                    "{ask:?} was carried out by (process, at) {times:?}, and its client was told {told:?}"
                ));
            }
        }
        for ((life, number), (told, at)) in told {
            let ask = Ask { life, number };
            let times = done.get(&(life, number)).map_or(&[][..], |times| times);
            let is_honest = match told {
                Told::Answered | Told::Failed => !times.is_empty(),
                Told::Unknown => true,
                Told::NeverSent => times.is_empty(),
            };
            if !is_honest {
                return Err(format!(
                    "{ask:?} was carried out by (process, at) {times:?}, and its client was told {told:?} at {at}"
                ));
            }
            totals.told[told as usize - 1] += 1;
        }
        Ok(totals)
    }

    fn entries(&self, name: &str) -> Result<Vec<[u64; entries::WORDS]>, String> {
        entries::read(&self.at.join(name)).map_err(|error| format!("the account '{name}': {error}"))
    }
}

/// Appends an entry, with who writes it and when.
pub(super) fn enter(account: &mut Entries, ask: Ask, what: u64) -> Result<(), String> {
    let by = what | u64::from(std::process::id()) << 32;
    account
        .append([ask.life, ask.number, by, Instant::now().as_nanos()])
        .map_err(|error| format!("an account: {error}"))
}

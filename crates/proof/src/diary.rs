//! What the players of a queue write down as they go, each in a file of its own, and what all of it together must say.
//!
//! What is about to happen is written down before, and what has happened after; so a death leaves one thing in doubt at most.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wharf_sys::clock::Instant;

use crate::entries::{self, Entries};

/// An item: the life of its pusher, and which of its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The pusher's life.
    pub life: u64,
    /// Its number.
    pub number: u64,
}

impl Name {
    /// The bytes of the item.
    pub fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.life.to_le_bytes());
        bytes[8..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// The item of these bytes.
    pub fn of(bytes: &[u8]) -> Result<Name, String> {
        let [life, number] = [0, 8].map(|at| bytes.get(at..at + 8).and_then(|it| it.try_into().ok()));
        match (life.map(u64::from_le_bytes), number.map(u64::from_le_bytes), bytes.len()) {
            (Some(life), Some(number), 16) => Ok(Name { life, number }),
            _ => Err(format!("an item of {} bytes that nobody has pushed", bytes.len())),
        }
    }
}

/// What is written down of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A pusher is about to push it.
    Push,
    /// A pusher was told that it is done.
    Done,
    /// A puller has it.
    Take,
    /// A puller is about to give it back.
    Return,
    /// A puller is about to acknowledge it.
    Settle,
    /// A puller has acknowledged it.
    Settled,
}

impl Note {
    const ALL: [Note; 6] = [Note::Push, Note::Done, Note::Take, Note::Return, Note::Settle, Note::Settled];
}

/// One player's file.
pub struct Diary {
    entries: Entries,
    life: u64,
}

impl Diary {
    /// The diary of this life, in this directory.
    pub fn open(directory: &Path, life: u64) -> std::io::Result<Diary> {
        Ok(Diary { entries: Entries::open(&directory.join(life.to_string()))?, life })
    }

    /// Whose it is.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Writes something down.
    pub fn note(&mut self, note: Note, name: Name) -> std::io::Result<()> {
        self.entries.append([Instant::now().as_nanos(), note as u64, name.life, name.number])
    }
}

/// What one life did with one item, in order.
type Story = Vec<(u64, Note)>;

/// What all diaries of a directory say.
#[derive(Debug, Default)]
pub struct Account {
    /// By item, by life.
    items: BTreeMap<Name, BTreeMap<u64, Story>>,
}

/// What was found in an account that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Items that somebody has pushed.
    pub pushed: u64,
    /// Items of which a pusher was told that they are done.
    pub done: u64,
    /// Items that more than one delivery was taken of.
    pub again: u64,
    /// Items that were done twice, because a puller died between doing and saying so.
    pub twice: u64,
}

impl Account {
    /// Reads all diaries.
    pub fn read(directory: &Path) -> std::io::Result<Account> {
        let mut account = Account::default();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let life = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.parse().ok());
            let life = life.ok_or_else(|| std::io::Error::other("a file that is no diary"))?;
            for entry in entries::read(&path)? {
                let wrong = || std::io::Error::other(format!("an entry of {life} that nobody writes: {entry:?}"));
                account.enter(life, entry).ok_or_else(wrong)?;
            }
        }
        Ok(account)
    }

    fn enter(&mut self, life: u64, [at, note, of, number]: [u64; 4]) -> Option<()> {
        let note = Note::ALL.into_iter().find(|it| *it as u64 == note)?;
        let name = Name { life: of, number };
        self.items.entry(name).or_default().entry(life).or_default().push((at, note));
        Some(())
    }

    /// Checks every item. Those of `sure` pushers, which waited to the end, must be done; only the lives that were killed may have
    /// left one undone that they had.
    pub fn check(&self, sure: &BTreeSet<u64>, killed: &BTreeSet<u64>) -> Result<Sums, String> {
        let mut sums = Sums::default();
        for (name, stories) in &self.items {
            check_one(*name, stories, sure, killed, &mut sums)
                .map_err(|why| format!("{name:?}: {why}: {stories:?}"))?;
        }
        Ok(sums)
    }
}

fn check_one(
    name: Name,
    stories: &BTreeMap<u64, Story>,
    sure: &BTreeSet<u64>,
    killed: &BTreeSet<u64>,
    sums: &mut Sums,
) -> Result<(), String> {
    let count = |story: &Story, what: Note| story.iter().filter(|(_, note)| *note == what).count();
    let pushes = stories.get(&name.life).map_or(0, |story| count(story, Note::Push));
    if pushes != 1 {
        return Err(format!("it was pushed {pushes} times"));
    }
    let done = stories.values().any(|story| count(story, Note::Done) > 0);
    let (mut takes, mut settled_at, mut last_take, mut ends) = (0, None, 0, 0);
    for (life, story) in stories {
        let (taken, returned) = (count(story, Note::Take), count(story, Note::Return));
        let (settle, settled) = (count(story, Note::Settle), count(story, Note::Settled));
        takes += taken;
        ends += settle;
        last_take = story.iter().filter(|(_, note)| *note == Note::Take).map(|(at, _)| *at).fold(last_take, u64::max);
        let finished = story.iter().find(|(_, note)| *note == Note::Settled).map(|(at, _)| *at);
        if settled > 0 && settled_at.is_some() {
            return Err("two have acknowledged it".to_owned());
        }
        settled_at = settled_at.or(finished);
        if taken > returned + settle && !killed.contains(life) && sure.contains(&name.life) {
            return Err(format!("{life} had it, lived on, and did nothing with it"));
        }
    }
    // Acknowledged and heard: nobody ever has it again.
    if settled_at.is_some_and(|at| last_take > at) {
        return Err("it was delivered after it had been acknowledged".to_owned());
    }
    if done && ends == 0 {
        return Err("its pusher was told that it is done, and nobody has done it".to_owned());
    }
    if sure.contains(&name.life) && !done {
        return Err("it is lost".to_owned());
    }
    sums.pushed += 1;
    sums.done += u64::from(done);
    sums.again += u64::from(takes > 1);
    sums.twice += u64::from(ends > 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> [u64; 4] {
        let mut words = line.split(' ');
        let (at, note) = (words.next().unwrap(), words.next().unwrap());
        let note = Note::ALL.into_iter().find(|it| format!("{it:?}").eq_ignore_ascii_case(note)).unwrap();
        let number = |word: Option<&str>| word.unwrap().parse().unwrap();
        [at.parse().unwrap(), note as u64, number(words.next()), number(words.next())]
    }

    fn account(lines: &[(u64, &str)]) -> Result<Sums, String> {
        let mut account = Account::default();
        lines.iter().for_each(|(life, line)| account.enter(*life, entry(line)).unwrap());
        account.check(&[1].into(), &[8].into())
    }

    #[test]
    fn an_item_that_is_done_once_is_fine_and_so_is_one_that_a_death_has_doubled() {
        let once = [(1, "1 push 1 0"), (5, "2 take 1 0"), (5, "3 settle 1 0"), (5, "4 settled 1 0"), (1, "5 done 1 0")];
        assert_eq!(account(&once), Ok(Sums { pushed: 1, done: 1, again: 0, twice: 0 }));
        let mut doubled = vec![(8, "1 take 1 0"), (8, "1 settle 1 0")];
        doubled.extend(once);
        assert_eq!(account(&doubled), Ok(Sums { pushed: 1, done: 1, again: 1, twice: 1 }));
        let given_back = [(2, "1 push 2 0"), (5, "2 take 2 0"), (5, "3 return 2 0")];
        assert_eq!(account(&given_back), Ok(Sums { pushed: 1, ..Sums::default() }));
    }

    #[test]
    fn every_lie_is_found() {
        for (lines, found) in [
            (&[(5, "2 take 1 0")][..], "pushed 0 times"),
            (&[(1, "1 push 1 0")], "it is lost"),
            (&[(2, "1 push 2 0"), (2, "1 done 2 0")], "nobody has done it"),
            (&[(1, "1 push 1 0"), (5, "2 take 1 0")], "did nothing with it"),
            (
                &[(2, "1 push 2 0"), (5, "2 take 2 0"), (5, "3 settle 2 0"), (5, "4 settled 2 0"), (8, "5 take 2 0")],
                "after it had been acknowledged",
            ),
            (&[(2, "1 push 2 0"), (5, "4 settled 2 0"), (8, "5 settled 2 0")], "two have acknowledged"),
        ] {
            let words = account(lines).unwrap_err();
            assert!(words.contains(found), "{words}");
        }
    }
}

//! A part in a queue: one that pushes or one that works, as it likes, until it is told that it is over or killed.

use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{Item, Node, RecvError, SendError, Settled, Wait};
use wharf_proof::diary::{Diary, Name, Note};
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Instant;

use crate::Failure;
use crate::over::Over;

/// A wait that is asked for must not be much longer: this is far above what a busy machine adds.
const LATE: Duration = Duration::from_secs(5);

/// `work NAME push|pull DIARIES life=N seed=N`: says `ready`, plays until the input ends, then says `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let (name, side) = (words.at(1, "the queue's name")?, words.at(2, "push or pull")?);
    let mut diary = Diary::open(Path::new(words.at(3, "where diaries are")?), words.number("life", 0)?)?;
    let mut random = Random::new(words.number("seed", 0)?);
    let node = Node::open()?;
    let over = Over::watch();
    say("ready", "")?;
    match side {
        "push" => push(&node, name, &mut diary, &mut random, &over)?,
        "pull" => pull(&node, name, &mut diary, &mut random, &over)?,
        other => return Err(format!("no part is called 'work {other}'").into()),
    }
    drop(node);
    say("done", "")?;
    Ok(())
}

/// Pushers one after another: some see their items done, and some leave before.
fn push(node: &Node, name: &str, diary: &mut Diary, random: &mut Random, over: &Over) -> Result<(), Failure> {
    let queue = node.queue(name).most_deliveries(1_000_000).most_items(1 + random.below(64) as usize);
    let mut number = 0;
    while !over.is_seen() {
        let wait = if random.below(2) == 0 { Wait::Sleep } else { Wait::Adaptive };
        let mut pusher = queue.clone().wait(wait).pusher()?;
        let mut open = Vec::new();
        for _ in 0..1 + random.below(300) {
            if over.is_seen() {
                break;
            }
            let item = Name { life: diary.life(), number };
            diary.note(Note::Push, item)?;
            number += 1;
            let (began, limit) = (Instant::now(), Duration::from_millis(random.below(20)));
            match pusher.push_timeout(&item.bytes(), limit) {
                Ok(pushed) => open.push((item, pushed.id())),
                Err(SendError::Timeout) => {}
                Err(error) => return Err(error.into()),
            }
            in_time(began, limit)?;
            for (item, id) in std::mem::take(&mut open) {
                match pusher.outcome(id)? {
                    Some(Settled::Acknowledged { .. }) => diary.note(Note::Done, item)?,
                    Some(other) => return Err(format!("{item:?} has come to {other:?}").into()),
                    None => open.push((item, id)),
                }
            }
        }
        if random.below(2) == 0 {
            let (began, limit) = (Instant::now(), Duration::from_millis(random.below(30)));
            match pusher.flush(limit) {
                Ok(()) | Err(SendError::NotSettled) => in_time(began, limit)?,
                Err(error) => return Err(error.into()),
            }
        }
        if let (1.., why) = pusher.cut_off() {
            return Err(format!("a puller was cut off, although all keep the rules: {why:?}").into());
        }
    }
    Ok(())
}

/// Pullers one after another, which do what they are given in some order, or give it back.
fn pull(node: &Node, name: &str, diary: &mut Diary, random: &mut Random, over: &Over) -> Result<(), Failure> {
    while !over.is_seen() {
        let wait = if random.below(2) == 0 { Wait::Sleep } else { Wait::Adaptive };
        let mut puller = node.queue(name).prefetch(1 + random.below(8) as u32).wait(wait).puller()?;
        let mut held = Vec::new();
        for _ in 0..1 + random.below(2000) {
            if over.is_seen() {
                break;
            }
            let (began, limit) = (Instant::now(), Duration::from_millis(random.below(5)));
            match puller.recv_timeout(limit) {
                Ok(item) => {
                    diary.note(Note::Take, Name::of(&item)?)?;
                    held.push(item);
                }
                Err(RecvError::Timeout) => {}
                Err(error) => return Err(error.into()),
            }
            in_time(began, limit)?;
            if held.len() > random.below(4) as usize {
                let item = held.swap_remove(random.below(held.len() as u64) as usize);
                settle(item, diary, random)?;
            }
        }
        if let (1.., why) = puller.lost() {
            return Err(format!("a pusher was lost, although all keep the rules: {why:?}").into());
        }
        // What it holds it can do when it has left, too.
        let leave_first = random.below(2) == 0;
        let mut puller = Some(puller);
        if leave_first {
            puller = None;
        }
        for item in held {
            settle(item, diary, random)?;
        }
        drop(puller);
    }
    Ok(())
}

fn settle(item: Item, diary: &mut Diary, random: &mut Random) -> Result<(), Failure> {
    let name = Name::of(&item)?;
    if random.below(20) == 0 {
        diary.note(Note::Return, name)?;
        drop(item);
        return Ok(());
    }
    diary.note(Note::Settle, name)?;
    match item.ack() {
        Ok(()) => diary.note(Note::Settled, name)?,
        // Its pusher is gone.
        Err(SendError::Closed | SendError::PeerDied { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Nobody waits past what he asked for.
fn in_time(began: Instant, limit: Duration) -> Result<(), Failure> {
    let waited = began.elapsed();
    if waited > limit + LATE {
        return Err(format!("waited {waited:?} where {limit:?} was asked for").into());
    }
    Ok(())
}

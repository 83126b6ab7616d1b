//! Parts with marks around one operation on a primitive other than a plain lock, for a tracer that steps through it.
//!
//! As in `span.rs`, what happens only the first time comes before the marks. What a survivor must have prepared for the
//! operation it prepares at the mark `HELD`.

use wharf_proof::board::{Board, Locks, Reading};
use wharf_proof::stepping::{CLOSE, HELD, OPEN};
use wharf_proof::words::Words;
use wharf_proof::yard::Yard;
use wharf_shared_memory::Region;
use wharf_sys::trace::mark;

use crate::Failure;

/// `primitive VERB NAME`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let name = words.at(2, "the region's name")?;
    match words.at(1, "which operation")? {
        "write" => write(&Region::attach(name)?),
        verb @ ("notify" | "notify-all" | "again" | "unlock-again") => with_locks(&Region::attach(name)?, verb),
        verb @ ("look" | "upgrade" | "downgrade" | "step-down" | "look-down") => {
            in_the_book(&Region::attach(name)?, verb)
        }
        verb @ ("read-on" | "end-read-on") => in_the_few(&Region::attach(name)?, verb),
        verb => in_the_yard(&Region::attach(name)?, verb),
    }
}

/// Does `operation` inside the span.
fn inside<R>(operation: impl FnOnce() -> R) -> R {
    mark(OPEN);
    let result = operation();
    mark(CLOSE);
    result
}

fn in_the_yard(yard: &Region<Yard>, verb: &str) -> Result<(), Failure> {
    match verb {
        "take" => {
            drop(yard.one.take()?);
            mark(HELD);
            drop(inside(|| yard.one.take())?);
        }
        "return" => {
            drop(yard.one.take()?);
            let permit = yard.one.take()?;
            mark(HELD);
            inside(|| drop(permit));
        }
        "give" => {
            yard.later.give()?;
            yard.later.take()?.forget();
            mark(HELD);
            inside(|| yard.later.give())?;
        }
        "set" => {
            yard.gate.set()?;
            yard.gate.reset()?;
            mark(HELD);
            inside(|| yard.gate.set())?;
        }
        "count" => {
            yard.items.set()?;
            yard.items.wait()?;
            mark(HELD);
            inside(|| yard.items.set())?;
        }
        "answer" => {
            yard.items.set()?;
            yard.items.wait()?;
            mark(HELD);
            inside(|| yard.items.wait())?;
        }
        "forget" => {
            yard.later.give()?;
            yard.later.take()?.forget();
            yard.later.give()?;
            let permit = yard.later.take()?;
            mark(HELD);
            inside(|| permit.forget());
        }
        "reset" => {
            yard.gate.set()?;
            yard.gate.reset()?;
            yard.gate.set()?;
            mark(HELD);
            inside(|| yard.gate.reset())?;
        }
        "join" => {
            drop(yard.two.join()?);
            mark(HELD);
            drop(inside(|| yard.two.join())?);
        }
        "leave" => {
            drop(yard.two.join()?);
            let member = yard.two.join()?;
            mark(HELD);
            inside(|| drop(member));
        }
        "commit" => {
            yard.pair.lock().map_err(|error| error.to_string())?.update(|pair| pair.advance());
            let mut pair = yard.pair.lock().map_err(|error| error.to_string())?;
            mark(HELD);
            inside(|| pair.update(|pair| pair.advance()));
        }
        "arrive" | "try-arrive" => {
            yard.alone.join()?.wait()?;
            let mut member = yard.two.join()?;
            mark(HELD);
            if verb == "arrive" {
                inside(|| member.wait())?;
            } else {
                inside(|| member.try_wait())?;
            }
        }
        "once" => {
            drop(yard.pair.lock());
            yard.bell.set()?;
            yard.bell.wait()?;
            mark(HELD);
            let mut rung = Ok(());
            inside(|| yard.once.call(|_| rung = yard.bell.set()))?;
            rung?;
        }
        other => return Err(format!("no part is called 'primitive {other}'").into()),
    }
    Ok(())
}

fn write(board: &Region<Board>) -> Result<(), Failure> {
    let round = board.reading.read().round().ok_or("a mixed reading")?;
    board.reading.write(&Reading::of(round + 1))?;
    mark(HELD);
    inside(|| board.reading.write(&Reading::of(round + 2)))?;
    Ok(())
}

/// Turns one way of holding the lock for readers and writers into another.
fn in_the_book(locks: &Region<Locks>, verb: &str) -> Result<(), Failure> {
    let look = || locks.book.upgradable_read().map_err(|error| error.to_string());
    let alone = || {
        let mut pair = locks.book.write().map_err(|error| error.to_string())?;
        pair.advance();
        Ok::<_, String>(pair)
    };
    match verb {
        "look" => {
            drop(look()?);
            mark(HELD);
            drop(inside(look)?);
        }
        "upgrade" => {
            drop(look()?.upgrade().map_err(|error| error.to_string())?);
            let looked = look()?;
            mark(HELD);
            drop(inside(|| looked.upgrade()).map_err(|error| error.to_string())?);
        }
        "downgrade" => {
            drop(alone()?.downgrade()?);
            let pair = alone()?;
            mark(HELD);
            drop(inside(|| pair.downgrade())?);
        }
        "step-down" => {
            drop(alone()?.downgrade_to_upgradable()?);
            let pair = alone()?;
            mark(HELD);
            drop(inside(|| pair.downgrade_to_upgradable())?);
        }
        _ => {
            drop(look()?.downgrade()?);
            let looked = look()?;
            mark(HELD);
            drop(inside(|| looked.downgrade())?);
        }
    }
    Ok(())
}

/// Goes on as a reader where another one has the only cell, or ends that.
fn in_the_few(locks: &Region<Locks>, verb: &str) -> Result<(), Failure> {
    let look = || locks.few.upgradable_read().map_err(|error| error.to_string());
    drop(look()?.downgrade()?);
    let looked = look()?;
    if verb == "read-on" {
        mark(HELD);
        drop(inside(|| looked.downgrade())?);
    } else {
        // The other one reads from here on.
        mark(HELD);
        let reads = looked.downgrade()?;
        inside(|| drop(reads));
    }
    Ok(())
}

fn with_locks(locks: &Region<Locks>, verb: &str) -> Result<(), Failure> {
    let lock = || locks.again.lock().map_err(|error| error.to_string());
    match verb {
        "again" => {
            let outer = lock()?;
            drop(lock()?);
            mark(HELD);
            let inner = inside(lock)?;
            drop((inner, outer));
        }
        "unlock-again" => {
            drop(lock()?);
            let (outer, inner) = (lock()?, lock()?);
            mark(HELD);
            inside(|| drop((inner, outer)));
        }
        _ => {
            locks.more.notify_one()?;
            locks.more.notify_all()?;
            mark(HELD);
            *locks.tokens.lock().map_err(|error| error.to_string())? += 1;
            inside(|| if verb == "notify" { locks.more.notify_one() } else { locks.more.notify_all() })?;
        }
    }
    Ok(())
}

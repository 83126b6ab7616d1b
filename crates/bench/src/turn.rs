//! What a lock is to a benchmark: something to take, change a counter under, and give back.

use crate::contender::failed;
use crate::solo::Solo;
use std::io;

/// One party's access to a lock and what lies under it.
pub trait Turn {
    /// Takes the lock, uses what it guards, and gives the lock back.
    fn once(&mut self) -> io::Result<()>;

    /// How many turns have left their mark, under the lock.
    fn count(&mut self) -> io::Result<u64>;

    /// Whether somebody who only tries is refused while the lock is held.
    fn excludes(&mut self) -> io::Result<bool>;
}

/// A lock that nobody else wants.
pub struct Alone<T> {
    name: &'static str,
    turn: T,
}

impl<T: Turn> Alone<T> {
    /// The lock under the name by which tables know it.
    pub fn new(name: &'static str, turn: T) -> Box<Alone<T>> {
        Box::new(Alone { name, turn })
    }
}

impl<T: Turn> Solo for Alone<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        for _ in 0..operations {
            self.turn.once()?;
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        check(&mut self.turn).map_err(|error| failed(format!("{}: {error}", self.name)))
    }
}

/// Every turn counts, and the lock excludes others.
pub fn check(turn: &mut impl Turn) -> io::Result<()> {
    let before = turn.count()?;
    for _ in 0..10 {
        turn.once()?;
    }
    let counted = turn.count()? - before;
    match (counted, turn.excludes()?) {
        (10, true) => Ok(()),
        (counted, excludes) => Err(failed(format!(
            "expected 10 turns counted and others excluded, found {counted} and {excludes}; the lock is wrong"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Open(u64);

    impl Turn for Open {
        fn once(&mut self) -> io::Result<()> {
            self.0 += 1;
            Ok(())
        }

        fn count(&mut self) -> io::Result<u64> {
            Ok(self.0)
        }

        fn excludes(&mut self) -> io::Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn a_lock_that_excludes_nobody_is_not_timed() {
        let error = check(&mut Open(0)).expect_err("it excludes nobody");
        assert!(error.to_string().contains("10 and false"), "{error}");
    }
}

//! loom models of one who holds the lock in one way and goes on in another: nobody changes the value in between.

use super::*;
use crate::sync::raw_rwlock::Reads;

impl<const N: usize> Book<N> {
    fn downgrade(&self, me: Owner) -> Reads {
        self.lock.downgrade(me, |owner| self.has_left(owner), |_| self.wake_all(), |_| self.wake_one())
    }

    fn downgrade_upgradable(&self, me: Owner) -> Reads {
        self.lock.downgrade_upgradable(me, |owner| self.has_left(owner), |_| self.wake_one())
    }

    fn leave(&self, reads: Reads) {
        match reads {
            Reads::InCell(at) => self.lock.leave(at, |_| self.wake_all()),
            Reads::AsHolder => self.lock.leave_as_holder(|_| self.wake_one()),
        }
    }

    /// Takes the lock as the one who may upgrade.
    fn look(&self, me: Owner) {
        let intent = self.lock.intent();
        let condition = if intent.take_free(me) { Condition::Consistent } else { intent.take(me, self).unwrap() };
        assert!(!self.lock.settle(condition, |_| self.wake_all()));
    }
}

/// A writer that goes on as a reader: the other writer comes before or after both, never in between.
#[test]
fn nobody_writes_between_a_change_and_the_reading_after_it() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, |world| world.write(SECOND));
        world.alone(FIRST);
        world.change_value();
        let mine = world.read_value();
        let reads = world.downgrade(FIRST);
        assert_eq!(reads, Reads::InCell(0));
        assert_eq!(world.read_value(), mine);
        world.leave(reads);
        other.join().unwrap();
    });
}

/// The same by way of the one who may upgrade.
#[test]
fn nobody_writes_between_a_change_and_the_reading_after_it_as_the_one_who_may_upgrade() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, |world| world.write(SECOND));
        world.alone(FIRST);
        world.change_value();
        let mine = world.read_value();
        let left = world.lock.end_alone(Condition::Consistent);
        world.lock.open(left, |_| world.wake_all());
        let reads = world.downgrade_upgradable(FIRST);
        assert_eq!(world.read_value(), mine);
        world.leave(reads);
        other.join().unwrap();
    });
}

/// Where another may have the only cell, in passing: it goes on without one, and still nobody writes in between.
#[test]
fn nobody_writes_between_a_change_and_the_reading_after_it_without_a_cell() {
    explore(3, || {
        let world = Book::<1>::new();
        // So that it enters before it looks.
        assert_eq!(world.read(SECOND).0, 0);
        world.alone(FIRST);
        let other = spawn(&world, |world| {
            world.read(SECOND);
            world.write(SECOND)
        });
        world.change_value();
        let mine = world.read_value();
        let reads = world.downgrade(FIRST);
        assert_eq!(world.read_value(), mine);
        world.leave(reads);
        other.join().unwrap();
        assert_eq!(world.read(SECOND).0, 2);
    });
}

#[test]
fn nobody_writes_between_a_look_and_the_change_after_it() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, |world| {
            world.read(SECOND);
            world.write(SECOND)
        });
        world.look(FIRST);
        let seen = world.read_value();
        assert_eq!(world.lock.close(FIRST, &*world), Ok(Condition::Consistent));
        world.change_value();
        assert_eq!(world.read_value(), seen + 1);
        world.end_alone(Condition::Consistent);
        other.join().unwrap();
        assert_eq!(world.read(FIRST).0, 2);
    });
}

#[test]
fn one_that_upgrades_in_vain_keeps_what_it_had_and_lets_the_others_in_again() {
    explore(3, || {
        let world = World::new();
        let other = spawn(&world, |world| {
            world.read(SECOND);
            world.read(SECOND).1
        });
        world.look(FIRST);
        match world.lock.close(FIRST, &Hasty(&*world)) {
            Ok(condition) => {
                assert_eq!(condition, Condition::Consistent);
                world.change_value();
                world.end_alone(Condition::Consistent);
            }
            Err(OutOfTime) => {
                world.lock.open(0, |_| world.wake_all());
                assert_eq!(world.read_value(), 0);
                world.lock.intent().give_back(Condition::Consistent, |_| world.wake_one());
            }
        }
        assert_eq!(other.join().unwrap(), Condition::Consistent);
    });
}

#[test]
fn one_that_stops_for_ever_while_it_upgrades_leaves_doubt_only_when_it_is_alone() {
    for changes in [false, true] {
        explore(2, move || {
            let world = World::new();
            let other = spawn(&world, |world| world.read(SECOND));
            world.look(FIRST);
            let alone = world.lock.close(FIRST, &Hasty(&*world)).is_ok();
            if alone && changes {
                world.change_value();
            }
            world.first_dies();
            let (_, condition) = other.join().unwrap();
            let again = world.write(SECOND);
            let told = [condition, again].into_iter().filter(|&one| one == Condition::Inconsistent).count();
            assert_eq!(told, usize::from(alone));
        });
    }
}

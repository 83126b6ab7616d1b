//! Commands that run, each for something that waits for its end: they, and what they have started, can be ended from another thread.

use std::io;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::group::Group;

/// How long it is waited between two looks whether a command has ended.
const LOOK: Duration = Duration::from_millis(1);

/// The same once it has run for some looks.
const LATER_LOOK: Duration = Duration::from_millis(10);

/// So many.
const SOON: u32 = 50;

/// See the top of the file. What a command runs for is kept with it.
pub(crate) struct Children<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    jobs: Vec<Job<T>>,
    next: u64,
    /// Whatever is started from now on is not wanted.
    over: bool,
}

struct Job<T> {
    number: u64,
    group: Group,
    load: T,
}

impl<T> Default for Children<T> {
    fn default() -> Self {
        Children { state: Mutex::new(State { jobs: Vec::new(), next: 0, over: false }) }
    }
}

impl<T> Children<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a command that has started; its number.
    pub(crate) fn enter(&self, mut group: Group, load: T) -> u64 {
        let mut state = self.state();
        if state.over {
            // It is waited for like any other.
            group.kill();
        }
        state.next += 1;
        let number = state.next;
        state.jobs.push(Job { number, group, load });
        number
    }

    /// Waits for the end of a command, and takes it off the list.
    pub(crate) fn leave(&self, number: u64) -> (io::Result<ExitStatus>, Option<T>) {
        let mut looks = 0;
        // Ends with the command, which is killed when nobody wants it any more.
        loop {
            {
                let mut state = self.state();
                let Some(at) = state.jobs.iter().position(|job| job.number == number) else {
                    return (Err(io::ErrorKind::NotFound.into()), None);
                };
                let ended = state.jobs.get_mut(at).map(|job| job.group.try_wait()).and_then(Result::transpose);
                if let Some(ended) = ended {
                    return (ended, Some(state.jobs.swap_remove(at).load));
                }
            }
            thread::sleep(if looks < SOON { LOOK } else { LATER_LOOK });
            looks += 1;
        }
    }

    /// Kills those that run for nothing.
    pub(crate) fn kill_where(&self, mut in_vain: impl FnMut(&T) -> bool) {
        for job in &mut self.state().jobs {
            if in_vain(&job.load) {
                job.group.kill();
            }
        }
    }

    /// Kills all, and whatever is started from now on.
    pub(crate) fn kill_all(&self) {
        self.state().over = true;
        self.kill_where(|_| true);
    }

    /// Whether all were killed.
    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    fn start(line: &str) -> Group {
        Group::start(Command::new("sh").args(["-c", line])).expect("a shell").0
    }

    #[test]
    fn whoever_waits_is_told_how_it_ended() {
        let children = Children::default();
        let (seven, killed) = (children.enter(start("exit 7"), 'a'), children.enter(start("exec sleep 100"), 'b'));
        let (status, load) = children.leave(seven);
        assert_eq!((status.expect("a status").code(), load), (Some(7), Some('a')));
        children.kill_where(|load| *load == 'b');
        let (status, load) = children.leave(killed);
        assert_eq!((status.expect("a status").signal(), load), (Some(9), Some('b')));
        assert!(!children.is_over());
        children.kill_all();
        assert!(children.is_over());
        let late = children.enter(start("exec sleep 100"), 'c');
        assert_eq!(children.leave(late).0.expect("a status").signal(), Some(9));
        assert!(children.leave(late).0.is_err());
    }
}

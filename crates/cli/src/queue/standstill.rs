//! What a person is told who sees a pusher wait: that nobody is there to work, or that whoever is there does not get on.

use std::time::{Duration, Instant};

use wharf::{Part, Pattern, Pusher};

use crate::look::endpoints;
use crate::shell::command;
use crate::target::Target;
use crate::usage::complain;

/// How long nothing may happen before it is told: what is short needs no words.
const MOMENT: Duration = Duration::from_secs(2);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// See the top of the file.
pub(super) struct Standstill<'a> {
    queue: &'a Target,
    /// Nobody loses an item for being silent.
    patient: bool,
    looked: Instant,
    found: Found,
    /// Since when it has been so.
    since: Instant,
    /// Somebody has been there.
    met: bool,
    told_that_nobody_is_there: bool,
    told_that_nobody_gets_on: bool,
}

/// What was found at a look.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    settled: u64,
    somebody_there: bool,
    something_to_do: bool,
}

impl<'a> Standstill<'a> {
    pub(super) fn new(queue: &'a Target, patient: bool) -> Standstill<'a> {
        let now = Instant::now();
        Standstill {
            queue,
            patient,
            looked: now,
            found: Found::default(),
            since: now,
            met: false,
            told_that_nobody_is_there: false,
            told_that_nobody_gets_on: false,
        }
    }

    /// Looks at a pusher that was given so many items, and says once that nobody gets on, and each time once that nobody is there.
    pub(super) fn look(&mut self, pusher: &mut Pusher, items: u64) {
        let now = Instant::now();
        if now.duration_since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        let (unsettled, waiting, pullers) = (pusher.unsettled(), pusher.waiting(), pusher.pullers());
        let settled = items.saturating_sub(unsettled as u64);
        let found = Found { settled, somebody_there: pullers > 0, something_to_do: unsettled > 0 };
        self.met |= found.somebody_there || settled > 0;
        if found != self.found {
            (self.found, self.since) = (found, now);
        }
        // Whoever comes and goes again is missed anew.
        self.told_that_nobody_is_there &= !found.somebody_there;
        if !found.something_to_do || now.duration_since(self.since) < MOMENT {
            return;
        }
        let told = match found.somebody_there {
            false => &mut self.told_that_nobody_is_there,
            true => &mut self.told_that_nobody_gets_on,
        };
        if std::mem::replace(told, true) {
            return;
        }
        let said = match pullers {
            0 => self.nobody(pusher, unsettled),
            _ => self.nothing_done(pullers, unsettled, unsettled.saturating_sub(waiting)),
        };
        complain(&format!("still waiting: {said}"));
    }

    fn nobody(&self, pusher: &Pusher, unsettled: usize) -> String {
        let place = match (self.queue, pusher.address()) {
            // At port 0 the system has chosen another.
            (Target::Address(_), Some(address)) => address.to_string(),
            (Target::Address(address), None) => address.clone(),
            (Target::Name(name), _) => Target::typed(name),
        };
        let (queue, when) = (self.queue, if self.met { "any more" } else { "yet" });
        let (items, them) = match unsettled {
            1 => ("1 item waits".to_owned(), "it"),
            many => (format!("{many} items wait"), "them"),
        };
        if let Some(silent) = self.silent() {
            let shown = command(&["wharf", "ls"], queue.as_str(), "");
            return format!(
                "{silent} there to pull from '{queue}' and answer{} nobody, as if stopped, and {items}: {shown} shows who it is",
                if silent == 1 { "s" } else { "" }
            );
        }
        let pull = command(&["wharf", "pull"], &place, "");
        format!("nobody pulls from '{queue}' {when}, and {items}: {pull} takes {them}")
    }

    /// How many have opened the queue to pull from it, and have not met this pusher all the same.
    fn silent(&self) -> Option<usize> {
        let Target::Name(name) = self.queue else { return None };
        // Where nobody can be looked for, there is less to say.
        let all = endpoints().unwrap_or_default();
        let silent = all.iter().filter(|it| (it.pattern, it.part) == (Pattern::Queue, Part::Guest) && it.name == *name);
        Some(silent.count()).filter(|count| *count > 0)
    }

    fn nothing_done(&self, pullers: usize, unsettled: usize, given: usize) -> String {
        let (queue, s) = (self.queue, if unsettled == 1 { "" } else { "s" });
        let hint = if self.patient { "; --acknowledge-within TIME gives what they have to others" } else { "" };
        match given {
            0 => format!("{pullers} there to pull from '{queue}', and none takes any of {unsettled} item{s}"),
            given => format!(
                "{pullers} there to pull from '{queue}', and none gets on: {given} of {unsettled} item{s} given out, none acknowledged \
                 lately{hint}"
            ),
        }
    }
}

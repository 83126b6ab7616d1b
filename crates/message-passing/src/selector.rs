//! Waiting for any of several things at once: links of any transport, listeners, room to send, ends of topics, events and
//! states, timers, descriptors.

mod timers;

use std::fmt;
use std::io;
use std::time::{Duration, Instant as WallInstant};

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::{self, Found};

use self::timers::Timers;
use crate::options::Wait;
use crate::wait::{Pace, Step};
use crate::waits::{Announced, Endpoint, Glance, MOST_PLACES, Rounds, Stir, Waits};

/// Where some of the ends are known to the system only, it is asked once a round as long as it has something to tell, and
/// otherwise after so many rounds at most: a system call then costs little next to the rounds. Who is ready in memory in the
/// round that comes next has its turn before the others, which makes eight.
const MOST_ROUNDS: u32 = 7;

/// While nobody but ends in memory has anything, the system is asked this often: it knows of deaths.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// Waits for the first of several things that is ready, and says which: links of any transport, listeners, room to send,
/// foreign descriptors, timers.
///
/// What is waited for stays in the program's hands. Each wait is given a list of [endpoints](Endpoint), each with a token of
/// the program's choice (a number, an enum: any `Copy` type), and answers with the token of one that is ready. The list may
/// be another one each time. Timers belong to the selector.
///
/// ```
/// use std::time::Duration;
/// use wharf_message_passing::{Readable, Selector};
///
/// #[derive(Clone, Copy)]
/// enum Ready { Orders, Quotes, Clock, Keyboard }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let private = tempfile::tempdir()?;
/// # let options = wharf_message_passing::Options::new().domain(wharf_sys::directory::Domain::at(private.path())?);
/// # let meet = |address: &str| -> Result<_, wharf_message_passing::ConnectError> {
/// #     let mut listener = options.listen(address)?;
/// #     let near = std::thread::scope(|scope| {
/// #         let near = scope.spawn(|| options.connect(address));
/// #         Ok::<_, wharf_message_passing::ConnectError>((listener.accept()?, near.join().unwrap()?))
/// #     });
/// #     near
/// # };
/// # let ((mut orders, mut a), (mut quotes, _b)) = (meet("shm:orders")?, meet("unix:quotes")?);
/// # a.send(b"one")?;
/// # drop(a);
/// # let stdin = std::fs::File::open("/dev/null")?;
/// # let mut heard = 0;
/// let mut selector = Selector::new();
/// selector.every(Duration::from_secs(1), Ready::Clock);
/// let mut keyboard = Readable(/* std::io::stdin() */ stdin);
/// loop {
///     match selector.wait(&mut [
///         (&mut orders, Ready::Orders),
///         (&mut quotes, Ready::Quotes),
///         (&mut keyboard, Ready::Keyboard),
///     ])? {
///         Ready::Orders => match orders.recv() {
///             Ok(order) => println!("an order of {} bytes", order.len()),
///             Err(end) => break println!("no more orders: {end}"),
///         },
///         Ready::Quotes => println!("a quote: {:?}", quotes.recv()?),
///         Ready::Clock => println!("tick"),
///         Ready::Keyboard => println!("somebody typed"),
///     }
/// #   heard += 1;
/// #   if heard > 1000 { panic!("nobody but the keyboard has a turn") }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # What ready means
/// * A receiver or a link: there is a message, or the end ([`Closed`](crate::RecvError::Closed),
///   [`PeerDied`](crate::RecvError::PeerDied)); one that has ended is ready for ever, so leave it out then.
/// * A listener: there is a link to accept, or an error. The selector hears whoever introduces himself meanwhile.
/// * A subscriber: there is a message, or something to tell beside messages ([`Lagged`](crate::RecvError::Lagged)). That a
///   publisher comes or leaves is nothing to tell. A listener to an event, a watcher of a state or of a domain: there is a
///   notice, a change, or an error.
/// * A puller: there is an item, or an error.
/// * Room to send ([`Sender::room`](crate::Sender::room), [`Publisher::room`](crate::Publisher::room)), descriptors: a try is
///   worth it.
///
/// Of a message that travels in pieces the first one may be all that is there: a program that must not wait for the rest
/// receives with [`try_recv`](crate::Receiver::try_recv), and takes `Empty` for an answer. The same holds for whoever takes
/// messages of an endpoint out of its turn, and where a publisher is not trusted, which can take back what it showed.
///
/// # Fairness
/// It goes round: after an endpoint was reported, every other that is ready has its turn before it is reported again. The
/// timers have one turn together. A descriptor or a link of a kernel transport that becomes ready while links in memory
/// are busy has its turn after eight rounds at the latest. Take one message a turn, or a few ([`recv_many`]), to keep it so.
///
/// # What it costs
/// Ready links in memory (`shm:`, `inproc:`): no system call. Otherwise one `ppoll` shows which of the others are ready,
/// and stands for a whole round. A sleep is one `ppoll` over the whole list, one barrier for all the links in memory where
/// their peers have agreed on that, and a read for each bell that was rung. It spins before it sleeps, as
/// [`Wait::Adaptive`] does, while there are links in memory and none of them forbids it. Nothing is looked at while it
/// sleeps, and no thread works for it. A look at a link in memory costs some nanoseconds and a descriptor in the list of
/// `ppoll` some tens, so lists of hundreds are fine, and lists of ten thousands are not.
///
/// Signals do not end a wait.
///
/// [`recv_many`]: crate::Receiver::recv_many
pub struct Selector<T> {
    timers: Timers<T>,
    /// Whose turn it is: an endpoint of the list by its position, or behind all of them the timers.
    turn: usize,
    /// What the system knew to be ready and has not had its turn yet, by position.
    known: Vec<Known>,
    /// Rounds since the system was asked, how many there may be, and when it was asked last.
    rounds: u32,
    most_rounds: u32,
    asked: Instant,
    /// Something was reported in this round.
    busy: bool,
    /// In the last look at everybody, some of those with nothing were looked at for free.
    free: bool,
    pace: Pace,
    /// What was found, for whoever sleeps next: memory that is kept.
    found: Vec<Found>,
}

/// What is known of one position of the list.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Which endpoint was there. A position of another one means nothing.
    whose: usize,
    ready: bool,
}

/// A list of what to wait for; see [`Selector`].
type List<'l, 'e, T> = &'l mut [(&'e mut dyn Endpoint, T)];

impl<T: Copy> Selector<T> {
    /// Without timers. It takes nothing of the system.
    pub fn new() -> Self {
        Self {
            timers: Timers::default(),
            turn: 0,
            known: Vec::new(),
            rounds: 0,
            most_rounds: 1,
            asked: Instant::from_nanos(0),
            busy: false,
            free: false,
            pace: Pace::new(Wait::Adaptive, true, None),
            found: Vec::new(),
        }
    }

    /// A timer that is ready once, this long from now.
    pub fn after(&mut self, delay: Duration, token: T) {
        self.timers.add(Instant::now().saturating_add(delay), None, token);
    }

    /// A timer that is ready again and again, for the first time a period from now; by the monotonic clock, and without
    /// drift. Ticks that were missed are one. A period of zero is ready in every round.
    pub fn every(&mut self, period: Duration, token: T) {
        self.timers.add(Instant::now().saturating_add(period), Some(period), token);
    }

    /// Takes away every timer with this token; says whether there was one.
    pub fn cancel(&mut self, token: T) -> bool
    where
        T: PartialEq,
    {
        self.timers.cancel(&token)
    }

    /// Waits for the first that is ready.
    ///
    /// # Errors
    /// What the system refuses, and [`io::ErrorKind::InvalidInput`] where there is nothing to wait for: an empty list, and
    /// no timer.
    pub fn wait(&mut self, endpoints: &mut [(&mut dyn Endpoint, T)]) -> io::Result<T> {
        if endpoints.is_empty() && self.timers.next().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected an endpoint or a timer to wait for, found none: nothing would ever end this wait",
            ));
        }
        // Without a deadline it ends with a token or an error.
        loop {
            if let Some(token) = self.wait_until(endpoints, None)? {
                return Ok(token);
            }
        }
    }

    /// Waits for the first that is ready, at most `limit`; `None` when that time is over.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn wait_timeout(&mut self, endpoints: &mut [(&mut dyn Endpoint, T)], limit: Duration) -> io::Result<Option<T>> {
        self.wait_until(endpoints, Some(Deadline::after(limit)))
    }

    /// One that is ready now; `None` when none is.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn try_wait(&mut self, endpoints: &mut [(&mut dyn Endpoint, T)]) -> io::Result<Option<T>> {
        self.wait_until(endpoints, Some(Deadline::at(Instant::from_nanos(0))))
    }

    fn wait_until(&mut self, list: List<'_, '_, T>, deadline: Option<Deadline>) -> io::Result<Option<T>> {
        self.known.resize(list.len(), Known::default());
        // Every turn reports something, or has slept; the deadline ends it otherwise.
        loop {
            if let Some(token) = self.go_round(list)? {
                return Ok(Some(token));
            }
            if deadline.is_some_and(Deadline::passed) {
                // What the system knows counts as well.
                self.ask(list)?;
                return self.go_round(list);
            }
            if self.spin(list, deadline) {
                continue;
            }
            let began = WallInstant::now();
            self.sleep(list, deadline)?;
            self.pace.slept(began.elapsed());
        }
    }

    /// Gives everyone a turn, from where it stopped before; the first that is ready ends it.
    fn go_round(&mut self, list: List<'_, '_, T>) -> io::Result<Option<T>> {
        let turns = list.len() + 1;
        self.free = false;
        for _ in 0..turns {
            if self.turn >= turns {
                self.turn = 0;
                self.end_of_round();
            }
            let turn = self.turn;
            self.turn += 1;
            let ready = match list.get_mut(turn) {
                Some((endpoint, token)) => {
                    let end = endpoint.seam().0;
                    let known = self.known.get_mut(turn).map(std::mem::take).unwrap_or_default();
                    let (token, whose) = (*token, identity(end));
                    match end.glance() {
                        Glance::Ready => Some((token, false)),
                        Glance::Unknown => (known.ready && known.whose == whose).then_some((token, true)),
                        Glance::Nothing => {
                            self.free = true;
                            None
                        }
                    }
                }
                None => self.timers.next().and_then(|_| self.timers.due(Instant::now())).map(|token| (token, false)),
            };
            let Some((token, by_the_system)) = ready else { continue };
            if !by_the_system && self.is_due(list) {
                self.ask(list)?;
                // This one has its turn now.
                if let Some(known) = self.known.get_mut(turn) {
                    *known = Known::default();
                }
            }
            self.busy = true;
            return Ok(Some(token));
        }
        Ok(None)
    }

    /// While some keep it busy without the system, that is asked now and then about the others. Whoever finds nobody ready
    /// sleeps, and so asks anyway.
    fn end_of_round(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.rounds += 1;
        }
    }

    /// Whether it is time to ask.
    fn is_due(&self, list: List<'_, '_, T>) -> bool {
        if self.rounds == 0 {
            return false;
        }
        let news = self.rounds >= self.most_rounds
            && list.iter_mut().any(|(endpoint, _)| endpoint.seam().0.glance() == Glance::Unknown);
        news || Instant::last_tick().saturating_since(self.asked) >= LOOK_AROUND
    }

    /// Asks the system, without waiting.
    fn ask(&mut self, list: List<'_, '_, T>) -> io::Result<()> {
        let mut ends: Vec<&mut dyn Waits> = list.iter_mut().map(|(endpoint, _)| endpoint.seam().0).collect();
        self.look_there(&mut ends, Some(Deadline::at(Instant::from_nanos(0))), None).map(drop)
    }

    /// Looks again and again at what lies in memory, as long as that is likely to be worth it; `true`: somebody is ready, or
    /// time is up.
    fn spin(&mut self, list: List<'_, '_, T>, deadline: Option<Deadline>) -> bool {
        let mut spin = self.pace.begin_among(list.len());
        if !self.free || spin.is_over() || list.iter_mut().any(|(it, _)| !it.seam().0.may_spin()) {
            return false;
        }
        let deadline = Deadline::earlier(deadline, self.timers.next().map(Deadline::at));
        // Ends when the spin does, at the latest.
        loop {
            match spin.step() {
                Step::Clock | Step::Look if deadline.is_some_and(Deadline::passed) => return true,
                Step::Sleep => return false,
                _ => {}
            }
            if list.iter_mut().any(|(endpoint, _)| endpoint.seam().0.glance() == Glance::Ready) {
                self.pace.paid();
                return true;
            }
        }
    }

    /// Sleeps until somebody may be ready, or until a timer or the deadline.
    fn sleep(&mut self, list: List<'_, '_, T>, deadline: Option<Deadline>) -> io::Result<()> {
        let mut ends: Vec<&mut dyn Waits> = list.iter_mut().map(|(endpoint, _)| endpoint.seam().0).collect();
        let until = Deadline::earlier(deadline, self.timers.next().map(Deadline::at));
        let mut rounds = Rounds::new();
        let slept = loop {
            let mut announced = Announced::default();
            for end in &mut ends {
                announced = announced.and(end.announce());
            }
            let longest = announced.order();
            if ends.iter_mut().any(|end| end.glance() == Glance::Ready) {
                break Ok(());
            }
            match self.look_there(&mut ends, until, longest) {
                Ok(false) if rounds.go_on(until) => {}
                slept => break slept.map(drop),
            }
        };
        for end in &mut ends {
            end.awake();
        }
        slept
    }

    /// Looks at the descriptors of all of them, and waits there until something shows, until the deadline, or for `longest`.
    /// Whether anything shows.
    fn look_there(
        &mut self,
        ends: &mut [&mut dyn Waits],
        deadline: Option<Deadline>,
        longest: Option<Duration>,
    ) -> io::Result<bool> {
        let slice = longest.map(Deadline::after);
        let mut places = Vec::with_capacity(ends.len());
        let mut owners = Vec::with_capacity(ends.len());
        for (position, end) in ends.iter().enumerate() {
            // In a forked child there are none: the end is ready, and its try says why.
            for (place, there) in end.descriptors()?.iter().enumerate() {
                if let Some(there) = there {
                    places.push(*there);
                    owners.push((position, place));
                }
            }
        }
        poll::wait_each(&places, Deadline::earlier(deadline, slice), &mut self.found)?;
        drop(places);
        (self.rounds, self.asked) = (0, Instant::last_tick());
        let over = slice.is_some_and(Deadline::passed);
        let mut stirs = owners.iter().zip(&self.found).peekable();
        let mut news = false;
        for (position, end) in ends.iter_mut().enumerate() {
            let mut stir: Stir = [Found::default(); MOST_PLACES];
            // Bounded by the places of this end.
            while let Some(((_, place), found)) = stirs.next_if(|((owner, _), _)| *owner == position) {
                if let Some(there) = stir.get_mut(*place) {
                    *there = *found;
                }
            }
            if (over || stir.iter().any(|found| found.any())) && end.stirred(&stir)? {
                if let Some(known) = self.known.get_mut(position) {
                    *known = Known { whose: identity(*end), ready: true };
                }
                news = true;
            }
        }
        self.most_rounds = if news { 1 } else { (self.most_rounds * 2).min(MOST_ROUNDS) };
        Ok(news || self.found.iter().any(|found| found.any()))
    }
}

/// Which end this is, as long as it stays where it is.
fn identity(end: &dyn Waits) -> usize {
    std::ptr::from_ref(end).cast::<()>().addr()
}

impl<T: Copy> Default for Selector<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Selector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector").field("timers", &self.timers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waits::tests::{Doubtful, LONG};

    #[test]
    fn an_end_stays_announced_from_a_short_first_sleep_to_the_next() {
        let mut end = Doubtful::default();
        let mut selector = Selector::new();
        for _ in 0..2 {
            assert_eq!(selector.wait_timeout(&mut [(&mut end, ())], LONG).unwrap(), None);
        }
        assert_eq!(end.told, ["fresh", "again", "awake"].repeat(2));
    }
}

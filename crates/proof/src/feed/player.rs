//! One that publishes and subscribes by turns, as it likes, and says when a promise was broken.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{HeldSample, Node, Publisher, SendError, Subscriber, Trust, Wait};
use wharf_sys::clock::{Deadline, Instant};

use super::ledger::{Entered, Ledger};
use super::message::Message;
use super::record::{Books, LIVES_EACH, Role, Sent, Stint, Totals};
use super::{ALL, POLICIES};
use crate::random::Random;

/// Bytes of a publisher's log: a few hundred messages.
const CAPACITY: usize = 64 << 10;
/// Samples that a subscriber holds at most.
const HELD: usize = 3;
/// For what must be had soon: whoever runs out of it says so. The test's own bound is shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lateness that is not worth a note.
const USUAL: u64 = 1_000_000;

/// A publisher with its record.
pub struct Publishing<'a> {
    books: &'a Books,
    publisher: Publisher,
    life: u64,
    record: Sent,
    message: Vec<u8>,
}

impl<'a> Publishing<'a> {
    /// Opens the publisher of record `life` with policy number `policy`.
    pub fn open(
        books: &'a Books,
        node: &Node,
        life: u64,
        policy: usize,
        history: u64,
    ) -> Result<Publishing<'a>, String> {
        Publishing::open_wary(books, node, life, policy, history, Trust::Auto)
    }

    /// The same, with as much trust.
    pub fn open_wary(
        books: &'a Books,
        node: &Node,
        life: u64,
        policy: usize,
        history: u64,
        trust: Trust,
    ) -> Result<Publishing<'a>, String> {
        let (topic, on_full) = POLICIES[policy];
        let mut record = Sent { policy: policy as u64 + 1, process: u64::from(std::process::id()), ..Sent::default() };
        books.write(life, &record)?;
        let topic = node.topic(topic).capacity(CAPACITY).on_full(on_full).history(history).trust(trust);
        let began = Instant::now();
        let publisher = topic.publisher().map_err(|error| error.to_string())?;
        record.opening_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        books.write(life, &record)?;
        Ok(Publishing { books, publisher, life, record, message: Vec::new() })
    }

    /// Which record is its own.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Sends the next message in one of several ways; whether it was sent. What was not will be the next again.
    pub fn send(&mut self, way: u64) -> Result<bool, String> {
        let next = Message { life: self.life, number: self.record.sent };
        self.record.begun = self.record.sent + 1;
        self.books.write(self.life, &self.record)?;
        next.compose(&mut self.message);
        let outcome = match way {
            0 => self.publisher.try_send(&self.message),
            1 => self.publisher.send_timeout(&self.message, Duration::from_micros(300)),
            2 => self.loan(next),
            _ => self.publisher.send_timeout(&self.message, PATIENCE),
        };
        let sent = match outcome {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(SendError::Timeout) if way == 1 => false,
            Err(error) => return Err(format!("{next:?}: {error}")),
        };
        self.record.sent += u64::from(sent);
        self.record.begun = self.record.sent;
        self.books.write(self.life, &self.record)?;
        Ok(sent)
    }

    fn loan(&mut self, message: Message) -> Result<(), SendError> {
        // One that is given back unsent is no message.
        drop(self.publisher.try_loan(message.len())?);
        let mut loan = self.publisher.try_loan(message.len())?;
        message.fill(&mut loan);
        loan.send()
    }
}

/// A subscriber with its ledger.
pub struct Subscribing<'a> {
    subscriber: Subscriber,
    ledger: Ledger<'a>,
    held: VecDeque<(Message, HeldSample)>,
}

impl<'a> Subscribing<'a> {
    /// Opens a subscriber to `topic`.
    pub fn open(
        books: &'a Books,
        node: &Node,
        topic: &str,
        wait: Wait,
        history: u64,
    ) -> Result<Subscribing<'a>, String> {
        let mut ledger = Ledger::new(books, topic, history);
        let subscriber = node.topic(topic).wait(wait).history(history).subscriber();
        ledger.opened();
        Ok(Subscribing { subscriber: subscriber.map_err(|error| error.to_string())?, ledger, held: VecDeque::new() })
    }

    /// What it has found.
    pub fn ledger(&self) -> &Ledger<'a> {
        &self.ledger
    }

    /// Receives for at most `limit`, and holds what came if it `holds`.
    pub fn receive(&mut self, limit: Duration, holds: bool) -> Result<Entered, String> {
        let outcome = self.subscriber.recv_timeout(limit);
        if let (true, Ok(sample)) = (holds, &outcome) {
            let message = Message::read(sample).ok_or("a torn message was about to be held")?;
            self.held.push_back((message, sample.hold()));
        }
        let entered = self.ledger.enter(outcome)?;
        if self.held.len() > HELD || entered == Entered::Nothing {
            self.let_go()?;
        }
        Ok(entered)
    }

    fn let_go(&mut self) -> Result<(), String> {
        match self.held.pop_front() {
            Some((was, sample)) => self.ledger.held(was, &sample),
            None => Ok(()),
        }
    }

    /// Looks who is no more.
    pub fn settle(&mut self) -> Result<Vec<super::Ended>, String> {
        self.ledger.settle(&mut self.subscriber)
    }

    /// Receives until there is no publisher any more, and checks that nothing is missing; with how many it was compared.
    pub fn receive_the_rest(&mut self) -> Result<u64, String> {
        let deadline = Deadline::after(PATIENCE);
        // Ends at the deadline: all publishers are about to leave.
        while !deadline.passed() {
            if self.receive(Duration::from_millis(5), false)? == Entered::Nothing {
                self.settle()?;
                if self.subscriber.publishers().count() == 0 {
                    return self.ledger.assert_complete();
                }
            }
        }
        let there: Vec<String> = self.subscriber.publishers().map(|publisher| publisher.to_string()).collect();
        Err(format!("still there: {there:?}"))
    }
}

/// A player with its page.
pub struct Player<'a> {
    books: &'a Books,
    node: &'a Node,
    page: usize,
    random: Random,
    stint: Stint,
    totals: Totals,
    /// Records that it may still use.
    lives: std::ops::Range<u64>,
}

impl<'a> Player<'a> {
    /// The player whose page is number `page` and whose records are [`LIVES_EACH`], from number `first` on.
    ///
    /// # Errors
    /// When its page cannot be written.
    pub fn new(books: &'a Books, node: &'a Node, page: usize, first: u64, seed: u64) -> Result<Player<'a>, String> {
        let totals = books.pages[page].totals.read();
        let (stint, lives) = (Stint::default(), first..first + LIVES_EACH);
        let mut player = Player { books, node, page, random: Random::new(seed), stint, totals, lives };
        player.be(Role::Between, 0)?;
        Ok(player)
    }

    /// Publishes and subscribes by turns, until it is over.
    pub fn play(&mut self) -> Result<(), String> {
        // Ends when it is over, or killed.
        while !self.books.over.is_set() {
            match self.random.below(2) {
                0 if !self.lives.is_empty() => self.publish()?,
                _ => self.subscribe()?,
            }
        }
        Ok(())
    }

    fn step(&mut self, asking: bool) -> Result<(), String> {
        self.stint.steps += 1;
        self.stint.asking = u64::from(asking);
        self.books.pages[self.page].stint.write(&self.stint).map_err(|error| format!("its own page: {error}"))
    }

    fn be(&mut self, role: Role, life: u64) -> Result<(), String> {
        self.stint.set_role(role, life);
        self.step(false)
    }

    /// Enters a wait that began at `since` and is over.
    fn waited(&mut self, since: Instant) {
        let waited = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if waited > self.stint.waited_ns.max(USUAL) {
            (self.stint.waited_ns, self.stint.waited_from) = (waited, since.as_nanos());
        }
    }

    fn publish(&mut self) -> Result<(), String> {
        let Some(life) = self.lives.next() else { return Ok(()) };
        let (policy, history) = (self.random.below(4) as usize, self.random.below(2) * 5);
        self.be(Role::Publisher, life)?;
        let mut publishing = Publishing::open(self.books, self.node, life, policy, history)?;
        let messages = self.random.below(6000);
        // Bound: as drawn, but for what cannot be sent for want of room.
        for _ in 0..messages {
            if self.books.over.is_set() {
                break;
            }
            let way = self.random.below(8);
            self.step(true)?;
            let since = Instant::now();
            publishing.send(way)?;
            self.waited(since);
            if self.random.below(150) == 0 {
                self.step(false)?;
                thread::sleep(Duration::from_micros(100 + self.random.below(900)));
            }
        }
        drop(publishing);
        self.be(Role::Between, life)
    }

    fn subscribe(&mut self) -> Result<(), String> {
        let topic = match self.random.below(8) {
            place @ 0..4 => POLICIES[place as usize].0,
            _ => ALL,
        };
        let wait = if self.random.below(2) == 0 { Wait::Sleep } else { Wait::Adaptive };
        let history = self.random.below(2) * 5;
        self.be(Role::Subscriber, 0)?;
        let before = self.totals;
        let mut subscribing = Subscribing::open(self.books, self.node, topic, wait, history)?;
        let rounds = 200 + self.random.below(4000);
        // Bound: as drawn, or when it is over; what is there by then is received.
        for round in 0..rounds {
            self.step(false)?;
            let holds = self.random.below(10) == 0;
            let entered = subscribing.receive(Duration::from_millis(2), holds)?;
            if entered == Entered::Nothing || round % 64 == 0 {
                for ended in subscribing.settle()? {
                    // Heard of before the test has seen it: soon enough.
                    if let Some(died) = self.books.died(ended.life) {
                        self.waited(Instant::from_nanos(died));
                    }
                }
                self.totals = before.and(&subscribing.ledger().totals());
                let totals = &self.books.pages[self.page].totals;
                totals.write(&self.totals).map_err(|error| format!("its own page: {error}"))?;
            }
            if self.random.below(60) == 0 {
                thread::sleep(Duration::from_micros(self.random.below(4000)));
            }
            if self.books.over.is_set() {
                break;
            }
        }
        if self.books.over.is_set() {
            subscribing.receive_the_rest()?;
        }
        self.totals = before.and(&subscribing.ledger().totals());
        drop(subscribing);
        self.be(Role::Between, 0)
    }
}

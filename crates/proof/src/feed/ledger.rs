//! What one subscriber receives, compared with what every publisher has written down.

use std::collections::BTreeMap;
use std::time::Duration;

use wharf_message_passing::{PublisherId, RecvError, Sample, Subscriber};
use wharf_sys::clock::Instant;

use super::message::Message;
use super::record::{Books, Sent, Totals};
use super::{ALL, POLICIES};

/// What was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// A message.
    Message,
    /// A loss.
    Missed,
    /// Nothing was there.
    Nothing,
}

/// A publisher that is no more, and when its end was found.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Which one.
    pub life: u64,
    /// When.
    pub at: Instant,
}

/// One publisher, as a subscriber sees it.
#[derive(Debug)]
struct Line {
    life: u64,
    /// The message that must come next.
    next: u64,
}

/// See the top of the file.
pub struct Ledger<'a> {
    books: &'a Books,
    topic: String,
    history: u64,
    /// The records before the subscriber was opened, and after.
    before: Vec<Sent>,
    after: Vec<Sent>,
    lines: BTreeMap<PublisherId, Line>,
    /// How long it took to open.
    opening: Duration,
    began: Instant,
    /// Losses of publishers whose first message has not come.
    early: BTreeMap<PublisherId, u64>,
    /// Lives that were seen to end.
    over: BTreeMap<u64, u64>,
    totals: Totals,
}

impl<'a> Ledger<'a> {
    /// To be made before a subscriber to `topic` is opened.
    pub fn new(books: &'a Books, topic: &str, history: u64) -> Ledger<'a> {
        Ledger {
            books,
            topic: topic.to_owned(),
            history,
            before: books.all(),
            after: Vec::new(),
            lines: BTreeMap::new(),
            opening: Duration::ZERO,
            began: Instant::now(),
            early: BTreeMap::new(),
            over: BTreeMap::new(),
            totals: Totals { opened: 1, ..Totals::default() },
        }
    }

    /// To be called when it is open.
    pub fn opened(&mut self) {
        self.opening = self.began.elapsed();
        self.after = self.books.all();
    }

    /// What was found so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Counts a message that was held and is what it was.
    pub fn held(&mut self, was: Message, bytes: &[u8]) -> Result<(), String> {
        self.totals.held += 1;
        match Message::read(bytes) {
            Some(is) if is == was => Ok(()),
            other => Err(format!("{was:?} was held, and became {other:?}")),
        }
    }

    /// Enters what was received; an error says which promise was broken.
    pub fn enter(&mut self, outcome: Result<Sample<'_>, RecvError>) -> Result<Entered, String> {
        match outcome {
            Ok(sample) => {
                self.enter_message(&sample)?;
                self.totals.received += 1;
                Ok(Entered::Message)
            }
            Err(RecvError::Lagged { missed, publisher }) => {
                if missed == 0 {
                    return Err("a loss of nothing".to_owned());
                }
                self.totals.missed += missed;
                match self.lines.get_mut(&publisher) {
                    Some(line) => {
                        let (_, policy) = policy(&self.books.sent(line.life));
                        if !policy {
                            return Err(format!("{missed} lost of {line:?}, which loses nothing"));
                        }
                        line.next += missed;
                    }
                    None => *self.early.entry(publisher).or_default() += missed,
                }
                Ok(Entered::Missed)
            }
            Err(RecvError::Empty | RecvError::Timeout) => Ok(Entered::Nothing),
            Err(other) => Err(other.to_string()),
        }
    }

    fn enter_message(&mut self, sample: &Sample<'_>) -> Result<(), String> {
        let message = Message::read(sample)
            .ok_or_else(|| format!("message {} of {} is torn", sample.sequence(), sample.publisher()))?;
        if sample.sequence() != message.number {
            return Err(format!("{message:?} came as number {}", sample.sequence()));
        }
        let id = sample.publisher().id();
        if let Some(line) = self.lines.get_mut(&id) {
            if (line.life, line.next) != (message.life, message.number) {
                return Err(format!("{message:?} came where {line:?}"));
            }
            line.next += 1;
            return Ok(());
        }
        self.begin(sample, message)
    }

    /// The first message of a publisher: there is none before it that had to come.
    fn begin(&mut self, sample: &Sample<'_>, message: Message) -> Result<(), String> {
        let publisher = sample.publisher();
        let record = self.books.sent(message.life);
        let (topic, _) = policy(&record);
        if publisher.topic() != topic || publisher.pid().map(u64::from) != Some(record.process) {
            return Err(format!("{message:?} came from {publisher}, not {topic} of {}", record.process));
        }
        if self.over.contains_key(&message.life) || self.lines.values().any(|line| line.life == message.life) {
            return Err(format!("{message:?} came from somebody else, {publisher}"));
        }
        let missed = self.early.remove(&publisher.id()).unwrap_or(0);
        let start = message.number.checked_sub(missed).ok_or_else(|| format!("{missed} lost before {message:?}"))?;
        let at = |records: &[Sent]| records.get(message.life as usize).copied().unwrap_or_default();
        // What was sent before the subscriber was opened is history; what was begun after that must come.
        let (first, last) = (at(&self.before).sent.saturating_sub(self.history), at(&self.after).begun);
        if !(first..=last).contains(&start) {
            return Err(format!(
                "{message:?} is the first, after {missed} lost; expected one of {first} to {last}; its publisher: {record:?}, \
                 opened here in {:?}",
                self.opening
            ));
        }
        self.lines.insert(publisher.id(), Line { life: message.life, next: message.number + 1 });
        Ok(())
    }

    /// Looks who is no more, and checks that all was received that they had sent.
    pub fn settle(&mut self, subscriber: &mut Subscriber) -> Result<Vec<Ended>, String> {
        let there: Vec<PublisherId> = subscriber.publishers().map(|publisher| publisher.id()).collect();
        let gone: Vec<PublisherId> = self.lines.keys().filter(|id| !there.contains(id)).copied().collect();
        let at = Instant::now();
        let mut ended = Vec::new();
        for id in gone {
            let Some(line) = self.lines.remove(&id) else { continue };
            let record = self.books.sent(line.life);
            if !(record.sent..=record.begun).contains(&line.next) {
                return Err(format!("it is over with {line:?}, of which this was sent: {record:?}"));
            }
            if !self.books.agrees(line.life, line.next)? {
                return Err(format!("somebody else found another end than {line:?}"));
            }
            self.over.insert(line.life, line.next);
            self.totals.ends += 1;
            ended.push(Ended { life: line.life, at });
        }
        match self.early.keys().find(|id| !there.contains(id)) {
            Some(id) => Err(format!("of {id} nothing came but losses")),
            None => Ok(ended),
        }
    }

    /// Checks, when there is no publisher any more, that nothing is missing of any that there ever was.
    pub fn assert_complete(&self) -> Result<u64, String> {
        if !self.lines.is_empty() {
            return Err(format!("not over: {:?}", self.lines));
        }
        let mut compared = 0;
        for (life, record) in self.books.all().iter().enumerate() {
            let ours = record.policy > 0 && (self.topic == ALL || policy(record).0 == self.topic);
            let begun = self.after.get(life).map_or(0, |after| after.begun);
            if !ours || begun >= record.sent {
                continue;
            }
            match self.over.get(&(life as u64)) {
                Some(next) if (record.sent..=record.begun).contains(next) => compared += 1,
                other => return Err(format!("of {life} {other:?} came; it sent {record:?}, {begun} of it before")),
            }
        }
        Ok(compared)
    }
}

/// A publisher's topic, and whether it drops what it has sent.
fn policy(record: &Sent) -> (&'static str, bool) {
    let place = record.policy.checked_sub(1).and_then(|place| usize::try_from(place).ok());
    let (topic, _) = place.and_then(|place| POLICIES.get(place)).copied().unwrap_or(("none", POLICIES[3].1));
    (topic, matches!(topic, "feed/patient" | "feed/drop"))
}

//! `wharf sub`: what is published, to standard output.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Endpoint, Node, PublisherId, PublisherInfo, RecvError, Sample, Subscriber, SubscriberCompany};

use crate::destination::Destination;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::units;
use crate::usage::complain;
use crate::usage::topics::SubArguments;
use crate::written::{self, Content, Form};

/// Messages that are taken between two looks at everything else.
const MOST_AT_ONCE: u32 = 1024;

/// Publishers that are remembered by one subscription.
const MOST_KNOWN: usize = 4096;

#[derive(Serialize)]
struct ShownMessage<'a> {
    topic: &'a str,
    pid: Option<u32>,
    sequence: u64,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
struct ShownGap<'a> {
    topic: &'a str,
    pid: Option<u32>,
    missed: u64,
}

/// Runs the command.
pub(crate) fn run(asked: &SubArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let node = Node::open()?;
    let open = |name: &String| node.topic(name).history(asked.history).subscriber().map(Ear::new);
    let ears = asked.names.iter().map(open).collect::<Result<Vec<Ear>, _>>()?;
    if asked.count == Some(0) {
        return Ok(());
    }
    let destination = Destination::open(("--file", asked.file.as_deref()), asked.timeout, &mut ending)?;
    let mut sink = Sink {
        form: destination.form(asked.lines, asked.json),
        destination,
        written: 0,
        count: asked.count,
        last: Instant::now(),
    };
    let ended = listen(ears, asked, &mut sink, &mut ending);
    // What has arrived is not held back because of what has not.
    sink.destination.output.flush()?;
    let ended = ended.and_then(|()| match asked.count {
        Some(count) if sink.written < count => {
            Err(Failure::PeerGone(format!("the publishers were gone after {} of {count} messages", sink.written)))
        }
        _ => Ok(()),
    });
    match &ended {
        Ok(()) => sink.destination.finish()?,
        Err(Failure::Timeout(_) | Failure::PeerGone(_)) if sink.written > 0 => sink.destination.finish()?,
        Err(_) => {}
    }
    ended
}

/// Receives under all names until nothing more is wanted.
fn listen(mut ears: Vec<Ear>, asked: &SubArguments, sink: &mut Sink, ending: &mut Ending) -> Result<(), Failure> {
    // Ends with the count, the publishers, the time limit, a signal, or an error.
    loop {
        ending.check()?;
        let mut more = false;
        for ear in &mut ears {
            more |= ear.take_what_is_there(sink)?;
            if sink.is_over() {
                return Ok(());
            }
        }
        sink.destination.output.flush()?;
        // In this order: what somebody sent before he left is taken first, and until then he counts as there.
        ears.retain_mut(|ear| {
            let there = ear.meet();
            ear.tell_refusals();
            there || !asked.until_gone || !ear.met
        });
        if ears.is_empty() {
            return Ok(());
        }
        if more {
            continue;
        }
        let left = asked.timeout.map(|limit| limit.saturating_sub(sink.last.elapsed()));
        if let (Some(limit), Some(Duration::ZERO)) = (asked.timeout, left) {
            let limit = units::nanos(limit.as_nanos() as f64);
            return Err(Failure::Timeout(format!(
                "timeout: no message came within {limit}, after {} messages",
                sink.written
            )));
        }
        let mut company: Vec<SubscriberCompany<'_>> = ears.iter_mut().map(|ear| ear.subscriber.company()).collect();
        let mut list: Vec<&mut dyn Endpoint> = company.iter_mut().map(|it| -> &mut dyn Endpoint { it }).collect();
        ending.wait_for_any(&mut list, left)?;
    }
}

/// Where all messages go.
struct Sink {
    destination: Destination,
    form: Form,
    written: u64,
    count: Option<u64>,
    /// When the last message came.
    last: Instant,
}

impl Sink {
    fn write(&mut self, sample: &Sample<'_>) -> Result<(), Failure> {
        let from = sample.publisher();
        written::write(&mut self.destination.output, self.form, sample.bytes(), |content| ShownMessage {
            topic: from.topic(),
            pid: from.pid(),
            sequence: sample.sequence(),
            content,
        })?;
        self.last = Instant::now();
        self.written += 1;
        Ok(())
    }

    /// Nothing more is wanted.
    fn is_over(&self) -> bool {
        self.count.is_some_and(|count| self.written >= count)
    }

    fn write_gap(&mut self, missed: u64, from: Option<&PublisherInfo>, name: &str) -> Result<(), Failure> {
        let topic = from.map_or(name, PublisherInfo::topic);
        let pid = from.and_then(PublisherInfo::pid);
        let who = pid.map_or_else(String::new, |pid| format!(" from process {pid}"));
        complain(&format!("missed {missed} messages of '{topic}'{who}: they were dropped before they were received"));
        if self.form == Form::Json {
            self.destination.output.line(&to_json_line(&ShownGap { topic, pid, missed })?)?;
        }
        Ok(())
    }
}

/// One subscription.
struct Ear {
    subscriber: Subscriber,
    /// Who has published, for gaps of those who have left since.
    known: HashMap<PublisherId, PublisherInfo>,
    /// Refusals that the user knows of.
    told: Vec<String>,
    /// Somebody has published: who comes, sends and leaves at once is never seen here, but heard.
    met: bool,
}

impl Ear {
    fn new(subscriber: Subscriber) -> Ear {
        Ear { subscriber, known: HashMap::new(), told: Vec::new(), met: false }
    }

    /// Takes what waits, as far as it is wanted; whether there may be more.
    fn take_what_is_there(&mut self, sink: &mut Sink) -> Result<bool, Failure> {
        // Bounded, so that a stream without end leaves time for the rest.
        for _ in 0..MOST_AT_ONCE {
            match self.subscriber.try_recv() {
                Ok(sample) => {
                    self.met = true;
                    sink.write(&sample)?;
                    if sink.is_over() {
                        return Ok(false);
                    }
                }
                Err(RecvError::Empty) => return Ok(false),
                Err(error) => self.hear(error, sink)?,
            }
        }
        Ok(true)
    }

    /// Tells the user what went wrong, where receiving can go on.
    fn hear(&mut self, error: RecvError, sink: &mut Sink) -> Result<(), Failure> {
        self.met = true;
        match error {
            RecvError::Lagged { missed, publisher } => {
                self.meet();
                sink.write_gap(missed, self.known.get(&publisher), self.subscriber.name())
            }
            RecvError::CutOff { .. } | RecvError::Protocol(_) => {
                complain(&error.to_string());
                Ok(())
            }
            error => Err(error.into()),
        }
    }

    /// Notes who publishes now; whether anybody does.
    fn meet(&mut self) -> bool {
        let mut there = false;
        for info in self.subscriber.publishers() {
            there = true;
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
            self.met = true;
            self.known.entry(info.id()).or_insert_with(|| info.clone());
        }
        there
    }

    fn tell_refusals(&mut self) {
        let refusals = self.subscriber.refusals();
        refusals.iter().skip(known(&self.told, &refusals)).for_each(|refusal| complain(refusal));
        self.told = refusals;
    }
}

/// How many of the refusals `now` were there `before`: the library forgets the oldest of them.
fn known(before: &[String], now: &[String]) -> usize {
    (0..before.len())
        .find_map(|gone| before.get(gone..).filter(|left| now.starts_with(left)))
        .map_or(0, <[String]>::len)
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn refusals_are_known_also_when_older_ones_are_forgotten() {
        let words = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        for (before, now, count) in
            [("", "ab", 0), ("ab", "ab", 2), ("ab", "abc", 2), ("abc", "bcd", 2), ("abc", "xyz", 0)]
        {
            assert_eq!(known(&words(before), &words(now)), count, "{before} {now}");
        }
    }
}

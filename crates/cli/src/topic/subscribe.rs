//! `wharf sub`: what is published, to standard output.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Node, PublisherId, PublisherInfo, RecvError, Sample, Subscriber};

use crate::ending::{Ending, SLICE};
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
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
    let ending = Ending::watch()?;
    let node = Node::open()?;
    let open = |name: &String| node.topic(name).history(asked.history).subscriber();
    let subscribers = asked.names.iter().map(open).collect::<Result<Vec<Subscriber>, _>>()?;
    if asked.count == Some(0) {
        return Ok(());
    }
    let sink = Sink {
        output: Output::take(),
        form: Form::chosen(asked.lines, asked.json),
        written: 0,
        count: asked.count,
        last: Instant::now(),
        over: false,
    };
    let sink = Mutex::new(sink);
    // A thread for each name: one that waits for one of them hears of it at once, and the output takes turns.
    let ends: Vec<Result<(), Failure>> = thread::scope(|scope| {
        let listen = |subscriber| scope.spawn(|| listen(subscriber, asked, &sink, &ending));
        let threads: Vec<_> = subscribers.into_iter().map(listen).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    let mut sink = sink.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What has arrived is not held back because of what has not.
    sink.output.flush()?;
    ends.into_iter().collect::<Result<(), Failure>>()?;
    match asked.count {
        Some(count) if sink.written < count => {
            Err(Failure::PeerGone(format!("the publishers were gone after {} of {count} messages", sink.written)))
        }
        _ => Ok(()),
    }
}

fn panicked() -> Failure {
    Failure::Failed("a thread of this command has ended by an error in it".to_owned())
}

/// Where all messages go.
struct Sink {
    output: Output,
    form: Form,
    written: u64,
    count: Option<u64>,
    /// When the last message came.
    last: Instant,
    /// Nothing more is wanted.
    over: bool,
}

impl Sink {
    fn write(&mut self, sample: &Sample<'_>) -> Result<(), Failure> {
        if self.over {
            // Another name's message was the last that is wanted.
            return Ok(());
        }
        let from = sample.publisher();
        written::write(&mut self.output, self.form, sample.bytes(), |content| ShownMessage {
            topic: from.topic(),
            pid: from.pid(),
            sequence: sample.sequence(),
            content,
        })?;
        self.last = Instant::now();
        self.written += 1;
        self.over |= self.count.is_some_and(|count| self.written >= count);
        Ok(())
    }

    fn check_limit(&self, limit: Duration) -> Result<(), Failure> {
        if self.last.elapsed() < limit {
            return Ok(());
        }
        let limit = units::nanos(limit.as_nanos() as f64);
        Err(Failure::Timeout(format!("timeout: no message came within {limit}, after {} messages", self.written)))
    }

    fn write_gap(&mut self, missed: u64, from: Option<&PublisherInfo>, name: &str) -> Result<(), Failure> {
        let topic = from.map_or(name, PublisherInfo::topic);
        let pid = from.and_then(PublisherInfo::pid);
        let who = pid.map_or_else(String::new, |pid| format!(" from process {pid}"));
        complain(&format!("missed {missed} messages of '{topic}'{who}: they were dropped before they were received"));
        if self.form == Form::Json {
            self.output.line(&to_json_line(&ShownGap { topic, pid, missed })?)?;
        }
        Ok(())
    }
}

/// Receives under one name until nothing more is wanted.
fn listen(subscriber: Subscriber, asked: &SubArguments, sink: &Mutex<Sink>, ending: &Ending) -> Result<(), Failure> {
    let ended = Ear { subscriber, known: HashMap::new(), told: Vec::new(), met: false }.listen(asked, sink, ending);
    if ended.is_err() {
        lock(sink).over = true;
    }
    ended
}

fn lock(sink: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn listen(&mut self, asked: &SubArguments, sink: &Mutex<Sink>, ending: &Ending) -> Result<(), Failure> {
        let slice = asked.timeout.map_or(SLICE, |limit| limit.min(SLICE));
        // Ends with the count, the publishers, the time limit, a signal, or an error.
        loop {
            ending.check()?;
            self.take_what_is_there(sink)?;
            if lock(sink).over {
                return Ok(());
            }
            let there = self.meet();
            if asked.until_gone && self.met && !there {
                return Ok(());
            }
            self.tell_refusals();
            match self.subscriber.recv_timeout(slice) {
                Ok(sample) => {
                    self.met = true;
                    lock(sink).write(&sample)?;
                }
                Err(RecvError::Timeout) => {
                    if let Some(limit) = asked.timeout {
                        lock(sink).check_limit(limit)?;
                    }
                }
                Err(error) => self.hear(error, sink)?,
            }
        }
    }

    /// Takes everything that waits, then hands it to whoever reads the output.
    fn take_what_is_there(&mut self, sink: &Mutex<Sink>) -> Result<(), Failure> {
        // Bounded, so that a stream without end leaves time for the rest.
        for _ in 0..MOST_AT_ONCE {
            match self.subscriber.try_recv() {
                Ok(sample) => {
                    self.met = true;
                    lock(sink).write(&sample)?;
                }
                Err(RecvError::Empty) => break,
                Err(error) => self.hear(error, sink)?,
            }
        }
        lock(sink).output.flush()
    }

    /// Tells the user what went wrong, where receiving can go on.
    fn hear(&mut self, error: RecvError, sink: &Mutex<Sink>) -> Result<(), Failure> {
        self.met = true;
        match error {
            RecvError::Lagged { missed, publisher } => {
                self.meet();
                lock(sink).write_gap(missed, self.known.get(&publisher), self.subscriber.name())
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

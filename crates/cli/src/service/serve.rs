//! `wharf serve`: answers a service by running commands.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Readable, RecvError, Request, Server};

use super::commands::Commands;
use super::lines::Lines;
use super::place::Place;
use crate::backlog::{Backlog, MOST_JOBS};
use crate::ending::{Ending, SLICE};
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
use crate::program;
use crate::refusals::Refusals;
use crate::units;
use crate::usage::services::ServeArguments;

/// Requests that wait here, beside those that are worked on, as long as they are not too large together; further ones wait
/// where they come from.
const AHEAD: usize = 64;

/// How long answers that have no room at their clients are sent on after the last request.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct ShownRequest<'a> {
    service: &'a str,
    request_bytes: usize,
    reply_bytes: Option<usize>,
    failed: Option<&'a str>,
    /// Why nobody was told anything.
    unanswered: Option<&'a str>,
    seconds: f64,
}

/// What came of a request.
pub(super) enum Answer {
    /// This is the answer.
    Reply(Vec<u8>),
    /// The call has failed, and why.
    Failed(String),
    /// Nobody waits for it any more, so its command was ended, or not `begun`.
    Unwanted { begun: bool },
    /// All of this is to end, and with it the command, if it was `begun`. What that has done is not known, so it is no answer: its caller
    /// learns that the server is gone, and may ask another.
    Stopped { begun: bool },
}

impl From<Result<Vec<u8>, String>> for Answer {
    fn from(answer: Result<Vec<u8>, String>) -> Answer {
        answer.map_or_else(Answer::Failed, Answer::Reply)
    }
}

/// Whoever makes answers of requests.
pub(super) trait Work: Sync {
    /// The answer to a request; an error ends the command.
    fn answer(&self, request: Request, told: &dyn Fn(Request, Answer)) -> Result<(), Failure>;

    /// Looks after what runs: what nobody waits for any more is ended. An error ends the command.
    fn look_after(&self) -> Result<(), Failure>;

    /// Readable once nothing can be answered any more, if that can happen while nothing is asked.
    fn end_of_all(&self) -> Option<Arc<OwnedFd>> {
        None
    }

    /// Ends everything that runs: `now`, or as soon as it is done.
    fn end(&self, now: bool);
}

/// Runs the command.
pub(crate) fn run(asked: &ServeArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    program::check(&asked.command)?;
    let place = Place::of(&asked.service, &asked.network, true, None)?;
    if asked.input_lines {
        let work = Lines::start(&asked.command)?;
        serve(asked, place.server(asked.verbose)?, &work, 1, &mut ending)
    } else {
        let jobs = match asked.jobs {
            Some(jobs) => usize::try_from(jobs).unwrap_or(usize::MAX).min(MOST_JOBS),
            None => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        serve(asked, place.server(asked.verbose)?, &Commands::new(&asked.command), jobs, &mut ending)
    }
}

fn serve(
    asked: &ServeArguments,
    mut server: Server,
    work: &dyn Work,
    jobs: usize,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let backlog = Backlog::new(jobs + AHEAD);
    let desk = Desk { asked, backlog: &backlog, output: Mutex::new(Output::take()) };
    let mut refusals = Refusals::new(asked.verbose);
    let outcome = thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work_on(work, &desk));
        }
        let outcome = receive(asked, &mut server, work, (&backlog, &mut refusals), ending);
        refusals.tell_the_rest(&server);
        // Also those that wait for something that runs: it is ended, or ends by itself.
        let waiting = backlog.close(outcome.is_err());
        if outcome.is_err() {
            work.end(true);
        }
        for request in waiting {
            desk.tell(request, &Answer::Stopped { begun: false }, Duration::ZERO);
        }
        outcome
    });
    work.end(false);
    outcome.and_then(|()| backlog.check())?;
    // The server sends on what its clients had no room for.
    let began = Instant::now();
    while server.has_kept() && began.elapsed() < LAST_ANSWERS {
        ending.check()?;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Receives requests until nothing more is wanted.
fn receive(
    asked: &ServeArguments,
    server: &mut Server,
    work: &dyn Work,
    (backlog, refusals): (&Backlog<Request>, &mut Refusals),
    ending: &mut Ending,
) -> Result<(), Failure> {
    let (mut received, mut last) = (0, Instant::now());
    // Ends with the count, the time limit, a signal, or an error.
    loop {
        ending.check()?;
        refusals.tell(server);
        backlog.check()?;
        if let Err(failure) = work.look_after() {
            // What has ended the command may have come to us as well.
            return ending.check().and(Err(failure));
        }
        if asked.count.is_some_and(|count| received >= count) {
            if backlog.wait_for_rest(SLICE) {
                return backlog.check();
            }
            continue;
        }
        if !backlog.wait_for_room(SLICE) {
            continue;
        }
        let idle = backlog.wait_for_rest(Duration::ZERO);
        // Where nothing can be worked on any more it rests, too, and nothing would end the wait below.
        backlog.check()?;
        if !idle {
            last = Instant::now();
        }
        match server.try_recv() {
            Ok(request) => {
                received += 1;
                last = Instant::now();
                let bytes = request.len();
                backlog.push(request, bytes);
            }
            Err(RecvError::Empty) => {
                let left = asked.timeout.map(|limit| limit.saturating_sub(last.elapsed()));
                if let (Some(limit), Some(Duration::ZERO)) = (asked.timeout, left) {
                    let limit = units::nanos(limit.as_nanos() as f64);
                    return Err(Failure::Timeout(format!(
                        "timeout: no request of '{}' came within {limit}, after {received}",
                        asked.service
                    )));
                }
                // What runs is looked after now and then; when nothing runs, nothing happens by itself.
                let limit = if idle { left } else { Some(left.map_or(SLICE, |left| left.min(SLICE))) };
                let limit = refusals.limit(limit);
                match work.end_of_all() {
                    Some(end) => ending.wait_for_any(&mut [server, &mut Readable(end)], limit)?,
                    None => ending.wait_for_any(&mut [server], limit)?,
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where requests are answered, and what is said of them.
struct Desk<'a> {
    asked: &'a ServeArguments,
    backlog: &'a Backlog<Request>,
    output: Mutex<Output>,
}

/// Answers requests until no more come.
fn work_on(work: &dyn Work, desk: &Desk<'_>) {
    while let Some(request) = desk.backlog.next() {
        let began = Instant::now();
        if request.is_cancelled() {
            desk.tell(request, &Answer::Unwanted { begun: false }, began.elapsed());
        } else {
            let told = |request, answer| desk.tell(request, &answer, began.elapsed());
            if let Err(failure) = work.answer(request, &told) {
                desk.backlog.give_up(failure);
            }
        }
        desk.backlog.done();
    }
}

impl Desk<'_> {
    /// Tells the caller, if there is something to tell, and whoever reads.
    fn tell(&self, request: Request, answer: &Answer, took: Duration) {
        let (request_bytes, late) = (request.len(), request.time_left().is_some_and(|left| left <= NEARLY));
        // A client that is gone needs no answer.
        let _ = match answer {
            Answer::Reply(reply) => request.reply(reply),
            Answer::Failed(why) => request.fail(why),
            Answer::Unwanted { .. } | Answer::Stopped { .. } => {
                request.abandon();
                Ok(())
            }
        };
        if !self.asked.json {
            return;
        }
        let (failed, unanswered) = match answer {
            Answer::Reply(_) => (None, None),
            Answer::Failed(why) => (Some(why.as_str()), None),
            Answer::Unwanted { begun } => {
                let (failed, unanswered) = unwanted(late, *begun);
                (Some(failed), Some(unanswered))
            }
            Answer::Stopped { begun } => (Some(stopped(*begun)), Some("stopped")),
        };
        let reply_bytes = if let Answer::Reply(reply) = answer { Some(reply.len()) } else { None };
        let (service, seconds) = (self.asked.service.as_str(), took.as_secs_f64());
        let shown = ShownRequest { service, request_bytes, reply_bytes, failed, unanswered, seconds };
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let line = to_json_line(&shown).and_then(|line| output.line(&line));
        if let Err(failure) = line.and_then(|()| output.flush()) {
            self.backlog.give_up(failure);
        }
    }
}

/// A caller whose time is over is gone a moment before it is over here.
const NEARLY: Duration = Duration::from_millis(50);

/// What became of a request for which nobody waits any more, in a sentence and in a word.
fn unwanted(late: bool, begun: bool) -> (&'static str, &'static str) {
    match (late, begun) {
        (true, true) => ("the caller's time was over, so its command was ended", "deadline"),
        (true, false) => ("the caller's time was over before its command was begun", "deadline"),
        (false, true) => ("the caller gave it up or is gone, so its command was ended", "cancelled"),
        (false, false) => ("the caller gave it up or was gone before its command was begun", "cancelled"),
    }
}

fn stopped(begun: bool) -> &'static str {
    match begun {
        true => "'wharf serve' was stopped, and the command with it: the caller learns that the outcome is unknown",
        false => "'wharf serve' was stopped before the command was begun",
    }
}

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
    seconds: f64,
}

/// What was answered.
pub(super) type Answer = Result<Vec<u8>, String>;

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
    let place = Place::of(&asked.service, &asked.network, true)?;
    if asked.input_lines {
        let work = Lines::start(&asked.command)?;
        serve(asked, place.server()?, &work, 1, &mut ending)
    } else {
        let jobs = match asked.jobs {
            Some(jobs) => usize::try_from(jobs).unwrap_or(usize::MAX).min(MOST_JOBS),
            None => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        serve(asked, place.server()?, &Commands::new(&asked.command), jobs, &mut ending)
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
    let output = Mutex::new(Output::take());
    let outcome = thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work_on(&backlog, work, asked, &output));
        }
        let outcome = receive(asked, &mut server, work, &backlog, ending);
        // Also those that wait for something that runs: it is ended, or ends by itself.
        backlog.close(outcome.is_err());
        if outcome.is_err() {
            work.end(true);
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
    backlog: &Backlog<Request>,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let (mut received, mut last) = (0, Instant::now());
    // Ends with the count, the time limit, a signal, or an error.
    loop {
        ending.check()?;
        backlog.check()?;
        work.look_after()?;
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
                match work.end_of_all() {
                    Some(end) => ending.wait_for_any(&mut [server, &mut Readable(end)], limit)?,
                    None => ending.wait_for_any(&mut [server], limit)?,
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Answers requests until no more come.
fn work_on(backlog: &Backlog<Request>, work: &dyn Work, asked: &ServeArguments, output: &Mutex<Output>) {
    while let Some(request) = backlog.next() {
        let began = Instant::now();
        let told = |request: Request, answer: Answer| {
            let request_bytes = request.len();
            let (reply_bytes, failed) = match &answer {
                Ok(reply) => (Some(reply.len()), None),
                Err(why) => (None, Some(why.as_str())),
            };
            // A client that is gone needs no answer.
            let _ = match &answer {
                Ok(reply) => request.reply(reply),
                Err(why) => request.fail(why),
            };
            if asked.json {
                let seconds = began.elapsed().as_secs_f64();
                let shown = ShownRequest { service: &asked.service, request_bytes, reply_bytes, failed, seconds };
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                let line = to_json_line(&shown).and_then(|line| output.line(&line));
                if let Err(failure) = line.and_then(|()| output.flush()) {
                    backlog.give_up(failure);
                }
            }
        };
        // One that nobody waits for any more is dropped, of which nobody hears.
        if !request.is_cancelled()
            && let Err(failure) = work.answer(request, &told)
        {
            backlog.give_up(failure);
        }
        backlog.done();
    }
}

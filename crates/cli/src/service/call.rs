//! `wharf call`: asks a service, and writes what it answers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use serde::Serialize;
use wharf::{CallError, Client, Outcome, Pattern};

use super::place::Place;
use crate::absent::absent;
use crate::destination::Destination;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::meeting::is_address;
use crate::pace::Pace;
use crate::peers::{self, FOR_EVER};
use crate::shell::command;
use crate::usage::services::CallArguments;
use crate::written::{self, Content, Form};

#[derive(Serialize)]
struct ShownResult<'a> {
    service: &'a str,
    call: u64,
    result: u64,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
struct ShownError<'a> {
    service: &'a str,
    call: u64,
    outcome: &'a str,
    error: &'a str,
}

/// Runs the command.
pub(crate) fn run(asked: &CallArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    // The request comes first: nobody should be called before there is something to ask.
    let request = match &asked.request {
        Some(request) => Some(request.as_bytes().to_vec()),
        None if asked.input.lines => None,
        None => Some(Input::open(&asked.input, &ending)?.whole(&mut ending)?),
    };
    let mut lines = if request.is_none() { Some(Input::open(&asked.input, &ending)?) } else { None };
    // So does where the answer goes.
    let destination = Destination::open(("--output", asked.output.as_deref()), asked.timeout, &mut ending)?;
    let place = Place::of(&asked.service, &asked.network, false)?;
    let wait = asked.wait_for_peer.then(|| asked.timeout.unwrap_or(FOR_EVER));
    let mut client = place.client(wait, &ending)?;
    if client.servers() == 0 && !is_address(&asked.service) {
        let name = &asked.service;
        if !asked.wait_for_peer {
            let served = command(&["wharf", "serve"], name, " -- COMMAND");
            let otherwise = format!("{served} does, --wait-for-peer waits");
            return Err(Failure::Failed(absent("serves", Pattern::Service, name, &otherwise)));
        }
        peers::wait_for(|| client.servers(), asked.timeout, &format!("serves '{name}'"), &mut ending)?;
    }
    let mut desk = Desk {
        client,
        asked,
        key: asked.sticky.as_ref().map(|key| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            hasher.finish()
        }),
        form: destination.form(asked.input.lines, asked.json),
        destination,
        calls: 0,
        failed: false,
    };
    match desk.ask_all(request.as_deref(), lines.as_mut(), &mut ending) {
        Ok(()) => desk.destination.finish(),
        Err(failure) => Err(desk.destination.give_up(failure, desk.failed, "answer")),
    }
}

struct Desk<'a> {
    client: Client,
    asked: &'a CallArguments,
    key: Option<u64>,
    destination: Destination,
    form: Form,
    /// Calls that were begun.
    calls: u64,
    /// The last of them has failed.
    failed: bool,
}

impl Desk<'_> {
    fn ask_all(
        &mut self,
        request: Option<&[u8]>,
        mut lines: Option<&mut Input>,
        ending: &mut Ending,
    ) -> Result<(), Failure> {
        let count = self.asked.count.unwrap_or(if request.is_some() { 1 } else { u64::MAX });
        let mut pace = Pace::new(self.asked.rate);
        // Ends with the count or the input.
        for _ in 0..count {
            let next = match (request, &mut lines) {
                (Some(request), _) => request,
                (None, Some(lines)) => match lines.line(ending)? {
                    Some(line) => line,
                    None => break,
                },
                (None, None) => break,
            };
            pace.wait(ending)?;
            self.ask(next, ending)?;
            self.destination.end_message();
        }
        Ok(())
    }

    fn ask(&mut self, request: &[u8], ending: &mut Ending) -> Result<(), Failure> {
        ending.check()?;
        let mut call = self.client.request(request).idempotent(self.asked.idempotent);
        if let Some(limit) = self.asked.timeout {
            call = call.limit(limit);
        }
        if let Some(key) = self.key {
            call = call.key(key);
        }
        let started = call.start();
        self.calls += 1;
        let id = started.map_err(|error| self.refuse(error))?;
        let mut results = 0;
        // Ends with the last result, an error, or a signal.
        loop {
            if self.client.any_ready(Duration::ZERO)?.is_none() {
                if let Err(signal) = ending.wait_with(&mut self.client) {
                    self.client.cancel(id);
                    return Err(signal);
                }
                continue;
            }
            match self.client.next(id) {
                Ok(Some(result)) => self.write(results, &result)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.refuse(error)),
            }
            results += 1;
        }
    }

    fn write(&mut self, number: u64, result: &[u8]) -> Result<(), Failure> {
        let (service, call) = (self.asked.service.as_str(), self.calls - 1);
        let object = |content| ShownResult { service, call, result: number, content };
        written::write(&mut self.destination.output, self.form, result, object)?;
        self.destination.output.flush()
    }

    /// What became of a call that has failed: for scripts that read JSON, what is known of it as well.
    fn refuse(&mut self, error: CallError) -> Failure {
        self.failed = true;
        if self.form == Form::Json {
            let outcome = match error.outcome() {
                Outcome::NeverSent => "never-sent",
                Outcome::Answered => "answered",
                _ => "unknown",
            };
            let (service, call) = (self.asked.service.as_str(), self.calls - 1);
            let shown = ShownError { service, call, outcome, error: &error.to_string() };
            let output = &mut self.destination.output;
            let written = to_json_line(&shown).and_then(|line| output.line(&line));
            if let Err(failure) = written.and_then(|()| output.flush()) {
                return failure;
            }
        }
        error.into()
    }
}

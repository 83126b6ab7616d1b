//! `wharf call`: asks a service, and writes what it answers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use serde::Serialize;
use wharf::{CallError, Client, Outcome, Pattern};

use super::place::Place;
use crate::absent::{absent, is_there};
use crate::destination::Destination;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::output::Output;
use crate::pace::Pace;
use crate::peers::{self, FOR_EVER};
use crate::shell::command;
use crate::target::Target;
use crate::usage::complain;
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
    let mut destination = Destination::open(("--output", asked.output.as_deref()), asked.timeout, &mut ending)?;
    let form = destination.form(asked.input.lines, asked.json);
    let client = match reach(asked, &mut ending) {
        Ok(client) => client,
        Err(failure) => return Err(unreached(asked, form, &mut destination, failure)),
    };
    let mut desk = Desk {
        client,
        asked,
        key: asked.sticky.as_ref().map(|key| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            hasher.finish()
        }),
        form,
        destination,
        calls: 0,
        failed: false,
    };
    match desk.ask_all(request.as_deref(), lines.as_mut(), &mut ending) {
        Ok(()) => desk.destination.finish(),
        Err(failure) => Err(desk.destination.give_up(failure, desk.failed, "answer")),
    }
}

/// Of so many looks for an answer one is for whoever is to give it: some half a second.
const LOOKS_AT_BOARDS: u32 = 25;

/// Finds whoever serves it.
fn reach(asked: &CallArguments, ending: &mut Ending) -> Result<Client, Failure> {
    let place = Place::of(&asked.service, &asked.network, false, asked.timeout)?;
    let wait = asked.wait_for_peer.then(|| asked.timeout.unwrap_or(FOR_EVER));
    let mut client = place.client(wait, ending)?;
    if client.servers() > 0 || !asked.service.is_name() {
        return Ok(client);
    }
    let name = asked.service.as_str();
    let nobody = || {
        let served = command(&["wharf", "serve"], &Target::typed(name), " -- COMMAND");
        let otherwise = format!("{served} does, --wait-for-peer waits");
        Failure::Failed(absent("serves", Pattern::Service, name, &otherwise))
    };
    let whom = if is_there(Pattern::Service, name) {
        complain(&format!("still waiting: whoever serves '{name}' answers nobody, as if stopped"));
        format!("who serves '{name}' answered, as if stopped,")
    } else if asked.wait_for_peer {
        format!("serves '{name}'")
    } else {
        return Err(nobody());
    };
    let mut looks = 0_u32;
    let mut gone = false;
    // One that is stopped is waited for as it would be if it had the request: until it is gone.
    let there = || {
        looks = looks.wrapping_add(1);
        gone = !asked.wait_for_peer && looks.is_multiple_of(LOOKS_AT_BOARDS) && !is_there(Pattern::Service, name);
        client.servers() + usize::from(gone)
    };
    peers::wait_for(there, asked.timeout, &whom, ending)?;
    if gone && client.servers() == 0 {
        return Err(nobody());
    }
    Ok(client)
}

/// What became of the first call where nobody could be asked: it was never sent, for whatever reason but a command line that makes no
/// sense, or a signal.
fn unreached(asked: &CallArguments, form: Form, destination: &mut Destination, failure: Failure) -> Failure {
    let failure = match failure {
        Failure::Failed(why) | Failure::PeerGone(why) => Failure::NeverSent(format!("never sent: {why}")),
        late @ Failure::Timeout(_) => late,
        other => return other,
    };
    let told = (asked.service.as_str(), 0);
    tell_failed(told, Outcome::NeverSent, &failure.to_string(), form, &mut destination.output).err().unwrap_or(failure)
}

/// For scripts that read JSON: which call has failed, what is known of it, and why.
fn tell_failed(
    (service, call): (&str, u64),
    outcome: Outcome,
    error: &str,
    form: Form,
    output: &mut Output,
) -> Result<(), Failure> {
    if form != Form::Json {
        return Ok(());
    }
    let outcome = match outcome {
        Outcome::NeverSent => "never-sent",
        Outcome::Answered => "answered",
        _ => "unknown",
    };
    output.line(&to_json_line(&ShownError { service, call, outcome, error })?)?;
    output.flush()
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

    /// What became of a call that has failed.
    fn refuse(&mut self, error: CallError) -> Failure {
        self.failed = true;
        let told = (self.asked.service.as_str(), self.calls - 1);
        let output = &mut self.destination.output;
        tell_failed(told, error.outcome(), &error.to_string(), self.form, output).err().unwrap_or(error.into())
    }
}

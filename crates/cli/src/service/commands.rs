//! A command for each request: the request on its standard input, its standard output as the answer.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use wharf::Request;

use super::serve::{Answer, Work};
use crate::attend::{Voice, attend};
use crate::children::Children;
use crate::ending;
use crate::failure::Failure;
use crate::group::Group;

/// The most that one command may write: the most that one message can carry.
const LARGEST: usize = wharf::DEFAULT_MAX_MESSAGE_BYTES;

/// Of standard error, the end that is kept.
const LAST_WORDS: usize = 4096;

/// See the top of the file.
pub(super) struct Commands<'a> {
    command: &'a [OsString],
    /// Each with the request that it runs for.
    running: Children<Arc<Request>>,
}

impl<'a> Commands<'a> {
    pub(super) fn new(command: &'a [OsString]) -> Commands<'a> {
        Commands { command, running: Children::default() }
    }

    /// Whether a command that has ended so may have done it because all of this is to end. Then it is not known what it has done, and
    /// its failure is none of its own.
    fn is_stopped(&self, status: Option<ExitStatus>) -> bool {
        self.running.is_over() || ending::has_come_beside(status)
    }
}

impl Work for Commands<'_> {
    fn answer(&self, request: Request, told: &dyn Fn(Request, Answer)) -> Result<(), Failure> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::Usage("expected a command after --".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (group, pipes) = match Group::start(&mut command) {
            Ok(started) => started,
            Err(error) => {
                let why = format!("cannot run '{}': {error}", program.to_string_lossy());
                told(request, Answer::Failed(why.clone()));
                return Err(Failure::Failed(why));
            }
        };
        let (asked, end) = (Arc::new(request), group.end());
        let number = self.running.enter(group, Arc::clone(&asked));
        let (mut answer, mut last_words) = (Written::default(), LastWords::default());
        let attended = attend(pipes, end.as_fd(), &asked, &mut |voice, said| match voice {
            Voice::Output => answer.add(said),
            Voice::Complaint => last_words.add(said),
        });
        let (status, request) = self.running.leave(number);
        drop(asked);
        let Some(request) = request.and_then(Arc::into_inner) else { return Ok(()) };
        let answer = attended
            .map_err(|error| format!("cannot read what the command writes: {error}"))
            .and_then(|()| answer.end());
        let answer = match &status {
            Ok(status) if status.success() => answer.into(),
            _ if request.is_cancelled() => Answer::Unwanted { begun: true },
            _ if self.is_stopped(status.as_ref().ok().copied()) => Answer::Stopped { begun: true },
            _ => Answer::Failed(failure_of(status, &last_words.0)),
        };
        told(request, answer);
        Ok(())
    }

    fn look_after(&self) -> Result<(), Failure> {
        self.running.kill_where(|request| request.is_cancelled());
        Ok(())
    }

    fn end(&self, now: bool) {
        if now {
            self.running.kill_all();
        }
    }
}

/// What a command has written, of which no more is kept than can be an answer.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    too_much: bool,
}

impl Written {
    fn add(&mut self, more: &[u8]) {
        self.too_much |= self.bytes.len() + more.len() > LARGEST;
        if self.too_much {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(more);
        }
    }

    fn end(self) -> Result<Vec<u8>, String> {
        if self.too_much {
            return Err(format!("the command wrote more than {LARGEST} bytes, the limit of one message"));
        }
        Ok(self.bytes)
    }
}

/// The end of what is said.
#[derive(Default)]
struct LastWords(Vec<u8>);

impl LastWords {
    fn add(&mut self, more: &[u8]) {
        self.0.extend_from_slice(more);
        let over = self.0.len().saturating_sub(LAST_WORDS);
        self.0.drain(..over);
    }
}

/// Why a command that has ended so has failed.
fn failure_of(status: io::Result<ExitStatus>, last_words: &[u8]) -> String {
    match status {
        Err(error) => format!("cannot wait for the command: {error}"),
        Ok(status) => last_line(last_words).unwrap_or_else(|| format!("the command ended with {status}")),
    }
}

/// The last line in which there is something.
fn last_line(words: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(words);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_failure_is_told_in_the_last_words_of_the_command() {
        let ended = |status, words: &[u8]| failure_of(Ok(ExitStatus::from_raw(status)), words);
        assert_eq!(ended(256, b"one\n  two  \n\n"), "two");
        assert_eq!(ended(256, b"\n"), "the command ended with exit status: 1");
        assert!(ended(9, b"").contains("signal"));
    }

    #[test]
    fn the_end_of_much_is_kept() {
        let mut end = LastWords::default();
        for more in [&b"x".repeat(3 * LAST_WORDS)[..], b"\nla", b"st"] {
            end.add(more);
        }
        assert_eq!((end.0.len(), last_line(&end.0)), (LAST_WORDS, Some("last".into())));
    }
}

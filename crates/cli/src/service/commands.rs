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
                told(request, Err(why.clone()));
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
        told(request, answer_of(answer, status, &last_words.0));
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

fn answer_of(written: Result<Vec<u8>, String>, status: io::Result<ExitStatus>, last_words: &[u8]) -> Answer {
    let status = status.map_err(|error| format!("cannot wait for the command: {error}"))?;
    if status.success() {
        return written;
    }
    Err(last_line(last_words).unwrap_or_else(|| format!("the command ended with {status}")))
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
        let ended = |status, words: &[u8]| answer_of(Ok(b"x".to_vec()), Ok(ExitStatus::from_raw(status)), words);
        assert_eq!(ended(0, b"a warning\n"), Ok(b"x".to_vec()));
        assert_eq!(ended(256, b"one\n  two  \n\n"), Err("two".into()));
        assert_eq!(ended(256, b"\n"), Err("the command ended with exit status: 1".into()));
        assert!(ended(9, b"").is_err_and(|why| why.contains("signal")));
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

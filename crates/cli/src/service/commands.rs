//! A command for each request: the request on its standard input, its standard output as the answer.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use wharf::Request;

use super::serve::{Answer, Work};
use crate::children::Children;
use crate::failure::Failure;

/// The most that one command may write: the most that one message can carry.
const LARGEST: u64 = wharf::DEFAULT_MAX_MESSAGE_BYTES as u64;

/// Of standard error, the end that is kept.
const LAST_WORDS: usize = 4096;

/// See the top of the file.
pub(super) struct Commands<'a> {
    command: &'a [OsString],
    /// Each with the request that it runs for.
    running: Children<Request>,
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
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let why = format!("cannot run '{}': {error}", program.to_string_lossy());
                told(request, Err(why.clone()));
                return Err(Failure::Failed(why));
            }
        };
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let asked = request.bytes().to_vec();
        let number = self.running.enter(child, request);
        let (Some(input), Some(output), Some(complaint)) = pipes else { return Ok(()) };
        let (written, last_words) = thread::scope(|scope| {
            scope.spawn(move || {
                let mut input = input;
                // A command that does not read its input does without.
                let _ = input.write_all(&asked);
            });
            let last_words = scope.spawn(move || read_end(complaint));
            (read_answer(output), last_words.join().unwrap_or_default())
        });
        let (status, request) = self.running.leave(number);
        let Some(request) = request else { return Ok(()) };
        told(request, answer_of(written, status, &last_words));
        Ok(())
    }

    fn look_after(&self) -> Result<(), Failure> {
        self.running.kill_where(Request::is_cancelled);
        Ok(())
    }

    fn end(&self, now: bool) {
        if now {
            self.running.kill_all();
        }
    }
}

/// What a command has written, read to its end also where it is too much.
fn read_answer(mut output: impl Read) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let read = output.by_ref().take(LARGEST).read_to_end(&mut answer).map_err(|error| error.to_string());
    let more = io::copy(&mut output, &mut io::sink()).map_err(|error| error.to_string());
    match (read, more) {
        (Ok(_), Ok(0)) => Ok(answer),
        (Ok(_), Ok(_)) => Err(format!("the command wrote more than {LARGEST} bytes, the limit of one message")),
        (Err(why), _) | (_, Err(why)) => Err(format!("cannot read what the command writes: {why}")),
    }
}

/// The end of what is written there.
fn read_end(mut from: impl Read) -> Vec<u8> {
    let (mut end, mut piece) = (Vec::new(), [0; 4096]);
    // Ends with the pipe.
    loop {
        match from.read(&mut piece) {
            Ok(0) => return end,
            Ok(read) => {
                end.extend_from_slice(piece.get(..read).unwrap_or_default());
                let over = end.len().saturating_sub(LAST_WORDS);
                end.drain(..over);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return end,
        }
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
        let much = [b"x".repeat(3 * LAST_WORDS), b"\nlast".to_vec()].concat();
        let end = read_end(&much[..]);
        assert_eq!((end.len(), last_line(&end)), (LAST_WORDS, Some("last".into())));
    }
}

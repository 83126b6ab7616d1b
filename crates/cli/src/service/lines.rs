//! One command for all requests: each is a line on its standard input, and the next line that it writes is the answer.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wharf::Request;

use super::serve::{Answer, Work};
use crate::failure::Failure;

/// The longest line that is taken for an answer: the most that one message can carry.
const LARGEST: u64 = wharf::DEFAULT_MAX_MESSAGE_BYTES as u64;

/// How long a command whose input has ended may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// See the top of the file.
pub(super) struct Lines {
    name: String,
    child: Mutex<Child>,
    /// Readable once it has ended.
    end: OwnedFd,
    pipes: Mutex<Option<Pipes>>,
}

struct Pipes {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    /// Starts the command.
    pub(super) fn start(command: &[OsString]) -> Result<Lines, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::Usage("expected a command after --".to_owned()));
        };
        let name = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Failure::Failed(format!("cannot run '{name}': {error}")))?;
        let end = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH);
        let end = match end.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Ok(end) => end,
            Err(error) => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(Failure::Failed(format!("cannot watch '{name}': {error}")));
            }
        };
        let pipes = child.stdin.take().zip(child.stdout.take());
        let pipes = pipes.map(|(input, output)| Pipes { input, output: BufReader::new(output) });
        Ok(Lines { name, child: Mutex::new(child), end, pipes: Mutex::new(pipes) })
    }

    fn ended(&self) -> Failure {
        Failure::Failed(format!("'{}' has ended, and was to answer one line after the other", self.name))
    }
}

impl Pipes {
    /// The next line that the command writes; `None` at its end.
    fn exchange(&mut self, line: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        self.input.write_all(&[line, b"\n"].concat())?;
        self.input.flush()?;
        let mut answer = Vec::new();
        self.output.by_ref().take(LARGEST).read_until(b'\n', &mut answer)?;
        Ok(answer.strip_suffix(b"\n").map(<[u8]>::to_vec))
    }
}

impl Work for Lines {
    fn answer(&self, request: Request, told: &dyn Fn(Request, Answer)) -> Result<(), Failure> {
        // What a shell pipes in ends with a line end, which belongs to no line.
        let line = request.strip_suffix(b"\n").unwrap_or(&request).to_vec();
        if line.contains(&b'\n') {
            told(request, Err("expected a request of one line, found several: this server answers lines".to_owned()));
            return Ok(());
        }
        let answer = match &mut *lock(&self.pipes) {
            Some(pipes) => pipes.exchange(&line),
            None => Ok(None),
        };
        match answer {
            Ok(Some(answer)) => {
                told(request, Ok(answer));
                Ok(())
            }
            Ok(None) | Err(_) => {
                told(request, Err("the command that answers has ended".to_owned()));
                Err(self.ended())
            }
        }
    }

    fn look_after(&self) -> Result<(), Failure> {
        match lock(&self.child).try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.ended()),
        }
    }

    fn end_of_all(&self) -> Option<BorrowedFd<'_>> {
        Some(self.end.as_fd())
    }

    fn end(&self, now: bool) {
        if now {
            let _ = lock(&self.child).kill();
        }
        // The end of its input is its end.
        drop(lock(&self.pipes).take());
        let began = Instant::now();
        // Bounded by the farewell.
        while matches!(lock(&self.child).try_wait(), Ok(None)) {
            if began.elapsed() > FAREWELL {
                let _ = lock(&self.child).kill();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

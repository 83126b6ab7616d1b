//! One command for all requests: each is a line on its standard input, and the next line that it writes is the answer.
//!
//! What it writes belongs to whoever is being answered, and to nobody else: a command that has not answered when nobody waits any more,
//! or has written more than its answer, is killed and started anew, so that what it writes too late reaches nobody.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wharf::Request;
use wharf_sys::poll::Interest;

use super::serve::{Answer, Work};
use crate::attend::{is_passing, ready_of};
use crate::ending;
use crate::failure::Failure;
use crate::group::{Group, Pipes};
use crate::usage::complain;

/// The longest line that is taken for an answer: the most that one message can carry.
const LARGEST: usize = wharf::DEFAULT_MAX_MESSAGE_BYTES;

/// How long a command whose input has ended may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often it is looked whether somebody still waits for the answer.
const LOOK: Duration = Duration::from_millis(10);

/// See the top of the file.
pub(super) struct Lines {
    name: String,
    command: Vec<OsString>,
    /// Never held for as long as an answer takes.
    running: Mutex<Running>,
    /// Held by whoever answers.
    talk: Mutex<Option<Talk>>,
}

struct Running {
    group: Group,
    /// No other is started in its place.
    over: bool,
    /// It has ended by itself, before it was to.
    gave_out: bool,
}

/// Our side of the command's pipes.
struct Talk {
    input: ChildStdin,
    output: ChildStdout,
    end: Arc<OwnedFd>,
    /// What was written and belongs to no answer yet.
    heard: Vec<u8>,
}

/// Why there is no answer.
enum Silence {
    /// The command has ended.
    Ended,
    /// Nobody waits for it any more.
    Unwanted,
    /// The line is too long.
    TooLong,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    /// Starts the command.
    pub(super) fn start(command: &[OsString]) -> Result<Lines, Failure> {
        let (group, talk) = begin(command)?;
        let name = command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let (running, talk) = (Mutex::new(Running { group, over: false, gave_out: false }), Mutex::new(talk));
        Ok(Lines { name, command: command.to_vec(), running, talk })
    }

    /// Kills the command, and starts it anew.
    fn start_anew(&self, talk: &mut Option<Talk>, why: &str) -> Result<(), Failure> {
        let mut running = lock(&self.running);
        running.group.kill_and_wait();
        *talk = None;
        if !running.over {
            complain(&format!("started '{}' anew: {why}", self.name));
            (running.group, *talk) = begin(&self.command)?;
        }
        Ok(())
    }

    /// Whether the command, which has ended, may have done it because all of this is to end. Then it is not known what it has done.
    fn is_stopped(&self) -> bool {
        let mut running = lock(&self.running);
        let stopped = running.over && !running.gave_out;
        let status = running.group.try_wait().ok().flatten();
        drop(running);
        stopped || ending::has_come_beside(status)
    }

    fn ended(&self) -> Failure {
        Failure::Failed(format!("'{}' has ended, and was to answer one line after the other", self.name))
    }
}

fn begin(command: &[OsString]) -> Result<(Group, Option<Talk>), Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Usage("expected a command after --".to_owned()));
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let (group, Pipes { input, output, .. }) = Group::start(&mut command)
        .map_err(|error| Failure::Failed(format!("cannot run '{}': {error}", program.to_string_lossy())))?;
    let end = group.end();
    let talk = input.zip(output).map(|(input, output)| Talk { input, output, end, heard: Vec::new() });
    Ok((group, talk))
}

impl Talk {
    /// Whether more was written than the last answer.
    fn has_surplus(&mut self) -> bool {
        // One byte is enough; what it belongs to is thrown away with it.
        !self.heard.is_empty() || matches!(self.output.read(&mut [0]), Ok(1))
    }

    /// The next line that the command writes, for as long as it is wanted.
    fn exchange(&mut self, request: &[u8], wanted: &dyn Fn() -> bool) -> io::Result<Result<Vec<u8>, Silence>> {
        let line = [request, b"\n"].concat();
        let (mut rest, mut looked) = (line.as_slice(), 0);
        let mut piece = vec![0; 64 << 10];
        // Ends with the answer, the command, or the caller's patience.
        loop {
            if rest.is_empty() {
                if let Some(at) = self.heard.iter().skip(looked).position(|byte| *byte == b'\n') {
                    let behind = self.heard.split_off(looked + at + 1);
                    self.heard.pop();
                    return Ok(Ok(std::mem::replace(&mut self.heard, behind)));
                }
                looked = self.heard.len();
            }
            if self.heard.len() > LARGEST {
                return Ok(Err(Silence::TooLong));
            }
            if !wanted() {
                return Ok(Err(Silence::Unwanted));
            }
            let input = Some((self.input.as_fd(), Interest::WRITE)).filter(|_| !rest.is_empty());
            let output = Some((self.output.as_fd(), Interest::READ));
            let end = Some((self.end.as_fd(), Interest::READ));
            let [takes, speaks, ended] = ready_of([input, output, end], Some(LOOK))?;
            if takes {
                match self.input.write(rest) {
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(error) if is_passing(&error) => {}
                    // It reads no more, and may yet have answered.
                    Err(_) => rest = &[],
                }
            }
            if speaks || ended {
                match self.output.read(&mut piece) {
                    Ok(0) => return Ok(Err(Silence::Ended)),
                    Ok(read) => self.heard.extend_from_slice(piece.get(..read).unwrap_or_default()),
                    // After the end nothing comes any more.
                    Err(error) if is_passing(&error) && !ended => {}
                    Err(error) if is_passing(&error) => return Ok(Err(Silence::Ended)),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

impl Work for Lines {
    fn answer(&self, request: Request, told: &dyn Fn(Request, Answer)) -> Result<(), Failure> {
        // What a shell pipes in ends with a line end, which belongs to no line.
        let line = request.strip_suffix(b"\n").unwrap_or(&request);
        if line.contains(&b'\n') {
            let why = "expected a request of one line, found several: this server answers lines";
            told(request, Answer::Failed(why.to_owned()));
            return Ok(());
        }
        let mut talk = lock(&self.talk);
        if talk.as_mut().is_some_and(Talk::has_surplus)
            && let Err(failure) = self.start_anew(&mut talk, "it had written more than one line for a request")
        {
            told(request, Answer::Failed(failure.to_string()));
            return Err(failure);
        }
        let answer = match &mut *talk {
            Some(talk) => talk.exchange(line, &|| !request.is_cancelled()).unwrap_or(Err(Silence::Ended)),
            None => Err(Silence::Ended),
        };
        match answer {
            Ok(answer) => {
                told(request, Answer::Reply(answer));
                Ok(())
            }
            Err(Silence::Ended) if self.is_stopped() => {
                told(request, Answer::Stopped { begun: true });
                Ok(())
            }
            Err(Silence::Ended) => {
                told(request, Answer::Failed("the command that answers has ended".to_owned()));
                Err(self.ended())
            }
            Err(Silence::Unwanted) => {
                told(request, Answer::Unwanted { begun: true });
                self.start_anew(&mut talk, "it had not answered when nobody waited any more")
            }
            Err(Silence::TooLong) => {
                let why = format!("the command wrote a line of more than {LARGEST} bytes, the limit of one message");
                told(request, Answer::Failed(why));
                self.start_anew(&mut talk, "it wrote a line that is too long")
            }
        }
    }

    fn look_after(&self) -> Result<(), Failure> {
        let mut running = lock(&self.running);
        let status = match running.group.try_wait() {
            Ok(None) => return Ok(()),
            ended => ended.ok().flatten(),
        };
        running.gave_out = true;
        drop(running);
        // By the same that is to end us, perhaps.
        let _ = ending::has_come_beside(status);
        Err(self.ended())
    }

    fn end_of_all(&self) -> Option<Arc<OwnedFd>> {
        Some(lock(&self.running).group.end())
    }

    fn end(&self, now: bool) {
        if now {
            let mut running = lock(&self.running);
            running.over = true;
            running.group.kill();
        }
        // The end of its input is its end. When all is to end now, whoever answers sees the command's end, and lets go of this.
        drop(lock(&self.talk).take());
        let began = Instant::now();
        // Bounded by the farewell.
        while matches!(lock(&self.running).group.try_wait(), Ok(None)) {
            if began.elapsed() > FAREWELL {
                lock(&self.running).group.kill();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

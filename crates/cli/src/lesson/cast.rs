//! Another process that plays a part in a row: it is told lines and answers lines.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::ground::Ground;
use crate::compare::trouble::Trouble;
use crate::compare::watchdog::Watchdog;

/// A player, seen from whoever directs it. It ends with its director, and with the time of the row.
pub(crate) struct Player {
    child: Arc<Mutex<Child>>,
    id: u32,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    /// Kills it when the time is over, so that nobody waits for it any more.
    watchdog: Option<Watchdog>,
}

impl Player {
    /// Starts one.
    pub(crate) fn start(ground: &Ground) -> Result<Player, Trouble> {
        Player::of(Command::new("/proc/self/exe"), ground.place.path(), ground.deadline())
    }

    /// Starts one by a program that does something to it first, and says nothing of what it meets with.
    pub(crate) fn start_behind(before: &[&str], place: &Path, deadline: Instant) -> Result<Player, Trouble> {
        let [program, arguments @ ..] = before else { return Err(Trouble::wrong("no program stands before it")) };
        let mut command = Command::new(program);
        // By its own path: the program before it has another one at /proc/self/exe.
        command.args(arguments).arg(std::env::current_exe()?).stderr(Stdio::null());
        Player::of(command, place, deadline)
    }

    fn of(mut command: Command, place: &Path, deadline: Instant) -> Result<Player, Trouble> {
        command.arg("__lesson-player").arg("--place").arg(place);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Trouble::lacking(format!("cannot start another process: {error}")))?;
        let (orders, output, id) = (child.stdin.take(), child.stdout.take(), child.id());
        let child = Arc::new(Mutex::new(child));
        let watched = Arc::clone(&child);
        let watchdog = Watchdog::start(deadline.saturating_duration_since(Instant::now()), move || {
            // One that has ended already needs no killing.
            let _ended = watched.lock().unwrap_or_else(PoisonError::into_inner).kill();
        })?;
        let (heard, answers) = mpsc::channel();
        // Ends with the player, which closes its output.
        std::thread::Builder::new().name("answers".into()).spawn(move || {
            let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            for line in lines.map_while(Result::ok) {
                if heard.send(line).is_err() {
                    break;
                }
            }
        })?;
        Ok(Player { child, id, orders, answers, watchdog: Some(watchdog) })
    }

    /// Several.
    pub(crate) fn several(ground: &Ground, count: usize) -> Result<Vec<Player>, Trouble> {
        (0..count).map(|_| Player::start(ground)).collect()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Tells it what to do.
    pub(crate) fn tell(&mut self, order: &str) -> Result<(), Trouble> {
        let gone = || Trouble::wrong("a player takes no more orders");
        writeln!(self.orders.as_mut().ok_or_else(gone)?, "{order}").map_err(|_| gone())
    }

    /// Waits for its answer to an order; one that it could not carry out is an error.
    pub(crate) fn hear(&mut self) -> Result<String, Trouble> {
        // The watchdog ends the wait at the latest.
        let answer = self.answers.recv().map_err(|_| Trouble::wrong("another process has ended"))?;
        match answer.strip_prefix("failed ") {
            Some(why) => Err(Trouble::wrong(format!("another process: {why}"))),
            None => Ok(answer),
        }
    }

    /// Both.
    pub(crate) fn ask(&mut self, order: &str) -> Result<String, Trouble> {
        self.tell(order)?;
        self.hear()
    }
}

/// The numbers of an answer.
pub(crate) fn numbers(answer: &str) -> Result<Vec<u64>, Trouble> {
    let each = answer.split_whitespace().map(str::parse);
    each.collect::<Result<_, _>>().map_err(|_| Trouble::wrong(format!("expected numbers, heard '{answer}'")))
}

impl Drop for Player {
    fn drop(&mut self) {
        // Without orders it ends by itself, unless it is stuck.
        self.orders = None;
        self.watchdog = None;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ended = child.kill().and_then(|()| child.wait());
    }
}

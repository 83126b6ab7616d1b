//! The near side's hold on the far side: starts it, gives orders, hears answers, ends it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::compare::order::{Answer, Order};
use crate::compare::peer;
use crate::compare::place::Place;
use crate::compare::take::{FarSide, unexpected};
use crate::compare::trouble::Trouble;
use crate::compare::watchdog::Watchdog;
use crate::compare::way::Way;

/// How long an order may take beyond the time that it measures.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a far side may take to end once it has no more orders.
const FAREWELL: Duration = Duration::from_secs(1);

/// The far side, seen from the near side.
pub(crate) struct Host {
    orders: Option<Orders>,
    answers: Receiver<Answer>,
    body: Body,
    watchdog: Option<Watchdog>,
    limit: Duration,
    /// The far side's process.
    pub(crate) pid: u32,
    /// The thread that waits for messages.
    pub(crate) tid: u32,
}

enum Orders {
    Pipe(ChildStdin),
    Channel(Sender<Order>),
}

enum Body {
    Process(Arc<Mutex<Child>>),
    Thread(Option<JoinHandle<()>>),
}

impl Host {
    /// Starts the far side of `way` on a CPU of its own; after `limit` it is killed, whatever it does.
    pub(crate) fn start(way: Way, place: &Place, on: Option<usize>, limit: Duration) -> Result<Host, Trouble> {
        let mut host = if way.joins_threads() {
            Host::start_thread(way, place, on, limit)?
        } else {
            Host::start_process(way, place, on, limit)?
        };
        match host.hear()? {
            Answer::Here { pid, tid } => (host.pid, host.tid) = (pid, tid),
            other => return Err(unexpected(&other)),
        }
        Ok(host)
    }

    fn start_process(way: Way, place: &Place, on: Option<usize>, limit: Duration) -> Result<Host, Trouble> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("__other-side").arg("--place").arg(place.path()).args(["--way", way.key()]);
        if let Some(on) = on {
            command.args(["--cpu", &on.to_string()]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Trouble::lacking(format!("cannot start a second process: {error}")))?;
        let (orders, output) = (child.stdin.take(), child.stdout.take());
        let child = Arc::new(Mutex::new(child));
        let watched = Arc::clone(&child);
        let watchdog = Watchdog::start(limit, move || kill(&watched))?;
        let (heard, answers) = mpsc::channel();
        // Ends with the far side, which closes its output.
        std::thread::Builder::new().name("answers".into()).spawn(move || {
            let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            for line in lines.map_while(Result::ok) {
                let answer = serde_json::from_str(&line).unwrap_or_else(|error| Answer::Failed {
                    why: format!("the far side said something else than an answer: {error}"),
                    lacking: false,
                });
                if heard.send(answer).is_err() {
                    break;
                }
            }
        })?;
        Ok(Host {
            orders: orders.map(Orders::Pipe),
            answers,
            body: Body::Process(child),
            watchdog: Some(watchdog),
            limit,
            pid: 0,
            tid: 0,
        })
    }

    fn start_thread(way: Way, place: &Place, on: Option<usize>, limit: Duration) -> Result<Host, Trouble> {
        let (orders, to_obey) = mpsc::channel();
        let (heard, answers) = mpsc::channel();
        let ground = place.ground().shared.clone();
        let thread = std::thread::Builder::new().name("far side".into()).spawn(move || {
            if let Err(trouble) = peer::stay_on(on) {
                // Nobody hears it when the near side has gone already.
                let _heard = heard.send(Answer::Failed { why: trouble.why, lacking: trouble.lacking });
                return;
            }
            peer::serve(way, &ground, || to_obey.recv().ok(), |it| heard.send(it).is_ok());
        })?;
        let leavings = place.leavings();
        // A thread cannot be killed: the whole command gives up, and still leaves nothing behind.
        let watchdog = Watchdog::start(limit, move || {
            leavings.remove();
            crate::usage::complain("compare: two threads of one process did not end in time");
            std::process::exit(1);
        })?;
        Ok(Host {
            orders: Some(Orders::Channel(orders)),
            answers,
            body: Body::Thread(Some(thread)),
            watchdog: Some(watchdog),
            limit,
            pid: 0,
            tid: 0,
        })
    }

    /// What a trouble comes from: a far side that was given up explains whatever the near side met with then.
    pub(crate) fn explain(&self, trouble: Trouble) -> Trouble {
        match &self.watchdog {
            Some(watchdog) if watchdog.has_acted() => {
                Trouble::wrong(format!("given up after {:?}: the machine is too busy, or a side is stuck", self.limit))
            }
            _ => trouble,
        }
    }
}

impl FarSide for Host {
    fn tell(&mut self, order: Order) -> Result<(), Trouble> {
        let told = match &mut self.orders {
            Some(Orders::Pipe(pipe)) => {
                serde_json::to_string(&order).map_err(std::io::Error::other).and_then(|line| writeln!(pipe, "{line}"))
            }
            Some(Orders::Channel(channel)) => {
                channel.send(order).map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
            }
            None => Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
        };
        told.map_err(|error| Trouble::wrong(format!("the far side takes no more orders: {error}")))
    }

    fn hear(&mut self) -> Result<Answer, Trouble> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(Answer::Failed { why, lacking }) => Err(Trouble { why, lacking }.of("the far side")),
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                Err(Trouble::wrong(format!("the far side did not answer within {PATIENCE:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Trouble::wrong("the far side has ended")),
        }
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // A process that has ended already needs no killing.
    let _ended = child.kill();
}

impl Drop for Host {
    fn drop(&mut self) {
        // Without orders the far side ends by itself.
        self.orders = None;
        match &mut self.body {
            Body::Process(child) => {
                let deadline = Instant::now() + FAREWELL;
                // The deadline ends the loop.
                loop {
                    let ended = child
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .try_wait()
                        .map_or(true, |status| status.is_some());
                    if ended {
                        break;
                    }
                    if Instant::now() >= deadline {
                        kill(child);
                        let _status = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Body::Thread(thread) => {
                if let Some(thread) = thread.take() {
                    // It ends for want of orders, or the watchdog ends everything.
                    let _panicked = thread.join();
                }
            }
        }
        self.watchdog = None;
    }
}

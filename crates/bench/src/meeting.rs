//! How the two parties of a contender are started, meet, and are told what to do.
//!
//! The measuring side is the bench itself. Its peer is a thread, or the same program started again
//! with the hidden words `--peer NAME DIRECTORY CPU`. Orders go over a socket pair, one line each, so
//! that an idle peer sleeps in a `read` and disturbs no floor probe.

use crate::contender::{Contender, Home, failed};
use crate::workload;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wharf_measure::{Summary, Throughput};
use wharf_sys::{cpu, signal};

/// A contender of any type, as the tables and the command line see it.
pub trait AnyContender: Send + Sync {
    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;
    /// Where its two ends live.
    fn home(&self) -> Home;
    /// Starts the peer on CPU `theirs` in the directory `at`, which exists and is private to this match.
    fn start(self: Arc<Self>, at: PathBuf, theirs: usize) -> io::Result<Box<dyn Match>>;
    /// What the peer does: connects from CPU `own`, then follows orders until there are no more.
    fn serve(&self, at: &Path, own: usize, orders: UnixStream) -> io::Result<()>;
}

/// Two parties that have met, from the measuring side.
pub trait Match {
    /// Sends messages of many lengths and contents and compares what comes back.
    fn check(&mut self) -> io::Result<()>;
    /// One-way latency, with the two sides confined to `cpus`.
    fn latency(&mut self, size: usize, limit: Duration, cpus: (usize, usize)) -> io::Result<Summary>;
    /// Throughput in one direction, with the two sides confined to `cpus`.
    fn stream(&mut self, size: usize, limit: Duration, cpus: (usize, usize)) -> io::Result<Throughput>;
    /// Nanoseconds that the sender spends on a message, with the two sides confined to `cpus`.
    fn sending(&mut self, size: usize, limit: Duration, cpus: (usize, usize)) -> io::Result<f64>;
    /// Nanoseconds for each of `count` further connections, made and dropped one after another.
    fn connections(&mut self, count: u32, cpus: (usize, usize)) -> io::Result<Vec<f64>>;
}

impl<C: Contender> AnyContender for C {
    fn name(&self) -> &'static str {
        Contender::name(self)
    }

    fn home(&self) -> Home {
        Contender::home(self)
    }

    fn start(self: Arc<Self>, at: PathBuf, cpu: usize) -> io::Result<Box<dyn Match>> {
        let mut door = self.listen(&at)?;
        let (ours, theirs) = UnixStream::pair()?;
        let peer = match Contender::home(&*self) {
            Home::Threads => {
                let (contender, at) = (Arc::clone(&self), at.clone());
                Peer::Thread(Some(std::thread::spawn(move || contender.serve(&at, cpu, theirs))))
            }
            Home::Processes => Peer::Process(
                Command::new(std::env::current_exe()?)
                    .args(["--peer", Contender::name(&*self)])
                    .arg(&at)
                    .arg(cpu.to_string())
                    .stdin(Stdio::from(OwnedFd::from(theirs)))
                    .spawn()?,
            ),
        };
        let end = self.accept(&mut door)?;
        let mut orders = Orders { lines: BufReader::new(ours) };
        // Asleep until the peer runs: it starts on this CPU, where spinning would only keep it waiting.
        orders.reply()?;
        Ok(Box::new(Met { contender: self, at, end, _door: door, orders, _peer: peer }))
    }

    fn serve(&self, at: &Path, own: usize, orders: UnixStream) -> io::Result<()> {
        cpu::pin_this_thread(own)?;
        let mut end = self.connect(at)?;
        let mut lines = BufReader::new(orders);
        lines.get_mut().write_all(b"ok met\n")?;
        let mut line = String::new();
        // The end of the orders ends the loop.
        while lines.read_line(&mut line)? > 0 {
            // A peer that failed in the middle of a workload ends: its end of the link with it, which is the
            // only thing that a spinning measuring side may notice.
            let reply = follow(self, at, &mut end, lines.get_mut(), line.trim())?;
            lines.get_mut().write_all(format!("ok {reply}\n").as_bytes())?;
            line.clear();
        }
        Ok(())
    }
}

/// The peer's side of one order.
fn follow<C: Contender>(
    contender: &C,
    at: &Path,
    end: &mut C::End,
    tell: &mut UnixStream,
    order: &str,
) -> io::Result<String> {
    let mut words = order.split(' ');
    let verb = words.next().unwrap_or("");
    let mut number = || -> io::Result<usize> {
        let word = words.next().unwrap_or("");
        word.parse().map_err(|_| failed(format!("expected a number in '{order}'")))
    };
    match verb {
        "check" => workload::echo_any(end, contender.only_len())?,
        "cpu" => cpu::pin_this_thread(number()?)?,
        "echo" => workload::echo(end, number()?)?,
        "swallow" => workload::swallow(end, number()?)?,
        "take" => {
            let taken = workload::take(end, number()?)?;
            return Ok(format!("{} {} {}", taken.messages, taken.bytes, taken.elapsed.as_nanos()));
        }
        "welcome" => {
            let count = number()?;
            let mut door = contender.listen(&welcome_directory(at))?;
            tell.write_all(b"ok open\n")?;
            for _ in 0..count {
                drop(contender.accept(&mut door)?);
                tell.write_all(b"ok dropped\n")?;
            }
        }
        _ => return Err(failed(format!("unknown order '{order}'"))),
    }
    Ok(String::new())
}

fn welcome_directory(at: &Path) -> PathBuf {
    at.join("again")
}

struct Orders {
    lines: BufReader<UnixStream>,
}

impl Orders {
    fn give(&mut self, order: &str) -> io::Result<()> {
        self.lines.get_mut().write_all(format!("{order}\n").as_bytes())
    }

    fn reply(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(failed("the peer ended; its own message says why"));
        }
        match line.trim_end().strip_prefix("ok") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => Err(failed(format!("the peer says: {line}"))),
        }
    }
}

enum Peer {
    Thread(Option<JoinHandle<io::Result<()>>>),
    Process(Child),
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The orders ended just before this (the order of `Met`'s fields), so both come to an end.
        match self {
            Peer::Thread(thread) => {
                if let Some(Ok(Err(error))) = thread.take().map(JoinHandle::join) {
                    eprintln!("a peer thread ended with: {error}");
                }
            }
            Peer::Process(child) => {
                if let Err(error) = child.wait() {
                    eprintln!("a peer process could not be waited for: {error}");
                }
            }
        }
    }
}

struct Met<C: Contender> {
    contender: Arc<C>,
    at: PathBuf,
    end: C::End,
    _door: C::Door,
    orders: Orders,
    _peer: Peer,
}

impl<C: Contender> Met<C> {
    /// Runs `ours` on the first CPU while the peer follows `order` on the second.
    fn together<T>(
        &mut self,
        order: &str,
        cpus: (usize, usize),
        ours: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<(T, String)> {
        self.orders.give(&format!("cpu {}", cpus.1))?;
        self.orders.reply()?;
        cpu::pin_this_thread(cpus.0)?;
        self.orders.give(order)?;
        let mine = ours(self)?;
        Ok((mine, self.orders.reply()?))
    }
}

impl<C: Contender> Match for Met<C> {
    fn check(&mut self) -> io::Result<()> {
        self.orders.give("check")?;
        workload::check(&mut self.end, self.contender.only_len())?;
        self.orders.reply()?;
        Ok(())
    }

    fn latency(&mut self, size: usize, limit: Duration, cpus: (usize, usize)) -> io::Result<Summary> {
        let size = self.contender.only_len().unwrap_or(size);
        let order = format!("echo {size}");
        let (summary, _) = self.together(&order, cpus, |met| workload::latency(&mut met.end, size, limit))?;
        Ok(summary)
    }

    fn stream(&mut self, size: usize, limit: Duration, cpus: (usize, usize)) -> io::Result<Throughput> {
        let size = self.contender.only_len().unwrap_or(size);
        let order = format!("take {size}");
        let (sent, reply) = self.together(&order, cpus, |met| workload::stream(&mut met.end, size, limit))?;
        let mut numbers = reply.split(' ').map(str::parse::<u64>);
        let mut number = || match numbers.next() {
            Some(Ok(number)) => Ok(number),
            _ => Err(failed(format!("expected three numbers from the peer, found '{reply}'"))),
        };
        let taken = Throughput { messages: number()?, bytes: number()?, elapsed: Duration::from_nanos(number()?) };
        // The first message starts the receiver's clock and is not counted.
        if taken.messages + 1 != sent {
            return Err(failed(format!("sent {sent} messages, the peer took {}", taken.messages + 1)));
        }
        Ok(taken)
    }

    fn sending(&mut self, size: usize, limit: Duration, cpus: (usize, usize)) -> io::Result<f64> {
        let size = self.contender.only_len().unwrap_or(size);
        let order = format!("swallow {size}");
        let (cost_ns, _) = self.together(&order, cpus, |met| workload::sending(&mut met.end, size, limit))?;
        Ok(cost_ns)
    }

    fn connections(&mut self, count: u32, cpus: (usize, usize)) -> io::Result<Vec<f64>> {
        let again = welcome_directory(&self.at);
        if !again.exists() {
            std::fs::create_dir(&again)?;
        }
        let (times, _) = self.together(&format!("welcome {count}"), cpus, |met| {
            met.orders.reply()?;
            (0..count)
                .map(|_| {
                    let start = Instant::now();
                    let end = met.contender.connect(&again)?;
                    let took = start.elapsed();
                    drop(end);
                    // Taking a connection down is not part of making the next one.
                    met.orders.reply()?;
                    Ok(took.as_nanos() as f64)
                })
                .collect::<io::Result<Vec<f64>>>()
        })?;
        Ok(times)
    }
}

/// The peer process: serves `contender` from CPU `own`, with orders from its standard input.
pub fn be_peer(contender: &dyn AnyContender, at: &Path, own: usize) -> io::Result<()> {
    // No spinning peer is left behind.
    signal::die_with_parent()?;
    let orders = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    contender.serve(at, own, orders)
}

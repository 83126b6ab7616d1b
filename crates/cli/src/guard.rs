//! Looks after the groups of the commands that run, which neither a signal of the terminal nor our own end reaches by itself.
//!
//! A process of its own, the guard, is told of each group, and kills those that are left when we are gone, however we went.
//! Ctrl-Z stops the groups before it stops us, and they go on when we do.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::SIGTSTP;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::Failure;
use crate::usage::complain;

/// How the guard is asked for on its command line.
pub(crate) const VERB: &str = "__command-guard";

/// The groups of this process.
static GROUPS: Mutex<Groups> = Mutex::new(Groups { there: BTreeSet::new(), guard: None, began: false });

struct Groups {
    there: BTreeSet<i32>,
    /// Its end is our end to the guard; `None` where there is no guard.
    guard: Option<ChildStdin>,
    began: bool,
}

fn groups() -> MutexGuard<'static, Groups> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks after this group.
pub(crate) fn enter(group: Pid) {
    let mut groups = groups();
    groups.begin();
    let group = group.as_raw_nonzero().get();
    groups.there.insert(group);
    groups.tell(&format!("+{group}\n"));
}

/// Looks after it no more. To be said before its first process is waited for: until then no other group has its number.
pub(crate) fn leave(group: Pid) {
    let mut groups = groups();
    let group = group.as_raw_nonzero().get();
    if groups.there.remove(&group) {
        groups.tell(&format!("-{group}\n"));
    }
}

impl Groups {
    fn begin(&mut self) {
        if self.began {
            return;
        }
        self.began = true;
        let began = start_guard().map(|guard| self.guard = Some(guard)).and_then(|()| hear_ctrl_z());
        if let Err(error) = began {
            complain(&format!("cannot look after the commands: {error}: they may run on when this ends"));
        }
    }

    fn tell(&mut self, line: &str) {
        // One that somebody has killed is done without.
        self.guard.take_if(|guard| guard.write_all(line.as_bytes()).is_err());
    }

    fn signal(&self, signal: Signal) {
        for group in self.there.iter().filter_map(|group| Pid::from_raw(*group)) {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

fn start_guard() -> io::Result<ChildStdin> {
    // Also where the file has been replaced meanwhile. What is sent to our group is not for the guard.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("wharf").arg(VERB).process_group(0).current_dir("/");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    child.stdin.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}

fn hear_ctrl_z() -> io::Result<()> {
    let mut signals = Signals::new([SIGTSTP])?;
    thread::Builder::new().name("ctrl-z".to_owned()).spawn(move || {
        for signal in signals.forever() {
            groups().signal(Signal::STOP);
            // Returns when we go on; where it fails, they go on, too.
            let _ = emulate_default_handler(signal);
            groups().signal(Signal::CONT);
        }
    })?;
    Ok(())
}

/// Runs the guard: until its input ends, which it does with whoever started it.
pub(crate) fn run() -> Result<(), Failure> {
    let mut there = BTreeSet::new();
    // What cannot be read is the end as well.
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", group)) => there.extend(group.parse::<i32>().ok()),
            Some(("-", group)) => there.retain(|it| group.parse() != Ok(*it)),
            _ => break,
        }
    }
    // Nothing below is the group of a command: 1 would mean everybody.
    for group in there.into_iter().filter(|group| *group > 1).filter_map(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    Ok(())
}

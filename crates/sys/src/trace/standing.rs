//! Processes of a test as it needs them: stopped for certain, and ended by signals though the test itself ignores these.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::signal::ENDING;

/// Whether every thread of a process is stopped. One of them is told of a stop signal, and only when that one runs do the others stop.
pub fn is_stopped(pid: u32) -> io::Result<bool> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
    // One that has ended meanwhile does nothing either.
    let stands = |stat: String| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'));
    Ok(threads.flatten().all(|thread| fs::read_to_string(thread.path().join("stat")).map_or(true, stands)))
}

/// The program that this command starts is ended by SIGINT, SIGTERM and SIGHUP, as one that a shell runs in front: also where this
/// process was started with orders to ignore them.
pub fn heed_signals(command: &mut Command) -> &mut Command {
    let heed = || {
        for signal in ENDING {
            // SAFETY: no handler is installed: the default does what the kernel does. The call may be made between fork and exec
            // (signal-safety(7)).
            if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes three system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(heed) }
}

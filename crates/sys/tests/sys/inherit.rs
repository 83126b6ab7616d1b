//! A socket handed to a program that is started: it gets that one, once, and its own children do not.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use wharf_sys::inherit::{self, Handed};
use wharf_sys::socket::{self, Kind};

use crate::forked::alone;

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn the_program_gets_it_and_nobody_else_does() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let link = fs::read_link(format!("/proc/self/fd/{}", far.as_raw_fd()))?;
    let list = |command: &mut Command| -> io::Result<String> {
        let output = command.args(["-c", "ls -l /proc/self/fd"]).stdin(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut command = Command::new("/bin/sh");
    let handed = inherit::hand(&mut command, far)?;
    assert!(handed.number > 2);
    let link = link.to_string_lossy();
    assert!(list(&mut command)?.contains(&format!("{} -> {link}", handed.number)));
    assert!(!list(&mut Command::new("/bin/sh"))?.contains(&*link), "another program");
    drop(command);
    assert_eq!(socket::recv(&near, &mut [0; 1])?.len, 0, "nobody holds the other end any more");
    Ok(())
}

#[test]
fn it_is_taken_once_and_only_if_it_is_the_one() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let mut command = Command::new("/bin/true");
    let handed = inherit::hand(&mut command, far)?;
    let others = [
        Handed { cookie: handed.cookie ^ 1, ..handed },
        Handed { number: near.as_raw_fd(), ..handed },
        Handed { number: 0, ..handed },
        Handed { number: -1, ..handed },
        Handed { number: i32::MAX, ..handed },
    ];
    for other in others {
        assert_eq!(kind(inherit::take(other)), Some(io::ErrorKind::NotFound), "{other:?}");
    }
    // This process plays the program as well: a copy of the socket at another number is the socket.
    let copy = near.try_clone()?;
    let cookie = rustix::net::sockopt::socket_cookie(&copy)?;
    let mine = Handed { number: std::os::fd::IntoRawFd::into_raw_fd(copy), cookie };
    let taken = inherit::take(mine)?;
    assert_eq!(kind(inherit::take(mine)), Some(io::ErrorKind::AlreadyExists));
    assert!(rustix::io::fcntl_getfd(&taken)?.contains(rustix::io::FdFlags::CLOEXEC));
    drop(taken);
    assert_eq!(kind(inherit::take(mine)), Some(io::ErrorKind::AlreadyExists));
    Ok(())
}

#[test]
fn a_process_with_threads_keeps_its_environment() {
    // The harness runs each test in a thread of its own, beside its first one.
    assert!(!inherit::forget_variable("WHARF_NO_SUCH_VARIABLE"));
}

//! Sockets and ends of pipes handed to a program that is started: it gets those, once, and its own children do not.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::{Command, Stdio};

use wharf_sys::inherit::{self, Handed, Mark};
use wharf_sys::pipe;
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
    let Mark::Socket(cookie) = handed.mark else { panic!("{handed:?}") };
    let others = [
        Handed { mark: Mark::Socket(cookie ^ 1), ..handed },
        Handed { mark: Mark::Pipe { device: 0, inode: cookie }, ..handed },
        Handed { number: near.as_raw_fd(), ..handed },
        Handed { number: 0, ..handed },
        Handed { number: -1, ..handed },
        Handed { number: i32::MAX, ..handed },
    ];
    for other in others {
        assert_eq!(kind(inherit::take([other])), Some(io::ErrorKind::NotFound), "{other:?}");
    }
    // This process plays the program as well: a copy of the socket at another number is the socket.
    let copy = near.try_clone()?;
    let cookie = rustix::net::sockopt::socket_cookie(&copy)?;
    let mine = Handed { number: copy.into_raw_fd(), mark: Mark::Socket(cookie) };
    let [taken] = inherit::take([mine])?;
    assert_eq!(kind(inherit::take([mine])), Some(io::ErrorKind::AlreadyExists));
    assert!(rustix::io::fcntl_getfd(&taken)?.contains(rustix::io::FdFlags::CLOEXEC));
    drop(taken);
    assert_eq!(kind(inherit::take([mine])), Some(io::ErrorKind::AlreadyExists));
    Ok(())
}

#[test]
fn two_pipes_are_taken_together_or_not_at_all() -> io::Result<()> {
    let _alone = alone();
    let ((down_read, down_write), (up_read, up_write)) = (pipe::pair()?, pipe::pair()?);
    let mut command = Command::new("/bin/true");
    // This process plays the program as well: a copy of an end at another number is the end.
    let copies = [down_read.try_clone()?.into_raw_fd(), up_write.try_clone()?.into_raw_fd()];
    let handed = [inherit::hand(&mut command, down_read)?, inherit::hand(&mut command, up_write)?];
    let [down, up] = handed;
    assert!(matches!((down.mark, up.mark), (Mark::Pipe { .. }, Mark::Pipe { .. })) && down.mark != up.mark);
    let mine = [Handed { number: copies[0], ..down }, Handed { number: copies[1], ..up }];
    let crossed = [Handed { number: mine[1].number, ..down }, mine[1]];
    let gone = [mine[0], Handed { number: i32::MAX, ..up }];
    for others in [crossed, gone] {
        assert_eq!(kind(inherit::take(others)), Some(io::ErrorKind::NotFound), "{others:?}");
    }
    // One that is named twice has one owner all the same.
    assert_eq!(kind(inherit::take([mine[0], mine[0]])), Some(io::ErrorKind::AlreadyExists));
    // None of that has used them up.
    let [inlet, outlet] = inherit::take(mine)?;
    assert_eq!(kind(inherit::take(mine)), Some(io::ErrorKind::AlreadyExists));
    for fd in [&inlet, &outlet] {
        assert!(rustix::io::fcntl_getfd(fd)?.contains(rustix::io::FdFlags::CLOEXEC));
    }
    rustix::io::write(&outlet, b"up")?;
    rustix::io::write(&down_write, b"down")?;
    let mut bytes = [0; 8];
    assert_eq!(rustix::io::read(&up_read, &mut bytes)?, 2);
    assert_eq!(rustix::io::read(&inlet, &mut bytes)?, 4);
    Ok(())
}

#[test]
fn only_sockets_and_pipes_are_handed_over() -> io::Result<()> {
    let null = fs::File::open("/dev/null")?;
    let told = inherit::hand(&mut Command::new("/bin/true"), null.into());
    assert_eq!(kind(told), Some(io::ErrorKind::InvalidInput));
    Ok(())
}

#[test]
fn a_process_with_threads_keeps_its_environment() {
    // The harness runs each test in a thread of its own, beside its first one.
    assert!(!inherit::forget_variable("WHARF_NO_SUCH_VARIABLE"));
}

//! Message queues: what is sent is received by priority, nothing waits that should not, and no name stays.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::queue::{self, Facts, Received};
use wharf_sys::socket::{self, Kind};

const NOT_AT_ALL: Duration = Duration::ZERO;

#[test]
fn messages_come_by_priority_and_in_order_within_one() {
    let queue = queue::make(4, 64).unwrap();
    for (message, priority) in [(&b"low 1"[..], 1), (b"high", 9), (b"low 2", 1), (b"", 5)] {
        queue::send(queue.as_fd(), message, priority, NOT_AT_ALL).unwrap();
    }
    let full = queue::send(queue.as_fd(), b"x", 0, NOT_AT_ALL).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(queue::facts(&queue).unwrap(), Facts { slots: 4, slot_bytes: 64, waiting: 4 });
    let mut buffer = [0; 64];
    for (message, priority) in [(&b"high"[..], 9), (b"", 5), (b"low 1", 1), (b"low 2", 1)] {
        let received = queue::recv(queue.as_fd(), &mut buffer, NOT_AT_ALL).unwrap();
        assert_eq!(received, Received { len: message.len(), priority });
        assert_eq!(&buffer[..received.len], message);
    }
    let empty = queue::recv(queue.as_fd(), &mut buffer, NOT_AT_ALL).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::WouldBlock);
}

#[test]
fn waiting_ends_in_time_and_a_message_ends_it() {
    let queue = queue::make(1, 8).unwrap();
    let mut buffer = [0; 8];
    let began = Instant::now();
    let late = queue::recv(queue.as_fd(), &mut buffer, Duration::from_millis(30)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::WouldBlock);
    // The clock is exact to some milliseconds.
    assert!(began.elapsed() >= Duration::from_millis(15));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 8];
            queue::recv(queue.as_fd(), &mut buffer, Duration::from_secs(10)).unwrap();
        });
        std::thread::sleep(Duration::from_millis(5));
        queue::send(queue.as_fd(), b"x", 0, NOT_AT_ALL).unwrap();
    });
}

/// A description that somebody sets not to wait makes no call fail in another way, and one that is set to wait
/// makes none wait.
#[test]
fn flags_of_the_description_do_not_matter() {
    let queue = queue::make(1, 8).unwrap();
    let mut buffer = [0; 8];
    for flags in [rustix_nonblocking(&queue, true), rustix_nonblocking(&queue, false)] {
        flags.unwrap();
        let empty = queue::recv(queue.as_fd(), &mut buffer, NOT_AT_ALL).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        queue::send(queue.as_fd(), b"x", 0, NOT_AT_ALL).unwrap();
        let full = queue::send(queue.as_fd(), b"x", 0, NOT_AT_ALL).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        queue::recv(queue.as_fd(), &mut buffer, NOT_AT_ALL).unwrap();
    }
}

fn rustix_nonblocking(queue: &OwnedFd, on: bool) -> std::io::Result<()> {
    use rustix::fs::OFlags;
    let flags = if on { OFlags::NONBLOCK } else { OFlags::empty() };
    Ok(rustix::fs::fcntl_setfl(queue, flags)?)
}

#[test]
fn a_queue_travels_over_a_socket_and_can_be_polled() {
    let queue = queue::make(1, 8).unwrap();
    let (here, there) = socket::pair(Kind::SeqPacket).unwrap();
    socket::send_with_fds(&here, b"q", &[queue.as_fd()]).unwrap();
    let (_, mut fds) = socket::recv_with_fds(&there, &mut [0; 1], 1).unwrap();
    let copy = fds.pop().unwrap();
    let now = || Some(Deadline::after(Duration::ZERO));
    let ready = |interest| poll::wait(&[(copy.as_fd(), interest)], now()).unwrap();
    assert!(ready(Interest::READ).is_empty() && ready(Interest::WRITE).writable(0));
    queue::send(queue.as_fd(), b"x", 0, NOT_AT_ALL).unwrap();
    assert!(ready(Interest::READ).readable(0) && ready(Interest::WRITE).is_empty());
}

#[test]
fn what_is_no_queue_is_told_apart() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let told = queue::facts(&file).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::InvalidData);
    let limits = queue::limits();
    assert!(limits.slots > 0 && limits.slot_bytes > 0 && limits.queues > 0);
}

/// The names are made, used and gone within one call, however many make queues at once.
#[test]
fn makers_do_not_get_into_each_others_way() {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for number in 0..200_u32 {
                    let queue = queue::make(1, 8).unwrap();
                    // Whoever had got somebody else's queue would find something in it, sooner or later.
                    assert_eq!(queue::facts(&queue).unwrap().waiting, 0);
                    queue::send(queue.as_fd(), &number.to_le_bytes(), 0, NOT_AT_ALL).unwrap();
                }
            });
        }
    });
    assert!((0..100).any(|_| queue::dead_name().unwrap().is_none()));
}

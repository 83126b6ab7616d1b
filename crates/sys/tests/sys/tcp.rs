//! TCP: meeting at a port that the system chose, the end, and room for last words.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::socket::{
    accept, connect_tcp, fix_send_buffer, listen_tcp, raise_send_buffer, recv_stream, send, send_buffer, send_parts,
    set_keep_alive, set_no_delay, set_unsent_limit, tcp_address, tcp_peer,
};

fn soon() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(10)))
}

fn pair() -> (OwnedFd, OwnedFd) {
    let door = listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap();
    let connected = connect_tcp(tcp_address(&door).unwrap(), soon()).unwrap();
    (accept(&door, soon()).unwrap().unwrap(), connected)
}

#[test]
fn two_sides_meet_and_know_each_other() {
    for host in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let door = match listen_tcp(SocketAddr::from((host, 0)), 1) {
            Err(error) if host.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable => continue,
            door => door.unwrap(),
        };
        let address = tcp_address(&door).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listen_tcp(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let connected = connect_tcp(address, soon()).unwrap();
        let accepted = accept(&door, soon()).unwrap().unwrap();
        assert_eq!(tcp_peer(&connected).unwrap(), address);
        assert_eq!(tcp_peer(&accepted).unwrap(), tcp_address(&connected).unwrap());
        drop(door);
        let refused = connect_tcp(address, soon()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        // Its connections live on, and it can be bound again.
        drop(listen_tcp(address, 1).unwrap());
    }
}

#[test]
fn bytes_come_in_parts_and_then_the_end() {
    let (one, other) = pair();
    set_no_delay(&one).unwrap();
    set_keep_alive(&one, Duration::from_secs(30)).unwrap();
    let (mut a, mut b) = ([0; 3], [0; 8]);
    let nothing = recv_stream(&other, &mut [IoSliceMut::new(&mut a)], false).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    send_parts(&one, &[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).unwrap();
    let read = recv_stream(&other, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)], true).unwrap();
    assert_eq!((read, &a, &b[..2]), (5, b"abc", &b"de"[..]));
    send(&one, b"fgh").unwrap();
    drop(one);
    assert_eq!(recv_stream(&other, &mut [IoSliceMut::new(&mut a)], true).unwrap(), 3);
    assert_eq!(recv_stream(&other, &mut [IoSliceMut::new(&mut a)], true).unwrap(), 0);
}

#[test]
fn a_full_queue_has_room_for_last_words_when_it_is_asked_for() {
    let (one, _other) = pair();
    raise_send_buffer(&one, 512 << 10).unwrap();
    assert!(send_buffer(&one).unwrap() >= 256 << 10);
    let fill = || {
        let mut taken = 0;
        loop {
            match send(&one, &[7; 3000]) {
                Ok(sent) => taken += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(error) => panic!("{error}"),
            }
            assert!(taken < 64 << 20);
        }
    };
    for _ in 0..3 {
        set_unsent_limit(&one, 64 << 10).unwrap();
        fill();
        // More than the rest of a frame.
        set_unsent_limit(&one, usize::MAX).unwrap();
        assert_eq!(send(&one, &[8; 32 << 10]).unwrap(), 32 << 10);
    }
}

#[test]
fn a_fixed_buffer_is_as_large_as_asked_or_as_before() {
    let (one, _other) = pair();
    let before = send_buffer(&one).unwrap();
    assert!(!fix_send_buffer(&one, before / 2).unwrap());
    assert_eq!(send_buffer(&one).unwrap(), before);
    // More than any system allows.
    assert!(!fix_send_buffer(&one, 2 << 30).unwrap());
    assert_eq!(send_buffer(&one).unwrap(), before);
    // Whether it allows this is its own affair.
    let fixed = fix_send_buffer(&one, before + (64 << 10)).unwrap();
    assert_eq!(send_buffer(&one).unwrap(), if fixed { before + (64 << 10) } else { before });
}

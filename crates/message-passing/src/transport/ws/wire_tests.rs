//! An open WebSocket to which bare bytes come: whatever they are, a look ends, and what was whole before nonsense arrives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::*;
use crate::address::Address;
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::ws::gate::Gate;
use crate::transport::ws::request::{Asked, Asking};

/// The wire of a side that was asked and has answered, and the connection of whoever asked.
fn open() -> (WsWire, TcpStream) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut there = TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let lifeline = Arc::new(Lifeline::new(OwnedFd::from(door.accept().unwrap().0)));
    let tcp = TcpWire::new(lifeline, 1 << 20, Duration::from_secs(30)).unwrap();
    let gate = Gate::new(&Address::parse("ws:localhost:1").unwrap(), &Options::new()).unwrap();
    let wire = WsWire::new(tcp, Opening::Asked(Asked::new(Arc::new(gate))));
    there.write_all(&Opening::Asking(Asking::new("localhost:1", "/")).request()).unwrap();
    assert!(shows(&wire));
    assert!(matches!(look(&wire, 1), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
    let mut answer = [0; 1024];
    let len = there.read(&mut answer).unwrap();
    assert!(answer[..len].starts_with(b"HTTP/1.1 101 ") && answer[..len].ends_with(b"\r\n\r\n"));
    (wire, there)
}

/// Reads without waiting.
fn look(wire: &WsWire, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; room];
    let read = wire.read(&mut [IoSliceMut::new(&mut bytes)], Patience::Now)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// A frame as a client sends it, under a mask of zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => frame.extend([&[0xfe][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[0xff][..], &(len as u64).to_be_bytes()].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Writes as much as the connection takes; how much that is.
fn fill(there: &mut TcpStream, block: &[u8]) -> usize {
    there.set_nonblocking(true).unwrap();
    let mut written = 0;
    loop {
        match there.write(&block[written % block.len()..]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether something shows at the connection.
fn shows(wire: &WsWire) -> bool {
    let moment = Some(Deadline::after(Duration::from_millis(50)));
    poll::wait(&[(wire.inlet().unwrap(), Interest::READ)], moment).unwrap().any(0)
}

#[test]
fn a_look_ends_although_fragments_without_bytes_come_without_end() {
    let (wire, mut there) = open();
    there.write_all(&frame(0x02, b"")).unwrap();
    let empty = frame(0x00, b"").repeat(10_000);
    let written = fill(&mut there, &empty);
    assert!(written > 2 * MOST_AT_ONCE, "{written}");
    let mut looks = 0;
    while shows(&wire) {
        assert!(matches!(look(&wire, 100), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        looks += 1;
    }
    assert!(looks >= written / MOST_AT_ONCE, "{looks} looks for {written} bytes");
}

//! Links of one type: fixed-size values in place, and any serde type.

use std::thread;

use wharf_message_passing::{ConnectError, RecvError, SendError, TypedLink};
use wharf_shared_memory::Plain;

use crate::world::{SOON, World};

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Pose {
    at_ns: u64,
    position: [f32; 3],
    frame: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Scan {
    at_ns: u64,
    ranges: [u16; 8],
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C, align(64))]
struct Row {
    values: [u64; 8],
}

fn pair<T: Plain>(world: &World) -> (TypedLink<T>, TypedLink<T>) {
    let mut listener = world.options().listen_typed::<T>(world.address()).unwrap();
    let accepted = thread::spawn(move || listener.accept_timeout(SOON).unwrap());
    let connected = world.options().connect_typed_timeout::<T>(world.address(), SOON).unwrap();
    (accepted.join().unwrap(), connected)
}

fn pose(number: u32) -> Pose {
    Pose { at_ns: u64::from(number), position: [1.0, 2.0, number as f32], frame: number }
}

pub(crate) fn values(world: &World) {
    let (mut here, mut there) = pair::<Pose>(world);
    for number in 0..500 {
        there.send(&pose(number)).unwrap();
        assert_eq!(*here.recv_timeout(SOON).unwrap(), pose(number));
        here.try_send(&pose(number + 1)).unwrap();
        assert_eq!(*there.recv().unwrap(), pose(number + 1));
    }
    assert!(matches!(here.try_recv(), Err(RecvError::Empty)));
    drop(here);
    assert!(matches!(there.recv(), Err(RecvError::Closed)));
}

pub(crate) fn loans_of_values(world: &World) {
    let (mut here, mut there) = pair::<Pose>(world);
    for number in 0..500 {
        let mut loan = there.loan().unwrap();
        *loan = pose(0);
        loan.at_ns = u64::from(number);
        loan.position[2] = number as f32;
        loan.frame = number;
        loan.send().unwrap();
        drop(there.try_loan().unwrap());
        assert_eq!(*here.recv_timeout(SOON).unwrap(), pose(number));
    }
}

pub(crate) fn another_type(world: &World) {
    let mut listener = world.options().listen_typed::<Pose>(world.address()).unwrap();
    let address = world.address();
    let options = world.options();
    let connecting = thread::spawn(move || {
        let scan = options.connect_typed::<Scan>(&address).unwrap_err();
        assert!(matches!(scan, ConnectError::OtherType { .. }), "{scan:?}");
        let text = scan.to_string();
        let expected = [
            format!("this side sends Scan ({} bytes, layout {:016x})", size_of::<Scan>(), Scan::LAYOUT.hash),
            format!("the other expects Pose ({} bytes, layout {:016x})", size_of::<Pose>(), Pose::LAYOUT.hash),
        ];
        assert!(expected.iter().all(|it| text.contains(it.as_str())), "{text}");
        for other in [options.connect(&address).err(), options.connect_serde::<u32>(&address).err()] {
            assert!(matches!(other, Some(ConnectError::OtherType { .. })), "{other:?}");
        }
        // Whoever has the right type gets in after all of them.
        options.connect_typed::<Pose>(&address).unwrap()
    });
    let accepted = listener.accept_timeout(SOON).unwrap();
    // Within one process whoever connects finds out by itself.
    if world.scheme.crosses_processes {
        assert_eq!(listener.listener().refusals(), 3);
        assert!(matches!(listener.listener().last_refusal(), Some(ConnectError::OtherType { .. })));
    }
    drop((connecting.join().unwrap(), accepted));
}

pub(crate) fn large_alignment(world: &World) {
    let (mut here, mut there) = pair::<Row>(world);
    for number in 0..100 {
        let row = Row { values: [number; 8] };
        if number % 2 == 0 {
            there.send(&row).unwrap();
        } else {
            let mut loan = there.loan().unwrap();
            loan.values = row.values;
            loan.send().unwrap();
        }
        let seen = here.recv_timeout(SOON).unwrap();
        assert_eq!(*seen, row);
        assert_eq!((&raw const *seen) as usize % 64, 0);
    }
}

pub(crate) fn encoded(world: &World) {
    type Value = (String, Vec<u32>, Option<bool>);
    let options = world.options().max_message(1_000);
    let mut listener = options.listen_serde::<Value>(world.address()).unwrap();
    let accepting = thread::spawn(move || listener.accept_timeout(SOON).unwrap());
    let mut there = options.connect_serde_timeout::<Value>(world.address(), SOON).unwrap();
    let mut here = accepting.join().unwrap();
    for number in 0..200 {
        let value = (format!("value {number}"), (0..number).collect(), (number > 3).then_some(number % 2 == 0));
        there.send(&value).unwrap();
        assert_eq!(here.recv_timeout(SOON).unwrap(), value);
    }
    let large = there.send(&("x".repeat(2_000), Vec::new(), None)).unwrap_err();
    assert!(matches!(large, SendError::TooLarge { len: 2_004, limit: 1_000 }), "{large:?}");
    here.send(&(String::new(), Vec::new(), None)).unwrap();
    assert_eq!(there.recv_timeout(SOON).unwrap(), (String::new(), Vec::new(), None));
}

pub(crate) fn encoded_nonsense(world: &World) {
    // Two programs that mean different types: the bytes do not fit, and that is an error, not a wrong value.
    let mut listener = world.options().listen_serde::<(u8, u8)>(world.address()).unwrap();
    let accepting = thread::spawn(move || listener.accept_timeout(SOON).unwrap());
    let mut there = world.options().connect_serde_timeout::<String>(world.address(), SOON).unwrap();
    let mut here = accepting.join().unwrap();
    for text in ["", "a", "abcdef"] {
        there.send(&text.to_owned()).unwrap();
    }
    assert!(matches!(here.recv_timeout(SOON), Err(RecvError::Protocol(_))));
    assert_eq!(here.recv_timeout(SOON).unwrap(), (1, b'a'));
    assert!(matches!(here.recv_timeout(SOON), Err(RecvError::Protocol(_))));
    here.send(&(200, 1)).unwrap();
    assert!(matches!(there.recv_timeout(SOON), Err(RecvError::Protocol(_))));
}

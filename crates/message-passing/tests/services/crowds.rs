//! Very many clients of one server.

use std::time::{Duration, Instant};

use wharf_message_passing::Wait;

use crate::child::answer;
use crate::world::{SOON, World};

const CLIENTS: u32 = 500;

/// What the server's process has for each client: mappings of its memory and of the clients', and descriptors.
pub(crate) fn five_hundred_clients(world: &World) {
    let need = u64::from(CLIENTS) * 8;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_some_and(|most| most < need) {
        return world.skip("this process may not open enough descriptors");
    }
    let mut server = world.node().service("crowd").wait(Wait::Sleep).server().unwrap();
    let (descriptors, bytes) = held();
    let mut crowd = world.start("crowd", &["crowd", &CLIENTS.to_string()]);
    for _ in 0..CLIENTS {
        assert!(answer(server.recv_timeout(SOON).unwrap()).is_none());
    }
    crowd.expect("ready");
    assert_eq!(server.clients(), CLIENTS as usize);
    let (descriptors, bytes) = (held().0 - descriptors, held().1 - bytes);
    let each = bytes / u64::from(CLIENTS);
    assert!(bytes > 0 && each < 64 << 10, "{each} bytes of memory for each client");
    let each = descriptors / u64::from(CLIENTS);
    assert!(each <= 5, "{each} descriptors for each client");
    crowd.tell("go");
    for _ in 0..CLIENTS {
        assert!(answer(server.recv_timeout(SOON).unwrap()).is_none());
    }
    crowd.expect("again");
    crowd.end();
    let _ = server.recv_timeout(Duration::from_millis(1));
    crate::world::eventually("they are gone", || {
        let _ = server.try_recv();
        server.clients() == 0
    });
}

/// What five hundred idle clients cost the one that is not: printed, for a machine that is busy judges nothing.
pub(crate) fn one_beside_the_idle(world: &World) {
    if rustix::process::getrlimit(rustix::process::Resource::Nofile).current.is_some_and(|most| most < 16_384) {
        return world.skip("this process may not open enough descriptors");
    }
    let node = world.node();
    for (wait, calls) in [(Wait::Spin, 20_000), (Wait::Sleep, 2_000)] {
        let name = format!("{wait:?}");
        let mut server = node.service(&name).wait(wait).server().unwrap();
        let mut client = node.service(&name).wait(wait).client().unwrap();
        let mut idle = Vec::new();
        let [alone, beside] = std::thread::scope(|scope| {
            let serving = scope.spawn(move || crate::child::serve(&mut server, SOON));
            let mut median = || {
                let mut took: Vec<_> = (0..calls)
                    .map(|_| {
                        let began = Instant::now();
                        assert_eq!(client.call(b"echo x", SOON).unwrap(), b"x");
                        began.elapsed()
                    })
                    .collect();
                took.sort_unstable();
                took[took.len() / 2]
            };
            let alone = median();
            for _ in 0..CLIENTS {
                let mut other = node.service(&name).wait(Wait::Sleep).client().unwrap();
                assert_eq!(other.call(b"echo idle", SOON).unwrap(), b"idle");
                idle.push(other);
            }
            let beside = median();
            client.call(b"stop", SOON).unwrap();
            drop(serving.join().unwrap());
            [alone, beside]
        });
        let ratio = beside.as_secs_f64() / alone.as_secs_f64();
        println!("{name}: {alone:?} alone, {beside:?} beside {CLIENTS} idle clients: {ratio:.2} times");
    }
}

/// Descriptors of this process, and bytes of shared memory that it maps; each side's once, as the memory of both is counted.
fn held() -> (u64, u64) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut bytes = 0;
    for line in maps.lines().filter(|line| line.contains("/memfd:")) {
        let mut fields = line.split_whitespace();
        let (range, inode) = (fields.next().unwrap(), fields.nth(3).unwrap().to_owned());
        let (from, to) = range.split_once('-').unwrap();
        let len = u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap();
        if seen.insert((inode, fields.next().map(str::to_owned), line.split_whitespace().nth(2).unwrap().to_owned())) {
            bytes += len;
        }
    }
    (descriptors, bytes)
}

//! Very many clients of one server.

use std::time::Duration;

use wharf_message_passing::{Server, Wait};

use crate::child::answer;
use crate::places::{options, secrets};
use crate::world::{Process, SOON, World};

const CLIENTS: u32 = 500;

/// A server has at most so much memory for each client, both sides' memory that it maps and its own.
const BYTES_EACH: u64 = 64 << 10;

pub(crate) fn five_hundred_clients(world: &World) {
    if is_short(8) {
        return world.skip("this process may not open enough descriptors");
    }
    let mut server = world.node().service("crowd").wait(Wait::Sleep).server().unwrap();
    let before = held();
    let crowd = world.start("crowd", &["crowd", &CLIENTS.to_string()]);
    come_and_go(&mut server, crowd, before, 5);
}

/// The same at addresses. What the kernel keeps for their sockets is not seen here.
pub(crate) fn at_addresses(world: &World) {
    if is_short(3) {
        return world.skip("this process may not open enough descriptors");
    }
    let secrets = secrets();
    let with = secrets.path().to_str().unwrap();
    for address in ["unix:crowd", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"] {
        let service = options(world.path(), secrets.path()).service(address).wait(Wait::Sleep);
        let mut server = service.server().unwrap();
        let there = server.address().unwrap().to_string();
        let before = held();
        let crowd = world.start("crowd-at", &[&there, with, &CLIENTS.to_string()]);
        come_and_go(&mut server, crowd, before, 3);
    }
}

fn is_short(descriptors_each: u64) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.is_some_and(|most| most < descriptors_each * u64::from(CLIENTS))
}

/// All of them come and ask, are counted, ask again, and leave.
fn come_and_go(server: &mut Server, mut crowd: Process, before: Held, most_descriptors: u64) {
    let mut all_ask = |server: &mut Server, said: &str| {
        for _ in 0..CLIENTS {
            assert!(answer(server.recv_timeout(SOON).unwrap()).is_none());
        }
        crowd.expect(said);
        if said == "ready" {
            crowd.tell("go");
        }
    };
    all_ask(server, "ready");
    assert_eq!(server.clients(), CLIENTS as usize);
    let now = held();
    all_ask(server, "again");
    let each = |now: u64, before: u64| now.saturating_sub(before) / u64::from(CLIENTS);
    let (shared, own) = (each(now.shared, before.shared), each(now.own, before.own));
    let descriptors = each(now.descriptors, before.descriptors);
    println!("for each client {shared} bytes of shared memory, {own} of its own, and {descriptors} descriptors");
    assert!(shared + own > 0 && shared + own < BYTES_EACH, "{shared} and {own} bytes of memory for each client");
    assert!((1..=most_descriptors).contains(&descriptors), "{descriptors} descriptors for each client");
    crowd.end();
    let _ = server.recv_timeout(Duration::from_millis(1));
    crate::world::eventually("they are gone", || {
        let _ = server.try_recv();
        server.clients() == 0
    });
}

/// What this process has.
struct Held {
    descriptors: u64,
    /// Bytes of shared memory that it maps; each side's once, as the memory of both is counted.
    shared: u64,
    /// Bytes of memory of its own that it has touched.
    own: u64,
}

fn held() -> Held {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap().trim();
    let own = 1024 * own.trim_end_matches(" kB").parse::<u64>().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut shared = 0;
    for line in maps.lines().filter(|line| line.contains("/memfd:")) {
        let mut fields = line.split_whitespace();
        let (range, inode) = (fields.next().unwrap(), fields.nth(3).unwrap().to_owned());
        let (from, to) = range.split_once('-').unwrap();
        let len = u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap();
        if seen.insert((inode, fields.next().map(str::to_owned), line.split_whitespace().nth(2).unwrap().to_owned())) {
            shared += len;
        }
    }
    Held { descriptors, shared, own }
}

//! Which of several servers is asked.

use std::collections::{BTreeMap, BTreeSet};

use wharf_message_passing::{Choice, Server};

use crate::world::{SOON, World};

fn servers(world: &World, count: usize) -> Vec<Server> {
    (0..count).map(|_| world.node().service("many").server().unwrap()).collect()
}

/// Which server has the next request; answered.
fn taken_by(servers: &mut [Server]) -> usize {
    let began = std::time::Instant::now();
    loop {
        for (at, server) in servers.iter_mut().enumerate() {
            if let Ok(request) = server.try_recv() {
                request.reply(b"").unwrap();
                return at;
            }
        }
        assert!(began.elapsed() < SOON, "nobody was asked");
    }
}

pub(crate) fn one_after_the_other(world: &World) {
    let mut servers = servers(world, 3);
    let mut client = world.node().service("many").client().unwrap();
    assert_eq!(client.servers(), 3);
    let mut order = Vec::new();
    for _ in 0..9 {
        let call = client.request(b"x").limit(SOON).start().unwrap();
        order.push(taken_by(&mut servers));
        client.wait(call).unwrap();
    }
    assert_eq!(order[..3], order[3..6]);
    assert_eq!(order[..3], order[6..]);
    assert_eq!(order[..3].iter().collect::<BTreeSet<_>>().len(), 3, "{order:?}");
}

pub(crate) fn the_least_busy(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = world.node().service("many").choice(Choice::LeastBusy).client().unwrap();
    // One has a call that it does not answer; all others go to the other.
    let held = client.request(b"held").limit(SOON).start().unwrap();
    let (busy, request) = loop {
        let found = servers.iter_mut().enumerate().find_map(|(at, it)| Some((at, it.try_recv().ok()?)));
        if let Some(found) = found {
            break found;
        }
    };
    for _ in 0..10 {
        let call = client.request(b"x").limit(SOON).start().unwrap();
        assert_ne!(taken_by(&mut servers), busy);
        client.wait(call).unwrap();
    }
    request.reply(b"now").unwrap();
    assert_eq!(client.wait(held).unwrap(), b"now");
}

/// A key goes to the same server from every client, and only the keys of a server that is gone move.
pub(crate) fn sticky(world: &World) {
    let mut servers = servers(world, 4);
    let mut clients = [(); 2].map(|()| world.node().service("many").client().unwrap());
    let mut place = |servers: &mut [Server], key: u64| {
        let asked = clients.each_mut().map(|client| {
            let call = client.request(b"x").limit(SOON).key(key).start().unwrap();
            let at = taken_by(servers);
            client.wait(call).unwrap();
            at
        });
        assert_eq!(asked[0], asked[1], "both clients ask the same");
        asked[0]
    };
    let before: BTreeMap<u64, usize> = (0..40).map(|key| (key, place(&mut servers, key))).collect();
    assert!(before.values().collect::<BTreeSet<_>>().len() >= 3, "{before:?}");
    drop(servers.pop());
    for (key, at) in before {
        let now = place(&mut servers, key);
        assert!(now == at || at == 3, "key {key} moved from {at} to {now}");
    }
}

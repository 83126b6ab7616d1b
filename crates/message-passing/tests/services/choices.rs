//! Which of several servers is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use wharf_message_passing::{CallError, Choice, Server};

use crate::world::{SOON, World};

fn servers(world: &World, count: usize) -> Vec<Server> {
    (0..count).map(|_| world.node().service("many").server().unwrap()).collect()
}

/// Which server has the next request; answered.
fn taken_by(servers: &mut [Server]) -> usize {
    let began = Instant::now();
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

/// A server that has no room keeps nobody waiting while another has some: what goes by turns goes on there, and what is for the
/// full one alone waits.
pub(crate) fn a_full_one_is_passed_over(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = world.node().service("many").client().unwrap();
    assert_eq!(client.servers(), 2);
    let request = [7; 1000];
    // The one that is asked second takes nothing; what is sent to it stays there until it is full.
    let call = client.request(b"x").limit(SOON).start().unwrap();
    let awake = taken_by(&mut servers);
    client.wait(call).unwrap();
    let began = Instant::now();
    let mut answered = 0;
    // A queue of 16 KiB holds a few tens of these, and every other one goes there as long as it has room.
    for _ in 0..100 {
        client.request(&request).limit(SOON).start().unwrap();
        while let Ok(it) = servers[awake].try_recv() {
            it.reply(b"").unwrap();
            answered += 1;
        }
    }
    assert!(began.elapsed() < SOON, "nobody has waited for the one that is full: {:?}", began.elapsed());
    let stuck = 100 - answered;
    assert!((10..50).contains(&stuck), "{stuck} lie where nobody takes them");
    // Once it looks, it has its turns again.
    let mut late = 0;
    while let Ok(it) = servers[1 - awake].try_recv() {
        it.reply(b"").unwrap();
        late += 1;
    }
    assert_eq!(late, stuck);
    let mut turns = BTreeSet::new();
    for _ in 0..2 {
        let call = client.request(b"x").limit(SOON).start().unwrap();
        turns.insert(taken_by(&mut servers));
        client.wait(call).unwrap();
    }
    assert_eq!(turns.len(), 2);
}

/// Where both are full, whichever has room first is asked.
pub(crate) fn whichever_has_room_first(world: &World) {
    for at in [0, 1] {
        let mut servers = servers(world, 2);
        let mut client = world.node().service("many").client().unwrap();
        assert_eq!(client.servers(), 2);
        let request = [7; 1000];
        let mut sent = 0;
        // Ends when neither has room: that call is over by then, and the others are not.
        loop {
            let call = client.request(&request).limit(Duration::from_millis(50)).start().unwrap();
            client.cancel(call);
            if matches!(client.wait(call), Err(CallError::Full { .. })) {
                break;
            }
            sent += 1;
            assert!(sent < 200, "there is always room");
        }
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| client.call(&request, SOON));
            let began = Instant::now();
            while !asking.is_finished() {
                if let Ok(it) = servers[at].recv_timeout(Duration::from_millis(20)) {
                    it.reply(b"").ok();
                }
                assert!(began.elapsed() < SOON, "server {at} has room, and is not asked");
            }
            asking.join().unwrap().unwrap();
        });
    }
}

//! Servers and clients that are killed, stopped, or leave.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wharf_message_passing::{CallError, Outcome, Selector};
use wharf_sys::random;

use crate::child::answer;
use crate::suite::crashes::stopping;
use crate::world::{Process, SOON, World, eventually};

pub(crate) fn a_killed_server(world: &World) {
    let mut server = world.start("serves", &["mortal"]);
    server.line();
    let mut client = world.node().service("mortal").client().unwrap();
    let call = client.request(b"hold").start().unwrap();
    assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on", "the one before was taken");
    server.kill();
    let began = Instant::now();
    let error = client.wait(call).unwrap_err();
    assert!(matches!(error, CallError::ServerGone { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(began.elapsed() < SOON);
    eventually("it is known to be gone", || client.servers() == 0);
    let error = client.call(b"echo", Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NeverSent, "{error}");
    // The next one is found.
    let next = world.start("serves", &["mortal"]);
    assert_eq!(client.call(b"echo back", SOON).unwrap(), b"back");
    next.end();
}

pub(crate) fn retried_elsewhere(world: &World) {
    let mut servers = [world.start("serves", &["pair"]), world.start("serves", &["pair"])];
    let pids = servers.each_mut().map(Process::line);
    let mut client = world.node().service("pair").client().unwrap();
    eventually("both are there", || client.servers() == 2);
    // Which of the two has this key.
    let who = String::from_utf8(client.request(b"who").key(1).limit(SOON).call().unwrap()).unwrap();
    let first = pids.iter().position(|pid| *pid == who).unwrap();
    servers[first].signal(Signal::STOP);
    let sure = client.request(b"who").key(1).idempotent(true).limit(SOON).start().unwrap();
    let unsure = client.request(b"who").key(1).limit(SOON).start().unwrap();
    servers[first].kill();
    assert_eq!(client.wait(sure).unwrap(), pids[1 - first].as_bytes(), "by the other one");
    let error = client.wait(unsure).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let [one, other] = servers;
    if first == 0 { other.end() } else { one.end() }
}

/// A request is stored where its server finds it, and the client is kept from waking him until he has answered it and left: no other
/// is asked for the same.
pub(crate) fn answered_before_it_was_woken(world: &World) {
    let node = world.node();
    let mut servers = [(); 2].map(|()| Some(node.service("late").server().unwrap()));
    let mut client = stopping(world, "shm.ring.before", "asks-once", &["late", "2"]);
    let mut asked = || {
        // Both sleep meanwhile.
        std::thread::scope(|scope| {
            let each = servers.each_mut().map(|place| {
                scope.spawn(move || {
                    let request = place.as_mut()?.recv_timeout(Duration::from_millis(200)).ok()?;
                    assert!(answer(request).is_none());
                    *place = None;
                    Some(())
                })
            });
            each.into_iter().filter_map(|it| it.join().unwrap()).count()
        })
    };
    let mut times = 0;
    // Hardly ever it finds one awake, and does not ring.
    eventually("the client is about to ring", || {
        times += asked();
        client.is_stopped() || times > 0
    });
    times += asked();
    assert_eq!(times, 1, "it was found");
    client.signal(Signal::CONT);
    times += asked();
    assert_eq!(times, 1, "asked for twice");
    client.expect("once");
    client.end();
}

/// The same, and the server is killed asleep: it has not had it, and the next one is asked.
pub(crate) fn killed_before_it_was_woken(world: &World) {
    let mut sleeps = world.start("serves-one", &["late"]);
    sleeps.line();
    let mut client = stopping(world, "shm.ring.before", "asks-once", &["late", "1"]);
    eventually("the client is about to ring", || client.is_stopped());
    sleeps.kill();
    client.signal(Signal::CONT);
    let next = world.start("serves", &["late"]);
    client.expect("once");
    client.end();
    next.end();
}

/// A server that leaves in good order says what it has taken: everything else goes elsewhere, once.
pub(crate) fn a_server_that_leaves(world: &World) {
    let mut leaves = world.start("serves-some", &["leaves", "3"]);
    leaves.line();
    let mut client = world.node().service("leaves").client().unwrap();
    let texts: Vec<_> = (0..10).map(|number| format!("echo {number}")).collect();
    let calls: Vec<_> = texts.iter().map(|text| client.request(text.as_bytes()).limit(SOON).start().unwrap()).collect();
    leaves.tell("go");
    leaves.expect("left");
    // Three were answered. Of the others none was carried out, and without another server none is.
    for (number, call) in calls.iter().enumerate() {
        let outcome = client.wait(*call);
        match outcome {
            Ok(answer) => assert!(number < 3 && answer == number.to_string().as_bytes()),
            Err(error) => {
                assert!(number >= 3, "{error}");
                assert_eq!(error.outcome(), Outcome::NeverSent, "{error}");
            }
        }
    }
    leaves.end();
}

/// One that is dropped before it has looked at who came has taken nothing: nothing of that is unknown, and nobody waits.
pub(crate) fn a_server_that_never_looked(world: &World) {
    let mut client = world.node().service("blind").client().unwrap();
    let server = world.node().service("blind").server().unwrap();
    let call = client.request(b"echo").start().unwrap();
    drop(server);
    let error = client.wait(call).unwrap_err();
    assert!(matches!(error, CallError::NotTaken), "{error}");
}

/// The same of one that was found for the next call that receives, which never came.
pub(crate) fn a_server_that_had_not_received_it(world: &World) {
    let mut server = world.node().service("slow").server().unwrap();
    let mut client = world.node().service("slow").client().unwrap();
    let first = client.request(b"x").start().unwrap();
    server.recv_timeout(SOON).unwrap().reply(b"first").unwrap();
    let taken = client.request(b"x").start().unwrap();
    let held = server.recv_timeout(SOON).unwrap();
    let next = client.request(b"x").start().unwrap();
    assert_eq!(Selector::new().wait_timeout(&mut [(&mut server, ())], SOON).unwrap(), Some(()));
    held.abandon();
    drop(server);
    assert_eq!(client.wait(first).unwrap(), b"first");
    // What it had taken may have been done.
    let error = client.wait(taken).unwrap_err();
    assert!(matches!(error, CallError::ServerGone { .. }), "{error}");
    let error = client.wait(next).unwrap_err();
    assert!(matches!(error, CallError::NotTaken), "{error}");
}

/// A server that lets go of requests and ends has answered none of them.
pub(crate) fn abandoned(world: &World) {
    let node = world.node();
    let mut server = node.service("quits").server().unwrap();
    let mut client = node.service("quits").client().unwrap();
    let unsure = client.request(b"x").start().unwrap();
    let sure = client.request(b"y").idempotent(true).start().unwrap();
    for _ in 0..2 {
        server.recv_timeout(SOON).unwrap().abandon();
    }
    let nothing = client.any_ready(Duration::from_millis(20)).unwrap();
    assert_eq!(nothing, None, "nothing is known while the server is there");
    // They take up no room: more of them than one client can have open at once.
    for _ in 0..1_100 {
        let call = client.request(b"w").start().unwrap();
        server.recv_timeout(SOON).unwrap().abandon();
        client.cancel(call);
        assert!(matches!(client.wait(call), Err(CallError::Cancelled)));
    }
    let answered = client.request(b"z").start().unwrap();
    server.recv_timeout(SOON).unwrap().reply(b"z").unwrap();
    assert_eq!(client.wait(answered).unwrap(), b"z");
    let mut heir = node.service("quits").server().unwrap();
    eventually("both are there", || client.servers() == 2);
    drop(server);
    let error = client.wait(unsure).unwrap_err();
    assert!(matches!(error, CallError::ServerGone { .. }), "{error}");
    let again = heir.recv_timeout(SOON).unwrap();
    assert_eq!(again.bytes(), b"y");
    again.reply(b"heir").unwrap();
    assert_eq!(client.wait(sure).unwrap(), b"heir");

    let mut server = node.service_of::<u32, u32>("numbers").typed_server().unwrap();
    let mut client = node.service_of::<u32, u32>("numbers").typed_client().unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.call(&7, SOON).unwrap_err());
        server.recv_timeout(SOON).unwrap().abandon();
        drop(server);
        let error = asking.join().unwrap();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    });
}

pub(crate) fn a_killed_client(world: &World) {
    let node = world.node();
    let mut server = node.service("lasting").server().unwrap();
    let mut client = world.start("holds", &["lasting"]);
    client.expect("asked");
    let request = server.recv_timeout(SOON).unwrap();
    assert!(!request.is_cancelled());
    client.kill();
    eventually("its request is cancelled", || {
        let _ = server.recv_timeout(Duration::from_millis(1));
        request.is_cancelled()
    });
    assert!(request.reply(b"in vain").is_err());
    assert_eq!(server.clients(), 0);
}

/// A stopped server answers when it goes on; until then each caller waits as long as it wants, and no longer.
pub(crate) fn a_stopped_server(world: &World) {
    let mut server = world.start("serves", &["stopped"]);
    server.line();
    let mut client = world.node().service("stopped").client().unwrap();
    assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on");
    server.signal(Signal::STOP);
    let began = Instant::now();
    let error = client.call(b"echo", Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(began.elapsed() < SOON);
    let waits = client.request(b"echo at last").limit(SOON).start().unwrap();
    server.signal(Signal::CONT);
    assert_eq!(client.wait(waits).unwrap(), b"at last", "the late answer to the other call is nobody's");
    server.end();
}

/// Clients and servers are killed at any time; those that live get their own answers, or know what is not known.
pub(crate) fn at_random(world: &World) {
    const ROUNDS: usize = 60;
    let draw = || random::bits_128().unwrap()[0] as usize;
    let mut servers: Vec<_> = (0..2).map(|_| world.start("serves", &["random"])).collect();
    servers.iter_mut().for_each(|it| drop(it.line()));
    let mut clients: Vec<_> = (0..2).map(|_| world.start("asks", &["random", "0"])).collect();
    clients.iter_mut().for_each(|it| drop(it.line()));
    let mut steady = world.node().service("random").client().unwrap();
    let (mut answered, mut unknown, mut retried) = (0, 0, 0);
    for round in 0..ROUNDS {
        let deadline = Instant::now() + Duration::from_millis(draw() as u64 % 20);
        while Instant::now() < deadline {
            let text = format!("echo {round}-{answered}");
            match steady.call(text.as_bytes(), SOON) {
                Ok(answer) => {
                    assert_eq!(answer, text.as_bytes()[5..]);
                    answered += 1;
                }
                Err(error) => {
                    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                    unknown += 1;
                }
            }
            // Whoever may be asked twice always gets its answer: another server is there.
            let sure = steady.request(b"echo sure").idempotent(true).limit(SOON).call();
            assert_eq!(sure.unwrap(), b"sure");
            retried += 1;
        }
        let at = draw() % 2;
        if draw() % 2 == 0 {
            servers[at].kill();
            servers[at] = world.start("serves", &["random"]);
            servers[at].line();
        } else {
            clients[at].kill();
            clients[at] = world.start("asks", &["random", "0"]);
            clients[at].line();
        }
    }
    assert!(answered > 0 && retried > 0, "{answered} {unknown} {retried}");
    assert!(clients.iter_mut().all(|it| it.is_alive()), "a client had an answer that was not its own");
    drop(clients);
    let pids: BTreeSet<_> = (0..10).map(|_| steady.call(b"who", SOON).unwrap()).collect();
    assert_eq!(pids.len(), 2, "both servers answer in the end");
    servers.into_iter().for_each(Process::end);
}

//! A client or a server that is killed at each named point: the other side knows what is known, and goes on.

use wharf_message_passing::Outcome;

use crate::child::answer;
use crate::suite::crashes::{assert_all, dying};
use crate::world::{SOON, World, eventually};

/// Every crash point of services, and who dies there.
const POINTS: &[(&str, &str)] = &[
    ("service.call.sent", "asks"),
    ("service.client.open", "asks"),
    ("service.client.sleep", "asks"),
    ("service.guest.met", "asks"),
    ("service.host.met", "serves"),
    ("service.reply.before", "serves"),
    ("service.reply.sent", "serves"),
    ("service.request.taken", "serves"),
    ("service.server.closed", "serves-some"),
    ("service.server.open", "serves"),
    ("service.server.sleep", "serves"),
];

pub(crate) fn at_every_point(world: &World) {
    assert_all("pattern", "service.", POINTS);
    for (point, role) in POINTS {
        match *role {
            "asks" => client_dies_at(world, point),
            role => server_dies_at(world, point, role, 1),
        }
    }
    // By then the answers go the quick way.
    for point in ["service.reply.before", "service.reply.sent"] {
        server_dies_at(world, point, "serves", 300);
    }
}

fn client_dies_at(world: &World, point: &str) {
    let node = world.node();
    let mut server = node.service("crash").server().unwrap();
    let mut dies = dying(world, point, "asks", &["crash", "100"]);
    // Answered until it is dead: it dies at its first passage. One that is to die asleep has time to fall asleep.
    while dies.is_alive() {
        if point.ends_with(".sleep") {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        }
        let _ = server.recv_timeout(std::time::Duration::from_millis(5)).map(answer);
    }
    assert!(dies.was_killed(), "{point}: it lived on");
    eventually(point, || {
        let _ = server.recv_timeout(std::time::Duration::from_millis(1)).map(answer);
        server.clients() == 0
    });
    let mut next = world.start("asks", &["crash", "10"]);
    next.line();
    for _ in 0..10 {
        assert!(answer(server.recv_timeout(SOON).unwrap()).is_none(), "{point}");
    }
    next.expect("10 0 0");
    next.end();
}

/// At which of its passages it dies.
fn server_dies_at(world: &World, point: &str, role: &str, passage: usize) {
    let node = world.node();
    // It comes to those who are there, so that it dies at its first client even where that is on the way.
    let mut client = node.service("crash").client().unwrap();
    let arguments: &[&str] = if role == "serves" { &["crash"] } else { &["crash", "1"] };
    let mut dies = dying(world, &format!("{point}:{passage}"), role, arguments);
    if role != "serves" {
        dies.tell_if_there("go");
    }
    let mut outcomes = Vec::new();
    while dies.is_alive() {
        if point.ends_with(".sleep") {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        }
        // An answer is waited for, however long it takes; none comes after it.
        let limit = match point {
            _ if passage > 1 && outcomes.len() + 1 < passage => SOON,
            "service.reply.sent" if outcomes.len() < passage => SOON,
            _ => std::time::Duration::from_millis(100),
        };
        match client.call(b"echo on", limit) {
            Ok(answer) => {
                assert_eq!(answer, b"on");
                outcomes.push(Outcome::Answered);
            }
            Err(error) => outcomes.push(error.outcome()),
        }
    }
    assert!(dies.was_killed(), "{point}: it lived on");
    let answered = outcomes.iter().filter(|outcome| **outcome == Outcome::Answered).count();
    match point {
        "service.reply.before" if passage > 1 => assert_eq!(answered, passage - 1, "{outcomes:?}"),
        "service.reply.sent" if passage > 1 => assert_eq!(answered, passage, "{outcomes:?}"),
        // Carried out or not: nobody knows.
        "service.request.taken" | "service.reply.before" => {
            assert!(outcomes.contains(&Outcome::Unknown), "{outcomes:?}")
        }
        // What was sent arrives, although its sender is dead.
        "service.reply.sent" => assert!(outcomes.contains(&Outcome::Answered), "{outcomes:?}"),
        _ => {}
    }
    eventually(point, || client.servers() == 0);
    let next = world.start("serves", &["crash"]);
    assert_eq!(client.call(b"echo again", SOON).unwrap(), b"again", "{point}");
    next.end();
}

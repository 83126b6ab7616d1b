//! Endpoints that appear and vanish for whoever watches, or lists.

use super::*;

/// The next change, in words.
fn next(watch: &mut NodeWatch) -> String {
    let change = watch.next_timeout(Duration::from_secs(10)).unwrap();
    match change {
        Some(Change::Appeared(it)) => format!("+ {} {:?} {}", it.pattern, it.part, it.name),
        Some(Change::Vanished(it)) => format!("- {} {:?} {}", it.pattern, it.part, it.name),
        None => "nothing".to_owned(),
    }
}

fn sees_what_comes_and_goes(told: bool) {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let first = open(&one, Part::Host, "a", &fake());
    let mut watch = NodeWatch::new(&one, told).unwrap();
    assert_eq!(watch.is_told(), told);
    assert_eq!(next(&mut watch), "+ topic Host a");
    assert_eq!(watch.try_next().unwrap(), None);
    let second = open(&other, Part::Guest, "b/*", &fake());
    assert_eq!(next(&mut watch), "+ topic Guest b/*");
    drop(first);
    assert_eq!(next(&mut watch), "- topic Host a");
    let third = open(&other, Part::Host, "c", &fake());
    assert_eq!(next(&mut watch), "+ topic Host c");
    drop((second, third));
    let mut gone = [next(&mut watch), next(&mut watch)];
    gone.sort();
    assert_eq!(gone, ["- topic Guest b/*", "- topic Host c"]);
    drop(other);
    assert_eq!(watch.next_timeout(Duration::from_millis(60)).unwrap(), None, "a node without endpoints is no endpoint");
}

#[test]
fn a_watch_that_is_told_sees_what_comes_and_goes() {
    sees_what_comes_and_goes(true);
}

#[test]
fn so_does_one_that_has_to_look() {
    sees_what_comes_and_goes(false);
}

#[test]
fn a_watch_rests_while_nothing_happens() {
    let world = World::new();
    let node = world.node();
    let mut watch = node.watch().unwrap();
    // The looks that follow a change are over after some two seconds.
    let deadline = Deadline::after(Duration::from_secs(20));
    while watch.again > 0 {
        assert!(!deadline.passed());
        assert_eq!(watch.next_timeout(Duration::from_millis(50)).unwrap(), None);
    }
    let looked = watch.looked;
    assert_eq!(watch.next_timeout(Duration::from_millis(200)).unwrap(), None);
    assert_eq!(watch.looked, looked);
}

#[test]
fn the_list_tells_what_every_endpoint_shows() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let typed = Payload::Typed { hash: 5, size: 24, name: "Pose".to_owned() };
    let fake_host = fake();
    let spec = EndpointSpec { payload: Some(typed), ..spec(Part::Host, "arm/pose") };
    let host = one.register(spec.clone(), fake_host.clone()).unwrap();
    let _guest = other.register(EndpointSpec { part: Part::Guest, ..spec }, fake()).unwrap();
    use wharf_shared_memory::board::Counter;
    host.counters().add(Counter::SentMessages, 3);
    host.counters().raise(Counter::Largest, 9);
    host.counters().raise(Counter::Largest, 5);
    let deadline = Deadline::after(Duration::from_secs(20));
    let looked = || NodeOptions::new().domain(world.domain()).endpoints().unwrap();
    let mut list = looked();
    // That they have met is counted by the threads of both nodes.
    while list.iter().any(|end| end.statistics.peers != 1) && !deadline.passed() {
        std::thread::sleep(Duration::from_millis(1));
        list = looked();
    }
    let [shown, guest] = &list[..] else { panic!("{list:?}") };
    assert_eq!((shown.node, shown.pattern, shown.part), (one.id(), Pattern::Topic, Part::Host));
    assert_eq!((&*shown.name, &*shown.type_name, shown.type_hash, shown.type_size), ("arm/pose", "Pose", 5, 24));
    assert_eq!((shown.pid, shown.uid, shown.options), (std::process::id(), socket::my_uid(), [1, 2, 3, 4]));
    let it = shown.statistics;
    assert_eq!((it.sent_messages, it.largest_bytes, it.peers, it.sent_bytes), (3, 9, 1, 0));
    assert_eq!((guest.node, guest.part, guest.statistics.peers), (other.id(), Part::Guest, 1));
    assert!(shown.age < Duration::from_secs(60) && !shown.program.is_empty());
    drop(host);
    assert_eq!(one.endpoints().unwrap().len(), 1);
}

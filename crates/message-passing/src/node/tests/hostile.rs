//! Whoever reaches a node's socket may say what he likes, and whoever may write in the directory may put there what he likes:
//! the others meet as ever.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::record::{Meeting, Record, VERSION};
use super::super::registry::NODES;
use super::*;

/// A connection to a node, with nothing said.
fn connect(node: &Node) -> OwnedFd {
    socket::connect_now(&node.handle.core.registry.socket(node.id())).unwrap()
}

fn hello(id: NodeId) -> Vec<u8> {
    Record::Hello { version: VERSION, id, barriers: false }.write(0)
}

/// Waits for the end of a connection, and says what came before.
fn last_words(line: &OwnedFd) -> Vec<Record> {
    let mut words = Vec::new();
    let deadline = Deadline::after(Duration::from_secs(10));
    loop {
        let waits = [(line.as_fd(), wharf_sys::poll::Interest::READ)];
        assert!(!wharf_sys::poll::wait(&waits, Some(deadline)).unwrap().is_empty(), "it does not end: {words:?}");
        let mut buffer = [0; 8192];
        match socket::recv_arrival(line, &mut buffer) {
            Ok(arrival) if arrival.received.len == 0 => return words,
            Ok(arrival) => words.push(Record::read(&buffer[..arrival.received.len], arrival.fds.len()).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return words,
        }
    }
}

/// The next record of a connection.
fn next_word(line: &OwnedFd) -> Record {
    let waits = [(line.as_fd(), wharf_sys::poll::Interest::READ)];
    let deadline = Deadline::after(Duration::from_secs(10));
    assert!(!wharf_sys::poll::wait(&waits, Some(deadline)).unwrap().is_empty(), "it says nothing");
    let mut buffer = [0; 8192];
    let arrival = socket::recv_arrival(line, &mut buffer).unwrap();
    Record::read(&buffer[..arrival.received.len], arrival.fds.len()).unwrap()
}

/// A host that nobody has.
fn announce(number: u64, host: u32) -> Vec<u8> {
    let host = EndpointId { index: host, stamp: 1 };
    let meeting = Meeting { pattern: Pattern::Topic, host, name: "good".to_owned(), payload: Some(Payload::Bytes) };
    Record::Announce { number, meeting }.write(0)
}

/// A node to which everybody is another user.
fn wary(world: &World) -> Node {
    NodeOptions::new().domain(world.domain()).trust_nobody().open().unwrap()
}

fn good_ones_meet(world: &World, node: &Node) {
    let other = world.node();
    let (host, guest) = (fake(), fake());
    let _host = open(node, Part::Host, "good", &host);
    let _guest = open(&other, Part::Guest, "good", &guest);
    guest.diary.expect("answered welcome");
}

#[test]
fn garbage_ends_its_own_connection_and_no_other() {
    let world = World::new();
    let (node, quiet) = (world.node(), world.node());
    let offer = |guest| {
        let meeting = Meeting {
            pattern: Pattern::Topic,
            host: EndpointId { index: 0, stamp: 1 },
            name: "good".to_owned(),
            payload: Some(Payload::Bytes),
        };
        let guest = EndpointId { index: guest, stamp: 1 };
        Record::Offer { number: 9, guest, meeting, bytes: Vec::new() }.write(0)
    };
    let beginnings: [&[u8]; 4] = [b"x", &[0; 16], &[255; 5000], &Record::Announced { number: 1 }.write(0)];
    for first in beginnings {
        let line = connect(&node);
        socket::send(&line, first).unwrap();
        assert_eq!(last_words(&line), [], "{first:?}");
    }
    let (host, kept) = (fake(), node.clone());
    let _host = open(&kept, Part::Host, "good", &host);
    for bad in [vec![7; 40], hello(node.id()), Record::Refusal { number: 0, why: Refusal::User }.write(0)] {
        let line = connect(&node);
        socket::send(&line, &hello(quiet.id())).unwrap();
        // What is in order before it is answered.
        socket::send(&line, &offer(1)).unwrap();
        socket::send(&line, &bad).unwrap();
        let words = last_words(&line);
        assert!(matches!(words[..], [Record::Hello { .. }, Record::Refusal { number: 9, .. }]), "{words:?}");
    }
    // Descriptors where none were announced, and none where one was.
    let line = connect(&node);
    socket::send(&line, &hello(quiet.id())).unwrap();
    socket::send_with_fds(&line, &Record::Announced { number: 1 }.write(0), &[line.as_fd()]).unwrap();
    assert!(matches!(last_words(&line)[..], [Record::Hello { .. }]));
    let line = connect(&node);
    socket::send(&line, &hello(quiet.id())).unwrap();
    socket::send(&line, &Record::Told { number: 1, to: Part::Host, kind: 0, bytes: vec![] }.write(1)).unwrap();
    assert!(matches!(last_words(&line)[..], [Record::Hello { .. }]));
    assert_eq!(node.refusals(), 9);
    assert!(host.diary.lines().iter().all(|it| it == "offered ") && host.pairings.lock().unwrap().is_empty());
    drop(_host);
    good_ones_meet(&world, &node);
}

#[test]
fn nobody_calls_himself_what_he_is_not_and_versions_are_told() {
    let world = World::new();
    let (node, quiet) = (world.node(), world.node());
    let line = connect(&node);
    socket::send(&line, &hello(NodeId([1; 16]))).unwrap();
    let words = last_words(&line);
    assert!(matches!(&words[..], [Record::Refusal { number: 0, why: Refusal::Words(_) }]), "{words:?}");
    let line = connect(&node);
    socket::send(&line, &Record::Hello { version: 99, id: quiet.id(), barriers: false }.write(0)).unwrap();
    assert_eq!(last_words(&line), [Record::Refusal { number: 0, why: Refusal::Version(VERSION) }]);
    good_ones_meet(&world, &node);
}

#[test]
fn strangers_that_say_nothing_are_few_and_shown_out() {
    let world = World::new();
    let node = world.node();
    let strangers: Vec<OwnedFd> = (0..400).map(|_| connect(&node)).collect();
    good_ones_meet(&world, &node);
    // The door was served in order, so all of them are inside, or out again.
    assert!(node.handle.core.state().lines.len() <= 128 + 2);
    // The oldest had to go at once, and the youngest after two seconds.
    assert_eq!(last_words(&strangers[0]), []);
    assert_eq!(last_words(&strangers[399]), []);
    let deadline = Deadline::after(Duration::from_secs(10));
    while node.handle.core.state().lines.len() > 2 {
        assert!(!deadline.passed());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_flood_is_heard_slowly_and_holds_up_nobody() {
    let world = World::new();
    let (node, quiet) = (world.node(), world.node());
    let flood = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let sent = std::thread::scope(|scope| {
        let (goes_on, line) = (Arc::clone(&flood), connect(&node));
        let flooder = scope.spawn(move || {
            socket::send(&line, &hello(quiet.id())).unwrap();
            let meeting = Meeting {
                pattern: Pattern::Topic,
                host: EndpointId { index: 7, stamp: 7 },
                name: "nobody".to_owned(),
                payload: None,
            };
            let guest = EndpointId { index: 1, stamp: 1 };
            let mut sent = 0_u64;
            // Never listens to the answers; ends when the flood is over, or when it is cut off.
            while goes_on.load(std::sync::atomic::Ordering::Relaxed) {
                let offer = Record::Offer { number: sent + 1, guest, meeting: meeting.clone(), bytes: vec![0; 4096] };
                match socket::send(&line, &offer.write(0)) {
                    Ok(_) => sent += 1,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(_) => return Err(sent),
                }
            }
            Ok(sent)
        });
        for _ in 0..20 {
            good_ones_meet(&world, &node);
        }
        let deadline = Deadline::after(Duration::from_secs(20));
        while !flooder.is_finished() && !deadline.passed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        flood.store(false, std::sync::atomic::Ordering::Relaxed);
        flooder.join().unwrap()
    });
    // It is cut off when the answers that wait for it are too many.
    assert!(sent.is_err_and(|sent| sent < 100_000), "{sent:?}");
    good_ones_meet(&world, &node);
}

#[test]
fn lies_in_the_directory_mislead_nobody() {
    let world = World::new();
    let node = world.node();
    let (host, kept) = (fake(), fake());
    let _host = open(&node, Part::Host, "good", &host);
    let place = world.place.path();
    let nobody = "00112233445566778899aabbccddeeff";
    let liar = "ff112233445566778899aabbccddeeff";
    let good = place.join(".topic/good");
    fs::write(good.join(format!("{nobody}-h-0000000000000001-0-1")), "").unwrap();
    fs::write(good.join(format!("{liar}-h-0000000000000001-0-1")), "").unwrap();
    fs::write(good.join(format!("{liar}-g-0000000000000005-0-1")), "").unwrap();
    // An endpoint that its living node does not have.
    fs::write(good.join(format!("{}-h-0000000000000001-77-1", node.id())), "").unwrap();
    fs::write(good.join("nonsense"), "").unwrap();
    fs::create_dir(good.join("folder")).unwrap();
    symlink("/etc", place.join(".topic/link")).unwrap();
    let nodes = place.join(NODES);
    // Boards that are none: garbage, a folder, a link, something that would make a reader wait.
    fs::write(nodes.join(format!("{liar}.board")), vec![0xff; 20_000]).unwrap();
    fs::create_dir(nodes.join(format!("1{}.board", &liar[1..]))).unwrap();
    symlink("/dev/zero", nodes.join(format!("2{}.board", &liar[1..]))).unwrap();
    let fifo = nodes.join(format!("3{}.board", &liar[1..]));
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fs::write(nodes.join(format!("4{}.board", &liar[1..])), "short").unwrap();

    let other = world.node();
    let _guest = open(&other, Part::Guest, "good", &kept);
    let wild = fake();
    let _wild = open(&other, Part::Guest, "**", &wild);
    kept.diary.expect("answered welcome");
    kept.diary.expect(&format!("gone {:?}", Gone::Refused(Refusal::Closed)));
    // One with stars asks the board for the name, and finds no such endpoint there.
    assert_eq!(*wild.diary.lines(), ["host good", "answered welcome"]);
    let _second = open(&other, Part::Host, "good", &fake());
    assert_eq!(other.endpoints().unwrap().len(), 4);
    let mut watch = other.watch().unwrap();
    assert!(matches!(watch.try_next().unwrap(), Some(Change::Appeared(_))));
    // What was provably dead is gone; what may be somebody's stays.
    let left = fs::read_dir(&good).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|it| it.starts_with(nobody) || it.starts_with(liar)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Whoever may write in the directory can put a link in the place of a node's socket. It would lead others to a socket that they do not
/// mean, of a user whom they trust: that one would be told, with descriptors, what is for the node.
#[test]
fn a_link_in_the_place_of_a_nodes_socket_leads_nobody_elsewhere() {
    let world = World::new();
    let (node, other, elsewhere) = (world.node(), world.node(), tempfile::tempdir().unwrap());
    let (host, guest) = (fake(), fake());
    let _host = open(&node, Part::Host, "good", &host);
    let path = node.handle.core.registry.socket(node.id());
    let (aside, service) = (elsewhere.path().join("aside"), elsewhere.path().join("service"));
    fs::rename(&path, &aside).unwrap();
    let service_of_ours = socket::listen_at(&service, socket::Kind::SeqPacket, 8).unwrap();
    symlink(&service, &path).unwrap();
    let end = open(&other, Part::Guest, "good", &guest);
    let called = socket::accept(&service_of_ours, Some(Deadline::after(Duration::from_millis(300)))).unwrap();
    assert!(called.is_none() && !guest.diary.lines().iter().any(|it| it.starts_with("answered")));
    let told: Vec<String> = end.refusals().iter().map(|(_, why)| why.to_string()).collect();
    assert!(told.iter().any(|it| it.contains("found a symbolic link")), "{told:?}");
    // It goes on trying, since the node lives.
    fs::rename(&aside, &path).unwrap();
    guest.diary.expect("answered welcome");
}

#[test]
fn a_dead_node_is_removed_although_a_link_is_in_the_place_of_its_socket() {
    let world = World::new();
    let (node, nobody) = (world.node(), NodeId([7; 16]));
    let folder = world.place.path().join(".topic/good");
    let _host = open(&node, Part::Host, "good", &fake());
    let entry = folder.join(format!("{nobody}-h-0000000000000001-0-1"));
    fs::write(&entry, "").unwrap();
    let path = node.handle.core.registry.socket(nobody);
    symlink(node.handle.core.registry.socket(node.id()), &path).unwrap();
    let guest = fake();
    let _guest = open(&node, Part::Guest, "good", &guest);
    guest.diary.expect("answered welcome");
    assert!(!entry.exists() && fs::symlink_metadata(&path).is_err());
}

#[test]
fn a_stranger_has_as_many_hosts_here_as_leave_descriptors_for_others() {
    let world = World::new();
    let (node, quiet) = (wary(&world), world.node());
    node.handle.core.state().most_with_stranger = 5;
    let guest = fake();
    let end = open(&node, Part::Guest, "good", &guest);
    let lines = [connect(&node), connect(&node)];
    for line in &lines {
        socket::send(line, &hello(quiet.id())).unwrap();
        assert!(matches!(next_word(line), Record::Hello { .. }));
    }
    let mut offers = 0;
    for (number, line) in (1..=20).zip(lines.iter().cycle()) {
        socket::send(line, &announce(number, number as u32)).unwrap();
        match next_word(line) {
            Record::Offer { .. } => offers += 1,
            // At once: nobody here wants it.
            Record::Announced { number: acknowledged } => assert_eq!(acknowledged, number),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((offers, end.refusals().len()), (5, 15), "however many connections it has");
    assert_eq!(guest.ends.lock().unwrap().len(), 5);
}

#[test]
fn a_node_that_is_refused_when_pairings_stand_loses_them_like_any_that_dies() {
    let world = World::new();
    let (node, quiet) = (world.node(), world.node());
    let guest = fake();
    let _end = open(&node, Part::Guest, "good", &guest);
    let line = connect(&node);
    let hello = Record::Hello { version: VERSION, id: quiet.id(), barriers: true };
    socket::send(&line, &hello.write(0)).unwrap();
    socket::send(&line, &announce(1, 7)).unwrap();
    assert!(matches!(next_word(&line), Record::Hello { .. }));
    let Record::Offer { number, .. } = next_word(&line) else { panic!("no offer") };
    socket::send(&line, &Record::Answer { number, bytes: b"welcome".to_vec() }.write(0)).unwrap();
    guest.diary.expect("answered welcome");
    socket::send(&line, &Record::Refusal { number: 0, why: Refusal::User }.write(0)).unwrap();
    guest.diary.expect("gone Died");
    assert!(guest.pairings.lock().unwrap().is_empty());
}

#[test]
fn a_stranger_that_announces_for_ever_is_owed_little() {
    let world = World::new();
    let (node, quiet) = (wary(&world), world.node());
    let _end = open(&node, Part::Guest, "good", &fake());
    let line = connect(&node);
    socket::send(&line, &hello(quiet.id())).unwrap();
    assert!(matches!(next_word(&line), Record::Hello { .. }));
    let most = super::super::core::MOST_OWED_TO_A_STRANGER as u64;
    for number in 1..=most + 100 {
        // One and the same, which is never answered.
        socket::send(&line, &announce(number, 7)).unwrap();
        match number {
            1 => assert!(matches!(next_word(&line), Record::Offer { .. })),
            // What is not owed is said at once.
            _ if number > most => assert_eq!(next_word(&line), Record::Announced { number }),
            _ => {}
        }
    }
    assert_eq!(node.handle.core.state().owed.len() as u64, most);
}

#[test]
fn a_number_of_an_offer_that_is_over_is_not_used_again() {
    let world = World::new();
    let (node, quiet) = (world.node(), world.node());
    let line = connect(&node);
    socket::send(&line, &hello(quiet.id())).unwrap();
    assert!(matches!(next_word(&line), Record::Hello { .. }));
    let host = EndpointId { index: 0, stamp: 1 };
    let meeting = Meeting { pattern: Pattern::Topic, host, name: "nobody".to_owned(), payload: None };
    let offer = Record::Offer { number: 9, guest: host, meeting, bytes: Vec::new() }.write(0);
    socket::send(&line, &offer).unwrap();
    assert_eq!(next_word(&line), Record::Refusal { number: 9, why: Refusal::Closed });
    socket::send(&line, &offer).unwrap();
    assert_eq!(last_words(&line), []);
    assert_eq!(node.refusals(), 1);
}

#[test]
fn every_dead_node_is_come_across_however_many_others_there_are() {
    let world = World::new();
    let node = world.node();
    let nodes = world.place.path().join(NODES);
    // More than one sweep looks at.
    for number in 0..600 {
        fs::write(nodes.join(format!("{number:032x}.board")), "left").unwrap();
    }
    let last = nodes.join(format!("{}.board", "f".repeat(32)));
    fs::write(&last, "left").unwrap();
    let registry = &node.handle.core.registry;
    registry.sweep(NodeId([0; 16]));
    assert!(last.exists());
    registry.sweep(NodeId([0xff; 16]));
    assert!(!last.exists());
    // From the last one it goes on with the first; and nobody takes a living one for dead.
    assert!(registry.nodes().unwrap().len() < 600 && registry.nodes().unwrap().contains(&node.id()));
}

//! Who meets whom, in what order, and who does not.

use std::sync::Barrier;

use super::*;

#[test]
fn two_nodes_meet_in_either_order_and_part() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    meet(&one, &other, true);
    meet(&one, &other, false);
    meet(&other, &one, false);
    drop((one, other));
    assert_eq!(world.files(), Vec::<String>::new());
}

#[test]
fn a_node_meets_itself_like_any_other() {
    let world = World::new();
    let node = world.node();
    meet(&node, &node, true);
    meet(&node, &node, false);
    drop(node);
    assert_eq!(world.files(), Vec::<String>::new());
}

#[test]
fn what_is_told_before_the_answer_arrives_behind_it() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let host = Arc::new(Fake { eager: true, ..Fake::default() });
    let _host_end = open(&one, Part::Host, "a", &host);
    let guest = fake();
    let _guest_end = open(&other, Part::Guest, "a", &guest);
    guest.diary.expect("told 1 eager 0");
    assert_eq!(*guest.diary.lines(), ["host a", "answered welcome", "told 1 eager 0"]);
}

#[test]
fn a_host_that_refuses_says_why_and_a_guest_may_not_want_to_come() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let host = Arc::new(Fake { refuses: Some("full house"), ..Fake::default() });
    let _host_end = open(&one, Part::Host, "a/b", &host);
    let guest = fake();
    let guest_end = open(&other, Part::Guest, "a/b", &guest);
    let why = Refusal::words("full house");
    assert_eq!(*guest.diary.lines(), ["host a/b".to_owned(), format!("gone {:?}", Gone::Refused(why.clone()))]);
    assert!(matches!(&guest_end.refusals()[..], [(_, found)] if *found == why));
    let picky = Arc::new(Fake { only: Some("elsewhere"), ..Fake::default() });
    let _picky_end = open(&other, Part::Guest, "a/*", &picky);
    assert!(picky.diary.lines().is_empty());
}

#[test]
fn stars_meet_every_name_that_they_mean_and_hosts_that_come_later() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let (front, rear, door) = (fake(), fake(), fake());
    let _front = open(&one, Part::Host, "camera/front", &front);
    let long = format!("camera/{}", "é".repeat(120));
    let _door = open(&one, Part::Host, "door", &door);
    let guest = fake();
    let _guest = open(&other, Part::Guest, "camera/*", &guest);
    assert_eq!(*guest.diary.lines(), ["host camera/front", "answered welcome"]);
    let _rear = open(&one, Part::Host, &long, &rear);
    assert_eq!(guest.diary.lines()[2..], [format!("host {long}"), "answered welcome".to_owned()]);
    let late = fake();
    let _late = open(&other, Part::Guest, "**", &late);
    let mut hosts = late.diary.lines().clone();
    hosts.retain(|it| it.starts_with("host "));
    hosts.sort();
    assert_eq!(hosts, ["host camera/front".to_owned(), format!("host {long}"), "host door".to_owned()]);
    assert_eq!(*door.diary.lines(), ["offered page"]);
}

fn typed(name: &str, hash: u64) -> Option<Payload> {
    Some(Payload::Typed { hash, size: 8, name: name.to_owned() })
}

fn try_open(node: &Node, spec: EndpointSpec, fake: &Arc<Fake>) -> Result<Registration, NodeError> {
    node.register(spec, Arc::clone(fake) as Arc<dyn Endpoint>)
}

#[test]
fn another_type_is_refused_with_both_names_whoever_comes_second() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    for (first, second) in [(Part::Host, Part::Guest), (Part::Guest, Part::Host)] {
        let _first = try_open(&one, EndpointSpec { payload: typed("Pose", 5), ..spec(first, "a") }, &fake()).unwrap();
        let error = try_open(&other, EndpointSpec { payload: typed("Wheel", 6), ..spec(second, "a") }, &fake());
        let Err(NodeError::OtherType { name, ours, theirs, who }) = error else { panic!("{error:?}") };
        assert!(
            name == "a" && ours.starts_with("Wheel (8 bytes") && theirs.starts_with("Pose (8 bytes"),
            "{ours} {theirs}"
        );
        assert!(who.contains(&std::process::id().to_string()), "{who}");
        // It has left nothing, and the right type goes on.
        assert_eq!(world.node().endpoints().unwrap().len(), 1);
        let fits = fake();
        let _fits = try_open(&other, EndpointSpec { payload: typed("Pose", 5), ..spec(second, "a") }, &fits).unwrap();
        assert!(!fits.diary.lines().is_empty());
    }
}

#[test]
fn where_stars_are_another_type_is_only_noted_and_whoever_takes_anything_meets_all() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let wild =
        try_open(&other, EndpointSpec { payload: typed("Wheel", 6), ..spec(Part::Guest, "*") }, &fake()).unwrap();
    let anything = fake();
    let _anything = try_open(&other, EndpointSpec { payload: None, ..spec(Part::Guest, "*") }, &anything).unwrap();
    let _host = try_open(&one, EndpointSpec { payload: typed("Pose", 5), ..spec(Part::Host, "a") }, &fake()).unwrap();
    assert!(matches!(&wild.refusals()[..], [(_, Refusal::Type(_))]), "it heard of it, since its neighbour was told");
    assert_eq!(*anything.diary.lines(), ["host a", "answered welcome"]);
    let late =
        try_open(&other, EndpointSpec { payload: typed("Wheel", 6), ..spec(Part::Guest, "*") }, &fake()).unwrap();
    assert!(matches!(&late.refusals()[..], [(_, Refusal::Type(Payload::Typed { name, .. }))] if name == "Pose"));
}

#[test]
fn two_that_open_at_once_meet_exactly_once() {
    let world = World::new();
    let nodes = [world.node(), world.node()];
    for round in 0..100 {
        let name = format!("round/{}", round % 3);
        let (host, guest) = (fake(), fake());
        let barrier = Barrier::new(2);
        let ends = std::thread::scope(|scope| {
            let open = |part, fake| {
                let (name, barrier, nodes) = (&name, &barrier, &nodes);
                scope.spawn(move || {
                    barrier.wait();
                    open(&nodes[(round + usize::from(part == Part::Host)) % 2], part, name, fake)
                })
            };
            [open(Part::Host, &host), open(Part::Guest, &guest)].map(|it| it.join().unwrap())
        });
        guest.diary.expect("answered welcome");
        assert_eq!(*host.diary.lines(), ["offered page"], "round {round}");
        assert_eq!(*guest.diary.lines(), [format!("host {name}"), "answered welcome".to_owned()], "round {round}");
        drop(ends);
    }
}

#[test]
fn many_that_open_at_once_all_meet_over_few_lifelines() {
    let world = World::new();
    let nodes: Vec<Node> = (0..4).map(|_| world.node()).collect();
    let barrier = Barrier::new(nodes.len() * 2);
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = nodes
            .iter()
            .flat_map(|node| [(node, Part::Host), (node, Part::Guest)])
            .map(|(node, part)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let fake = fake();
                    barrier.wait();
                    (open(node, part, "crowd", &fake), part, fake)
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (_, part, fake) in &opened {
        let met = if *part == Part::Host { "offered page" } else { "answered welcome" };
        let deadline = Deadline::after(Duration::from_secs(10));
        while fake.diary.lines().iter().filter(|it| *it == met).count() < nodes.len() {
            assert!(!deadline.passed(), "{part:?}: {:?}", fake.diary.lines());
            std::thread::yield_now();
        }
        assert_eq!(fake.pairings.lock().unwrap().len(), nodes.len());
    }
    for node in &nodes {
        // Two to each other node when both called at once, and both ends of the one to itself.
        let lines = node.handle.core.state().lines.len();
        assert!((nodes.len()..=2 * nodes.len() + 2).contains(&lines), "{lines}");
    }
}

#[test]
fn a_forked_child_has_no_part_in_the_node() {
    let world = World::new();
    let (one, other) = (world.node(), world.node());
    let (host, guest) = (fake(), fake());
    let mut host_end = Some(open(&one, Part::Host, "a", &host));
    let guest_end = open(&other, Part::Guest, "a", &guest);
    let mut node = Some(one.clone());
    let child = wharf_sys::fork::in_forked_child(|| {
        let refused = try_open(&one, spec(Part::Guest, "a"), &fake());
        let forked = matches!(refused, Err(NodeError::Forked)) && matches!(one.watch(), Err(NodeError::Forked));
        // A copy of what the parent has: dropping it closes nothing there.
        drop((host_end.take(), node.take()));
        forked
    });
    assert!(child.unwrap());
    assert!(guest_end.is_ours());
    assert_eq!(*guest.diary.lines(), ["host a", "answered welcome"], "nobody has left");
    let _again = open(&other, Part::Guest, "a", &guest);
    assert_eq!(guest.diary.lines().len(), 4, "the host is still there");
}

#[test]
fn the_policy_admits_ourselves_and_whom_it_lists_and_trusts_only_ourselves() {
    use wharf_sys::socket::{Credentials, my_uid, overflow_uid};

    let world = World::new();
    let node = NodeOptions::new().domain(world.domain()).allow_uid(77).allow_uid(overflow_uid()).open().unwrap();
    let admit = |uid| node.handle.core.admit(&Credentials { pid: 1, uid, gid: 0 });
    assert_eq!(admit(my_uid()), Ok(true));
    assert_eq!(admit(77), Ok(false));
    assert_eq!(admit(78), Err(Refusal::User));
    let group = NodeOptions::new().domain(world.domain()).allow_gid(99).open().unwrap();
    assert_eq!(group.handle.core.admit(&Credentials { pid: 1, uid: 78, gid: 99 }), Ok(false));
    assert_eq!(group.handle.core.admit(&Credentials { pid: 1, uid: 78, gid: 98 }), Err(Refusal::User));
    assert_eq!(admit(overflow_uid()), Err(Refusal::User), "it stands for everybody");
}

#[test]
fn a_node_that_is_dropped_by_its_own_thread_closes_all_the_same() {
    struct Last(Mutex<Option<Registration>>);
    impl Endpoint for Last {
        fn offered(&self, _: &Pairing, _: Parcel) -> Result<Parcel, Refusal> {
            Ok(Parcel::default())
        }
        fn gone(&self, _: PairingId, _: Gone) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let world = World::new();
    let other = world.node();
    let node = world.node();
    let last = Arc::new(Last(Mutex::new(None)));
    let registration = node.register(spec(Part::Host, "a"), last.clone()).unwrap();
    *last.0.lock().unwrap() = Some(registration);
    drop(node);
    drop(open(&other, Part::Guest, "a", &fake()));
    let deadline = Deadline::after(Duration::from_secs(10));
    while other.handle.core.registry.nodes().unwrap().len() > 1 {
        assert!(!deadline.passed(), "{:?}", world.files());
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(other);
    assert_eq!(world.files(), Vec::<String>::new());
}

/// A host that answers nobody before it may, and keeps its node's thread until then.
#[derive(Default)]
struct Gate {
    /// Whether somebody stands before it, and whether it is open.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn wait_until(&self, what: impl Fn(&(bool, bool)) -> bool) {
        let wait = |state| self.changed.wait_timeout_while(state, Duration::from_secs(10), |state| !what(state));
        let (state, outcome) = wait(self.state.lock().unwrap()).unwrap();
        assert!(!outcome.timed_out(), "it stays {state:?}");
    }

    fn set(&self, change: impl FnOnce(&mut (bool, bool))) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

impl Endpoint for Gate {
    fn offered(&self, _pairing: &Pairing, _offer: Parcel) -> Result<Parcel, Refusal> {
        self.set(|(waited_at, _)| *waited_at = true);
        self.wait_until(|(_, open)| *open);
        Err(Refusal::words("nobody gets in"))
    }

    fn gone(&self, _pairing: PairingId, _how: Gone) {}
}

#[test]
fn a_host_that_is_announced_where_the_connection_has_just_ended_is_announced_again() {
    let world = World::new();
    let [node, other, third] = [world.node(), world.node(), world.node()];
    let (host, guest, gate) = (fake(), fake(), Arc::new(Gate::default()));
    // The two have a connection.
    let first = fake();
    let _first = (open(&node, Part::Host, "first", &first), open(&other, Part::Guest, "first", &first));
    let _guest = open(&other, Part::Guest, "late", &guest);
    let _gate = node.register(spec(Part::Host, "gate"), Arc::clone(&gate) as Arc<dyn Endpoint>).unwrap();
    std::thread::scope(|scope| {
        let third = scope.spawn(|| drop(open(&third, Part::Guest, "gate", &fake())));
        gate.wait_until(|(waited_at, _)| *waited_at);
        // It ends, and the thread that would see it is busy.
        other.handle.core.state().lines.values().for_each(|line| line.cut());
        let _host = open(&node, Part::Host, "late", &host);
        gate.set(|(_, open)| *open = true);
        third.join().unwrap();
        guest.diary.expect("answered welcome");
        host.diary.expect("offered page");
    });
}

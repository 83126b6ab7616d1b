//! Many names and many nodes: what opening one endpoint costs does not grow with the others.

use std::sync::atomic::Ordering;

use super::*;

/// Names that are read out of folders, and board files opened, to open and close a host and a guest under one name.
fn cost(node: &Node, name: &str) -> usize {
    let listed = &node.handle.core.registry.listed;
    let before = listed.load(Ordering::Relaxed);
    let began = wharf_sys::clock::Instant::now();
    let host = open(node, Part::Host, name, &fake());
    let guest = open(node, Part::Guest, name, &fake());
    drop((host, guest));
    println!("opened and closed two endpoints in {:?}", began.elapsed());
    listed.load(Ordering::Relaxed) - before
}

#[test]
fn opening_an_endpoint_does_not_look_at_those_of_other_names() {
    let world = World::new();
    let (crowd, node) = (world.node(), world.node());
    let alone = cost(&node, "mine");
    for _ in 0..3 {
        assert_eq!(cost(&node, "mine"), alone);
    }
    let mut others = Vec::new();
    for number in 0..1000 {
        others.push(open(&crowd, Part::Host, &format!("crowd/{number}"), &fake()));
    }
    for _ in 0..3 {
        assert_eq!(cost(&node, "mine"), alone);
    }
    let more: Vec<Node> = (0..50).map(|_| world.node()).collect();
    others.extend(more.iter().enumerate().map(|(n, node)| open(node, Part::Guest, &format!("crowd/{n}"), &fake())));
    assert_eq!(cost(&node, "mine"), alone);
    // And it has lifelines only to whom it has met: itself.
    assert_eq!(node.handle.core.state().lines.len(), 2);
    assert_eq!(node.endpoints().unwrap().len(), 1050);
    drop((others, more, crowd, node));
    assert_eq!(world.files(), Vec::<String>::new());
}

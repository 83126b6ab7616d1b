//! A pusher at an address that can take nobody else in: for want of descriptors, or because enough are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_message_passing::{Options, Settled};
use wharf_sys::directory::Domain;

use crate::suite::say;
use crate::world::{SOON, World, eventually, few_descriptors};

/// Pushes at a port in a process that may open few descriptors, until there were too few, and some more.
pub(crate) fn pushes_short() {
    let mut pusher = Options::new().queue("tcp:127.0.0.1:0").most_pullers(1000).pusher().unwrap();
    few_descriptors();
    say(pusher.address().unwrap());
    let mut push = || {
        let settled = pusher.push(b"work").unwrap().acked_timeout(SOON).unwrap();
        assert!(matches!(settled, Settled::Acknowledged { .. }), "{settled:?}");
        pusher.refused()
    };
    eventually("it has no descriptors left", || push().1.last().is_some_and(|why| why.contains("accept at")));
    say("short");
    for _ in 0..10 {
        push();
    }
    say("done");
}

pub(crate) fn descriptors_run_out(world: &World) {
    let mut pushing = world.start("pushes-short", &[]);
    let address = pushing.line();
    let mut puller = Options::new().queue(&address).puller_timeout(SOON).unwrap();
    let short = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The end of the pusher ends it.
            while let Ok(item) = puller.recv_timeout(SOON) {
                let _ = item.ack();
            }
        });
        let coming = scope.spawn(|| {
            let options = Options::new().handshake_timeout(Duration::from_secs(2));
            let mut links = Vec::new();
            while !short.load(Ordering::Relaxed) && links.len() < 200 {
                links.extend(options.clone().unsaid_purpose().connect(&address).ok());
            }
            links
        });
        let said = pushing.line();
        short.store(true, Ordering::Relaxed);
        drop(coming.join().unwrap());
        assert_eq!(said, "short");
        pushing.expect("done");
    });
    pushing.end();
}

pub(crate) fn no_more_than_agreed(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut pusher = options.queue("unix:few").most_pullers(1).pusher().unwrap();
    std::thread::scope(|scope| {
        let queue = options.queue("unix:few");
        let coming = scope.spawn(move || (queue.puller().unwrap(), queue.puller().unwrap_err()));
        eventually("the second is refused", || pusher.pullers() == 1 && coming.is_finished());
        let (_one, error) = coming.join().unwrap();
        assert!(error.to_string().contains("1 peers are linked"), "{error}");
        let (count, who) = pusher.refused();
        assert!((count, who.len()) == (1, 1) && who[0].contains("1 peers are linked"), "{who:?}");
    });
}

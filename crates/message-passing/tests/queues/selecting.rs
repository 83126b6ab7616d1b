//! Pullers beside other things to wait for.

use std::time::Duration;

use wharf_message_passing::{Options, Selector, Wait};
use wharf_sys::directory::Domain;

use crate::world::{SOON, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ready {
    Near,
    Far,
    Clock,
}

/// Items of several pushers in other processes, by name, and of one at an address, and the clock.
pub(crate) fn beside_others(world: &World) {
    let node = world.node();
    let mut near = node.queue("near").wait(Wait::Sleep).puller().unwrap();
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut pusher = options.queue("unix:far").pusher().unwrap();
    // The pusher's own thread lets it in.
    let mut far = options.queue("unix:far").puller_timeout(SOON).unwrap();
    let mut selector = Selector::new();
    selector.every(Duration::from_millis(20), Ready::Clock);
    // Nobody has anything.
    let ready = selector.wait_timeout(&mut [(&mut near, Ready::Near), (&mut far, Ready::Far)], SOON).unwrap();
    assert_eq!(ready, Some(Ready::Clock));
    let pushers: Vec<_> = (0..3).map(|_| world.start("pushes", &["near", "100"])).collect();
    let (mut from_near, mut from_far, mut ticks) = (0, 0, 0);
    while from_near < 300 || from_far < 50 || ticks < 3 {
        let ready = selector.wait_timeout(&mut [(&mut near, Ready::Near), (&mut far, Ready::Far)], SOON).unwrap();
        match ready.expect("somebody is ready") {
            // Whoever is ready has something: nothing waits here.
            Ready::Near => {
                near.try_recv().unwrap().ack().unwrap();
                from_near += 1;
            }
            Ready::Far => {
                let Ok(item) = far.try_recv() else { continue };
                item.ack().unwrap();
                from_far += 1;
            }
            Ready::Clock => {
                ticks += 1;
                if from_far + ticks < 200 {
                    (0..10).for_each(|_| drop(pusher.push(b"do")));
                }
            }
        }
    }
    for mut pusher in pushers {
        pusher.line();
        pusher.expect("0 left, Ok(())");
        pusher.end();
    }
    // A pusher that comes when it sleeps is heard.
    let late = world.start("pushes", &["near", "1"]);
    loop {
        match selector.wait_timeout(&mut [(&mut near, Ready::Near)], SOON).unwrap() {
            Some(Ready::Near) => break near.try_recv().unwrap().ack().unwrap(),
            Some(_) => {}
            None => panic!("it was never heard"),
        }
    }
    late.end();
    // The end of a pusher at an address is something to tell, for ever.
    drop(pusher);
    let mut selector = Selector::new();
    while far.try_recv().is_ok() {}
    for _ in 0..2 {
        assert_eq!(selector.wait_timeout(&mut [(&mut far, Ready::Far)], SOON).unwrap(), Some(Ready::Far));
        let _ = far.try_recv();
    }
    assert!(far.try_recv().is_err());
}

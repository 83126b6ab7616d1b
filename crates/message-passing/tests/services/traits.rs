//! What `#[service]` makes of a trait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{CallError, MethodResults, RecvError, service};

use crate::world::{SOON, World};

#[service]
trait Numbers {
    fn sum(&mut self, of: Vec<u64>) -> u64;
    fn up_to(&mut self, end: u64) -> impl Iterator<Item = u64>;
    fn endless(&self) -> impl Iterator<Item = String>;
    fn broken(&self) -> impl Iterator<Item = u64>;
    fn stop(&mut self);
}

/// The same names with other types, and one that nobody knows, as a client of another version has them.
#[service]
trait Others {
    fn sum(&mut self, of: u64) -> u64;
    fn endless(&self) -> impl Iterator<Item = u64>;
    fn unheard(&self) -> impl Iterator<Item = u64>;
}

/// Names that the code below the macro could have, too, and a server's own methods.
#[service]
trait Ordinary {
    fn names(&self, state: u8, request: u8, method: u8, arguments: u8, other: u8, why: u8) -> Vec<u8>;
    fn serve(&self, caller: String, limit: u8) -> String;
    fn answer(&mut self, server: u8, service: u8) -> u8;
    fn state(&self, text: u8) -> u8;
}

struct Plain;

impl Ordinary for Plain {
    fn names(&self, state: u8, request: u8, method: u8, arguments: u8, other: u8, why: u8) -> Vec<u8> {
        vec![state, request, method, arguments, other, why]
    }

    fn serve(&self, caller: String, limit: u8) -> String {
        caller + &limit.to_string()
    }

    fn answer(&mut self, server: u8, service: u8) -> u8 {
        server - service
    }

    fn state(&self, text: u8) -> u8 {
        text + 1
    }
}

#[derive(Clone, Default)]
struct Counter {
    given: Arc<AtomicU64>,
    stopped: bool,
}

/// Counts the iterators that are gone.
struct Gone(Arc<AtomicU64>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Numbers for Counter {
    fn sum(&mut self, of: Vec<u64>) -> u64 {
        of.iter().sum()
    }

    fn up_to(&mut self, end: u64) -> impl Iterator<Item = u64> {
        0..end
    }

    fn endless(&self) -> impl Iterator<Item = String> {
        let gone = Gone(Arc::clone(&self.given));
        (0..).map(move |number: u64| {
            let _alive = &gone;
            "x".repeat(1000) + &number.to_string()
        })
    }

    fn broken(&self) -> impl Iterator<Item = u64> {
        (0..10).inspect(|number| {
            if *number == 3 {
                // Not a panic: the hook would write over what the suite says.
                std::panic::resume_unwind(Box::new("broken"));
            }
        })
    }

    fn stop(&mut self) {
        self.stopped = true;
    }
}

/// Every kind of method, over every way to meet; and a server that goes on whatever a client does.
pub(crate) fn one_by_one(world: &World) {
    let node = world.node();
    let service = node.service("numbers").patience(SOON);
    let counter = Counter::default();
    let gone = Arc::clone(&counter.given);
    let mut server = NumbersServer::open(&service, counter).unwrap();
    let serving = thread::spawn(move || {
        // Ends when it was told to stop.
        while !server.state().stopped {
            // One of the iterators panics.
            let served =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.serve_one(Duration::from_secs(20))));
            assert!(!matches!(served, Ok(Err(RecvError::Timeout))), "nobody asks");
        }
    });
    let mut client = NumbersClient::open(&service, SOON).unwrap();
    assert_eq!(client.sum(vec![1, 2, 3]).unwrap(), 6);
    let all: Result<Vec<u64>, CallError> = client.up_to(100_000).unwrap().collect();
    assert!(all.unwrap().into_iter().eq(0..100_000));
    assert_eq!(client.up_to(0).unwrap().count(), 0);
    // Whoever has enough drops it, and the server lets go of its iterator.
    let mut some = client.endless().unwrap();
    assert!(some.next().unwrap().unwrap().ends_with("x0"));
    assert!(some.next().unwrap().unwrap().ends_with("x1"));
    drop(some);
    assert_eq!(client.sum(vec![7]).unwrap(), 7);
    assert_eq!(gone.load(Ordering::Relaxed), 1);
    // What was given before a panic arrives, and then that it failed.
    let mut broken = client.broken().unwrap();
    for number in 0..3 {
        assert_eq!(broken.next().unwrap().unwrap(), number);
    }
    assert!(matches!(broken.next(), Some(Err(CallError::Failed(_)))));
    assert!(broken.next().is_none());
    drop(broken);

    let mut other = OthersClient::open(&service, SOON).unwrap();
    assert!(matches!(other.sum(1), Err(CallError::Failed(why)) if why.contains("sum")));
    let mut endless = other.endless().unwrap();
    assert!(matches!(endless.next(), Some(Err(CallError::Misunderstood(why))) if why.contains("endless")));
    assert!(endless.next().is_none(), "an error is the last of them");
    drop(endless);
    let mut unheard = other.unheard().unwrap();
    assert!(matches!(unheard.next(), Some(Err(CallError::Failed(why))) if why.contains("no method 'unheard'")));
    drop(unheard);

    client.stop().unwrap();
    serving.join().unwrap();
}

/// A client that takes nothing for the patience of the service has its call ended, and the server goes on.
pub(crate) fn nobody_takes(world: &World) {
    let node = world.node();
    let service = node.service("numbers").patience(Duration::from_millis(50));
    let mut server = NumbersServer::open(&service, Counter::default()).unwrap();
    let serving = thread::spawn(move || {
        while !server.state().stopped {
            server.serve_one(Duration::from_secs(20)).expect("somebody asks");
        }
    });
    let mut slow = NumbersClient::open(&service, SOON).unwrap();
    let mut other = NumbersClient::open(&service, SOON).unwrap();
    let mut endless = slow.endless().unwrap();
    assert!(endless.next().unwrap().is_ok());
    // Answered by the same thread, so only once the endless one is given up.
    assert_eq!(other.sum(vec![1, 1]).unwrap(), 2);
    let end = endless.find_map(Result::err);
    assert!(matches!(end, Some(CallError::Failed(_))), "{end:?}");
    drop(endless);
    other.stop().unwrap();
    serving.join().unwrap();
}

/// A client that takes slowly has one patience for all results together, and then the others have their turn.
pub(crate) fn somebody_takes_slowly(world: &World) {
    let node = world.node();
    let service = node.service("numbers").patience(Duration::from_millis(50)).most_kept(10_000);
    let mut server = NumbersServer::open(&service, Counter::default()).unwrap();
    let serving = thread::spawn(move || {
        while !server.state().stopped {
            server.serve_one(SOON).expect("somebody asks");
        }
    });
    let mut slow = NumbersClient::open(&service, SOON).unwrap();
    let mut endless: MethodResults<'_, String> = slow.endless().unwrap();
    let end = loop {
        thread::sleep(Duration::from_millis(2));
        match endless.next() {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(CallError::Failed(_)))), "{end:?}");
    drop(endless);
    let mut other = NumbersClient::open(&service, SOON).unwrap();
    assert_eq!(other.sum(vec![1, 1]).unwrap(), 2);
    other.stop().unwrap();
    serving.join().unwrap();
}

/// Each request in a thread with a state of its own: streams go on side by side, and whoever asks meanwhile is answered.
pub(crate) fn several_at_once(world: &World) {
    let node = world.node();
    let service = node.service("numbers").patience(SOON);
    let mut server = NumbersServer::open(&service, Counter::default()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::scope(|answering| {
                // Two streams and a sum.
                for _ in 0..3 {
                    let request = server.server().recv_timeout(SOON).unwrap();
                    let mut state = server.state().clone();
                    answering.spawn(move || NumbersServer::answer(&mut state, request));
                }
            });
        });
        let mut clients = [(); 3].map(|()| NumbersClient::open(&service, SOON).unwrap());
        let [one, other, third] = &mut clients;
        let mut streams = [one.endless().unwrap(), other.endless().unwrap()];
        for number in 0..200 {
            for stream in &mut streams {
                assert!(stream.next().unwrap().unwrap().ends_with(&format!("x{number}")));
            }
            if number == 100 {
                assert_eq!(third.sum(vec![1, 1]).unwrap(), 2);
            }
        }
        drop(streams);
    });
}

/// Arguments and methods may be called as one likes.
pub(crate) fn any_name(world: &World) {
    let node = world.node();
    let service = node.service("ordinary");
    let mut server = OrdinaryServer::open(&service, Plain).unwrap();
    let serving = thread::spawn(move || (0..4).for_each(|_| server.serve_one(SOON).unwrap()));
    let mut client = OrdinaryClient::open(&service, SOON).unwrap();
    assert_eq!(client.names(1, 2, 3, 4, 5, 6).unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(client.serve("it".to_owned(), 7).unwrap(), "it7");
    assert_eq!(client.answer(9, 2).unwrap(), 7);
    assert_eq!(client.state(1).unwrap(), 2);
    serving.join().unwrap();
}

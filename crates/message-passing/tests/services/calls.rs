//! What a call brings.

use std::time::{Duration, Instant};

use wharf_message_passing::{CallError, Client, Outcome, Request, SendError, Server};
use wharf_shared_memory::Plain;

use crate::child::serve;
use crate::world::{SOON, World};

/// A moment in which nothing may happen.
const MOMENT: Duration = Duration::from_millis(50);

/// Runs a server in a thread, and then what asks it, which is given the client.
fn with_server<T>(world: &World, ask: impl FnOnce(&mut Client) -> T) -> T {
    let node = world.node();
    let mut server = node.service("here").server().unwrap();
    let mut client = node.service("here").client().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || serve(&mut server, SOON));
        let asked = ask(&mut client);
        client.call(b"stop", SOON).unwrap();
        drop(serving.join().unwrap());
        asked
    })
}

fn ends(world: &World) -> (Server, Client) {
    let node = world.node();
    (node.service("here").server().unwrap(), node.service("here").client().unwrap())
}

pub(crate) fn answers(world: &World) {
    with_server(world, |client| {
        assert_eq!(client.servers(), 1);
        for number in 0..2_000 {
            let text = format!("echo {number}");
            assert_eq!(client.call(text.as_bytes(), SOON).unwrap(), number.to_string().as_bytes());
        }
        assert_eq!(client.call(b"echo ", SOON).unwrap(), b"", "an empty answer is an answer");
        let failed = client.call(b"fail no such thing", SOON).unwrap_err();
        assert!(matches!(&failed, CallError::Failed(words) if words == "no such thing"), "{failed}");
        assert_eq!(failed.outcome(), Outcome::Answered);
    });
}

pub(crate) fn any_order(world: &World) {
    let (mut server, mut client) = ends(world);
    let calls: Vec<_> = (0..100).map(|it: u8| client.request(&[it]).limit(SOON).start().unwrap()).collect();
    let mut requests: Vec<_> = (0..100).map(|_| server.recv_timeout(SOON).unwrap()).collect();
    // The last one first, then every third, then the rest.
    requests.pop().unwrap().reply(b"99").unwrap();
    assert_eq!(client.any_ready(SOON).unwrap(), Some(calls[99]));
    assert_eq!(client.wait(calls[99]).unwrap(), b"99");
    let (third, rest): (Vec<_>, Vec<_>) = requests.into_iter().partition(|it| it[0] % 3 == 0);
    for request in third.into_iter().rev().chain(rest) {
        let answer = request[0].to_string();
        request.reply(answer.as_bytes()).unwrap();
    }
    for (number, call) in calls.iter().enumerate().take(99).rev() {
        assert_eq!(client.wait(*call).unwrap(), number.to_string().as_bytes());
    }
    assert!(matches!(client.wait(calls[0]), Err(CallError::NoSuchCall)), "each answer is taken once");
    assert_eq!(client.open_calls(), 0);
}

pub(crate) fn results_one_by_one(world: &World) {
    with_server(world, |client| {
        let results: Result<Vec<_>, _> = client.call_stream(b"count 1000", SOON).unwrap().collect();
        let results = results.unwrap();
        assert_eq!(results.len(), 1000);
        assert!(results.iter().enumerate().all(|(number, it)| *it == number.to_string().as_bytes()));
        assert_eq!(client.call_stream(b"count 0", SOON).unwrap().count(), 0);
        // One answer is one result.
        let one: Vec<_> = client.call_stream(b"echo a", SOON).unwrap().map(Result::unwrap).collect();
        assert_eq!(one, [b"a"]);
        // Whoever has enough of it stops, and everything else goes on.
        let some: Vec<_> = client.call_stream(b"count 5000", SOON).unwrap().take(3).map(Result::unwrap).collect();
        assert_eq!(some, [b"0", b"1", b"2"]);
        assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on");
        // Two at once, taken in turns.
        let calls = [b"count 3", b"count 2"].map(|it| client.request(it).limit(SOON).start().unwrap());
        let mut taken = Vec::new();
        while let (one, other) = (client.next(calls[0]), client.next(calls[1]))
            && let Ok(Some(one)) = one
        {
            taken.push((one, other.ok().flatten()));
        }
        let pair = |one: &str, other: Option<&str>| (one.as_bytes().to_vec(), other.map(|it| it.as_bytes().to_vec()));
        assert_eq!(taken, [pair("0", Some("0")), pair("1", Some("1")), pair("2", None)]);
    });
}

#[derive(Clone, Copy, Plain, PartialEq, Debug)]
#[repr(C)]
struct Pair {
    left: f64,
    right: f64,
}

pub(crate) fn values(world: &World) {
    let node = world.node();
    let service = node.service_of::<Pair, f64>("sum");
    let mut server = service.typed_server().unwrap();
    let mut client = service.typed_client().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let request = server.recv().unwrap();
            let Pair { left, right } = *request.value();
            request.reply(&(left + right)).unwrap();
            let mut stream = server.recv().unwrap().stream();
            for it in [0.5, 0.25] {
                stream.send(&it).unwrap();
            }
            stream.end().unwrap();
        });
        assert_eq!(client.call(&Pair { left: 1.5, right: 2.0 }, SOON).unwrap(), 3.5);
        let results = client.call_stream(&Pair { left: 0.0, right: 0.0 }, SOON).unwrap();
        assert_eq!(results.map(Result::unwrap).collect::<Vec<_>>(), [0.5, 0.25]);
    });
}

pub(crate) fn encoded(world: &World) {
    let node = world.node();
    let service = node.service_of_serde::<Vec<String>, Option<String>>("longest");
    let mut server = service.typed_server().unwrap();
    let mut client = service.typed_client().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..2 {
                let request = server.recv().unwrap();
                let longest = request.value().iter().max_by_key(|it| it.len()).cloned();
                request.reply(&longest).unwrap();
            }
        });
        let words = ["a", "long", "on"].map(str::to_owned).to_vec();
        assert_eq!(client.call(&words, SOON).unwrap().as_deref(), Some("long"));
        assert_eq!(client.call(&Vec::new(), SOON).unwrap(), None);
    });
}

pub(crate) fn another_type(world: &World) {
    let node = world.node();
    let _server = node.service_of::<Pair, f64>("typed").typed_server().unwrap();
    let told = node.service_of::<f64, Pair>("typed").typed_client().unwrap_err().to_string();
    assert!(told.contains("another type"), "{told}");
}

/// Through rings of 16 KiB.
pub(crate) fn large_messages(world: &World) {
    with_server(world, |client| {
        for size in [1, 4_000, 16_384, 100_000, 3_000_000] {
            let answer = client.call(format!("size {size}").as_bytes(), SOON).unwrap();
            assert!(answer.len() == size && answer.iter().all(|it| *it == b'x'), "{size}");
            let mut request = b"echo ".to_vec();
            request.extend((0..size).map(|it| it as u8));
            assert!(client.call(&request, SOON).unwrap() == request[5..], "{size}");
        }
    });
}

/// An answer that the link does not carry is told as that, whichever way it would have gone, and the next one comes.
pub(crate) fn too_large_answers(world: &World) {
    let mut server = world.node().service("small").server().unwrap();
    let mut client = world.node().service("small").max_message(1_000).client().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || serve(&mut server, SOON));
        for round in 0..3_000 {
            // The first of them before the server's lock leans towards its thread, the others behind.
            if round % 500 == 0 {
                let error = client.call(b"size 2000", SOON).unwrap_err();
                let CallError::Failed(why) = &error else { panic!("{round}: {error}") };
                assert!(why.contains("the link carries 1000"), "{round}: {why}");
            }
            assert_eq!(client.call(b"size 900", SOON).unwrap().len(), 900, "{round}");
        }
        client.call(b"stop", SOON).unwrap();
        serving.join().unwrap();
    });
}

pub(crate) fn deadlines(world: &World) {
    with_server(world, |client| {
        let left = String::from_utf8(client.call(b"left", Duration::from_secs(3600)).unwrap()).unwrap();
        assert!(left.starts_with("Some(359") && left.contains('.'), "the server knows the deadline: {left}");
        let call = client.request(b"left").start().unwrap();
        assert_eq!(client.wait(call).unwrap(), b"None", "no deadline");
        for limit in [Duration::ZERO, MOMENT] {
            let began = Instant::now();
            let error = client.call(b"hold", limit).unwrap_err();
            assert!(matches!(error, CallError::Timeout { .. }), "{error}");
            assert_eq!(error.outcome(), Outcome::Unknown);
            assert!(began.elapsed() >= limit && began.elapsed() < SOON, "{:?}", began.elapsed());
        }
        // Several with deadlines of their own, none of which is waited for alone. They are far enough apart that each is told before the
        // next has passed.
        let calls = [3, 1, 2].map(|it| client.request(b"hold").limit(10 * MOMENT * it).start().unwrap());
        for expected in [1, 2, 0] {
            let ready = client.any_ready(SOON).unwrap().unwrap();
            assert_eq!(ready, calls[expected]);
            assert!(matches!(client.wait(ready), Err(CallError::Timeout { .. })));
        }
        assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on");
    });
}

pub(crate) fn nobody_there(world: &World) {
    let mut client = world.node().service("nobody").client().unwrap();
    let began = Instant::now();
    let error = client.call(b"echo", MOMENT).unwrap_err();
    assert!(matches!(error, CallError::NoServer { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NeverSent);
    assert!(began.elapsed() >= MOMENT);
    assert_eq!((client.servers(), client.open_calls()), (0, 0));
}

pub(crate) fn waits_for_a_server(world: &World) {
    let mut client = world.node().service("late").client().unwrap();
    let server = std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.call(b"echo there", SOON).unwrap());
        let server = world.start("serves", &["late"]);
        assert_eq!(asking.join().unwrap(), b"there");
        server
    });
    server.end();
}

pub(crate) fn cancelled(world: &World) {
    let (mut server, mut client) = ends(world);
    let calls = [b"a", b"b"].map(|it| client.request(it).limit(SOON).start().unwrap());
    let requests = [server.recv_timeout(SOON).unwrap(), server.recv_timeout(SOON).unwrap()];
    assert!(!requests[0].is_cancelled());
    client.cancel(calls[0]);
    let error = client.wait(calls[0]).unwrap_err();
    assert!(matches!(error, CallError::Cancelled) && error.outcome() == Outcome::Unknown, "{error}");
    // It is heard although the server receives nothing.
    until_cancelled(&requests[0]);
    assert!(!requests[1].is_cancelled());
    let [first, second] = requests;
    assert!(first.stream().send(b"in vain").is_err());
    second.reply(b"b").unwrap();
    assert_eq!(client.wait(calls[1]).unwrap(), b"b");
    client.cancel(calls[1]);
    assert_eq!(client.open_calls(), 0);
}

pub(crate) fn until_cancelled(request: &Request) {
    let began = Instant::now();
    while !request.is_cancelled() {
        assert!(began.elapsed() < SOON, "nobody has told the server within {SOON:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Streams for ever; what the caller says is heard between two results.
pub(crate) fn streams_until_told(server: &mut Server) {
    let mut stream = server.recv_timeout(SOON).unwrap().stream();
    let began = Instant::now();
    let end = (0_u64..).find_map(|number| {
        assert!(began.elapsed() < SOON, "result {number}, and nobody has told the server within {SOON:?}");
        stream.send(&number.to_le_bytes()).err()
    });
    assert!(matches!(end, Some(SendError::Closed)), "{end:?}");
    assert!(stream.is_cancelled());
}

/// A server of one thread that streams and receives nothing meanwhile.
pub(crate) fn a_stream_is_cancelled(world: &World) {
    let (mut server, mut client) = ends(world);
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            streams_until_told(&mut server);
            drop(serve(&mut server, SOON));
        });
        let some: Vec<_> = client.call_stream(b"all", SOON).unwrap().take(3).map(Result::unwrap).collect();
        assert_eq!(some, [0_u64, 1, 2].map(u64::to_le_bytes));
        assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on");
        client.call(b"stop", SOON).unwrap();
        serving.join().unwrap();
    });
}

/// The word that a request is given up may come before the request is received.
pub(crate) fn cancelled_before_it_is_received(world: &World) {
    let (mut server, mut client) = ends(world);
    let calls = [b"a", b"b", b"c"].map(|it| client.request(it).limit(SOON).start().unwrap());
    client.cancel(calls[1]);
    let requests = [(); 3].map(|()| server.recv_timeout(SOON).unwrap());
    until_cancelled(&requests[1]);
    assert!(!requests[0].is_cancelled() && !requests[2].is_cancelled());
}

pub(crate) fn dropped_requests_have_failed(world: &World) {
    with_server(world, |client| {
        let error = client.call(b"drop", SOON).unwrap_err();
        assert!(matches!(&error, CallError::Failed(why) if why.contains("dropped")), "{error}");
    });
    // A panic too, and a stream that stops in the middle.
    let (mut server, mut client) = ends(world);
    let calls = [(); 2].map(|()| client.request(b"x").limit(SOON).start().unwrap());
    let mut stream = server.recv_timeout(SOON).unwrap().stream();
    stream.send(b"half").unwrap();
    drop(stream);
    let request = server.recv_timeout(SOON).unwrap();
    let thread = std::thread::Builder::new().name("panics".to_owned());
    let panicked = thread.spawn(move || {
        let _request = request;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.unwrap().join().is_err());
    assert_eq!(client.next(calls[0]).unwrap().unwrap(), b"half");
    assert!(matches!(client.next(calls[0]), Err(CallError::Failed(_))));
    assert!(matches!(client.wait(calls[1]), Err(CallError::Failed(_))));
}

pub(crate) fn too_many_at_once(world: &World) {
    let (mut server, mut client) = ends(world);
    let mut requests = Vec::new();
    let calls: Vec<_> = (0..1024)
        .map(|_| {
            let call = client.request(b"x").limit(SOON).start().unwrap();
            requests.push(server.recv_timeout(SOON).unwrap());
            call
        })
        .collect();
    let error = client.request(b"x").limit(SOON).start().unwrap_err();
    assert!(matches!(error, CallError::TooMany { limit: 1024 }), "{error}");
    requests.into_iter().for_each(|it| it.reply(b"y").unwrap());
    for call in calls {
        // Sent on while the server receives, once there is room again.
        while client.any_ready(MOMENT).unwrap().is_none() {
            assert!(server.recv_timeout(MOMENT).is_err());
        }
        let _ = server.try_recv();
        assert_eq!(client.wait(call).unwrap(), b"y");
    }
}

/// Requests of one server are answered in other threads, while it receives.
pub(crate) fn across_threads(world: &World) {
    let (mut server, mut client) = ends(world);
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            std::thread::scope(|scope| {
                loop {
                    let request = server.recv_timeout(SOON).unwrap();
                    if &*request == b"stop" {
                        return request.reply(b"").unwrap();
                    }
                    scope.spawn(move || {
                        let answer = [request.bytes(), b"!"].concat();
                        request.reply(&answer).unwrap();
                    });
                }
            });
        });
        for round in 0..20 {
            let calls: Vec<_> = (0..10)
                .map(|it| (it, client.request(format!("{round} {it}").as_bytes()).limit(SOON).start().unwrap()))
                .collect();
            for (it, call) in calls {
                assert_eq!(client.wait(call).unwrap(), format!("{round} {it}!").as_bytes());
            }
        }
        client.call(b"stop", SOON).unwrap();
        serving.join().unwrap();
    });
}

//! What happens when one side does not keep up.

use std::time::{Duration, Instant};

use wharf_message_passing::{CallError, Options, Outcome, SendError, Service};
use wharf_sys::directory::Domain;

use crate::child::serve;
use crate::world::{SOON, World};

const MOMENT: Duration = Duration::from_millis(50);

/// A server that does not receive: requests wait in the link, then at the client, then they were never sent.
pub(crate) fn requests_wait_for_room(world: &World) {
    let node = world.node();
    let mut server = node.service("slow").server().unwrap();
    let mut client = node.service("slow").client().unwrap();
    let request = [7; 1000];
    let mut sent = 0;
    let error = loop {
        let call = client.request(&request).limit(MOMENT).start().unwrap();
        // One that was not sent in time is over by now; the others are not.
        client.cancel(call);
        match client.wait(call).unwrap_err() {
            CallError::Cancelled => {}
            error => break error,
        }
        sent += 1;
        assert!(sent < 100, "there is always room");
    };
    assert!(matches!(error, CallError::Full { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NeverSent);
    // Whatever was sent is there, and the one that was not is not.
    let mut received = 0;
    while server.recv_timeout(MOMENT).is_ok() {
        received += 1;
    }
    assert!(received <= 24, "{received}: more than the rings hold");
    let call = client.request(&request).limit(SOON).start().unwrap();
    server.recv_timeout(SOON).unwrap().reply(b"again").unwrap();
    assert_eq!(client.wait(call).unwrap(), b"again");
}

/// A server that is faster than the program that takes its results waits for it, whichever way that asks for them.
pub(crate) fn a_fast_server_waits(world: &World) {
    const ITEMS: usize = 2000;
    let by_name = world.node().service("fast").most_kept(10_000);
    let at_address = Options::new().domain(Domain::at(world.path()).unwrap()).service("unix:fast").most_kept(10_000);
    for service in [by_name, at_address] {
        let service: Service = service.patience(SOON);
        let mut server = service.server().unwrap();
        let ahead = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                for _ in 0..2 {
                    let mut stream = server.recv_timeout(SOON).unwrap().stream();
                    let mut sent = 0;
                    while stream.try_send(&[5; 100]).is_ok() {
                        sent += 1;
                    }
                    // More than the client keeps lies on the way before it looks for the first time.
                    ahead.wait();
                    for _ in sent..ITEMS {
                        stream.send(&[5; 100]).unwrap();
                    }
                    stream.end().unwrap();
                }
                let request = server.recv_timeout(SOON).unwrap();
                request.reply(b"over").unwrap();
                server
            });
            let mut client = service.client_timeout(SOON).unwrap();
            let call = client.request(b"x").limit(SOON).start().unwrap();
            ahead.wait();
            let mut taken = 0;
            while client.any_ready(SOON).unwrap() == Some(call)
                && let Some(item) = client.next(call).unwrap()
            {
                assert_eq!(item, [5; 100]);
                taken += 1;
            }
            assert_eq!(taken, ITEMS);
            let results = client.call_stream(b"x", SOON).unwrap();
            ahead.wait();
            assert_eq!(results.map(Result::unwrap).count(), ITEMS);
            assert_eq!(client.call(b"x", SOON).unwrap(), b"over");
            drop(serving.join().unwrap());
        });
    }
}

/// Whoever waits for another call has it, however much waits of one that nobody takes.
pub(crate) fn another_call_is_answered(world: &World) {
    let service = world.node().service("beside").most_kept(10_000).patience(SOON);
    let mut server = service.server().unwrap();
    std::thread::scope(|scope| {
        let mut client = service.client().unwrap();
        let many = client.request(b"many").limit(SOON).start().unwrap();
        let serving = scope.spawn(move || {
            let mut stream = server.recv_timeout(SOON).unwrap().stream();
            let one = server.recv_timeout(SOON).unwrap();
            // Ends when the client has given it up.
            while stream.send(&[5; 100]).is_ok() {}
            one.reply(b"one").unwrap();
            // What is kept is sent on while the server receives.
            while server.clients() > 0 {
                let _ = server.recv_timeout(Duration::from_millis(1));
            }
        });
        let one = client.request(b"one").limit(SOON).start().unwrap();
        assert_eq!(client.wait(one).unwrap(), b"one");
        let end = std::iter::from_fn(|| client.next(many).transpose()).find_map(Result::err);
        assert!(matches!(end, Some(CallError::Overrun { limit: 10_000 })), "{end:?}");
        drop(client);
        serving.join().unwrap();
    });
}

/// One client does not read its answers: nobody waits for it, and it is cut off.
pub(crate) fn whoever_does_not_read_is_cut_off(world: &World) {
    let node = world.node();
    let mut server = node.service("busy").most_kept(100_000).server().unwrap();
    let mut lazy = node.service("busy").client().unwrap();
    let mut good = node.service("busy").client().unwrap();
    let mut calls = Vec::new();
    let mut worst = Duration::ZERO;
    while server.clients() > 1 || calls.is_empty() {
        assert!(calls.len() < 100, "it was never cut off");
        // Starting a call reads answers only where there is no room; this one starts few of them.
        calls.push(lazy.request(b"x").limit(SOON).start().unwrap());
        let call = good.request(b"y").limit(SOON).start().unwrap();
        for _ in 0..2 {
            let began = Instant::now();
            let request = server.recv_timeout(SOON).unwrap();
            // The last one finds that it is too much.
            let _ = match &*request {
                b"x" => request.reply(&[1; 10_000]),
                _ => request.reply(b"good"),
            };
            worst = worst.max(began.elapsed());
        }
        assert_eq!(good.wait(call).unwrap(), b"good");
        let _ = server.try_recv();
    }
    assert!(worst < Duration::from_secs(5), "somebody was waited for: {worst:?}");
    assert!(calls.len() >= 9, "100 KB are kept for it, and it was cut off after {}", calls.len());
    // It learns what became of each of its calls.
    let (mut answered, mut unknown) = (0, 0);
    let mut why = String::new();
    for call in calls {
        match lazy.wait(call) {
            Ok(answer) => {
                assert_eq!(answer, [1; 10_000]);
                answered += 1;
            }
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                why = error.to_string();
                unknown += 1;
            }
        }
    }
    assert!(unknown > 0, "{answered}");
    assert!(why.contains("not read its answers") || why.contains("closed") || why.contains("died"), "{why}");
}

/// Results wait for their reader, and no longer than the server's patience.
pub(crate) fn a_stream_waits_for_its_reader(world: &World) {
    let node = world.node();
    let service = node.service("stream").most_kept(10_000).patience(MOMENT);
    let mut server = service.server().unwrap();
    let mut client = node.service("stream").client().unwrap();
    let call = client.request(b"x").limit(SOON).start().unwrap();
    let mut stream = server.recv_timeout(SOON).unwrap().stream();
    let mut sent = 0;
    let error = loop {
        match stream.send(&[3; 1000]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1000, "there is always room");
    };
    assert!(matches!(error, SendError::Timeout), "{error}");
    assert!(matches!(stream.try_send(&[3; 1000]), Err(SendError::Full)));
    let mut taken = 0;
    std::thread::scope(|scope| {
        // It goes on when the reader does.
        scope.spawn(move || {
            let mut more = 0;
            while more < 100 {
                match stream.send(&[3; 1000]) {
                    Ok(()) => more += 1,
                    Err(SendError::Timeout) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            stream.end().unwrap();
            // What is kept is sent on while the server receives.
            while server.recv_timeout(MOMENT).is_ok() {}
        });
        while let Some(item) = client.next(call).unwrap() {
            assert_eq!(item, [3; 1000]);
            taken += 1;
        }
    });
    assert_eq!(taken, sent + 100, "none is lost, none comes twice");
}

/// Results without a byte count their place: of a client that takes none, so many more are kept as more may be, and all arrive.
pub(crate) fn empty_results_are_bounded(world: &World) {
    let [little, much] = [64_000, 640_000].map(|kept| {
        let service = world.node().service(format!("empty-{kept}")).most_kept(kept);
        let mut server = service.server().unwrap();
        let mut client = service.client().unwrap();
        let call = client.request(b"x").limit(SOON).start().unwrap();
        let mut stream = server.recv_timeout(SOON).unwrap().stream();
        let mut sent = 0_usize;
        while stream.try_send(b"").is_ok() {
            sent += 1;
            assert!(sent < 1_000_000, "nothing bounds them");
        }
        stream.end().unwrap();
        let results = std::thread::scope(|scope| {
            // What is kept is sent on while the server receives.
            scope.spawn(|| serve(&mut server, SOON));
            let results = std::iter::from_fn(|| client.next(call).unwrap()).filter(Vec::is_empty).count();
            client.call(b"stop", SOON).unwrap();
            results
        });
        assert_eq!(results, sent);
        sent
    });
    // As many as ever lie on the way in both cases.
    let more = much - little;
    assert!((4_000..=7_000).contains(&more), "{more} for three quarters of 576,000 bytes more");
}

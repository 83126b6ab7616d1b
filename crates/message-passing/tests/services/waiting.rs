//! Servers and clients beside other ends, and in tasks of a runtime.

use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{CallError, Endpoint, Options, Selector};
use wharf_sys::directory::Domain;

use crate::child::{answer, serve};
use crate::world::{SOON, World};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Ready {
    First,
    Second,
    Clock,
}

/// One thread serves two services, by name and at an address, and a timer.
pub(crate) fn two_servers_in_one_thread(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    for address in ["unix:second", "shm:second", "tcp:127.0.0.1:0"] {
        let node = world.node();
        let mut first = node.service("first").server().unwrap();
        let mut second = options.service(address).server().unwrap();
        let there = second.address().unwrap().to_string();
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut one = node.service("first").client().unwrap();
                let mut two = options.service(&there).client_timeout(SOON).unwrap();
                for round in 0..50 {
                    for client in [&mut one, &mut two] {
                        let text = format!("echo {round}");
                        assert_eq!(client.call(text.as_bytes(), SOON).unwrap(), round.to_string().as_bytes());
                    }
                    if round % 10 == 0 {
                        // Long enough that both are slept for.
                        thread::sleep(Duration::from_millis(5));
                    }
                }
                assert_eq!(one.call(b"size 100000", SOON).unwrap().len(), 100_000);
            });
            let mut selector = Selector::new();
            selector.every(Duration::from_millis(20), Ready::Clock);
            let (mut served, mut ticks) = ([0, 0], 0);
            while !asking.is_finished() {
                match selector.wait(&mut [(&mut first, Ready::First), (&mut second, Ready::Second)]).unwrap() {
                    Ready::Clock => ticks += 1,
                    ready => {
                        let server = if ready == Ready::First { &mut first } else { &mut second };
                        assert!(answer(server.try_recv().expect("it was ready")).is_none());
                        served[usize::from(ready == Ready::Second)] += 1;
                    }
                }
            }
            asking.join().unwrap();
            assert_eq!(served, [51, 50], "{address}");
            assert!(ticks > 0);
        });
    }
}

/// A client waits for its calls beside others; a deadline is something to take.
pub(crate) fn pending_replies(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let node = world.node();
    for address in [None, Some("unix:asked"), Some("shm:asked")] {
        let service = match address {
            None => node.service("asked"),
            Some(address) => options.service(address),
        };
        let mut server = service.server().unwrap();
        thread::scope(|scope| {
            let serving = scope.spawn(move || serve(&mut server, SOON));
            let (mut one, mut two) = (service.client_timeout(SOON).unwrap(), service.client_timeout(SOON).unwrap());
            let mut selector = Selector::new();
            for round in 0..20 {
                let text = format!("echo {round}");
                let answered = one.request(text.as_bytes()).limit(SOON).start().unwrap();
                let began = Instant::now();
                let held = two.request(b"hold").limit(Duration::from_millis(20)).start().unwrap();
                let mut seen = Vec::new();
                while seen.len() < 2 {
                    let mut list: Vec<(&mut dyn Endpoint, Ready)> = Vec::new();
                    if !seen.contains(&Ready::First) {
                        list.push((&mut one, Ready::First));
                    }
                    if !seen.contains(&Ready::Second) {
                        list.push((&mut two, Ready::Second));
                    }
                    let ready = selector.wait_timeout(&mut list, SOON).unwrap().expect("one of them is ready");
                    match ready {
                        Ready::First => assert_eq!(one.wait(answered).unwrap(), round.to_string().as_bytes()),
                        _ => {
                            assert!(matches!(two.wait(held), Err(CallError::Timeout { .. })));
                            assert!(began.elapsed() >= Duration::from_millis(20) && began.elapsed() < SOON);
                        }
                    }
                    seen.push(ready);
                }
            }
            one.call(b"stop", SOON).unwrap();
            drop(serving.join().unwrap());
        });
    }
}

/// What is large goes on as soon as there is room, and not ring by ring with a slice of time for each, although nobody is rung for room
/// beside others: that would take longer than a call may.
pub(crate) fn large_ones_beside_others(world: &World) {
    const BYTES: usize = 32 << 20;
    const LIMIT: Duration = Duration::from_secs(10);
    const MOMENT: Duration = Duration::from_millis(50);
    let options = Options::new().domain(Domain::at(world.path()).unwrap()).max_message(2 * BYTES);
    let node = world.node();
    for address in [None, Some("unix:large"), Some("shm:large")] {
        let service = match address {
            None => node.service("large").max_message(2 * BYTES),
            Some(address) => options.service(address),
        };
        let service = service.most_kept(2 * BYTES);
        let mut server = service.server().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut selector = Selector::new();
                let (mut requests, until) = (0, Instant::now() + 3 * SOON);
                // The last turns send on what was kept.
                while (requests < 2 || server.has_kept()) && Instant::now() < until {
                    let mut list: Vec<(&mut dyn Endpoint, Ready)> = vec![(&mut server, Ready::First)];
                    selector.wait_timeout(&mut list, MOMENT).unwrap();
                    if let Ok(request) = server.try_recv() {
                        let answer = vec![7; if requests == 0 { BYTES } else { request.len() / BYTES }];
                        requests += 1;
                        request.reply(&answer).unwrap();
                    }
                }
            });
            let mut client = service.client_timeout(SOON).unwrap();
            let mut selector = Selector::new();
            let large = vec![5; BYTES];
            for (request, expected) in [(&b"much"[..], BYTES), (&large, 1)] {
                let call = client.request(request).limit(LIMIT).start().unwrap();
                let mut list: Vec<(&mut dyn Endpoint, Ready)> = vec![(&mut client, Ready::First)];
                selector.wait_timeout(&mut list, 2 * SOON).unwrap().expect("the call is over");
                let answer =
                    client.wait(call).unwrap_or_else(|error| panic!("{address:?}, {} bytes: {error}", request.len()));
                assert_eq!(answer.len(), expected, "{address:?}");
            }
        });
    }
}

/// The same in tasks: nothing is lost, and a call whose future is dropped is given up.
pub(crate) fn in_tasks(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let node = world.node();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for address in [None, Some("unix:asked")] {
        let service = match address {
            None => node.service("asked"),
            Some(address) => options.service(address),
        };
        runtime.block_on(async {
            let mut server = service.server().unwrap().into_async();
            let serving = tokio::spawn(async move {
                let mut held = Vec::new();
                loop {
                    let request = server.recv().await.unwrap();
                    if &*request == b"stop" {
                        request.reply(b"").unwrap();
                        return held;
                    }
                    held.extend(answer(request));
                }
            });
            let mut client = service.client_timeout(SOON).unwrap().into_async();
            for round in 0..200 {
                let text = format!("echo {round}");
                assert_eq!(client.call(text.as_bytes(), SOON).await.unwrap(), round.to_string().as_bytes());
            }
            let late = client.call(b"hold", Duration::from_millis(10)).await;
            assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
            let dropped = tokio::time::timeout(Duration::from_millis(10), client.call(b"hold", SOON)).await;
            assert!(dropped.is_err() && client.end().open_calls() == 0);
            let call = client.end().request(b"size 300000").limit(SOON).start().unwrap();
            assert_eq!(client.wait(call).await.unwrap().len(), 300_000);
            client.call(b"stop", SOON).await.unwrap();
            let held = serving.await.unwrap();
            assert_eq!(held.len(), 2);
            assert!(held.iter().all(|request| request.is_cancelled()));
        });
    }
}

/// The same of both sides in tasks, whose client waits for room for a request as a server does for an answer.
pub(crate) fn large_ones_in_tasks(world: &World) {
    const BYTES: usize = 32 << 20;
    const LIMIT: Duration = Duration::from_secs(10);
    let service = world.node().service("large").max_message(2 * BYTES).most_kept(2 * BYTES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = service.server().unwrap().into_async();
        let serving = tokio::spawn(async move {
            // Whoever waits for the next request sends on what was kept of the answer before.
            while let Ok(request) = server.recv().await {
                let answer = request.to_vec();
                let last = answer.is_empty();
                request.reply(&answer).unwrap();
                if last {
                    return;
                }
            }
        });
        let mut client = service.client_timeout(SOON).unwrap().into_async();
        let request = vec![5; BYTES];
        assert!(client.call(&request, LIMIT).await.unwrap() == request);
        client.call(b"", LIMIT).await.unwrap();
        serving.await.unwrap();
    });
}

/// A request that is larger than the link comes in many parts. Whoever waits for requests in a selector sees some of them when it
/// looks once more before it sleeps, and must be rung for the rest.
pub(crate) fn large_requests(world: &World) {
    const CALLS: u8 = 30;
    let node = world.node();
    let mut server = node.service("large").server().unwrap();
    let mut client = node.service("large").client().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut selector = Selector::new();
            let mut answered = 0;
            while answered < CALLS {
                assert!(selector.wait_timeout(&mut [(&mut server, 0)], SOON).unwrap().is_some(), "after {answered}");
                if let Ok(request) = server.try_recv() {
                    let sum = request.bytes().iter().fold(0_u64, |sum, byte| sum + u64::from(*byte));
                    request.reply(&sum.to_le_bytes()).unwrap();
                    answered += 1;
                }
            }
        });
        for number in 0..CALLS {
            let request = vec![number; 3_000_000];
            assert_eq!(client.call(&request, SOON).unwrap(), (u64::from(number) * 3_000_000).to_le_bytes());
        }
    });
}

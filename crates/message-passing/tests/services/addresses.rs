//! The same over every transport, and with a client that is not ours.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wharf_message_passing::{CallError, ConnectError, OpenError, Options, Outcome};
use wharf_sys::directory::Domain;

use crate::child::{answer, serve};
use crate::places::{options, secrets};
use crate::world::{SOON, World, eventually};

pub(crate) fn every_transport(world: &World) {
    let secrets = secrets();
    let options = options(world.path(), secrets.path());
    let everywhere = ["unix:here", "shm:here", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "ws:127.0.0.1:0", "pipe:here"];
    // A message queue carries less than both sides ask for.
    for (address, large) in everywhere.map(|it| (it, 1_000_000)).into_iter().chain([("mq:here", 4000)]) {
        let mut server = options.service(address).server().unwrap();
        let there = server.address().unwrap().to_string();
        std::thread::scope(|scope| {
            let serving = scope.spawn(move || serve(&mut server, SOON));
            let mut client = options.service(&there).client_timeout(SOON).unwrap();
            let mut other = options.service(&there).client_timeout(SOON).unwrap();
            for number in 0..200 {
                let text = format!("echo {number}");
                assert_eq!(client.call(text.as_bytes(), SOON).unwrap(), text.as_bytes()[5..], "{address}");
            }
            let results: Result<Vec<_>, _> = client.call_stream(b"count 500", SOON).unwrap().collect();
            assert_eq!(results.unwrap().len(), 500, "{address}");
            let ask_for = format!("size {large}");
            assert_eq!(client.call(ask_for.as_bytes(), SOON).unwrap().len(), large, "{address}");
            let mut sent = b"echo ".to_vec();
            sent.resize(large, b'z');
            assert!(other.call(&sent, SOON).unwrap() == sent[5..], "{address}");
            if large < 1_000_000 {
                let error = client.call(b"size 1000000", SOON).unwrap_err();
                assert!(
                    matches!(&error, CallError::Failed(why) if why.contains("1000024 bytes")),
                    "{address}: {error}"
                );
                let error = client.call(&[b'z'; 1_000_000], SOON).unwrap_err();
                assert_eq!(error.outcome(), Outcome::NeverSent, "{address}: {error}");
            }
            assert!(matches!(client.call(b"fail so", SOON), Err(CallError::Failed(_))), "{address}");
            let call = client.request(b"hold").limit(Duration::from_millis(20)).start().unwrap();
            assert!(matches!(client.wait(call), Err(CallError::Timeout { .. })), "{address}");
            // The server streams in its only thread, and hears all the same that nobody wants more.
            let some: Vec<_> = client.call_stream(b"for ever", SOON).unwrap().take(3).map(Result::unwrap).collect();
            assert_eq!(some.len(), 3, "{address}");
            // Held calls learn of the server's end, which is a good one.
            let held = client.request(b"hold").limit(SOON).start().unwrap();
            assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on");
            other.call(b"stop", SOON).unwrap();
            drop(serving.join().unwrap());
            let error = client.wait(held).unwrap_err();
            assert!(matches!(error.outcome(), Outcome::Unknown | Outcome::Answered), "{address}: {error}");
        });
    }
}

/// The slots of a message queue are not as large as a value, which would leave no room for a header, nor for the larger of two.
pub(crate) fn values_over_message_queues(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut server = options.service_of::<u8, [u64; 100]>("mq:values").typed_server().unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = options.service_of::<u8, [u64; 100]>("mq:values").typed_client().unwrap();
            client.call(&3, SOON).unwrap()
        });
        let request = server.recv_timeout(SOON).unwrap();
        let value = u64::from(*request.value());
        request.reply(&[value; 100]).unwrap();
        assert_eq!(asking.join().unwrap(), [3; 100]);
    });
}

/// Servers and clients in other processes that are stopped and killed, met at an address.
pub(crate) fn deaths(world: &World) {
    let secrets = secrets();
    let options = options(world.path(), secrets.path());
    let with = secrets.path().to_str().unwrap();
    for address in ["unix:mortal", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"] {
        let mut serving = world.start("serves-at", &[address, with]);
        let mut client = options.service(serving.line()).client_timeout(SOON).unwrap();
        let held = client.request(b"hold").start().unwrap();
        let stalled = client.request(b"stall 3").start().unwrap();
        for number in 0..3 {
            assert_eq!(client.next(stalled).unwrap(), Some(number.to_string().into_bytes()), "{address}");
        }
        // One that is stopped is not dead: whoever waits does so as long as he wanted to.
        serving.signal(Signal::STOP);
        let began = Instant::now();
        let error = client.call(b"echo late", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, CallError::Timeout { .. }) && began.elapsed() < SOON, "{address}: {error}");
        serving.signal(Signal::CONT);
        assert_eq!(client.call(b"echo on", SOON).unwrap(), b"on", "{address}: the late answer is nobody's");
        serving.kill();
        for error in [client.wait(held).unwrap_err(), client.next(stalled).unwrap_err()] {
            assert!(matches!(error, CallError::ServerGone { .. }), "{address}: {error}");
            assert_eq!(error.outcome(), Outcome::Unknown);
        }
        eventually("it is known to be gone", || client.servers() == 0);
        let error = client.call(b"echo", Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NeverSent, "{address}: {error}");

        let mut server = options.service(address).server().unwrap();
        let there = server.address().unwrap().to_string();
        std::thread::scope(|scope| {
            let meeting = scope.spawn(|| options.service(&there).client_timeout(SOON).unwrap());
            eventually("a client is there", || server.clients() == 1);
            let mut good = meeting.join().unwrap();
            let mut dies = world.start("holds-at", &[&there, with]);
            let request = server.recv_timeout(SOON).unwrap();
            dies.expect("asked");
            assert!(!request.is_cancelled());
            dies.kill();
            // Whether or not anybody receives.
            eventually("its request is cancelled", || request.is_cancelled());
            assert!(request.reply(b"in vain").is_err(), "{address}");
            eventually("it is gone", || {
                let _ = server.recv_timeout(Duration::from_millis(1));
                server.clients() == 1
            });
            let call = good.request(b"echo fine").limit(SOON).start().unwrap();
            assert!(answer(server.recv_timeout(SOON).unwrap()).is_none());
            assert_eq!(good.wait(call).unwrap(), b"fine", "{address}");
        });
    }
}

/// What does not belong to a server, or to a pusher, is refused and told, over each transport, and the next one fits. Within one process
/// whoever connects finds out alone.
pub(crate) fn purposes(world: &World) {
    let secrets = secrets();
    let options = options(world.path(), secrets.path());
    for address in [
        "unix:for",
        "shm:for",
        "tcp:127.0.0.1:0",
        "tls:127.0.0.1:0",
        "ws:127.0.0.1:0",
        "pipe:for",
        "mq:for",
        "inproc:for",
    ] {
        let tell = !address.starts_with("inproc");
        let told = |error: &ConnectError, ours: &str, theirs: &str| {
            let (error, text) = (format!("{error:?}"), error.to_string());
            assert!(
                error.starts_with("OtherPurpose") && text.contains(ours) && text.contains(theirs),
                "{address}: {text}"
            );
        };
        let wrong = |error: Option<OpenError>| match error {
            Some(OpenError::Connect(error)) => error,
            other => panic!("{address}: {other:?}"),
        };

        let mut server = options.service(address).server().unwrap();
        let there = server.address().unwrap().to_string();
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                told(&options.connect(&there).unwrap_err(), "for messages", "a server of a service");
                let puller = wrong(options.queue(&there).puller().err());
                told(&puller, "this side is a puller", "a client of a service belongs");
                options.service(&there).client_timeout(SOON).unwrap()
            });
            eventually(&format!("the right client is there: {address}"), || server.clients() == 1);
            let (refused, who) = server.refused();
            assert_eq!((refused, who.len()), if tell { (2, 2) } else { (0, 0) }, "{address}");
            assert!(
                !tell || who[0].contains("for messages") && who[1].contains("a puller of a queue"),
                "{address}: {who:?}"
            );
            drop(connecting.join().unwrap());
        });
        drop(server);

        let mut pusher = options.queue(address).pusher().unwrap();
        let there = pusher.address().unwrap().to_string();
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let client = wrong(options.service(&there).client().err());
                told(&client, "a client of a service", "a puller of a queue belongs");
                told(&options.connect(&there).unwrap_err(), "for messages", "a pusher of a queue");
                options.queue(&there).puller_timeout(SOON).unwrap()
            });
            eventually(&format!("the right puller is there: {address}"), || pusher.pullers() == 1);
            drop(connecting.join().unwrap());
        });
        drop(pusher);

        let mut listener = options.listen(address).unwrap();
        let there = listener.address().to_string();
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let client = wrong(options.service(&there).client().err());
                told(&client, "a client of a service", "for messages belongs");
                let puller = wrong(options.queue(&there).puller().err());
                told(&puller, "a puller of a queue", "for messages belongs");
                // Whoever does not say what for fits.
                drop(options.clone().unsaid_purpose().connect(&there).unwrap());
                options.connect(&there).unwrap()
            });
            drop(listener.accept_timeout(SOON).unwrap());
            drop(listener.accept_timeout(SOON).unwrap());
            assert_eq!(listener.refusals(), if tell { 2 } else { 0 }, "{address}");
            drop(connecting.join().unwrap());
        });
    }
}

/// A client in Python's standard library, over `tcp:`.
pub(crate) fn python(world: &World) {
    if Command::new("python3").arg("--version").output().is_err() {
        return world.skip("there is no python3 here");
    }
    let mut server = Options::new().service("tcp:127.0.0.1:0").server().unwrap();
    let port = server.address().unwrap().to_string().rsplit(':').next().unwrap().to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/service_client.py");
    let ask = |text: &str| Command::new("python3").args([script, "127.0.0.1", &port, text]).output().unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || ["echo hello", "count 3", "fail on purpose"].map(ask));
        while !asking.is_finished() {
            let _ = server.recv_timeout(Duration::from_millis(5)).map(answer);
        }
        let said = asking.join().unwrap().map(|it| {
            let errors = String::from_utf8_lossy(&it.stderr).into_owned();
            (String::from_utf8_lossy(&it.stdout).into_owned(), errors)
        });
        assert_eq!(said[0].0, "hello\n", "{}", said[0].1);
        assert_eq!(said[1].0, "0\n1\n2\n", "{}", said[1].1);
        assert_eq!(said[2].1, "service_client.py: the call failed: on purpose\n", "{:?}", said[2]);
    });
    // Whatever goes wrong is a sentence, and no success.
    drop(server);
    // Nobody listens at the port of the multiplexer.
    let nobody = "1";
    let told = |port: &str| {
        let output = Command::new("python3").args([script, "127.0.0.1", port, "echo hello"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.lines().count() == 1 && output.stdout.is_empty(), "{output:?}");
        told
    };
    assert!(told(nobody).contains("nobody serves at tcp:127.0.0.1:1 "), "{}", told(nobody));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for answers in [false, true] {
        let said = std::thread::scope(|scope| {
            let asking = scope.spawn(|| told(&port));
            let (mut socket, _) = listener.accept().unwrap();
            if answers {
                // A part of a welcome, and the end in good order; otherwise a reset, with what it has said unread.
                socket.write_all(b"WHARFLNK").unwrap();
                socket.shutdown(Shutdown::Write).unwrap();
                let _ = socket.read_to_end(&mut Vec::new());
            } else {
                socket.peek(&mut [0]).unwrap();
            }
            drop(socket);
            asking.join().unwrap()
        });
        assert_eq!(said, "service_client.py: the server is gone: nobody knows what became of the call\n");
    }
}

/// Over an address headers are long, for whoever is there may be older than the short ones; both are read.
pub(crate) fn both_headers(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut server = options.service("unix:both").server().unwrap();
    let mut link = std::thread::scope(|scope| {
        let meeting = scope.spawn(|| options.clone().unsaid_purpose().connect("unix:both").unwrap());
        eventually("it is there", || server.clients() == 1);
        meeting.join().unwrap()
    });
    let short = |kind: u64, id: u64, millis: u64| (0x20 | kind | id << 8 | millis << 48).to_le_bytes();
    link.send(&[&short(1, 1, 9_000)[..], b"echo short"].concat()).unwrap();
    let request = server.recv_timeout(SOON).unwrap();
    let left = request.time_left().unwrap();
    assert!(left <= Duration::from_secs(9) && left > Duration::from_secs(4), "{left:?}");
    request.reply(b"long").unwrap();
    let mut expected = vec![1, 4, 0, 0, 0, 0, 0, 0];
    expected.extend_from_slice(&1u64.to_le_bytes());
    expected.extend_from_slice(&0u64.to_le_bytes());
    expected.extend_from_slice(b"long");
    assert_eq!(link.recv_timeout(SOON).unwrap().bytes(), expected);
    link.send(&short(1, (1 << 40) - 1, 0xFFFF)).unwrap();
    let request = server.recv_timeout(SOON).unwrap();
    assert_eq!((request.time_left(), request.len()), (None, 0));
    link.send(&short(2, (1 << 40) - 1, 0)).unwrap();
    eventually("it is given up", || request.is_cancelled());
}

//! What a listener does with whoever comes while it is busy, late or flooded, and what is told where nobody can listen.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{ConnectError, Options};
use wharf_sys::socket::{self, Kind};

use crate::garbage::{answer, dial, hello, introduce, socket_path};
use crate::meeting::FOR_A_LOOK;
use crate::world::{SOON, World};

/// Who introduced itself in time is welcome, even when the listener comes back only after that time.
pub(crate) fn spoken_in_time(world: &World) {
    let limit = Duration::from_millis(100);
    let mut listener = world.options().handshake_timeout(limit).listen(world.address()).unwrap();
    let socket = dial(&socket_path(world));
    let silent = dial(&socket_path(world));
    let nobody = listener.try_accept();
    assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
    let _ear = introduce(&socket, &hello());
    thread::sleep(limit * 2);
    let link = listener.accept_timeout(SOON).unwrap();
    let (welcome, _fds) = answer(&socket);
    assert_eq!(welcome[10], 2, "{welcome:?}");
    // The one that has said nothing is left out all the same.
    let nobody = listener.try_accept();
    assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
    assert_eq!(listener.refusals(), 1);
    let (refusal, _fds) = answer(&silent);
    let refusal = String::from_utf8_lossy(&refusal).into_owned();
    assert!(refusal.contains("did not introduce itself in time"), "{refusal}");
    drop(link);
}

/// However fast nonsense comes in, a call that is not to wait returns.
pub(crate) fn late_under_a_flood(world: &World) {
    let mut listener = world.listen();
    let path = socket_path(world);
    let over = AtomicBool::new(false);
    // Costs the listener more than the one who sends it: it gets as far as a side of a link.
    let mut nonsense = hello();
    nonsense[56..60].copy_from_slice(&[1, 0, 0, 0]);
    let (_ear, mouth) = socket::pair(Kind::SeqPacket).unwrap();
    // These are looked at with each of the others, too.
    let _silent: Vec<_> = (0..60).map(|_| dial(&path)).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let until = Instant::now() + SOON / 4;
                while !over.load(Ordering::Relaxed) && Instant::now() < until {
                    // The listener may be gone already.
                    let deadline = wharf_sys::clock::Deadline::after(Duration::from_millis(100));
                    if let Ok(socket) = socket::connect(&path, Kind::SeqPacket, Some(deadline)) {
                        let _refused = socket::send_with_fds(&socket, &nonsense, &[mouth.as_fd()]);
                    }
                }
            });
        }
        let mut most = 0;
        for _ in 0..10 {
            let before = listener.refusals();
            let nobody = listener.try_accept();
            assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
            most = most.max(listener.refusals() - before);
            let late = listener.accept_timeout(Duration::from_millis(10));
            assert!(matches!(late, Err(ConnectError::Timeout { .. })), "{late:?}");
        }
        over.store(true, Ordering::Relaxed);
        assert!(listener.refusals() > 0);
        // The kernel's queue and what was pending before, at most.
        assert!(most <= 200, "one call that should not wait heard {most} connections");
    });
}

/// An empty record is told in words that fit the side that sent it.
pub(crate) fn an_empty_record(world: &World) {
    let mut listener = world.listen();
    let socket = dial(&socket_path(world));
    socket::send(&socket, b"").unwrap();
    let nobody = listener.try_accept();
    assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
    assert!(matches!(listener.last_refusal(), Some(ConnectError::Protocol(_))), "{:?}", listener.last_refusal());
    let (refusal, _fds) = answer(&socket);
    let refusal = String::from_utf8_lossy(&refusal).into_owned();
    assert!(refusal.contains("instead of a hello") && !refusal.contains("answer"), "{refusal}");
}

/// Where nobody can ever listen, nobody is told to start a listener.
pub(crate) fn no_place_for_a_listener(world: &World) {
    let at = |name: &str| format!("unix:{}/{name}", world.path().display());
    let options = Options::new().handshake_timeout(SOON);
    let told = |address: &str, parts: &[&str]| {
        for error in [options.connect(address).unwrap_err(), options.listen(address).unwrap_err()] {
            let text = error.to_string();
            assert!(!matches!(error, ConnectError::NobodyListening { .. }), "{error:?}");
            for part in parts {
                assert!(text.contains(part), "{part:?} is missing in {text:?}");
            }
        }
    };
    let names = world.path();
    std::fs::write(names.join("file"), "precious").unwrap();
    std::fs::create_dir(names.join("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", names.join("link")).unwrap();
    told(&at("file"), &["expected a socket at", "found a file", "choose another"]);
    told(&at("folder"), &["expected a socket at", "found a directory"]);
    told(&at("link"), &["expected a socket at", "found a symbolic link"]);
    told(&at("missing/x"), &["there is no directory", "/missing for unix:", "create it"]);
    told(&at("file/x"), &["there is no directory", "/file for unix:"]);
    let device = options.connect("unix:/dev/null").unwrap_err().to_string();
    assert!(device.contains("expected a socket at /dev/null, found a device"), "{device}");
    // None of that is waited for, except for the directory: the listening side may make it first.
    let began = Instant::now();
    let refused = options.connect_timeout(at("file"), SOON).unwrap_err();
    assert!(matches!(refused, ConnectError::NotASocket { .. }), "{refused:?}");
    assert!(began.elapsed() < SOON / 2);
    let late = options.connect_timeout(at("missing/x"), FOR_A_LOOK).unwrap_err();
    assert!(late.to_string().contains("its directory does not exist"), "{late}");
    let connecting = thread::spawn({
        let (options, address) = (options.clone(), at("later/x"));
        move || options.connect_timeout(address, SOON).unwrap()
    });
    thread::sleep(Duration::from_millis(20));
    std::fs::create_dir(names.join("later")).unwrap();
    let accepted = options.listen(at("later/x")).unwrap().accept_timeout(SOON).unwrap();
    drop((accepted, connecting.join().unwrap()));
    // A living listener of another kind is no link's.
    let stream = names.join("stream");
    let door = socket::listen_at(&stream, Kind::Stream, 1).unwrap();
    let text = options.connect(at("stream")).unwrap_err().to_string();
    assert!(text.contains("expected a SeqPacket socket") && !text.contains("nobody is listening"), "{text}");
    drop(door);
    // A dead one may be replaced: here it is a listener that is missing.
    assert!(matches!(options.connect(at("stream")), Err(ConnectError::NobodyListening { .. })));
    for file in ["file", "link", "stream"] {
        std::fs::remove_file(names.join(file)).unwrap();
    }
    for folder in ["folder", "later"] {
        std::fs::remove_dir(names.join(folder)).unwrap();
    }
}

/// No time at all is told as such, whoever listens.
pub(crate) fn no_time(world: &World) {
    let _listener = world.listen();
    let late = world.options().connect_timeout(world.address(), Duration::ZERO).unwrap_err();
    assert!(matches!(late, ConnectError::Timeout { .. }), "{late:?}");
    let text = late.to_string();
    assert!(text.contains("within 0s") && text.contains("time was over"), "{text}");
}

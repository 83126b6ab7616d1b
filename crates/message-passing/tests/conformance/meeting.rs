//! How two sides meet, or why they do not.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{ConnectError, Options, Trust};

use crate::world::{Peer, SOON, World};

/// In this time a thread gets a processor even where many others want it, and has looked once whether somebody listens. One that has no
/// time for a look is told something else.
pub(crate) const FOR_A_LOOK: Duration = Duration::from_millis(500);

pub(crate) fn nobody_listening(world: &World) {
    let nobody = world.options().connect(world.address()).unwrap_err();
    assert!(matches!(nobody, ConnectError::NobodyListening { .. }), "{nobody:?}");
    assert!(nobody.to_string().contains(&world.address()), "{nobody}");
    let began = Instant::now();
    let limit = FOR_A_LOOK;
    let late = world.options().connect_timeout(world.address(), limit).unwrap_err();
    assert!(matches!(late, ConnectError::Timeout { .. }), "{late:?}");
    assert!(late.to_string().contains("nobody is listening"), "{late}");
    assert!(began.elapsed() >= limit);
}

pub(crate) fn name_taken(world: &World) {
    let mut listener = world.listen();
    let taken = world.options().listen(world.address()).unwrap_err();
    assert!(matches!(taken, ConnectError::NameTaken { .. }), "{taken:?}");
    // The first one is as good as before.
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || options.connect(address).unwrap()
    });
    let mut accepted = listener.accept_timeout(SOON).unwrap();
    let mut connected = connecting.join().unwrap();
    connected.send(b"hi").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"hi");
}

pub(crate) fn name_is_free_again(world: &World) {
    for _ in 0..20 {
        let (mut here, mut there) = world.pair(&world.options());
        // The listener is gone, its link is not.
        assert!(world.names().is_empty(), "{:?}", world.names());
        there.send(b"hi").unwrap();
        assert_eq!(here.recv_timeout(SOON).unwrap(), *b"hi");
    }
    let mut listener = world.listen();
    assert!(matches!(listener.try_accept(), Err(ConnectError::NobodyWaiting)));
    let late = listener.accept_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(late, ConnectError::Timeout { .. }), "{late:?}");
}

pub(crate) fn waits_for_a_listener(world: &World) {
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || options.connect_timeout(address, SOON).unwrap()
    });
    thread::sleep(Duration::from_millis(30));
    let mut accepted = world.listen().accept_timeout(SOON).unwrap();
    connecting.join().unwrap().send(b"at last").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"at last");
}

pub(crate) fn odd_options(world: &World) {
    for odd in
        [world.options().align(16), world.options().capacity(0), world.options().handshake_timeout(Duration::ZERO)]
    {
        let refused = odd.listen(world.address()).unwrap_err();
        assert!(matches!(refused, ConnectError::Options(_)), "{refused:?}");
        let refused = odd.connect(world.address()).unwrap_err();
        assert!(matches!(refused, ConnectError::Options(_)), "{refused:?}");
    }
    // The smallest sensible ones work.
    let (mut here, mut there) = world.pair(&world.options().capacity(1).max_message(0));
    there.send(b"").unwrap();
    assert_eq!(here.recv_timeout(SOON).unwrap(), []);
}

/// A client that connects and says nothing must not hold up one that does.
pub(crate) fn silent_client(world: &World) {
    // Whoever waited for silent ones would wait as long as they may be silent.
    let mut listener = world.options().handshake_timeout(SOON).listen(world.address()).unwrap();
    let silent: Vec<_> = (0..100).map(|_| world.dial()).collect();
    let connecting = thread::spawn({
        let (options, address): (Options, String) = (world.options(), world.address());
        move || options.connect(address).unwrap()
    });
    let began = Instant::now();
    let mut accepted = listener.accept_timeout(SOON).unwrap();
    let took = began.elapsed();
    assert!(took < SOON / 2, "a good client waited {took:?} for silent ones");
    let mut connected = connecting.join().unwrap();
    connected.send(b"hi").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"hi");
    assert_eq!(listener.refusals(), 0, "nobody is refused before its time");
    drop((listener, silent));

    // The silent ones are dropped in time, although nobody else comes.
    let limit = Duration::from_millis(300);
    let mut listener = world.options().handshake_timeout(limit).listen(world.address()).unwrap();
    let mut silent: Vec<_> = (0..100).map(|_| world.dial()).collect();
    let began = Instant::now();
    while listener.refusals() < 100 {
        let late = listener.accept_timeout(limit / 10).unwrap_err();
        assert!(matches!(late, ConnectError::Timeout { .. }), "{late:?}");
        assert!(began.elapsed() < limit + SOON / 2, "{} are refused", listener.refusals());
    }
    assert!(began.elapsed() >= limit, "nobody is refused before its time");
    assert_eq!(listener.refusals(), 100);
    let mut buffer = [0; 1024];
    for mut silent in silent.drain(..) {
        // A refusal, then the end.
        let mut read = || silent.answers.read(&mut buffer).unwrap();
        // There is nothing to say in a TLS session, or a WebSocket, that has not begun.
        let refusal = if matches!(world.scheme.name, "tls" | "ws") { 57 } else { read() };
        assert!(refusal > 56, "{refusal}");
        assert_eq!(read(), 0);
    }
}

/// A listener that is killed while somebody is with it has refused nothing. Whoever was there is told that it is gone, and whoever waits
/// for a listener meets the next one.
pub(crate) fn a_listener_that_dies(world: &World) {
    let visited_and_killed = |limit: Option<Duration>| {
        let mut peer = world.child("listens");
        peer.expect("ready");
        let began = Instant::now();
        let connecting = thread::spawn({
            let (options, address) = (world.options(), world.address());
            move || match limit {
                Some(limit) => options.connect_timeout(address, limit),
                None => options.connect(address),
            }
        });
        thread::sleep(Duration::from_millis(100));
        // On a busy machine this thread may come too late to kill the listener before his time is over.
        let may_be_done = limit.is_some_and(|limit| began.elapsed() >= limit);
        assert!(may_be_done || !connecting.is_finished(), "{:?}", connecting.join().unwrap().map(drop));
        peer.kill();
        connecting
    };
    // On a busy machine it may come when the listener is dead already, and finds nobody.
    let told = (0..20).find_map(|_| match visited_and_killed(None).join().unwrap().map(drop) {
        Err(ConnectError::NobodyListening { .. }) => None,
        outcome => Some(outcome),
    });
    let Some(Err(gone)) = told else { panic!("{told:?}") };
    assert!(matches!(gone, ConnectError::PeerGone { heard: 0 }), "{gone:?}");
    assert!(gone.to_string().contains("gone before it had answered"), "{gone}");

    let waiting = visited_and_killed(Some(SOON));
    let mut accepted = world.listen().accept_timeout(SOON).unwrap();
    waiting.join().unwrap().unwrap().send(b"at last").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"at last");

    let limit = Duration::from_millis(300);
    let late = visited_and_killed(Some(limit)).join().unwrap().map(drop);
    assert!(matches!(late, Err(ConnectError::Timeout { .. })), "{late:?}");
    // The next listener replaces what is left.
    drop(world.listen());
}

/// A side that sees no /proc connects, and talks, in a directory of its own; or is told that its transport takes one.
pub(crate) fn without_proc(world: &World) {
    const WAY: [&str; 4] =
        ["--mount", "sh", "-c", "mount -t tmpfs none /proc && test ! -e /proc/self && exec \"$0\" \"$@\""];
    let probe = Command::new("unshare").args(WAY).arg("true").stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        return world.skip("a program cannot be started without /proc here");
    }
    let inside = world.command("guest");
    let mut command = Command::new("unshare");
    command.args(WAY).arg(inside.get_program()).args(inside.get_args()).env("WHARF_DIR", world.path());
    // A pipe is opened anew for each side's own flags: the one that is slept at, too, which only a peer is given that is trusted.
    let takes_proc = matches!((world.scheme.name, world.scheme.trust), ("pipe", _) | ("shm", Trust::Auto));
    let mut listener = world.listen();
    let mut guest = Peer::start(command);
    if takes_proc {
        // The pipe of one comes with its answer.
        let _answered = (world.scheme.name == "shm").then(|| listener.accept_timeout(SOON));
        let told = guest.line();
        assert!(told.starts_with("cannot ") && told.contains("expected /proc to be mounted; mount it"), "{told}");
        return;
    }
    let mut link = listener.accept_timeout(SOON).unwrap_or_else(|error| panic!("{error}: {}", guest.line()));
    guest.expect("connected");
    link.send(b"there and back").unwrap();
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"there and back");
}

//! What only transports with ports have: chosen ports, no way beyond this machine, tokens, and strangers of every kind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Address, ConnectError};

use crate::world::{SOON, World, network_place};

/// Port 0: the system chooses, and the listener tells.
pub(crate) fn chosen_by_the_system(world: &World) {
    let place = network_place().ip();
    let options = world.options();
    let mut listener = options.listen(format!("{}:{place}:0", world.scheme.name)).unwrap();
    let address = listener.address().to_string();
    assert!(!address.ends_with(":0"), "{address}");
    let connecting = thread::spawn({
        let address = address.clone();
        move || options.connect(address).unwrap()
    });
    let accepted = listener.accept_timeout(SOON).unwrap();
    let connected = connecting.join().unwrap();
    let theirs = connected.peer().network_address().unwrap();
    assert_eq!(format!("{}:{theirs}", world.scheme.name), address);
    for peer in [accepted.peer(), connected.peer()] {
        assert_eq!((peer.uid(), peer.gid(), peer.pid()), (None, None, None));
        assert!(peer.network_address().is_some_and(|it| it.ip().is_loopback()) && !peer.is_cooperating());
    }
    let nowhere = world.options().connect(format!("{}:{place}:0", world.scheme.name)).unwrap_err();
    assert!(matches!(nowhere, ConnectError::Options(_)), "{nowhere:?}");
    // An IPv6 address, where there are any.
    match world.options().listen(format!("{}:[::1]:0", world.scheme.name)) {
        Ok(listener) => {
            let address = Address::parse(listener.address().as_str()).unwrap();
            assert!(address.as_str().contains("[::1]:") && !address.as_str().ends_with(":0"), "{address}");
        }
        Err(error) => assert!(matches!(error, ConnectError::System { .. }), "{error:?}"),
    }
}

/// Without TLS nothing leads beyond this machine unless somebody asks for it.
pub(crate) fn beyond_this_machine(world: &World) {
    let scheme = world.scheme.name;
    for place in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let address = format!("{scheme}:{place}");
        let refused = world.options().listen(&address).unwrap_err();
        assert!(matches!(refused, ConnectError::Unprotected { .. }), "{address}: {refused:?}");
        let text = refused.to_string();
        assert!(text.contains("tls:") && text.contains("insecure()"), "{text}");
    }
    for place in ["192.0.2.1:9", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9"] {
        let address = format!("{scheme}:{place}");
        let refused = world.options().connect(&address).unwrap_err();
        assert!(matches!(refused, ConnectError::Unprotected { .. }), "{address}: {refused:?}");
    }
    let mut listener = world.options().insecure().listen(format!("{scheme}:0.0.0.0:0")).unwrap();
    let port = listener.address().as_str().rsplit(':').next().unwrap().to_owned();
    let connecting = thread::spawn({
        let options = world.options();
        move || options.connect(format!("{scheme}:localhost:{port}")).unwrap()
    });
    drop((listener.accept_timeout(SOON).unwrap(), connecting.join().unwrap()));
    let unknown = world.options().connect(format!("{scheme}:no-such-host.invalid:1")).unwrap_err();
    assert!(matches!(unknown, ConnectError::UnknownHost { .. }), "{unknown:?}");
}

/// Only who knows the token comes in, and nobody learns it from a refusal.
pub(crate) fn tokens(world: &World) {
    const TOKEN: &str = "open sesame";
    let mut listener = world.options().token(TOKEN).listen(world.address()).unwrap();
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || {
            for (wrong, told) in
                [(None, "no token"), (Some("open sesam"), "another token"), (Some("x"), "another token")]
            {
                let options = wrong.map_or(options.clone(), |wrong| options.clone().token(wrong));
                let refused = options.connect(&address).unwrap_err();
                assert!(matches!(refused, ConnectError::Refused { .. }), "{refused:?}");
                let text = refused.to_string();
                assert!(text.contains(told) && !text.contains(TOKEN), "{text}");
            }
            // Nor does anybody else learn what the link carries.
            let refused = options.connect_typed::<u64>(&address).unwrap_err();
            assert!(refused.to_string().contains("no token"), "{refused:?}");
            options.token(TOKEN).connect(&address).unwrap()
        }
    });
    let accepted = listener.accept_timeout(SOON).unwrap();
    drop((accepted, connecting.join().unwrap()));
    assert_eq!(listener.refusals(), 4);
    let mut refused = listener.refused();
    assert!(refused.all(|it| matches!(it.why(), ConnectError::Token { .. }) && it.who().network_address().is_some()));
    let shown = format!("{:?}", world.options().token(TOKEN));
    assert!(!shown.contains("open") && !shown.contains(&format!("{:?}", TOKEN.as_bytes())), "{shown}");
    for odd in [vec![], vec![1; 257]] {
        let refused = world.options().token(odd).listen(world.address()).unwrap_err();
        assert!(matches!(refused, ConnectError::Options(_)), "{refused:?}");
    }
    // Who asks for none does not mind one.
    drop(refused);
    drop(listener);
    let mut listener = world.listen();
    let connecting = thread::spawn({
        let (options, address) = (world.options().token(TOKEN), world.address());
        move || options.connect(address).unwrap()
    });
    drop((listener.accept_timeout(SOON).unwrap(), connecting.join().unwrap()));
}

/// Who speaks something else is told apart, remembered with the reason, and holds nobody up.
pub(crate) fn wrong_protocols(world: &World) {
    let client_hello = [&[0x16, 3, 1, 0, 80, 1, 0, 0, 76, 3, 3][..], &[7; 40]].concat();
    let mut introduction = crate::garbage::hello();
    introduction[11] = 6;
    introduction.truncate(56);
    let mut endless = introduction.clone();
    endless[38..40].copy_from_slice(&[0xff, 0xff]);
    let other_version = [&b"WHARFLNK"[..], &[9, 0]].concat();
    let plain: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "like HTTP"),
        (&client_hello, "like TLS"),
        (&[0xff; 64], "does not begin with WHARFLNK"),
        (&endless, "65535 bytes of parameters"),
        (&other_version, "version 9"),
    ];
    let inside_tls: [(&[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "does not speak TLS"),
        (&introduction, "does not speak TLS"),
        (&[0xff; 64], "does not speak TLS"),
    ];
    let for_a_socket: [(&[u8], &str); 4] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "asks for no WebSocket"),
        (&client_hello, "like TLS"),
        (&introduction, "like tcp:"),
        (&[0xff; 64], "does not begin as a WebSocket"),
    ];
    let strangers = match world.scheme.name {
        "tls" => &inside_tls[..],
        "ws" => &for_a_socket[..],
        _ => &plain[..],
    };
    let mut listener = world.listen();
    for (number, (bytes, reason)) in strangers.iter().enumerate() {
        let mut stranger = TcpStream::connect(network_place()).unwrap();
        stranger.write_all(bytes).unwrap();
        let who = stranger.local_addr().unwrap();
        while listener.refusals() == number as u64 {
            let nobody = listener.accept_timeout(Duration::from_millis(5));
            assert!(matches!(nobody, Err(ConnectError::Timeout { .. })), "{nobody:?}");
        }
        let refused = listener.refused().last().unwrap();
        assert_eq!(refused.who().network_address(), Some(who));
        assert!(refused.at() <= std::time::SystemTime::now());
        assert!(refused.to_string().contains(reason), "{refused}, expected {reason}");
        // And the stranger is let go.
        let mut answer = Vec::new();
        let _reset = stranger.read_to_end(&mut answer);
    }
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || options.connect(address).unwrap()
    });
    drop((listener.accept_timeout(SOON).unwrap(), connecting.join().unwrap()));
}

/// The other way round: a link to a port where something else is listening.
pub(crate) fn wrong_servers(world: &World) {
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("{}:{}", world.scheme.name, door.local_addr().unwrap());
    let answers: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", &[0; 100], b""];
    let serving = thread::spawn(move || {
        for answer in answers {
            let (mut visitor, _) = door.accept().unwrap();
            let _heard = visitor.read(&mut [0; 2048]);
            visitor.write_all(answer).unwrap();
        }
    });
    for answer in answers {
        let refused = world.options().connect(&address).unwrap_err();
        let known = match answer {
            // It has closed without a word, which is no refusal.
            b"" => matches!(refused, ConnectError::PeerGone { heard: 0 }),
            _ => matches!(refused, ConnectError::Protocol(_) | ConnectError::Session(_)),
        };
        assert!(known, "{answer:?}: {refused:?}");
        assert!(!refused.to_string().contains('\n'), "{refused}");
    }
    serving.join().unwrap();
}

/// Whoever looks at the last moment, when nothing comes from the host any more, has seen before that nobody listens there.
pub(crate) fn the_last_look(world: &World) {
    use rustix::net::{AddressFamily, SocketType};
    let looked = |limit: Duration| {
        // Bound, so nobody else gets the port.
        let door = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&door, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let place = SocketAddr::try_from(rustix::net::getsockname(&door).unwrap()).unwrap();
        let connecting = thread::spawn({
            let (options, address) = (world.options(), format!("{}:{place}", world.scheme.name));
            move || options.connect_timeout(address, limit).map(drop).unwrap_err()
        });
        thread::sleep(limit / 3);
        // With the one place in its queue taken, the system drops whatever else comes.
        rustix::net::listen(&door, 0).unwrap();
        let _taken = TcpStream::connect(place).unwrap();
        match connecting.join().unwrap() {
            ConnectError::Timeout { missing, .. } => missing,
            error => panic!("{error:?}"),
        }
    };
    // It may have taken that place itself, or have had no time for a first look: on a machine that is busy it needs more.
    let mut told = Vec::new();
    for limit in [300, 300, 600, 1_200, 2_400, 4_800].map(Duration::from_millis) {
        told.push(looked(limit));
        if told.last().is_some_and(|missing| missing.contains("nobody is listening")) {
            return;
        }
    }
    panic!("{told:?}");
}

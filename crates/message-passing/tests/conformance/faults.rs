//! Every fault of a certificate, and what each side is told about it, in one sentence.

use std::thread;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use wharf_message_passing::{ConnectError, Link, Listener, Options, RecvError, Tls};

use crate::world::{SOON, World};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, with whatever is wrong with it.
fn issue(authority: Option<&Authority>, name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a side of a link");
    spoil(&mut params);
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (certificate.pem(), key.serialize_pem())
}

/// The name under which servers are looked for here, whatever the address.
const NAME: &str = "server.example";

fn as_it_is(_params: &mut CertificateParams) {}

/// What `openssl req -x509` makes unless it is told otherwise.
fn as_an_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// One meeting: what the listening side and the connecting side make of each other.
fn meet(world: &World, server: Tls, client: Tls) -> (Result<Link, ConnectError>, Result<Link, ConnectError>) {
    let options = Options::new().handshake_timeout(SOON);
    let mut listener: Listener = options.clone().tls(server).listen(world.address()).unwrap();
    let connecting = thread::spawn({
        let address = world.address();
        move || options.tls(client.server_name(NAME)).connect(address)
    });
    let accepted = loop {
        match listener.accept_timeout(Duration::from_millis(20)) {
            Err(ConnectError::Timeout { .. }) if connecting.is_finished() => break Err(listener.last_refusal()),
            Err(ConnectError::Timeout { .. }) if listener.refusals() > 0 => break Err(listener.last_refusal()),
            Err(ConnectError::Timeout { .. }) => {}
            Ok(link) => break Ok(link),
            Err(error) => panic!("{error}"),
        }
    };
    let accepted = accepted.map_err(|why| ConnectError::Session(why.map(ToString::to_string).unwrap_or_default()));
    (accepted, connecting.join().unwrap())
}

fn told<T>(side: &str, outcome: Result<T, ConnectError>, words: &str) {
    let Err(error) = outcome else { panic!("{side} met, expected: {words}") };
    assert!(matches!(error, ConnectError::Session(_)), "{side}: {error:?}");
    let text = error.to_string();
    assert!(text.contains(words), "{side}: {text}\nexpected: {words}");
    assert!(!text.contains('\n') && text.len() < 300, "{side}: {text}");
}

/// What is wrong with the server's certificate is told to the side that looks at it, and the server hears of it.
pub(crate) fn of_servers(world: &World) {
    let (known, unknown) = (authority("known"), authority("unknown"));
    let table: Vec<(&str, (String, String), &str)> = vec![
        (
            "expired",
            issue(Some(&known), NAME, |it| {
                (it.not_before, it.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
            }),
            "has expired",
        ),
        (
            "not yet valid",
            issue(Some(&known), NAME, |it| {
                (it.not_before, it.not_after) = (date_time_ymd(4000, 1, 1), date_time_ymd(4001, 1, 1));
            }),
            "is not valid yet",
        ),
        (
            "another name",
            issue(Some(&known), "other.example", as_it_is),
            "certificate is for other.example, expected server.example",
        ),
        ("self-signed", issue(None, NAME, as_it_is), "is self-signed"),
        ("an authority's", issue(None, NAME, as_an_authority), "is an authority's (CA:TRUE)"),
        ("an unknown authority", issue(Some(&unknown), NAME, as_it_is), "of an authority that this side does not know"),
        (
            "for clients only",
            issue(Some(&known), NAME, |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "was not made for this purpose",
        ),
    ];
    for (fault, (certificate, key), words) in table {
        let (server, client) = meet(world, Tls::new().identity(certificate, key), Tls::new().roots(known.pem()));
        told(fault, client, words);
        let Err(heard) = server else { panic!("{fault}: the server met") };
        assert!(heard.to_string().contains("the other side "), "{fault}: {heard}");
    }
    // To be among the roots does not help an authority's.
    let (certificate, key) = issue(None, NAME, as_an_authority);
    let (_server, client) = meet(world, Tls::new().identity(&certificate, key), Tls::new().roots(certificate));
    told("an authority's, known", client, "is an authority's (CA:TRUE)");
    // With nothing wrong they meet.
    let (certificate, key) = issue(Some(&known), NAME, as_it_is);
    let (server, client) = meet(world, Tls::new().identity(certificate, key), Tls::new().roots(known.pem()));
    client.unwrap().send(b"hi").unwrap();
    assert_eq!(server.unwrap().recv_timeout(SOON).unwrap(), *b"hi");
}

/// Mutual TLS: no certificate, and each wrong one.
pub(crate) fn of_clients(world: &World) {
    let (known, unknown) = (authority("known"), authority("unknown"));
    let client_for = |spoil: fn(&mut CertificateParams)| issue(Some(&known), "client.example", spoil);
    let expired = |it: &mut CertificateParams| {
        (it.not_before, it.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    };
    let table = [
        ("none", None, "showed no certificate", "asks for a certificate, and this side showed none"),
        ("expired", Some(client_for(expired)), "has expired", "expired"),
        ("unknown", Some(issue(Some(&unknown), "c", as_it_is)), "does not know", "does not know the authority"),
        ("self-signed", Some(issue(None, "c", as_it_is)), "is self-signed", "does not believe this side's certificate"),
    ];
    for (fault, identity, server_words, client_words) in table {
        let (certificate, key) = issue(Some(&known), NAME, as_it_is);
        let server = Tls::new().identity(certificate, key).client_roots(known.pem());
        let mut client = Tls::new().roots(known.pem());
        if let Some((certificate, key)) = identity {
            client = client.identity(certificate, key);
        }
        let (server, client) = meet(world, server, client);
        told(fault, server, server_words);
        told(fault, client, client_words);
    }
    let (certificate, key) = issue(Some(&known), NAME, as_it_is);
    let server = Tls::new().identity(certificate, key).client_roots(known.pem());
    let (certificate, key) = client_for(as_it_is);
    let (server, client) = meet(world, server, Tls::new().roots(known.pem()).identity(certificate, key));
    assert!(server.is_ok() && client.is_ok(), "{server:?} {client:?}");
}

/// A pinned certificate or key is believed, and no other, whatever else is wrong with it.
pub(crate) fn of_pins(world: &World) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["whatever.example".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let certificate = params.self_signed(&key).unwrap();
    let sha256 =
        |bytes: &[u8]| -> [u8; 32] { ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().try_into().unwrap() };
    let server = || Tls::new().identity(certificate.pem(), key.serialize_pem());
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    for pin in [sha256(certificate.der()), sha256(&spki)] {
        let (server, client) = meet(world, server(), Tls::new().pin([7; 32]).pin(pin));
        assert!(server.is_ok() && client.is_ok(), "{server:?} {client:?}");
    }
    let (_, client) = meet(world, server(), Tls::new().pin([7; 32]));
    told("another pin", client, "is not the one that is pinned");
    // The listening side pins its client.
    let (client_certificate, client_key) = issue(None, "c", as_it_is);
    let client = || Tls::new().pin(sha256(certificate.der())).identity(client_certificate.clone(), client_key.clone());
    let (refusing, _) = meet(world, server().pin([7; 32]), client());
    told("another client's pin", refusing, "is not the one that is pinned");
    // Together with roots both must hold.
    let both = Tls::new().pin(sha256(certificate.der())).roots(certificate.pem());
    let (_, client) = meet(world, server(), both);
    told("pinned, but expired", client, "has expired");
}

/// What the options lack is told before anything is tried.
pub(crate) fn of_options(world: &World) {
    let (certificate, key) = issue(None, NAME, as_it_is);
    let (_, other_key) = issue(None, NAME, as_it_is);
    let refused = |outcome: Result<(), ConnectError>, words: &str| match outcome {
        Err(ConnectError::Options(text)) => assert!(text.contains(words) && !text.contains('\n'), "{text}"),
        other => panic!("{words}: {other:?}"),
    };
    let listen = |options: Options| options.listen(world.address()).map(drop);
    let connect = |options: Options| options.connect(world.address()).map(drop);
    refused(listen(Options::new()), "Options::tls");
    refused(connect(Options::new()), "Options::tls");
    refused(listen(Options::new().tls(Tls::new())), "Tls::identity");
    refused(connect(Options::new().tls(Tls::new())), "Tls::roots");
    for (certificate, key, words) in [
        (certificate.as_str(), other_key.as_str(), "private key does not belong"),
        ("", key.as_str(), "certificate"),
        ("nonsense", key.as_str(), "certificate"),
        (certificate.as_str(), "", "private key"),
        (certificate.as_str(), certificate.as_str(), "private key"),
    ] {
        let tls = Tls::new().identity(certificate, key);
        refused(tls.check(), words);
        refused(listen(Options::new().tls(tls)), words);
    }
    Tls::new().identity(&certificate, &key).roots(&certificate).client_roots(&certificate).check().unwrap();
    refused(connect(Options::new().tls(Tls::new().roots("nonsense"))), "certificate");
    refused(Tls::new().client_roots("nonsense").check(), "give the file that the authority gave");
    // PEM text in which no certificate lies: neither the other side's, nor of an unknown place.
    let damaged = "-----BEGIN CERTIFICATE-----\nAAECAwQFBgc=\n-----END CERTIFICATE-----\n";
    let roots = format!("{certificate}{damaged}");
    refused(connect(Options::new().tls(Tls::new().roots(&roots))), "certificate 2 of those that are to be believed");
    refused(
        listen(Options::new().tls(Tls::new().identity(damaged, &key))),
        "the identity of this side cannot be used: its certificate is damaged",
    );
    refused(connect(Options::new().tls(Tls::new().roots(&certificate).server_name("a b"))), "no name");
    let shown = format!("{:?}", Options::new().tls(Tls::new().identity(&certificate, &key)));
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

/// A session that ends without saying so is a death, even when the connection ends in good order.
pub(crate) fn cut_off(world: &World) {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    // In between sits somebody who passes bytes on, and cuts.
    let (mut listener, between) = (world.listen(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("tls:{}", between.local_addr().unwrap());
    let cutting = thread::spawn(move || {
        let (near, _) = between.accept().unwrap();
        let far = TcpStream::connect(crate::world::network_place()).unwrap();
        let pass = |mut from: TcpStream, mut to: TcpStream| {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                // Good order, as far as TCP knows.
                let _ = to.shutdown(Shutdown::Write);
            })
        };
        let there = pass(near.try_clone().unwrap(), far.try_clone().unwrap());
        let back = pass(far.try_clone().unwrap(), near.try_clone().unwrap());
        (near, far, there, back)
    });
    let name = crate::world::network_place().ip().to_string();
    let connecting = thread::spawn({
        let options = world.options_for(&name);
        move || options.connect(address).unwrap()
    });
    let mut accepted = listener.accept_timeout(SOON).unwrap();
    let mut connected = connecting.join().unwrap();
    connected.send(b"before").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"before");
    let (near, far, there, back) = cutting.join().unwrap();
    near.shutdown(Shutdown::Read).unwrap();
    far.shutdown(Shutdown::Read).unwrap();
    for link in [&mut accepted, &mut connected] {
        let end = link.recv_timeout(SOON).map(|it| it.to_vec());
        assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
    }
    drop((accepted, connected, near, far));
    there.join().unwrap();
    back.join().unwrap();
}

/// A record that was spoiled on the way, right behind a good one: what was good before it is received, then the link says
/// what happened.
pub(crate) fn spoiled_on_the_way(world: &World) {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    let (mut listener, between) = (world.listen(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("tls:{}", between.local_addr().unwrap());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let passing = thread::spawn(move || {
        let (mut near, _) = between.accept().unwrap();
        let mut far = TcpStream::connect(crate::world::network_place()).unwrap();
        let (mut back_from, mut back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ended = std::io::copy(&mut back_from, &mut back_to);
        });
        let mut buffer = vec![0; 64 << 10];
        let mut spoil = false;
        while let Ok(read @ 1..) = near.read(&mut buffer) {
            let mut bytes = buffer[..read].to_vec();
            spoil = spoil || wait.try_recv().is_ok();
            if spoil {
                bytes.extend([23, 3, 3, 0, 64]);
                bytes.extend([7; 64]);
            }
            if far.write_all(&bytes).is_err() {
                break;
            }
        }
        // Held open: the news has to come from what was spoiled, not from an end.
        (near, far, back)
    });
    let name = crate::world::network_place().ip().to_string();
    let connecting = thread::spawn({
        let options = world.options_for(&name);
        move || options.connect(address).unwrap()
    });
    let mut accepted = listener.accept_timeout(SOON).unwrap();
    let mut connected = connecting.join().unwrap();
    connected.send(b"whole").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"whole");
    go.send(()).unwrap();
    connected.send(b"before").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"before");
    let end = accepted.recv_timeout(SOON).map(|it| it.to_vec());
    assert!(matches!(end, Err(RecvError::Protocol(_))), "{end:?}");
    drop((accepted, connected));
    let (near, far, back) = passing.join().unwrap();
    far.shutdown(std::net::Shutdown::Both).unwrap_or_default();
    drop((near, far));
    back.join().unwrap();
}

/// A handshake that does not end is ended, before much of it is kept.
pub(crate) fn endless(world: &World) {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    let mut listener = world.listen();
    let mut stranger = TcpStream::connect(crate::world::network_place()).unwrap();
    let speaking = thread::spawn(move || {
        // One ClientHello of almost 64 KiB, in records of 8 KiB.
        let mut first = vec![0; 8 << 10];
        first[..4].copy_from_slice(&[1, 0, 0xff, 0xf0]);
        for record in [first].into_iter().chain(std::iter::repeat_n(vec![0; 8 << 10], 6)) {
            let _ended = stranger.write_all(&[&[0x16, 3, 1, 0x20, 0][..], &record].concat());
        }
        let _reset = stranger.read_to_end(&mut Vec::new());
    });
    while listener.refusals() == 0 {
        let nobody = listener.accept_timeout(Duration::from_millis(10));
        assert!(matches!(nobody, Err(ConnectError::Timeout { .. })), "{nobody:?}");
    }
    let told = listener.last_refusal().unwrap().to_string();
    assert!(told.contains("handshake has more than 32768 bytes"), "{told}");
    speaking.join().unwrap();
}

/// A handshake that does not go on costs each side its time and no more.
pub(crate) fn slow(world: &World) {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    let limit = Duration::from_millis(200);
    // The beginning of a ClientHello, and then a byte now and then.
    let mut listener = world.options().handshake_timeout(limit).listen(world.address()).unwrap();
    let began = Instant::now();
    let mut stranger = TcpStream::connect(crate::world::network_place()).unwrap();
    stranger.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
    let dripping = thread::spawn(move || {
        while stranger.write_all(&[0]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    while listener.refusals() == 0 {
        let nobody = listener.accept_timeout(limit / 10).unwrap_err();
        assert!(matches!(nobody, ConnectError::Timeout { .. }), "{nobody:?}");
        assert!(began.elapsed() < limit + SOON, "what comes now and then must not win it more time");
    }
    assert!(began.elapsed() >= limit, "nobody is refused before his time");
    let refused: Vec<String> = listener.refused().map(ToString::to_string).collect();
    assert!(refused.len() == 1 && refused[0].contains("did not introduce itself in time"), "{refused:?}");
    dripping.join().unwrap();
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tls:{}", silent.local_addr().unwrap());
    let late = world.options().handshake_timeout(limit).connect(&address).unwrap_err();
    assert!(matches!(late, ConnectError::Timeout { .. }), "{late:?}");
    assert!(late.to_string().contains("did not answer"), "{late}");
}

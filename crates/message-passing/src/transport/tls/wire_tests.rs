//! A session to which its other side brings tickets without end, or damaged records: a look ends, and nothing arrives that was not
//! sent.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use ring::aead;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection};
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};

use super::*;
use crate::address::{Address, Host};
use crate::chance::{Random, seeds};
use crate::options::Options;
use crate::tls::Tls;
use crate::transport::lifeline::Lifeline;
use crate::transport::tls::Session;

/// What both sides need to know.
struct Place {
    server: Arc<ServerConfig>,
    client: Session,
}

impl Place {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = builder.unwrap().with_no_client_auth();
        let mut server = builder.with_single_cert(vec![certificate.der().clone()], private).unwrap();
        server.enable_secret_extraction = true;
        let options = Options::new().tls(Tls::new().roots(certificate.pem()));
        let address = Address::parse("tls:localhost:1").unwrap();
        let host = Host { name: "localhost".to_owned(), port: 1 };
        Self { server: Arc::new(server), client: Session::connecting(&address, &host, &options).unwrap() }
    }

    /// The wire of a client, and its server with the connection.
    fn meet(&self) -> (Arc<dyn Wire>, ServerConnection, TcpStream) {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(door.local_addr().unwrap()).unwrap();
        let there = door.accept().unwrap().0;
        there.set_nonblocking(true).unwrap();
        let lifeline = Arc::new(Lifeline::new(OwnedFd::from(here)));
        let wire = self.client.begin(TcpWire::new(lifeline, 1 << 20, Duration::from_secs(30)).unwrap()).unwrap();
        (wire, ServerConnection::new(self.server.clone()).unwrap(), there)
    }
}

/// Reads without waiting.
fn look(wire: &dyn Wire) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1_000];
    let read = wire.read(&mut [IoSliceMut::new(&mut bytes)], Patience::Now)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Whether something shows at the connection.
fn shows(wire: &dyn Wire) -> bool {
    let moment = Some(Deadline::after(Duration::from_millis(50)));
    poll::wait(&[(wire.inlet().unwrap(), Interest::READ)], moment).unwrap().any(0)
}

fn is_later<T>(outcome: &io::Result<T>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The server hears what its client has said.
fn hear(server: &mut ServerConnection, there: &mut TcpStream) {
    // Ends when nothing is there, and with the connection.
    while server.read_tls(there).is_ok_and(|read| read > 0) {
        if server.process_new_packets().is_err() {
            break;
        }
    }
}

/// A ticket for another session, of one byte and without a nonce, and that it is one of the records of a handshake.
const TICKET: [u8; 19] = [4, 0, 0, 14, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, b't', 0, 0, 0x16];

/// So many records of a server, each of which brings a ticket.
fn tickets(server: ServerConnection, count: u64) -> Vec<u8> {
    let (first, secrets) = server.dangerous_extract_secrets().unwrap().tx;
    let (algorithm, key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
        _ => panic!("no cipher of TLS 1.3"),
    };
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key.as_ref()).unwrap());
    let head = [0x17, 0x03, 0x03, 0, TICKET.len() as u8 + 16];
    let record = |number: u64| {
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(byte, other)| *byte ^= other);
        let mut inside = TICKET.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, aead::Aad::from(head), &mut inside).unwrap();
        [&head[..], &inside].concat()
    };
    (first..first + count).flat_map(record).collect()
}

#[test]
fn a_look_ends_although_tickets_come_without_end() {
    let (wire, mut server, mut there) = Place::new().meet();
    shake_hands(&*wire, &mut server, &mut there);
    let records = tickets(server, 60_000);
    let mut written = 0;
    while let Ok(more) = there.write(&records[written..])
        && more > 0
    {
        written += more;
    }
    assert!(written > 2 * MOST_IN_VAIN, "{written}");
    let mut looks = 0;
    while shows(&*wire) {
        let found = look(&*wire);
        assert!(is_later(&found), "{found:?} after {looks} looks");
        looks += 1;
    }
    assert!(looks >= written / (MOST_IN_VAIN + BUFFER), "{looks} looks for {written} bytes");
}

/// Both sides go on with the handshake until the server has done with it.
fn shake_hands(wire: &dyn Wire, server: &mut ServerConnection, there: &mut TcpStream) {
    let late = Deadline::after(Duration::from_secs(10));
    while server.is_handshaking() {
        assert!(!late.passed());
        wire.flush().unwrap();
        hear(server, there);
        while server.wants_write() {
            server.write_tls(there).unwrap();
        }
        if server.is_handshaking() && shows(wire) {
            let found = look(wire);
            assert!(is_later(&found), "{found:?}");
        }
    }
}

#[test]
fn what_is_kept_of_a_message_is_told_from_what_the_session_says_behind_it() {
    let (wire, mut server, mut there) = Place::new().meet();
    shake_hands(&*wire, &mut server, &mut there);
    assert!(wire.flush().unwrap() && !wire.keeps_back());
    let (payload, mut put) = (vec![7; 100_000], 0);
    while !wire.keeps_back() {
        put += wire.write(&[IoSlice::new(&payload)]).unwrap();
        assert!(put < 1 << 30);
    }
    assert!(is_later(&wire.write(&[IoSlice::new(b"x")])) && !wire.flush().unwrap() && wire.keeps_back());
    // What is no record makes the session say so, behind what it keeps.
    there.set_nonblocking(false).unwrap();
    there.write_all(&[0x17, 3, 3, 0, 30]).unwrap();
    there.write_all(&[9; 30]).unwrap();
    there.set_nonblocking(true).unwrap();
    assert!(shows(&*wire) && look(&*wire).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData));
    assert!(wire.keeps_back());
    let (mut got, mut buffer) = (0, vec![0; 1 << 16]);
    let late = Deadline::after(Duration::from_secs(20));
    while wire.keeps_back() || got < put {
        assert!(!late.passed(), "{got} of {put}");
        let _left = wire.flush().unwrap();
        // Ends when nothing is there.
        while server.read_tls(&mut there).is_ok_and(|read| read > 0) {
            let _told = server.process_new_packets();
            while let Ok(read) = server.reader().read(&mut buffer)
                && read > 0
            {
                got += read;
            }
        }
    }
    assert_eq!(got, put);
}

#[test]
fn of_a_session_that_is_damaged_arrives_what_came_before() {
    let place = Place::new();
    let mut damaged = 0;
    for seed in seeds(80) {
        let mut random = Random(seed);
        let (wire, mut server, mut there) = place.meet();
        let len = random.one_of(&[1, 500, 20_000, 60_000]);
        let sent = random.bytes(len);
        // Some of them are damaged in the handshake, and one in four is not.
        let damage = (!random.once_in(4)).then(|| random.below(1_500 + len));
        let (mut said, mut gone, mut put) = (Vec::new(), 0, 0);
        let (mut found, mut end) = (Vec::new(), None);
        let late = Deadline::after(Duration::from_secs(10));
        while end.is_none() {
            assert!(!late.passed(), "seed {seed}: no end, {} of {len} bytes", found.len());
            let _unsaid = wire.flush();
            hear(&mut server, &mut there);
            if !server.is_handshaking() && put < len {
                let most = random.one_of(&[1, 300, 20_000]);
                let some = (len - put).min(most);
                put += server.writer().write(&sent[put..put + some]).unwrap();
                if put == len {
                    server.send_close_notify();
                }
            }
            while server.wants_write() {
                server.write_tls(&mut said).unwrap();
            }
            let most = random.one_of(&[1, 50, 3_000, 100_000]);
            let mut piece = said[gone..said.len().min(gone + most)].to_vec();
            if let Some(at) = damage.and_then(|at| at.checked_sub(gone))
                && let Some(byte) = piece.get_mut(at)
            {
                *byte ^= 1 << random.below(8);
                damaged += 1;
            }
            gone += there.write(&piece).unwrap_or(0);
            loop {
                match look(&*wire) {
                    Ok(bytes) if bytes.is_empty() => end = Some(true),
                    Ok(bytes) => {
                        found.extend(bytes);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => end = Some(false),
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                break;
            }
            // Damaged so that more is expected than comes.
            if end.is_none() && put == len && gone == said.len() {
                let _gone = there.shutdown(std::net::Shutdown::Write);
            }
        }
        assert!(sent.starts_with(&found), "seed {seed}: {} of {len} bytes", found.len());
        assert!(damage.is_some() || found.len() == len && end == Some(true), "seed {seed}: {} of {len}", found.len());
    }
    assert!(damaged > 30, "only {damaged} were damaged");
}

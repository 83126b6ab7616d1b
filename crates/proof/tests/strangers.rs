//! Two hundred strangers at the port of a listener, each with its own way of wasting its time: every one of them is shown
//! out in time and remembered with a reason, they cost little memory, and a good peer hardly notices.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{Link, Options};
use wharf_proof::certificates;
use wharf_proof::footprint::resident_kib;
use wharf_proof::place;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::scene::Scene;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

const STRANGERS: usize = 200;

/// How long the listener lets a stranger take.
const HANDSHAKE: Duration = Duration::from_millis(1500);

/// What each may cost while it is there.
const MOST_KIB: u64 = 64;

/// Messages whose round trips make a figure.
const TRIPS: usize = 1000;

/// A busy machine may spoil a comparison, but hardly every one of so many.
const ROUNDS: usize = 5;

#[test]
fn at_tcp_they_hold_nobody_up() {
    besiege("tcp");
}

#[test]
fn at_tls_they_hold_nobody_up() {
    besiege("tls");
}

/// What a stranger sends: at once, and then byte by byte.
fn ways(scheme: &str) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut hello = b"WHARFLNK".to_vec();
    hello.extend([1, 0, 1, if scheme == "tls" { 7 } else { 6 }]);
    let mut client_hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    client_hello.extend([7; 32]);
    let drip = vec![0; 64];
    let http = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec();
    let mut ways = vec![
        ("says nothing", vec![], vec![]),
        ("speaks HTTP", http.clone(), vec![]),
        ("begins with four GiB", vec![0xff; 8], drip.clone()),
    ];
    if scheme == "tls" {
        ways.push(("stays in its handshake", client_hello.clone(), drip));
        ways.push(("drips its handshake", vec![], client_hello));
        ways.push(("speaks plainly", hello, vec![]));
    } else {
        ways.push(("stays in its hello", hello.clone(), vec![]));
        ways.push(("drips its hello", vec![], hello));
        ways.push(("speaks TLS", client_hello, vec![]));
    }
    ways
}

fn besiege(scheme: &str) {
    let scene = Scene::new();
    let place = place::free();
    let address = format!("{scheme}:{place}");
    let folder = scene.file("certificates");
    std::fs::create_dir(&folder).expect("a folder can be made");
    certificates::make(&folder).expect("certificates can be made");
    let certificates = format!("certificates={}", folder.display());
    let handshake = format!("handshake={}", HANDSHAKE.as_millis());
    let mut words = vec!["guard", &address, &handshake];
    let mut options = Options::new();
    if scheme == "tls" {
        words.push(&certificates);
        options = options.tls(certificates::read(&folder).expect("they were just made"));
    }
    let mut guard = Process::start(Path::new(VICTIM), &scene, &words);
    guard.expect("listening");
    let mut link = options.connect_timeout(&address, PATIENCE).expect("the guard listens");
    // Whatever is allocated once is allocated now.
    siege(scheme, place, &mut guard, &options, &address, &mut link);

    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let quiet = [trips(&mut link), meetings(&options, &address)];
        let besieged = siege(scheme, place, &mut guard, &options, &address, &mut link);
        let ratio = [besieged[0] / quiet[0], besieged[1] / quiet[1]];
        println!("{scheme}, round {round}: slowest trips and meetings besieged {besieged:.6?} s, quiet {quiet:.6?} s");
        ratios.push(ratio);
        if ratios.iter().any(|it| it[0] <= 2.0) && ratios.iter().any(|it| it[1] <= 2.0) {
            return;
        }
    }
    panic!("{scheme}: a good peer was held up in every round: {ratios:?}");
}

/// The strangers come, and stay as long as they may. The slowest trips and meetings meanwhile, in seconds.
fn siege(
    scheme: &str,
    place: SocketAddr,
    guard: &mut Process,
    options: &Options,
    address: &str,
    link: &mut Link,
) -> [f64; 2] {
    let before = resident_kib(guard.id()).expect("the guard lives");
    let ways = ways(scheme);
    let came = Instant::now();
    let mut strangers: Vec<(&str, SocketAddr, TcpStream, std::vec::IntoIter<u8>)> = (0..STRANGERS)
        .map(|number| {
            let (name, at_once, later) = ways[number % ways.len()].clone();
            let mut stranger = TcpStream::connect(place).expect("the guard listens");
            // It may have been shown out already.
            let _ = stranger.write_all(&at_once);
            (name, stranger.local_addr().expect("it is connected"), stranger, later.into_iter())
        })
        .collect();
    let figures = [trips(link), meetings(options, address)];
    let during = resident_kib(guard.id()).expect("the guard lives");
    let grown = during.saturating_sub(before);
    assert!(grown < MOST_KIB * STRANGERS as u64, "{grown} KiB for {STRANGERS} strangers");

    // A byte now and then, until everybody has been shown out.
    let mut missing: Vec<String> = strangers.iter().map(|it| it.1.to_string()).collect();
    while !missing.is_empty() {
        let told = guard.hear(Duration::from_millis(100));
        if let Some(said) = told.filter(|said| said.word == "refused") {
            let (who, why) = said.text.split_once(": ").expect("who and why");
            let place = missing.iter().position(|it| it == who).unwrap_or_else(|| panic!("{who} is no stranger"));
            missing.swap_remove(place);
            assert!(why.len() > 10, "{said:?}");
        } else {
            for (_, _, stranger, later) in &mut strangers {
                if let Some(byte) = later.next() {
                    let _ = stranger.write_all(&[byte]);
                }
            }
        }
        let late: Vec<&str> =
            strangers.iter().filter(|it| missing.contains(&it.1.to_string())).map(|it| it.0).collect();
        assert!(came.elapsed() < HANDSHAKE + PATIENCE, "still there: {late:?}; {}", guard.report());
    }
    assert!(guard.runs(), "{}", guard.report());
    figures
}

/// The slowest round trip of a hundred, in seconds, on a link that is there already.
fn trips(link: &mut Link) -> f64 {
    let mut times: Vec<f64> = (0..TRIPS)
        .map(|_| {
            let began = Instant::now();
            link.send(&[7; 64]).expect("the guard answers");
            link.recv_timeout(PATIENCE).expect("the guard answers");
            began.elapsed().as_secs_f64()
        })
        .collect();
    slowest_of_a_hundred(&mut times)
}

/// The slowest of a few meetings, in seconds, first message included.
fn meetings(options: &Options, address: &str) -> f64 {
    let mut times: Vec<f64> = (0..40)
        .map(|_| {
            let began = Instant::now();
            let mut link = options.connect_timeout(address, PATIENCE).expect("the guard listens");
            link.send(b"hi").expect("the guard answers");
            link.recv_timeout(PATIENCE).expect("the guard answers");
            thread::sleep(Duration::from_millis(1));
            began.elapsed().as_secs_f64()
        })
        .collect();
    slowest_of_a_hundred(&mut times)
}

fn slowest_of_a_hundred(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

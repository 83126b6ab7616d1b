//! The roles in which this program is started again, as the peer in another process.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use wharf_message_passing::{Link, Options, SendError, Wait};

/// The first argument of a peer.
pub(crate) const MARK: &str = "--as-a-peer";

/// The variable that says where certificates lie.
pub(crate) const CERTIFICATES: &str = "WHARF_TEST_CERTIFICATES";

/// Messages that the talking roles send before they say that they are ready, unless their queue is full before.
pub(crate) const SPOKEN: usize = 20;

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [role, address] = arguments else { return ExitCode::FAILURE };
    match role.as_str() {
        "talks" => talks(address),
        "listens" => listens(address),
        "reads-some" => reads_some(address),
        "never-reads" => never_reads(address),
        "exits" => exits(address),
        "stranger" => stranger(address),
        "guest" => guest(address),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn options() -> Options {
    match std::env::var_os(CERTIFICATES) {
        Some(directory) => Options::new().tls(crate::certificates::read(directory.as_ref())),
        None => Options::new(),
    }
}

fn connect(address: &str) -> Link {
    options().wait(Wait::Sleep).connect_timeout(address, Duration::from_secs(10)).unwrap()
}

/// Waits until the parent says so by closing standard input, or until it is killed.
fn stay() {
    let mut nothing = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut nothing);
}

/// Sends some messages, says how many there was room for, and stays.
fn talks(address: &str) {
    let mut link = connect(address);
    let mut sent = 0;
    while sent < SPOKEN {
        match link.try_send(&crate::world::pattern(sent, sent * 37)) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    println!("ready {sent}");
    stay();
}

/// Listens, says so, and stays.
fn listens(address: &str) {
    let _listener = options().listen(address).unwrap();
    println!("ready");
    stay();
}

/// Takes three messages, says so, and stays.
fn reads_some(address: &str) {
    let mut link = connect(address);
    println!("ready");
    for _ in 0..3 {
        link.recv().unwrap();
    }
    println!("read");
    stay();
}

/// Connects, says so, and stays.
fn never_reads(address: &str) {
    let _link = connect(address);
    println!("ready");
    stay();
}

/// Sends some messages and ends without closing the link.
fn exits(address: &str) {
    let mut link = connect(address);
    for number in 0..SPOKEN {
        link.send(&crate::world::pattern(number, 10)).unwrap();
    }
    std::process::exit(0);
}

/// Tries to connect, and prints what it is told.
fn stranger(address: &str) {
    match Options::new().connect(address) {
        Ok(_) => println!("connected"),
        Err(error) => println!("{error}"),
    }
}

/// Connects to a listener of root, sends back one message, and prints how that went.
fn guest(address: &str) {
    match Options::new().allow_uid(0).connect(address) {
        Ok(mut link) => {
            println!("connected");
            let message = link.recv().unwrap().to_vec();
            link.send(&message).unwrap();
        }
        Err(error) => println!("{error}"),
    }
}

//! The roles in which this program is started again, as the peer in another process.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use wharf_message_passing::{Link, Options, Wait};

/// The first argument of a peer.
pub(crate) const MARK: &str = "--as-a-peer";

/// Messages that the talking roles send before they say that they are ready.
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
        "few-files" => few_files(address),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn connect(address: &str) -> Link {
    Options::new().wait(Wait::Sleep).connect_timeout(address, Duration::from_secs(10)).unwrap()
}

/// Waits until the parent says so by closing standard input, or until it is killed.
fn stay() {
    let mut nothing = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut nothing);
}

/// Sends some messages, says so, and stays.
fn talks(address: &str) {
    let mut link = connect(address);
    for number in 0..SPOKEN {
        link.send(&crate::world::pattern(number, number * 37)).unwrap();
    }
    println!("ready");
    stay();
}

/// Listens, says so, and stays.
fn listens(address: &str) {
    let _listener = Options::new().listen(address).unwrap();
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

/// Receives a message with three descriptors when it may open one more, then another when it may open many; prints what
/// it was told.
fn few_files(address: &str) {
    use wharf_message_passing::TakeError;
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut link = connect(address);
    link.send(b"ready").unwrap();
    // The message is there before the table is full, so that nothing else needs a descriptor meanwhile.
    stay();
    let before = open();
    let null = || std::fs::File::open("/dev/null");
    let mut filling: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
    filling.pop();
    let full = before + filling.len();
    let mut message = link.recv().unwrap();
    assert_eq!((&*message, message.attachments()), (&b"three"[..], 3));
    for _ in 0..2 {
        let lost = message.take_fd().unwrap_err();
        assert!(matches!(lost, TakeError::NotOpened { sent: 3, limit: 40 }), "{lost:?}");
    }
    filling.clear();
    assert_eq!(open(), before, "the table had {full} entries");
    let mut message = link.recv().unwrap();
    assert_eq!((&*message, message.attachments()), (&b"again"[..], 3));
    let taken = [message.take_fd().unwrap(), message.take_fd().unwrap()];
    assert_eq!(open(), before + 3);
    assert!(matches!(link.try_recv(), Err(wharf_message_passing::RecvError::Empty)));
    drop(taken);
    assert_eq!(open(), before, "the one that was not taken is closed by then");
    link.send(b"done").unwrap();
}

//! The roles in which this program is started again, as the peer in another process.

use std::io::Read;
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

use wharf_message_passing::{ConnectError, Link, Options, RecvError, Selector, SendError, Trust, Wait};
use wharf_sys::inherit::{self, Handed};
use wharf_sys::socket;

use crate::garbage;

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
        "leaves-one" => leaves_one(address),
        "never-reads" => never_reads(address),
        "exits" => exits(address),
        "selects" => selects(address),
        "stranger" => stranger(address),
        "guest" => guest(address),
        "borrows-an-end" => borrows_an_end(address),
        "many-pipes" => many_pipes(address),
        "few-files" => few_files(address),
        "many-on-their-way" => many_on_their_way(address),
        "heir" => heir(inherit()),
        "heir-that-trusts" => heir(trusting().inherited().unwrap()),
        "heir-that-distrusts" => return heir_that_distrusts(),
        "heir-that-waits" => heir_that_waits(),
        "heir-with-threads" => heir_with_threads(),
        "heir-late" => heir_late(),
        "heir-with-buffers" => heir_with_buffers(),
        "grandchild" => grandchild(),
        "open-files" => println!("{}", open_files()),
        "babbles" => babbles(address),
        "loses-an-end" => loses_an_end(address),
        "host" => host(address),
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

/// Takes the link that was handed over. The parent may be of another user.
fn inherit() -> Link {
    Options::new().wait(Wait::Sleep).inherited().unwrap()
}

/// For a parent of another user where links are for peers that cooperate.
fn trusting() -> Options {
    Options::new().wait(Wait::Sleep).trust(Trust::Cooperating)
}

/// Says what it has open, then sends back what it receives until the link ends.
fn heir(mut link: Link) {
    let second = Options::new().inherited().map(|_| ()).unwrap_err();
    link.send(second.to_string().as_bytes()).unwrap();
    link.send(open_files().as_bytes()).unwrap();
    let variable = std::env::var("WHARF_LINK").unwrap_or_else(|_| "none".to_owned());
    link.send(variable.as_bytes()).unwrap();
    while let Ok(message) = link.recv() {
        let message = message.to_vec();
        link.send(&message).unwrap();
    }
}

/// Does not take its link, because it trusts nobody and it is one for those who do.
fn heir_that_distrusts() -> ExitCode {
    let told = Options::new().trust(Trust::Hostile).inherited().map(|_| ()).unwrap_err();
    if matches!(told, ConnectError::Options(_)) { ExitCode::from(7) } else { ExitCode::FAILURE }
}

/// What this process has open, one a line.
fn open_files() -> String {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|it| std::fs::read_link(it.unwrap().path()).ok());
    let mut lines: Vec<String> = targets.map(|it| it.to_string_lossy().into_owned()).collect();
    lines.retain(|it| !it.contains("/proc/"));
    lines.join("\n")
}

/// Waits for the end of its link and prints what it is told.
fn heir_that_waits() {
    let mut link = inherit();
    println!("taken by {}", std::process::id());
    let end = link.recv().map(|it| it.to_vec());
    println!("{end:?}");
}

/// Takes its link when it has threads, then starts a program of its own, and sends what that one was told.
fn heir_with_threads() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv());
    let mut link = inherit();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args([MARK, "grandchild", "-"]).output().unwrap();
    link.send(&output.stdout).unwrap();
    drop(stop);
    let _ended = thread.join();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args([MARK, "grandchild", "-"]).output().unwrap();
    link.send(&output.stdout).unwrap();
    let _end = link.recv().map(|_| ());
}

/// Prints whether there is a variable that tells of a link, and what comes of taking it.
fn grandchild() {
    let variable = std::env::var_os("WHARF_LINK").is_some();
    println!("{variable} {}", Options::new().inherited().map(|_| ()).unwrap_err());
}

/// Takes its link when its parent is gone, and prints what it is told.
fn heir_late() {
    println!("ready {}", std::process::id());
    stay();
    println!("{}", Options::new().inherited().map(|_| ()).unwrap_err());
}

/// Takes a sealed buffer, adds its bytes up, and sends a descriptor back.
fn heir_with_buffers() {
    let mut link = inherit();
    let buffer = link.recv().unwrap().take_buffer().unwrap();
    let sum: u64 = buffer.iter().map(|it| u64::from(*it)).sum();
    let (mut reader, writer) = std::io::pipe().unwrap();
    link.send_with(&sum.to_le_bytes(), &[std::os::fd::AsFd::as_fd(&writer).into()]).unwrap();
    drop(writer);
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    link.send(written.as_bytes()).unwrap();
    let _end = link.recv().map(|_| ());
}

/// Says something else than a hello over the link that was handed over, and stays.
fn babbles(what: &str) {
    let mouth = match handed().as_slice() {
        [socket] => {
            let [socket] = inherit::take([*socket]).unwrap();
            socket
        }
        [ear, mouth] => {
            let [ear, mouth] = inherit::take([*ear, *mouth]).unwrap();
            // It could hear, as long as it stays.
            let _open = ear.into_raw_fd();
            mouth
        }
        other => panic!("{other:?}"),
    };
    if what == "closes" {
        drop(mouth);
    } else {
        rustix::io::write(&mouth, what.as_bytes()).unwrap();
    }
    std::thread::sleep(Duration::from_secs(60));
}

/// What the variable says that this program was handed.
fn handed() -> Vec<Handed> {
    let text = std::env::var("WHARF_LINK").unwrap();
    let places: Vec<&str> = text.split(':').skip(1).collect();
    let one = |place: &[&str]| Handed { number: place[0].parse().unwrap(), mark: place[1].parse().unwrap() };
    places.chunks_exact(2).map(one).collect()
}

/// Closes one of the ends that it was handed and becomes another program.
fn loses_an_end(which: &str) {
    let end: usize = which.parse().unwrap();
    drop(inherit::take([handed()[end]]).unwrap());
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    panic!("{}", command.args([MARK, "grandchild", "-"]).exec());
}

/// Starts an heir and stays.
fn host(address: &str) {
    let (transport, role) = address.split_once(':').unwrap();
    let transport = *wharf_message_passing::Transport::ALL.iter().find(|it| it.scheme() == transport).unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([MARK, role, "-"]);
    let _heir = Options::new().handshake_timeout(Duration::from_secs(60)).spawn(transport, command).unwrap();
    stay();
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
    let _link = reads_three(address);
    stay();
}

fn reads_three(address: &str) -> Link {
    let mut link = connect(address);
    println!("ready");
    for _ in 0..3 {
        link.recv().unwrap();
    }
    println!("read");
    link
}

/// Takes three messages, says so, and says when there is another, which it does not take; stays.
fn leaves_one(address: &str) {
    let mut link = reads_three(address);
    Selector::new().wait(&mut [(&mut link, ())]).unwrap();
    println!("left");
    stay();
}

/// Connects, says so, and stays.
fn never_reads(address: &str) {
    let _link = connect(address);
    println!("ready");
    stay();
}

/// Sends back what it receives, and waits for it with a selector that never spins.
fn selects(address: &str) {
    let mut link = connect(address);
    let mut selector = Selector::new();
    loop {
        selector.wait(&mut [(&mut link, ())]).unwrap();
        match link.try_recv().map(|message| message.to_vec()) {
            Ok(message) => link.send(&message).unwrap(),
            Err(RecvError::Empty) => {}
            Err(_) => return,
        }
    }
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

/// Says hello at a path, with an end of a control pair that somebody else has made, and prints what it is told.
fn borrows_an_end(path: &str) {
    let borrowed = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let socket = garbage::dial(path.as_ref());
    socket::send_with_fds(&socket, &garbage::hello(), &[borrowed.as_fd()]).unwrap();
    let (answer, _fds) = garbage::answer(&socket);
    match answer.get(10) {
        Some(2) => println!("welcome"),
        _ => println!("{}", String::from_utf8_lossy(answer.get(56..).unwrap_or(&[]))),
    }
}

/// Makes pipes until the system gives this user small ones, then tries to make a link, and prints what it is told.
fn many_pipes(directory: &str) {
    let options =
        Options::new().domain(wharf_sys::directory::Domain::at(directory.as_ref()).unwrap()).wait(Wait::Sleep);
    let mut listener = options.listen("pipe:x").unwrap();
    let (mut here, mut there) = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| options.connect_timeout("pipe:x", Duration::from_secs(10)).unwrap());
        (listener.accept_timeout(Duration::from_secs(10)).unwrap(), connecting.join().unwrap())
    });
    let mut pipes = Vec::new();
    loop {
        match wharf_sys::pipe::pair() {
            Ok(pipe) if rustix::pipe::fcntl_getpipe_size(&pipe.0).unwrap() < 64 << 10 => break,
            Ok(pipe) => pipes.push(pipe),
            Err(error) => return println!("no room for so many: {error}"),
        }
    }
    let told = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| options.connect("pipe:x").map(|_| ()).unwrap_err());
        let _nobody = listener.accept_timeout(Duration::from_secs(1)).map(|_| ());
        connecting.join().unwrap()
    });
    println!("{told}");
    // A link that was made before goes on: its pipes may not grow, so what does not fit is written in parts.
    let large = vec![7; 100_000];
    std::thread::scope(|scope| {
        scope.spawn(|| (0..3).for_each(|_| there.send(&large).unwrap()));
        (0..3).for_each(|_| assert!(*here.recv().unwrap() == large[..]));
    });
    // With room again, the same listener serves.
    drop(pipes);
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| options.connect_timeout("pipe:x", Duration::from_secs(10)).unwrap());
        listener.accept_timeout(Duration::from_secs(10)).unwrap();
        drop(connecting.join().unwrap());
    });
    println!("linked");
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

/// Sends descriptors that nobody receives until the system lets this user send no more, says what it was told, and sends
/// more when they were received.
fn many_on_their_way(address: &str) {
    let mut link = Options::new().allow_uid(0).connect(address).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let attachments = [(); 8].map(|()| std::os::fd::AsFd::as_fd(&null).into());
    let (told, sent) = loop {
        match link.try_send_with(b"eight", &attachments) {
            Ok(()) => {}
            Err(error) => break (error, link.sender().sent()),
        }
    };
    println!("{sent} {told}");
    link.send(b"without any").unwrap();
    link.recv().unwrap();
    link.send_with(b"eight", &attachments).unwrap();
    stay();
}

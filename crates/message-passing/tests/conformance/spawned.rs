//! Programs that are started with a ready link: they talk, they die, they are not what was expected, and nothing is left.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wharf_message_passing::{Attachment, ConnectError, Link, Options, RecvError, Transport, Trust};
use wharf_shared_memory::SealedBuffer;
use wharf_sys::socket;

use crate::users::GUEST;
use crate::world::{Peer, SOON, World, pattern};

/// Long enough for a program of ours on a busy machine; cases in which the time has to run out say a shorter one.
const STARTED: Duration = Duration::from_secs(20);

fn transport(world: &World) -> Transport {
    *Transport::ALL.iter().find(|it| it.scheme() == world.scheme.name).unwrap()
}

fn options(world: &World) -> Options {
    world.options().handshake_timeout(STARTED)
}

fn heir(world: &World, role: &str) -> (Child, Link) {
    options(world).spawn(transport(world), world.command_at(role, "-")).unwrap()
}

fn refusal(world: &World, options: &Options, command: Command) -> ConnectError {
    options.spawn(transport(world), command).map(|_| ()).unwrap_err()
}

/// What an heir says first: what came of a second try, what it has open, and its variable.
fn first_words(link: &mut Link) -> [String; 3] {
    [(); 3].map(|()| String::from_utf8(link.recv_timeout(SOON).unwrap().to_vec()).unwrap())
}

pub(crate) fn talks_both_ways(world: &World) {
    let (mut child, mut link) = heir(world, "heir");
    assert_eq!(link.peer().pid(), Some(child.id()));
    assert_eq!(link.peer().uid(), Some(socket::my_uid()));
    assert_eq!(link.peer().is_cooperating(), world.scheme.trust != Trust::Hostile);
    assert_eq!(link.address().transport(), transport(world));
    first_words(&mut link);
    for number in 0..200 {
        let message = pattern(number, number * 613);
        link.send(&message).unwrap();
        assert!(*link.recv_timeout(SOON).unwrap() == message[..], "message {number}");
    }
    drop(link);
    assert!(child.wait().unwrap().success());
    // `World::end` sees that no name was made.
}

pub(crate) fn killed_children_and_parents(world: &World) {
    let (mut child, mut link) = heir(world, "heir");
    first_words(&mut link);
    child.kill().unwrap();
    child.wait().unwrap();
    let end = link.recv_timeout(SOON).map(|it| it.to_vec());
    assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");

    // A parent that is killed when its child has the link, and one whose child has not taken it yet.
    let role = format!("{}:heir-that-waits", world.scheme.name);
    let mut host = Peer::start(world.command_at("host", &role));
    let taken = host.line();
    assert!(taken.starts_with("taken by "), "{taken}");
    host.kill();
    assert_eq!(host.line(), "Err(PeerDied)");

    let role = format!("{}:heir-late", world.scheme.name);
    let mut host = Peer::start(world.command_at("host", &role));
    let ready = host.line();
    assert!(ready.starts_with("ready "), "{ready}");
    host.kill();
    host.go_on();
    let told = host.line();
    assert!(told.contains("closed the connection"), "{told}");
}

/// Whether a process with this number runs.
fn runs(pid: u32) -> bool {
    std::fs::metadata(format!("/proc/{pid}")).is_ok()
}

pub(crate) fn programs_that_are_not_ours(world: &World) {
    // One that knows nothing of links: told by the deadline, and ended.
    let short = options(world).handshake_timeout(Duration::from_millis(300));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo $$; exec sleep 60"]).stdout(Stdio::piped());
    let (mut reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer);
    let began = Instant::now();
    let told = refusal(world, &short, command);
    assert!(matches!(told, ConnectError::Timeout { .. }), "{told:?}");
    assert!(told.to_string().contains("did not take its link"), "{told}");
    assert!(began.elapsed() >= Duration::from_millis(300));
    let mut pid = String::new();
    reader.read_to_string(&mut pid).unwrap();
    assert!(!runs(pid.trim().parse().unwrap()), "it was ended and waited for");

    // One that ends at once, well and badly: told at once, and how.
    for (program, how) in [("/bin/true", "exit status: 0"), ("/bin/false", "exit status: 1")] {
        let told = refusal(world, &options(world), Command::new(program));
        assert!(matches!(told, ConnectError::NotTaken { .. }), "{told:?}");
        let told = told.to_string();
        assert!(told.contains(how) && told.contains("wharf::inherited") && !told.contains('\n'), "{told}");
    }
    // One that closes the link and goes on.
    let told = refusal(world, &options(world), world.command_at("babbles", "closes"));
    assert!(matches!(told, ConnectError::NotTaken { .. }), "{told:?}");
    // One that is not there.
    let told = refusal(world, &options(world), Command::new("/no/such/program"));
    assert!(matches!(told, ConnectError::System { .. }), "{told:?}");
    assert!(told.to_string().contains("start the program program"), "{told}");
}

pub(crate) fn says_nonsense(world: &World) {
    for nonsense in ["GET / HTTP/1.1\r\n\r\n", "x", &"W".repeat(5000)] {
        let told = refusal(world, &options(world), world.command_at("babbles", nonsense));
        assert!(matches!(told, ConnectError::Protocol(_)), "{told:?}");
    }
}

pub(crate) fn taken_once(world: &World) {
    let (mut child, mut link) = heir(world, "heir");
    let [second, _, variable] = first_words(&mut link);
    assert!(second.contains("there is no link to inherit"), "{second}");
    assert_eq!(variable, "none", "a program without threads has no trace of it left");
    drop(link);
    assert!(child.wait().unwrap().success());
}

pub(crate) fn nothing_else_is_passed(world: &World) {
    // Other links, listeners and memory of this process.
    let _listener = world.listen();
    let buffer = SealedBuffer::copy_of(b"not for the child").unwrap();
    let silent = |role| {
        let mut command = world.command_at(role, "-");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let (mut other, _other_link) = options(world).spawn(transport(world), silent("heir-that-waits")).unwrap();
    // What any program gets that this one starts, whatever this one was given itself.
    let usual = silent("open-files").stdout(Stdio::piped()).output().unwrap();
    let usual = String::from_utf8(usual.stdout).unwrap();
    let (mut child, mut link) = options(world).spawn(transport(world), silent("heir")).unwrap();
    let [_, open, _] = first_words(&mut link);
    let own: Vec<&str> = open.lines().filter(|it| !usual.lines().any(|usual| usual == *it)).collect();
    let count = |kind: &str| own.iter().filter(|it| it.contains(kind)).count();
    // Its end of the link; over unix: its control pair; over shm: doorbells, if both sides want them; over pipe: two to read
    // and one to write.
    let (sockets, pipes) = match transport(world) {
        Transport::Unix => (3, 0),
        Transport::Pipe => (0, 3),
        _ => (1, 2),
    };
    assert_eq!((count("socket:"), own.len() - count("pipe:")), (sockets, sockets), "{open}");
    assert!(count("pipe:") <= pipes, "{open}");
    assert!(!open.contains("wharf-sealed"), "{open}");
    drop((link, _other_link, buffer));
    assert!(child.wait().unwrap().success());
    other.wait().unwrap();
}

/// The children of a child: they get no link, whether the variable could be removed or not.
pub(crate) fn grandchildren(world: &World) {
    let (mut child, mut link) = heir(world, "heir-with-threads");
    for _ in 0..2 {
        let told = String::from_utf8(link.recv_timeout(SOON).unwrap().to_vec()).unwrap();
        assert!(
            told.starts_with("true there is no link to inherit: the descriptor that was handed over is not"),
            "{told}"
        );
    }
    drop(link);
    assert!(child.wait().unwrap().success());
    // What the child started is not the parent's concern, and what a shell starts is its heir.
    let role = world.command_at("heir", "-");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$0\" \"$@\""]).arg(role.get_program()).args(role.get_args());
    let (mut child, mut link) = options(world).spawn(transport(world), command).unwrap();
    assert_eq!(link.peer().pid(), Some(child.id()));
    first_words(&mut link);
    drop(link);
    assert!(child.wait().unwrap().success());
}

pub(crate) fn other_users(world: &World) {
    if socket::my_uid() != 0 {
        return world.skip("becoming another user needs root");
    }
    let pipe = transport(world) == Transport::Pipe;
    let command = || {
        let mut command = world.command_at(if pipe { "heir-that-trusts" } else { "heir" }, "-");
        command.uid(GUEST).gid(GUEST);
        command
    };
    let told = refusal(world, &options(world), command());
    if let ConnectError::System { source, .. } = &told {
        return world.skip(&format!("another user cannot run this program where it lies ({source})"));
    }
    assert!(matches!(told, ConnectError::OtherUser { uid: GUEST, ours: 0 }), "{told:?}");
    let mut admitting = Options::new().handshake_timeout(STARTED).allow_uid(GUEST);
    if pipe {
        // Admitted is not trusted, and these links are for those who are.
        let told = refusal(world, &admitting, command());
        assert!(matches!(told, ConnectError::Options(_)) && told.to_string().contains("use unix:"), "{told:?}");
        admitting = admitting.trust(Trust::Cooperating);
    }
    let (mut child, mut link) = admitting.spawn(transport(world), command()).unwrap();
    assert_eq!((link.peer().uid(), link.peer().is_cooperating()), (Some(GUEST), pipe));
    first_words(&mut link);
    link.send(b"who is there").unwrap();
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"who is there");
    drop(link);
    assert!(child.wait().unwrap().success());
}

pub(crate) fn attachments(world: &World) {
    let (mut child, mut link) = options(world)
        .trust(Trust::Hostile)
        .spawn(transport(world), world.command_at("heir-with-buffers", "-"))
        .unwrap();
    let buffer = SealedBuffer::copy_of(&[3; 70_000]).unwrap();
    link.send_with(b"add them up", &[Attachment::from(&buffer)]).unwrap();
    let mut message = link.recv_timeout(SOON).unwrap();
    assert_eq!(message.to_vec(), 210_000_u64.to_le_bytes());
    let mut pipe = std::fs::File::from(message.take_fd().unwrap());
    std::io::Write::write_all(&mut pipe, b"through your pipe").unwrap();
    drop(pipe);
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"through your pipe");
    drop(link);
    assert!(child.wait().unwrap().success());
}

pub(crate) fn only_for_programs_that_cooperate(world: &World) {
    let marker = world.path().join("started");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "touch \"$0\""]).arg(&marker);
    let told = refusal(world, &options(world).trust(Trust::Hostile), command);
    assert!(matches!(told, ConnectError::Options(_)), "{told:?}");
    assert!(told.to_string().contains("use unix:"), "{told}");
    assert!(!marker.exists(), "nothing is started");
    // And a program that does not trust its parent says so.
    let told = refusal(world, &options(world), world.command_at("heir-that-distrusts", "-"));
    assert!(told.to_string().contains("exit status: 7"), "{told}");
}

/// A program in between loses one of the two ends: the other alone is no link.
pub(crate) fn one_end_is_not_enough(world: &World) {
    for end in ["0", "1"] {
        let mut command = world.command_at("loses-an-end", end);
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer);
        let told = refusal(world, &options(world), command);
        assert!(matches!(told, ConnectError::NotTaken { .. }), "{told:?}");
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert!(
            said.contains("true there is no link to inherit: the descriptor that was handed over is not"),
            "{said}"
        );
    }
}

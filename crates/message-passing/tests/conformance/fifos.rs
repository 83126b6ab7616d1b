//! A peer on `pipe:` that speaks nonsense, at the FIFO where all meet or in its own pair.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags};
use wharf_message_passing::{ConnectError, Link, Options, RecvError, SendError, Trust};
use wharf_sys::clock::Deadline;
use wharf_sys::directory::{Domain, PrivateFifos};
use wharf_sys::poll::{self, Interest};

use crate::meeting::FOR_A_LOOK;
use crate::users::{GUEST, guest, public};
use crate::world::{Dialled, SOON, World, pattern};

/// A knock as docs/wire.md draws it, written here byte by byte and not by the library.
fn knock(id: [u8; 16]) -> Vec<u8> {
    let mut knock = b"WHARFPIP".to_vec();
    knock.extend([1, 0]); // version
    knock.extend([0; 6]);
    knock.extend(id);
    knock
}

/// A hello.
fn hello() -> Vec<u8> {
    let mut record = b"WHARFLNK".to_vec();
    record.extend([1, 0]); // version
    record.extend([1, 5]); // hello, pipe:
    record.extend([0, 0, 0xff, 0xff]); // flags, more than one processor
    record.extend(1_000_000_u64.to_le_bytes()); // largest message
    record.extend(65_536_u64.to_le_bytes()); // queue
    record.extend(8_u32.to_le_bytes()); // alignment
    record.extend([0; 20]); // bytes, no descriptors, no parameters, no type
    assert_eq!(record.len(), 56);
    record
}

fn frame(len: u32, kind: u8, ask: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend([kind, ask, 0, 0]);
    frame.extend(payload);
    frame
}

fn fresh_id() -> [u8; 16] {
    let mut id = [0; 16];
    File::open("/dev/urandom").unwrap().read_exact(&mut id).unwrap();
    id
}

fn file_of(door: &Path, id: [u8; 16], end: &str) -> PathBuf {
    door.with_file_name(format!(".pipe-{:032x}.{end}", u128::from_be_bytes(id)))
}

fn mkfifo(path: &Path, mode: u32) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(mode), 0).unwrap();
}

/// A peer that knocks by hand and then does what it likes with its pair.
pub(crate) struct Stranger {
    /// What the link says.
    from: File,
    to: File,
}

impl Stranger {
    /// Makes a pair and knocks. It is open for both directions, so opening it waits for nobody.
    pub(crate) fn knock(door: &Path) -> Self {
        let id = fresh_id();
        let open = |end: &str| {
            let path = file_of(door, id, end);
            mkfifo(&path, 0o600);
            let flags = OFlags::NONBLOCK.bits() as i32;
            let file = OpenOptions::new().read(true).write(end == "up").custom_flags(flags).open(path).unwrap();
            // Says that it is not left over.
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            file
        };
        let (to, from) = (open("up"), open("down"));
        at(door).write_all(&knock(id)).unwrap();
        rustix::fs::fcntl_setfl(&from, OFlags::empty()).unwrap();
        Self { from, to }
    }

    pub(crate) fn into_dialled(self) -> Dialled {
        Dialled { answers: self.from, _held: Some(self.to) }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).unwrap();
    }

    fn answer(&mut self) -> Vec<u8> {
        let deadline = Deadline::after(SOON);
        assert!(!poll::wait(&[(self.from.as_fd(), Interest::READ)], Some(deadline)).unwrap().is_empty());
        let mut answer = vec![0; 56];
        self.from.read_exact(&mut answer).unwrap();
        let rest =
            usize::from(u16::from_le_bytes([answer[38], answer[39]]) + u16::from_le_bytes([answer[52], answer[53]]));
        let mut more = vec![0; rest];
        self.from.read_exact(&mut more).unwrap();
        answer.extend(more);
        answer
    }
}

/// The FIFO at which somebody listens, to leave something there.
fn at(door: &Path) -> File {
    OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(door).unwrap()
}

fn door(world: &World) -> PathBuf {
    world.path().join("case.pipe")
}

/// A link whose other side is a bare pair of pipes.
fn stranger(world: &World) -> (Link, Stranger) {
    let mut listener = world.listen();
    let mut stranger = Stranger::knock(&door(world));
    stranger.say(&hello());
    let link = listener.accept_timeout(SOON).unwrap();
    let welcome = stranger.answer();
    assert_eq!(&welcome[..12], &[b"WHARFLNK", &[1, 0, 2, 5][..]].concat()[..]);
    (link, stranger)
}

/// Anybody who may write at the FIFO can leave anything there, and it hides no knock that comes after it.
pub(crate) fn nonsense_at_the_door(world: &World) {
    let mut listener = world.listen();
    let mut other_version = knock([1; 16]);
    other_version[8] = 2;
    let half = knock([1; 16])[..20].to_vec();
    for junk in [&b"hello\n"[..], &[0; 1], &[0; 4096], &half, &other_version, b"WHARFPI"] {
        let before = listener.refusals();
        at(&door(world)).write_all(junk).unwrap();
        let nobody = listener.try_accept();
        assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
        at(&door(world)).write_all(junk).unwrap();
        let mut stranger = Stranger::knock(&door(world));
        stranger.say(&hello());
        let link = listener.accept_timeout(SOON).unwrap();
        assert!(listener.refusals() >= before + 2, "{junk:?}: {}", listener.refusals());
        assert!(matches!(listener.last_refusal(), Some(ConnectError::Protocol(_))), "{:?}", listener.last_refusal());
        drop((link, stranger));
    }
    assert!(world.names().iter().all(|name| !name.contains(".pipe-")), "{:?}", world.names());
}

pub(crate) fn nonsense_in_the_pair(world: &World) {
    let mut listener = world.listen();
    let mut bad: Vec<Vec<u8>> = vec![b"GET / HTTP/1.1\r\n\r\n".repeat(4), vec![0xff; 64]];
    for (at, byte) in
        [(0, 0), (8, 9), (10, 0), (10, 2), (10, 3), (11, 1), (11, 2), (32, 9), (36, 9), (37, 1), (39, 200)]
    {
        let mut record = hello();
        record[at] = byte;
        bad.push(record);
    }
    let count = bad.len() as u64;
    let connecting = thread::spawn({
        let (options, address, door) = (world.options(), world.address(), door(world));
        move || {
            for record in bad {
                let mut stranger = Stranger::knock(&door);
                stranger.say(&record);
                let refusal = stranger.answer();
                assert!(refusal.starts_with(b"WHARFLNK") && refusal[10] == 3, "{record:?}");
            }
            options.connect(address).unwrap()
        }
    });
    let accepted = listener.accept_timeout(SOON).unwrap();
    assert_eq!(listener.refusals(), count);
    drop((accepted, connecting.join().unwrap(), listener));

    let good = frame(3, 1, 0, b"abc");
    for frames in [
        vec![0; 8],
        frame(3, 9, 0, b"abc"),
        frame(3, 1, 2, b"abc"),
        frame(u32::MAX, 1, 0, b""),
        frame(1_000_001, 2, 0, b""),
        frame(3, 3, 0, b"abc"),
        frame(0, 5, 0, b""),
        frame(8, 6, 0, &[9; 8]),
        [frame(5, 2, 0, b""), frame(6, 3, 0, b"abcdef")].concat(),
    ] {
        let (mut link, mut stranger) = stranger(world);
        stranger.say(&good);
        stranger.say(&frames);
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
        let sender_must_see = frames[4] == 6;
        if sender_must_see {
            let end = link.send_rendezvous(b"x", Some(SOON)).unwrap_err();
            assert!(matches!(end, SendError::Protocol(_)), "{end:?}");
            continue;
        }
        for _ in 0..2 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Protocol(_))), "{frames:?}: {end:?}");
        }
    }
}

/// Numbers that lead to nothing, or to something that is no pair of its owner alone.
pub(crate) fn pairs_of_no_use(world: &World) {
    let mut listener = world.listen();
    let door = door(world);
    let make = |how: &dyn Fn(&Path)| {
        let id = fresh_id();
        for end in ["up", "down"] {
            how(&file_of(&door, id, end));
        }
        at(&door).write_all(&knock(id)).unwrap();
    };
    std::fs::write(world.path().join("precious"), "precious").unwrap();
    let precious = world.path().join("precious");
    make(&|_| {});
    make(&|path| mkfifo(path, 0o600)); // nobody reads what the link would say
    make(&|path| std::fs::write(path, "x").unwrap());
    make(&|path| std::os::unix::fs::symlink(&precious, path).unwrap());
    make(&|path| std::fs::create_dir(path).unwrap());
    let id = fresh_id();
    let held: Vec<File> = ["up", "down"]
        .map(|end| {
            let path = file_of(&door, id, end);
            mkfifo(&path, 0o600);
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
            OpenOptions::new().read(true).write(true).open(path).unwrap()
        })
        .into();
    at(&door).write_all(&knock(id)).unwrap();
    while listener.refusals() < 6 {
        let nobody = listener.accept_timeout(Duration::from_millis(20)).map(drop);
        assert!(matches!(nobody, Err(ConnectError::Timeout { .. })), "{nobody:?}");
    }
    assert_eq!(listener.refusals(), 6, "{:?}", listener.last_refusal());
    let told = listener.last_refusal().unwrap().to_string();
    assert!(told.contains("mode 0600") && told.contains("mode 0666"), "{told}");
    drop(held);
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    std::fs::remove_file(&precious).unwrap();
    for name in world.names() {
        // Nobody removes a directory, whatever it is called.
        if name.starts_with(".pipe-") {
            std::fs::remove_dir(world.path().join(name)).unwrap();
        }
    }
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || options.connect(address).unwrap()
    });
    drop((listener.accept_timeout(SOON).unwrap(), connecting.join().unwrap()));
}

/// A listener that goes before it has heard the knock is noticed at once, not when the time is over.
pub(crate) fn a_listener_that_goes(world: &World) {
    let door = door(world);
    mkfifo(&door, 0o600);
    let mut held = OpenOptions::new().read(true).write(true).open(&door).unwrap();
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || {
            let outcome = options.connect(address).map(drop);
            (outcome, Instant::now())
        }
    });
    let mut knock = [0; 32];
    held.read_exact(&mut knock).unwrap();
    let gone = Instant::now();
    drop(held);
    let (outcome, told) = connecting.join().unwrap();
    assert!(matches!(outcome, Err(ConnectError::PeerGone { heard: 0 })), "{outcome:?}");
    assert!(told.saturating_duration_since(gone) < SOON / 2);
    // What it had made is gone.
    assert_eq!(world.names(), ["case.pipe"]);
    let nobody = world.options().connect(world.address()).map(drop);
    assert!(matches!(nobody, Err(ConnectError::NobodyListening { .. })), "{nobody:?}");
    // The next listener replaces what is left.
    drop(world.listen());
}

/// One who holds the FIFO and never reads costs those who knock their time and no more.
pub(crate) fn a_full_door(world: &World) {
    let door = door(world);
    mkfifo(&door, 0o600);
    let held =
        OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&door).unwrap();
    while (&held).write(&[0; 32]).is_ok() {}
    let options = world.options().handshake_timeout(FOR_A_LOOK);
    let late = options.connect(world.address()).map(drop);
    assert!(matches!(late, Err(ConnectError::Timeout { missing, .. }) if missing.contains("full")), "{late:?}");
    // Nor is a FIFO that somebody reads replaced, although nobody has the lock.
    let taken = world.options().listen(world.address()).map(drop);
    assert!(matches!(taken, Err(ConnectError::NameTaken { .. })), "{taken:?}");
    drop(held);
    std::fs::remove_file(door).unwrap();
    assert!(world.names().is_empty(), "{:?}", world.names());
}

/// `pipe:` with a path of the user's choice.
pub(crate) fn path_addresses(world: &World) {
    let deep = world.path().join("d".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    for path in [world.path().join("some.fifo"), deep.join("s".repeat(100))] {
        let address = format!("pipe:{}", path.display());
        let options = Options::new().handshake_timeout(SOON);
        let mut listener = options.listen(&address).unwrap();
        assert!(matches!(options.listen(&address), Err(ConnectError::NameTaken { .. })));
        let connecting = thread::spawn({
            let (options, address) = (options.clone(), address.clone());
            move || options.connect(address).unwrap()
        });
        let mut accepted = listener.accept_timeout(SOON).unwrap();
        connecting.join().unwrap().send(b"hi").unwrap();
        assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"hi");
        drop(listener);
        assert!(matches!(options.connect(&address), Err(ConnectError::NobodyListening { .. })));
    }
    std::fs::remove_dir(&deep).unwrap();
}

/// Where nobody can ever listen, nobody is told to start a listener, and nothing is opened that is not a FIFO.
pub(crate) fn no_place_for_a_listener(world: &World) {
    let at = |name: &str| format!("pipe:{}/{name}", world.path().display());
    let options = Options::new().handshake_timeout(SOON);
    let names = world.path();
    std::fs::write(names.join("file"), "precious").unwrap();
    std::fs::create_dir(names.join("folder")).unwrap();
    mkfifo(&names.join("fifo"), 0o600);
    std::os::unix::fs::symlink("fifo", names.join("link")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(names.join("socket")).unwrap();
    for (name, found) in [
        ("file", "found a file"),
        ("folder", "found a directory"),
        ("link", "found a symbolic link"),
        ("socket", "found a socket"),
    ] {
        for error in [options.connect(at(name)).unwrap_err(), options.listen(at(name)).unwrap_err()] {
            let text = error.to_string();
            assert!(matches!(error, ConnectError::NotAFifo { .. }), "{error:?}");
            assert!(text.contains("expected a FIFO at") && text.contains(found), "{text}");
        }
    }
    let device = options.connect("pipe:/dev/null").unwrap_err().to_string();
    assert!(device.contains("found a device"), "{device}");
    let missing = options.connect(at("missing/x")).unwrap_err();
    assert!(matches!(missing, ConnectError::NoDirectory { .. }), "{missing:?}");
    assert_eq!(std::fs::read(names.join("file")).unwrap(), b"precious");
    drop(socket);
    for file in ["file", "link", "socket", "fifo"] {
        std::fs::remove_file(names.join(file)).unwrap();
    }
    std::fs::remove_dir(names.join("folder")).unwrap();
}

/// What a killed process left is removed by the next visitor; what a living one holds is not.
pub(crate) fn left_over_pairs(world: &World) {
    let domain = Domain::at(&world.path()).unwrap();
    let living = PrivateFifos::make(&domain).unwrap();
    let dead = || {
        let id = fresh_id();
        for end in ["up", "down"] {
            mkfifo(&file_of(&door(world), id, end), 0o600);
        }
    };
    let hidden = || world.names().iter().filter(|name| name.starts_with(".pipe-")).count();
    dead();
    assert_eq!(hidden(), 4);
    let mut listener = world.listen();
    assert_eq!(hidden(), 2, "whoever listens removes what is left over");
    dead();
    // One of sixteen looks, on average: that none of so many does happens once in 10^14 times.
    for _ in 0..500 {
        let connecting = thread::spawn({
            let (options, address) = (world.options(), world.address());
            move || options.connect(address).unwrap()
        });
        let accepted = listener.accept_timeout(SOON).unwrap();
        drop((accepted, connecting.join().unwrap()));
        if hidden() == 2 {
            break;
        }
    }
    assert_eq!(hidden(), 2, "so does whoever connects, now and then");
    drop(living);
    assert_eq!(hidden(), 0);
}

/// A peer that holds one end of a pipe can make the other hang, so nobody is told that it cannot.
pub(crate) fn only_for_peers_that_cooperate(world: &World) {
    let options = world.options().trust(Trust::Hostile);
    for error in [options.listen(world.address()).unwrap_err(), options.connect(world.address()).unwrap_err()] {
        let text = error.to_string();
        assert!(matches!(error, ConnectError::Options(_)), "{error:?}");
        assert!(text.contains("cooperate") && text.contains("unix:"), "{text}");
    }
}

/// However a stream is cut, the same messages come out of it.
pub(crate) fn cut_frames(world: &World) {
    let (mut link, mut stranger) = stranger(world);
    let mut bytes = Vec::new();
    for number in 0..5 {
        bytes.extend(frame(40, 1, u8::from(number == 2), &pattern(number, 40)));
    }
    bytes.extend(frame(6, 2, 0, b""));
    bytes.extend([frame(2, 3, 0, b"in"), frame(4, 3, 0, b" two")].concat());
    bytes.extend(frame(0, 4, 0, b""));
    let writing = thread::spawn(move || {
        for byte in bytes {
            stranger.say(&[byte]);
        }
        stranger
    });
    for number in 0..5 {
        assert_eq!(&*link.recv_timeout(SOON).unwrap(), &pattern(number, 40)[..]);
    }
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"in two");
    assert!(matches!(link.recv_timeout(SOON), Err(RecvError::Closed)));
    let mut stranger = writing.join().unwrap();
    let mut taken = [0; 16];
    stranger.from.read_exact(&mut taken).unwrap();
    assert_eq!(taken, [8, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
}

/// How many descriptors of a process can read from a pipe and write into it.
fn open_for_both_directions(process: u32) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().map(|entry| entry.unwrap());
    let pipes = descriptors.filter(|entry| {
        std::fs::metadata(entry.path()).is_ok_and(|it| std::os::unix::fs::FileTypeExt::is_fifo(&it.file_type()))
    });
    let both = pipes.filter(|entry| {
        let number = entry.file_name().into_string().unwrap();
        let told = std::fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).unwrap();
        let flags = told.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        // O_RDWR of the two bits that tell.
        i64::from_str_radix(flags.trim(), 8).unwrap() & 3 == 2
    });
    both.count()
}

/// The client in examples/ speaks to a link: whoever has docs/wire.md can.
pub(crate) fn in_python(world: &World) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/pipe_client.py");
    let path = world.path().join("python.fifo").display().to_string();
    for (name, address) in [("case", world.address()), (&path, format!("pipe:{path}"))] {
        let mut listener = world.options().listen(&address).unwrap();
        let mut python = Command::new("python3");
        python.args([program, name, "grüß dich"]).env("WHARF_DIR", world.path());
        let client = match python.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(client) => client,
            Err(error) => return world.skip(&format!("no python3 here ({error})")),
        };
        let mut link = listener.accept_timeout(SOON).unwrap();
        let question = String::from_utf8(link.recv_timeout(SOON).unwrap().to_vec()).unwrap();
        // It has its answer by now, and could not tell the end of what it also reads itself.
        assert_eq!(open_for_both_directions(client.id()), 0);
        link.send_rendezvous(question.to_uppercase().as_bytes(), Some(SOON)).unwrap();
        let end = link.recv_timeout(SOON).map(|it| it.to_vec());
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "GRÜSS DICH");
        assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
    }
}

/// The client in examples/ takes its names away also when nobody opens what is behind them.
pub(crate) fn in_python_with_nobody_to_answer(world: &World) {
    let door = door(world);
    mkfifo(&door, 0o600);
    let full =
        OpenOptions::new().read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&door).unwrap();
    while (&full).write(&[0; 32]).is_ok() {}
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/pipe_client.py");
    let mut python = Command::new("python3");
    python.args([program, "case", "hello"]).env("WHARF_DIR", world.path());
    match python.output() {
        Ok(output) => assert!(!output.status.success() && !output.stderr.is_empty(), "{output:?}"),
        Err(error) => world.skip(&format!("no python3 here ({error})")),
    }
    assert_eq!(world.names(), ["case.pipe"]);
    std::fs::remove_file(&door).unwrap();
}

/// The system gives a user who has many pipes only small ones: the limit is named, and nothing is left.
pub(crate) fn too_many_pipes(world: &World) {
    let directory = world.path().join("guest");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // Where this fails, the guest cannot be started either, which skips the case.
    let _ours = std::os::unix::fs::chown(&directory, Some(GUEST), Some(GUEST));
    let _everybody_may_look = public(world);
    let role = world.command_at("many-pipes", &directory.display().to_string());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 4000 && exec \"$0\" \"$@\""]).arg(role.get_program()).args(role.get_args());
    if let Some(mut guest) = guest(world, command) {
        let told = guest.line();
        if told.is_empty() || told.starts_with("no room for so many") {
            world.skip(&format!("this user may not open enough pipes ({told})"));
        } else {
            assert!(told.contains("fs.pipe-user-pages-soft") && told.contains("sysctl"), "{told}");
            guest.expect("linked");
            guest.wait();
            assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

//! What is larger than a message: it arrives the same over every transport, in little memory, and nobody is told otherwise.

mod scene;
mod terminal;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scene::{Running, Scene, await_that, says, skipped, start};
use terminal::Terminal;
use wharf::{Domain, Options};

/// Every transport between processes that carries a stream.
const TRANSPORTS: [&str; 7] = ["shm", "unix", "pipe", "mq", "tcp", "tls", "ws"];

/// So much is carried, unless the variable says another number of MiB.
const USUAL_MIB: u64 = 64;
const MIB_VARIABLE: &str = "WHARF_TEST_STREAM_MIB";

/// What neither side may need at most, everything included: far less than what is carried.
const MOST_RESIDENT_KIB: u64 = 40 << 10;

/// Two programs with this as their first message would be a stream's; the framing is described in docs/send-recv.md.
fn opening(len_bytes: u64) -> Vec<u8> {
    let mut message = b"\x89wharf stream\x01\r\n".to_vec();
    message.extend_from_slice(&len_bytes.to_le_bytes());
    let check = crc32(&message);
    message.extend_from_slice(&check.to_le_bytes());
    message
}

/// The checksum, written down a second time so that the framing is tested and not only used.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

fn summary(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes()[..], &crc32(bytes).to_le_bytes()].concat()
}

/// Bytes that repeat nowhere near: another order shows.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (self.0 ^ (self.0 >> 29)).to_le_bytes();
            word.copy_from_slice(&value[..word.len()]);
        }
    }
}

fn noise(path: &Path, len: u64) {
    let (mut noise, mut file) = (Noise(7), File::create(path).expect("a file"));
    let mut piece = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        let now = usize::try_from(left.min(1 << 20)).expect("a piece");
        noise.fill(&mut piece[..now]);
        file.write_all(&piece[..now]).expect("room for the test");
        left -= now as u64;
    }
}

/// Whether two files are the same, without having them in memory.
fn same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).expect("a file"), File::open(other).expect("a file"));
    let (mut here, mut there) = (vec![0; 1 << 20], Vec::new());
    loop {
        let read = one.read(&mut here).expect("readable");
        there.clear();
        (&mut other).take(read.max(1) as u64).read_to_end(&mut there).expect("readable");
        if here[..read] != there {
            return false;
        }
        if read == 0 {
            return true;
        }
    }
}

/// Starts a receiver at an address of that transport; returns where the sender is to go, and how.
fn receiver(scene: &Scene, transport: &str, more: &[&str]) -> (Running, Vec<String>) {
    let command = |address: &str| scene.wharf(&[&["recv", address], more].concat());
    match transport {
        "tcp" | "tls" | "ws" => {
            let mut running = start(command(&format!("{transport}:127.0.0.1:0")));
            let told = running.notes_line("listening at ");
            let mut words = told.split_whitespace().map(|word| word.trim_end_matches(','));
            let address = words.by_ref().find(|word| word.starts_with(transport)).expect("an address").to_owned();
            let pin = words.skip_while(|word| *word != "--pin").map(str::to_owned);
            (running, std::iter::once(address).chain(pin).collect())
        }
        _ => {
            let address = format!("{transport}:x");
            (start(command(&address)), vec![address, "--wait".into(), "20s".into()])
        }
    }
}

/// The most memory that it has had so far. A process that has ended has none to be asked about.
fn most_resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Waits for both, and returns the most memory that either was seen to have.
fn watch(mut sender: Running, mut receiver: Running) -> (scene::Finished, scene::Finished, u64) {
    let mut most = 0;
    let mut looks = 0;
    await_that("both sides end", || {
        for side in [&sender, &receiver] {
            most = most.max(most_resident_kib(side.id()).unwrap_or(0));
        }
        looks += 1;
        !sender.runs() && !receiver.runs()
    });
    assert!(looks > 0);
    (sender.finish(), receiver.finish(), most)
}

#[test]
fn a_large_file_arrives_the_same_over_every_transport_in_little_memory() {
    let mib = std::env::var(MIB_VARIABLE).ok().map_or(USUAL_MIB, |text| text.parse().expect("a number of MiB"));
    let files = Scene::new();
    let (source, target) = (files.path().join("source"), files.path().join("target"));
    noise(&source, (mib << 20) + 12_345);
    let source_text = source.to_str().expect("text");
    for transport in TRANSPORTS {
        let scene = Scene::new();
        let (receiver, to) = receiver(&scene, transport, &["--file", target.to_str().expect("text")]);
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let sender = scene.start(&[&["send", "--file", source_text, "--json"], to.as_slice()].concat());
        let began = Instant::now();
        let (sent, received, most) = watch(sender, receiver);
        println!("{transport}: {:.2} s, {} MiB at most", began.elapsed().as_secs_f64(), most >> 10);
        let told = String::from_utf8(sent.well()).expect("text");
        says(&told, &[&format!("\"bytes\":{}", (mib << 20) + 12_345), "\"messages\":1", "\"crc32\":\""]);
        assert!(received.status.success(), "{transport}: {received:?}");
        assert!(same(&source, &target), "{transport}: another file");
        assert!(most > 0 && most < MOST_RESIDENT_KIB, "{transport}: {most} KiB");
        assert_eq!(scene.left_behind(), [""; 0]);
        fs::remove_file(&target).expect("the file");
    }
}

#[test]
fn pipes_on_both_ends_carry_what_is_no_file() {
    let files = Scene::new();
    let (source, target) = (files.path().join("source"), files.path().join("target"));
    noise(&source, (24 << 20) + 1);
    for transport in ["shm", "unix"] {
        let scene = Scene::new();
        let mut cat = Command::new("cat").arg(&source).stdout(Stdio::piped()).spawn().expect("cat exists");
        let mut receiver = scene.wharf(&["recv", &format!("{transport}:x")]);
        let mut receiver = receiver.stdout(File::create(&target).expect("a file")).spawn().expect("it starts");
        let mut sender = scene.wharf(&["send", &format!("{transport}:x"), "--wait-for-peer"]);
        let sender = sender.stdin(cat.stdout.take().expect("a pipe")).output().expect("it starts");
        assert!(sender.status.success() && sender.stderr.is_empty(), "{sender:?}");
        assert!(receiver.wait().expect("it ends").success() && cat.wait().expect("it ends").success());
        assert!(same(&source, &target), "{transport}: other bytes");
    }
}

/// A link to a receiving command, as a library program makes it.
fn link(scene: &Scene, address: &str) -> wharf::Link {
    let options = Options::new().domain(Domain::at(scene.path()).expect("a directory"));
    options.connect_timeout(address, Duration::from_secs(20)).expect("a peer")
}

#[test]
fn the_framing_is_as_documented_and_messages_and_streams_mix() {
    for address in ["shm:x", "unix:x", "mq:x"] {
        let scene = Scene::new();
        let receiver = scene.start(&["recv", address, "--lines"]);
        let mut link = link(&scene, address);
        link.send(b"before").expect("a peer");
        link.send(&opening(11)).expect("a peer");
        assert_eq!(*link.recv().expect("an answer"), *opening(11));
        for message in [&b"hello "[..], b"world", b"", &summary(b"hello world")] {
            link.send(message).expect("a peer");
        }
        assert_eq!(*link.recv().expect("an answer"), *summary(b"hello world"));
        // What is no opening is a message, however much it looks like one.
        let mut nearly = opening(11);
        nearly[27] ^= 1;
        link.send(&nearly).expect("a peer");
        link.send_rendezvous(b"after", None).expect("a peer");
        drop(link);
        let expected = [b"before\nhello world\n", nearly.as_slice(), b"\nafter\n"].concat();
        assert_eq!(receiver.finish().well(), expected);
    }
}

#[test]
fn json_tells_the_pieces_of_a_stream_and_its_end() {
    let scene = Scene::new();
    let receiver = scene.start(&["recv", "shm:x", "--json"]);
    let mut link = link(&scene, "shm:x");
    link.send(b"\xff\n").expect("a peer");
    link.send(&opening(u64::MAX)).expect("a peer");
    link.recv().expect("an answer");
    for message in [&b"hello "[..], b"world", b"", &summary(b"hello world")] {
        link.send(message).expect("a peer");
    }
    link.recv().expect("an answer");
    drop(link);
    let told = String::from_utf8(receiver.finish().well()).expect("text");
    let expected = "{\"message\":0,\"bytes\":2,\"hex\":\"ff0a\"}\n{\"message\":1,\"piece\":0,\"text\":\"hello \"}\n\
        {\"message\":1,\"piece\":1,\"text\":\"world\"}\n\
        {\"message\":1,\"pieces\":2,\"bytes\":11,\"crc32\":\"0d4a1185\"}\n";
    assert_eq!(told, expected);
}

#[test]
fn bytes_that_changed_on_their_way_are_told_on_both_sides_and_leave_no_file() {
    let scene = Scene::new();
    let files = Scene::new();
    let target = files.path().join("target");
    fs::write(&target, "precious").expect("a file");
    let receiver = scene.start(&["recv", "unix:x", "--file", target.to_str().expect("text")]);
    let mut link = link(&scene, "unix:x");
    link.send(&opening(5)).expect("a peer");
    link.recv().expect("an answer");
    for message in [&b"hallo"[..], b"", &summary(b"hello")] {
        link.send(message).expect("a peer");
    }
    assert_eq!(*link.recv().expect("an answer"), *summary(b"hallo"));
    says(&receiver.finish().refused(1), &["not what was sent", "5 bytes", "3610a686"]);
    assert_eq!(fs::read(&target).expect("a file"), b"precious");
    assert_eq!(files.left_behind(), ["target"]);

    // The sender's side of it: a receiver that has got something else.
    let options = Options::new().domain(Domain::at(scene.path()).expect("a directory"));
    let mut listener = options.listen("unix:y").expect("a listener");
    let sender = scene.start(&["send", "unix:y", "--file", large(&files).to_str().expect("text")]);
    let mut link = listener.accept_timeout(Duration::from_secs(20)).expect("a peer");
    let first = link.recv().expect("an opening").to_vec();
    link.send(&first).expect("a peer");
    while !link.recv().expect("a piece").is_empty() {}
    let mut told = link.recv().expect("a summary").to_vec();
    told[8] ^= 1;
    link.send(&told).expect("a peer");
    says(&sender.finish().refused(1), &["not what was sent", &(9 << 20).to_string()]);
}

/// How much a process has written into a file of that directory, which need not have a name yet; `None` before it has begun one.
fn written_in(files: &Scene, process: u32) -> Option<u64> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten().map(|it| it.path());
    let mut lens = open.filter(|it| fs::read_link(it).is_ok_and(|to| to.starts_with(files.path())));
    lens.find_map(|it| fs::metadata(it).ok()).map(|it| it.len())
}

/// More than one message takes.
fn large(files: &Scene) -> PathBuf {
    let path = files.path().join("large");
    noise(&path, 9 << 20);
    path
}

#[test]
fn a_program_that_takes_whole_messages_is_not_fed_pieces() {
    let (scene, files) = (Scene::new(), Scene::new());
    let large = large(&files);
    let text = large.to_str().expect("text");
    let options = Options::new().domain(Domain::at(scene.path()).expect("a directory"));
    let mut listener = options.listen("shm:x").expect("a listener");
    let sender = scene.start(&["send", "shm:x", "--file", text, "--timeout", "200ms"]);
    let mut link = listener.accept_timeout(Duration::from_secs(20)).expect("a peer");
    says(&sender.finish().refused(1), &["--whole", "wharf recv"]);
    assert_eq!(link.recv().expect("the opening").len(), 28);
    assert!(link.recv().is_err(), "and nothing else");

    let sender = scene.start(&["send", "shm:x", "--file", text, "--whole"]);
    let mut link = listener.accept_timeout(Duration::from_secs(20)).expect("a peer");
    assert!(*link.recv().expect("the file") == *fs::read(&large).expect("a file"));
    sender.finish().well();
}

#[test]
fn a_message_that_looks_like_an_opening_arrives_as_it_is() {
    for option in [&[][..], &["--whole"]] {
        let scene = Scene::new();
        let receiver = scene.start(&["recv", "shm:x", "--json"]);
        scene.run_with(&[&["send", "shm:x", "--wait", "20s"], option].concat(), &opening(3)).well();
        let told = String::from_utf8(receiver.finish().well()).expect("text");
        let crc = crc32(&opening(3));
        says(
            &told,
            &["\"piece\":0,\"hex\":\"8977686172662073747265616d", &format!("\"bytes\":28,\"crc32\":\"{crc:08x}\"")],
        );
    }
}

#[test]
fn a_killed_sender_or_receiver_is_told_and_no_half_of_a_file_is_left() {
    for transport in ["shm", "unix", "tcp"] {
        let (scene, files) = (Scene::new(), Scene::new());
        let target = files.path().join("target");
        let (mut receiver, to) = receiver(&scene, transport, &["--file", target.to_str().expect("text")]);
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut sender = scene.start(&[&["send"], to.as_slice()].concat());
        // Its input does not end, so it is in the middle of a stream.
        sender.say(&vec![7; 9 << 20]);
        await_that("a part has arrived", || {
            written_in(&files, receiver.id()).is_some_and(|len| len > 0) || !receiver.runs()
        });
        sender.signal("KILL");
        sender.finish();
        let told = receiver.finish();
        assert_eq!(told.status.code(), Some(4), "{transport}: {told:?}");
        assert_eq!(files.left_behind(), [""; 0], "{transport}");

        let (mut receiver, to) = self::receiver(&scene, transport, &["--verbose"]);
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut sender = scene.start(&[&["send"], to.as_slice()].concat());
        sender.say(&vec![7; 9 << 20]);
        receiver.notes_line("linked with");
        receiver.signal("KILL");
        receiver.finish();
        sender.say(&vec![7; 9 << 20]);
        says(&sender.finish().refused(4), &["not confirmed"]);
    }
}

#[test]
fn a_killed_receiver_leaves_no_half_of_a_file_and_takes_none_from_a_living_one() {
    let files = Scene::new();
    let target = files.path().join("target");
    let text = target.to_str().expect("text");
    // In the place of an old one, and where there is none.
    for old in [None, Some("old")] {
        old.map_or(Ok(()), |old| fs::write(&target, old)).expect("a file");
        let begin = || {
            let scene = Scene::new();
            let receiver = scene.start(&["recv", "shm:x", "--file", text]);
            let mut link = link(&scene, "shm:x");
            link.send_rendezvous(b"new", None).expect("a peer");
            await_that("it has begun the file", || written_in(&files, receiver.id()).is_some());
            (scene, receiver, link)
        };
        let (living_scene, living, living_link) = begin();
        let (_scene, killed, _link) = begin();
        killed.signal("KILL");
        killed.finish();
        let (_scene, later, later_link) = begin();
        drop(later_link);
        later.finish().well();
        assert_eq!(fs::read(&target).expect("a file"), b"new");
        // The one that was there all the time has its file still.
        fs::remove_file(&target).expect("a file");
        drop(living_link);
        living.finish().well();
        assert_eq!(fs::read(&target).expect("a file"), b"new");
        assert_eq!(files.left_behind(), ["target"]);
        assert_eq!(living_scene.left_behind(), [""; 0]);
        fs::remove_file(&target).expect("a file");
    }
}

#[test]
fn control_c_leaves_nothing_behind() {
    for address in ["shm:x", "unix:x", "pipe:x", "mq:x"] {
        for (arguments, signal) in [
            (&["recv", address][..], "INT"),
            (&["recv", address, "--verbose"], "TERM"),
            (&["recv", address, "--wait", "1m"], "HUP"),
            (&["send", address, "hello", "--listen"], "INT"),
        ] {
            let scene = Scene::new();
            let running = scene.start_listener(arguments);
            running.signal(signal);
            let ended = running.finish();
            assert!(ended.status.code().is_none() && ended.stdout.is_empty(), "{ended:?}");
            assert_eq!(scene.left_behind(), [""; 0], "{arguments:?}");
        }
        // While it calls, nobody hears it.
        let scene = Scene::new();
        let mut running = scene.start(&["send", address, "hello", "--wait-for-peer"]);
        running.signal("INT");
        await_that("it ends", || !running.runs());
        assert!(running.finish().status.code().is_none());
        assert_eq!(scene.left_behind(), [""; 0], "{address}");
        // In the middle of receiving into a file.
        let files = Scene::new();
        let target = files.path().join("target");
        let receiver = scene.start(&["recv", address, "--file", target.to_str().expect("text")]);
        let mut link = link(&scene, address);
        link.send_rendezvous(b"hello", None).expect("a peer");
        await_that("it has begun the file", || written_in(&files, receiver.id()).is_some());
        receiver.signal("INT");
        assert!(receiver.finish().status.code().is_none());
        assert_eq!(files.left_behind(), [""; 0], "{address}");
        assert_eq!(scene.left_behind(), [""; 0], "{address}");
    }
}

#[test]
fn the_time_may_run_out_while_waiting_for_the_peer() {
    let scene = Scene::new();
    says(
        &scene.run(&["send", "unix:x", "hello", "--wait-for-peer", "--timeout", "50ms"]).refused(3),
        &["unix:x", "50ms"],
    );
    says(&scene.run(&["recv", "unix:x", "--wait-for-peer", "--timeout", "50ms"]).refused(3), &["unix:x", "50ms"]);
    // Who listens waits for the peer as it waits for a message.
    says(&scene.run(&["recv", "unix:x", "--timeout", "50ms"]).refused(3), &["unix:x", "50ms"]);
    says(&scene.run(&["send", "unix:x", "hello", "--listen", "--timeout", "50ms"]).refused(3), &["unix:x", "50ms"]);
    says(&scene.run(&["recv", "unix:x", "--connect", "--wait", "50ms"]).refused(3), &["unix:x", "50ms"]);
    let line = scene.run(&["send", "unix:x", "hello", "--wait-for-peer", "--wait", "1s"]).refused(2);
    says(&line, &["--wait-for-peer", "--wait"]);
}

#[test]
fn a_full_disk_is_one_clear_line_and_the_sender_is_told() {
    let scene = Scene::new();
    let files = Scene::new();
    let large = large(&files);
    let text = large.to_str().expect("text");
    // A device that is always full, as standard output and as a file.
    for named in [false, true] {
        let arguments = if named { &["recv", "shm:x", "--file", "/dev/full"][..] } else { &["recv", "shm:x"] };
        let mut receiver = scene.wharf(arguments);
        let full = File::options().write(true).open("/dev/full").expect("/dev/full exists");
        let output = if named { Stdio::null() } else { Stdio::from(full) };
        let receiver = receiver.stdout(output).stderr(Stdio::piped()).spawn().expect("it starts");
        let sender = scene.run(&["send", "shm:x", "--file", text, "--wait", "20s"]);
        says(&sender.refused(4), &["not confirmed"]);
        let ended = receiver.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(1));
        let told = String::from_utf8(ended.stderr).expect("text");
        says(&told, &["wharf: cannot write ", "space"]);
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    // A small file system.
    let small = files.path().join("small");
    fs::create_dir(&small).expect("a directory");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&small).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        skipped("a_full_disk_is_one_clear_line_and_the_sender_is_told", "this user may not mount");
        return;
    }
    let target = small.join("target");
    let receiver = scene.start(&["recv", "unix:x", "--file", target.to_str().expect("text")]);
    let sender = scene.run(&["send", "unix:x", "--file", text, "--wait", "20s"]);
    let told = receiver.finish();
    let left = fs::read_dir(&small).expect("a directory").count();
    let unmounted = Command::new("umount").arg(&small).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    says(&told.refused(1), &["cannot write '", "space"]);
    says(&sender.refused(4), &["not confirmed"]);
    assert_eq!(left, 0, "half of a file");
}

#[test]
fn a_person_sees_how_far_it_is_and_a_script_does_not() {
    let (scene, files) = (Scene::new(), Scene::new());
    let large = large(&files);
    let target = files.path().join("target");
    let receiver = scene.start(&["recv", "shm:x", "--file", target.to_str().expect("text")]);
    let mut sender = scene.wharf(&["send", "shm:x", "--file", large.to_str().expect("text"), "--wait", "20s"]);
    sender.env("NO_COLOR", "1");
    let mut sender = Terminal::run(sender, 100, 24);
    sender.wrote("MiB");
    let (status, written) = sender.finish();
    assert!(status.success(), "{written}");
    assert!(!written.contains("\x1b[3") && !written.contains("\x1b[9"), "colour: {written:?}");
    receiver.finish().well();
    assert!(same(&large, &target));
}

#[test]
fn what_speaks_to_a_terminal_is_escaped_on_one() {
    let scene = Scene::new();
    let mut receiver = Terminal::run(scene.wharf(&["recv", "unix:x"]), 80, 24);
    let mut link = link(&scene, "unix:x");
    link.send(b"one\x1b[2Jtwo\x07").expect("a peer");
    // One line end is that of the line.
    link.send(b"three\n").expect("a peer");
    link.send(b"four\n\n").expect("a peer");
    // A stream is no way round.
    link.send(&opening(8)).expect("a peer");
    link.recv().expect("an answer");
    for message in [&b"\x1b]0;evil"[..], b"", &summary(b"\x1b]0;evil")] {
        link.send(message).expect("a peer");
    }
    link.recv().expect("an answer");
    drop(link);
    receiver.shows("one\\u{1b}[2Jtwo\\u{7}");
    receiver.shows("three");
    receiver.shows("four\\n");
    receiver.hides("three\\n");
    receiver.hides("four\\n\\n");
    receiver.shows("\\u{1b}]0;evil");
    let (status, written) = receiver.finish();
    assert!(status.success() && !written.contains('\x1b') && !written.contains('\x07'), "{written:?}");
}

#[test]
fn so_many_so_fast_and_what_came_of_it() {
    let scene = Scene::new();
    let receiver = scene.start(&["recv", "unix:x", "--json"]);
    let told =
        scene.run(&["send", "unix:x", "tick", "--count", "3", "--rate", "100", "--json", "--wait", "20s"]).well();
    let told = String::from_utf8(told).expect("text");
    assert_eq!(told, "{\"address\":\"unix:x\",\"messages\":3,\"bytes\":12,\"rejected\":0,\"crc32\":null}\n");
    let lines = String::from_utf8(receiver.finish().well()).expect("text");
    let expected = |number| format!("{{\"message\":{number},\"bytes\":4,\"text\":\"tick\"}}\n");
    assert_eq!(lines, (0..3).map(expected).collect::<String>());

    let receiver = scene.start(&["recv", "unix:x", "--lines", "--timeout", "20s"]);
    scene.run_with(&["send", "unix:x", "--lines", "--count", "2", "--wait", "20s"], b"a\nb\nc\n").well();
    assert_eq!(receiver.finish().well(), b"a\nb\n");
    let files = Scene::new();
    let large = large(&files);
    let line = scene.run(&["send", "unix:x", "--file", large.to_str().expect("text"), "--count", "2"]).refused(2);
    says(&line, &["--count", "--whole"]);
}

#[test]
fn nobody_is_told_that_a_stream_is_written_when_its_file_cannot_be_named() {
    let (scene, files) = (Scene::new(), Scene::new());
    let target = files.path().join("target");
    let text = target.to_str().expect("text");
    let mut receiver = scene.start_listener(&["recv", "shm:x", "--file", text]);
    let mut sender = scene.start(&["send", "shm:x"]);
    sender.say(&vec![7; 9 << 20]);
    await_that("a part has arrived", || {
        written_in(&files, receiver.id()).is_some_and(|len| len > 0) || !receiver.runs()
    });
    // What is there by now cannot be replaced by a file.
    fs::create_dir(&target).expect("a directory");
    // Its input ends.
    says(&sender.finish().refused(4), &["not confirmed"]);
    says(&receiver.finish().refused(1), &["cannot write", "target"]);
}

#[test]
fn a_file_appears_when_it_is_complete() {
    let (scene, files) = (Scene::new(), Scene::new());
    let target = files.path().join("target");
    let text = target.to_str().expect("text");
    let receiver = scene.start(&["recv", "shm:x", "--file", text, "--lines", "--json"]);
    let mut link = link(&scene, "shm:x");
    link.send(b"one").expect("a peer");
    link.send_rendezvous(b"two", None).expect("a peer");
    assert!(!target.exists(), "it has not ended yet");
    drop(link);
    let told = String::from_utf8(receiver.finish().well()).expect("text");
    assert_eq!(told, "{\"message\":0,\"bytes\":3}\n{\"message\":1,\"bytes\":3}\n");
    assert_eq!(fs::read(&target).expect("a file"), b"one\ntwo\n");
    assert_eq!(files.left_behind(), ["target"]);
    says(&scene.run(&["recv", "shm:x", "--file", "/no/such/place"]).refused(1), &["cannot write '/no/such/place'"]);
    says(&scene.run(&["recv", "shm:x", "--file", "/dev"]).refused(2), &["--file", "directory"]);
    says(&scene.run(&["send", "shm:x", "--file", "/no/such/file"]).refused(1), &["cannot open '/no/such/file'"]);
}

//! `wharf send` and `wharf recv`: what goes in comes out, and the exit code tells how it went.

mod scene;

use std::process::{Command, Stdio};

use scene::{Scene, await_that, says, start};
use wharf_sys::socket;

const ADDRESSES: [&str; 3] = ["shm:post", "unix:post", "pipe:post"];

/// Starts a receiver and returns when others can connect.
fn receiver(scene: &Scene, address: &str, more: &[&str]) -> scene::Running {
    scene.start_listener(&[&["recv", address], more].concat())
}

#[test]
fn a_message_arrives_as_it_was() {
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for address in ADDRESSES {
        for message in [&b"hello"[..], b"", b"\n\0\xff\n", &binary] {
            let scene = Scene::new();
            let receiver = receiver(&scene, address, &[]);
            scene.run_with(&["send", address, "--wait", "10s"], message).well();
            assert_eq!(receiver.finish().well(), message, "{address}");
            assert_eq!(scene.left_behind(), [""; 0]);
        }
    }
}

#[test]
fn the_message_may_be_an_argument() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let receiver = receiver(&scene, address, &["--lines"]);
        scene.run(&["send", address, "two words", "--wait", "10s"]).well();
        assert_eq!(receiver.finish().well(), b"two words\n");
    }
}

#[test]
fn an_empty_message_is_a_message() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let receiver = receiver(&scene, address, &["--lines", "--count", "1"]);
        scene.run(&["send", address, "", "--wait", "10s"]).well();
        assert_eq!(receiver.finish().well(), b"\n");
    }
}

#[test]
fn lines_are_messages_of_their_own_and_in_order() {
    let lines: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    for address in ADDRESSES {
        let scene = Scene::new();
        let receiver = receiver(&scene, address, &["--lines"]);
        scene.run_with(&["send", address, "--lines", "--wait", "10s"], lines.as_bytes()).well();
        let received = receiver.finish().well();
        assert!(received == lines.as_bytes(), "{address}: {} bytes of {}", received.len(), lines.len());
    }
}

#[test]
fn a_last_line_needs_no_line_end() {
    let scene = Scene::new();
    let receiver = receiver(&scene, "shm:post", &["--lines"]);
    scene.run_with(&["send", "shm:post", "--lines", "--wait", "10s"], b"a\n\nb").well();
    assert_eq!(receiver.finish().well(), b"a\n\nb\n");
}

#[test]
fn either_side_may_listen() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let sender = scene.start(&["send", address, "early bird", "--listen", "--wait", "20s"]);
        let received = scene.run(&["recv", address, "--connect", "--wait", "20s"]).well();
        assert_eq!(received, b"early bird");
        sender.finish().well();
    }
}

#[test]
fn the_count_ends_the_receiver_and_too_few_are_told() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let enough = receiver(&scene, address, &["--lines", "--count", "2"]);
        let sender = scene.run_with(&["send", address, "--lines", "--wait", "10s"], b"a\nb\n");
        assert_eq!(enough.finish().well(), b"a\nb\n");
        sender.well();

        let too_few = receiver(&scene, address, &["--lines", "--count", "3"]);
        scene.run_with(&["send", address, "--lines", "--wait", "10s"], b"a\nb\n").well();
        let too_few = too_few.finish();
        assert_eq!(too_few.status.code(), Some(4), "{too_few:?}");
        assert_eq!(too_few.stdout, b"a\nb\n");
        says(&too_few.stderr, &["2 of 3"]);
    }
}

#[test]
fn no_messages_at_all_need_no_sender() {
    let scene = Scene::new();
    for address in ADDRESSES {
        assert_eq!(scene.run(&["recv", address, "--count", "0"]).well(), b"");
    }
    scene.run(&["recv", "pigeon:x", "--count", "0"]).refused(2);
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn a_killed_sender_is_told_with_its_messages_delivered() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let receiver = receiver(&scene, address, &["--lines"]);
        let mut sender = scene.start(&["send", address, "--lines", "--wait", "10s"]);
        sender.say(b"last words\n");
        // It has taken the line when it waits for the next one.
        await_that("the sender has read its line", || is_asleep_in_read(sender.id()));
        sender.signal("KILL");
        sender.finish();
        let told = receiver.finish();
        assert_eq!(told.status.code(), Some(4), "{told:?}");
        assert_eq!(told.stdout, b"last words\n");
        says(&told.stderr, &["wharf: ", "died"]);
    }
}

#[test]
fn a_full_link_rejects_and_the_rest_arrives() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let mut receiver = receiver(&scene, address, &["--lines"]);
        let mut sender = scene.start(&["send", address, "--lines", "--policy", "reject", "--json"]);
        sender.say(b"first\n");
        receiver.says_line("first");
        receiver.signal("STOP");
        let line = format!("{}\n", "m".repeat(999));
        sender.say(line.repeat(5_000).as_bytes());
        let done = sender.finish();
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        says(&done.stderr, &["of 5001 messages were rejected", "--policy block"]);
        let sent: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
        let (messages, rejected) = (sent["messages"].as_u64().expect("a number"), sent["rejected"].as_u64());
        assert_eq!(rejected, Some(5_001 - messages));
        receiver.signal("CONT");
        let arrived = receiver.finish().well();
        let expected = format!("first\n{}", line.repeat(usize::try_from(messages - 1).expect("few")));
        assert!(arrived == expected.as_bytes(), "{messages} sent over {address}, {} bytes arrived", arrived.len());
    }
}

#[test]
fn a_rate_takes_its_time() {
    let scene = Scene::new();
    let server = scene.start_listener(&["serve", "unix:echo", "--", "cat"]);
    let puller = scene.start(&["pull", "jobs", "--lines", "--until-gone"]);
    for line in [&["call", "unix:echo", "t"][..], &["push", "jobs", "t"]] {
        let began = std::time::Instant::now();
        scene.run(&[line, &["--count", "6", "--rate", "50"]].concat()).well();
        assert!(began.elapsed() >= std::time::Duration::from_millis(90), "five periods of 20 ms");
    }
    assert_eq!(puller.finish().well(), "t\n".repeat(6).as_bytes());
    server.signal("INT");
    server.finish();
}

/// Whether the process waits in `read` on its standard input, or on a copy of it.
fn is_asleep_in_read(pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/syscall")) else { return false };
    // The numbers are those of the system call and its first argument: read(descriptor, …).
    let mut words = text.split_whitespace();
    let (Some("0"), Some(descriptor)) = (words.next(), words.next()) else { return false };
    let Ok(descriptor) = u32::from_str_radix(descriptor.trim_start_matches("0x"), 16) else { return false };
    let what = |descriptor: u32| std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok();
    what(descriptor).is_some() && what(descriptor) == what(0)
}

/// Says something that is no introduction where a command listens, and goes.
fn babble(scene: &Scene, address: &str) {
    let (transport, name) = address.split_once(':').expect("an address");
    let path = scene.path().join(format!("{name}.{transport}"));
    if transport == "pipe" {
        std::fs::write(&path, "is anybody there?").expect("a FIFO that is read");
        return;
    }
    let socket = socket::connect(&path, socket::Kind::SeqPacket, None).expect("a socket that is listened at");
    socket::send(&socket, b"is anybody there?").expect("a queue with room");
}

#[test]
fn whom_it_refuses_is_said_to_who_wants_to_know() {
    for address in ADDRESSES.into_iter().chain(["mq:post"]) {
        let scene = Scene::new();
        let mut talkative = scene.start_listener(&["recv", address, "--verbose"]);
        talkative.notes_line(&format!("listening at {address}"));
        babble(&scene, address);
        let refused = talkative.notes_line("refused ");
        says(&refused, &[&format!("of uid {}", socket::my_uid()), "protocol"]);
        // Said at once, and the next one is welcome.
        assert!(talkative.runs());
        let sent = scene.run(&["send", address, "hello", "--wait", "10s", "-v"]);
        assert!(sent.status.success(), "{sent:?}");
        says(&sent.stderr, &["wharf: linked with "]);
        let ended = talkative.finish();
        assert!(ended.status.success() && ended.stdout == b"hello", "{ended:?}");
        says(&ended.stderr, &["linked with"]);

        // Who did not ask is not told, unless nobody else comes.
        let silent = scene.start_listener(&["recv", address, "--wait", "10s"]);
        babble(&scene, address);
        scene.run(&["send", address, "hello", "--wait", "10s"]).well();
        assert_eq!(silent.finish().well(), b"hello");
    }
}

#[test]
fn silence_is_a_timeout() {
    for address in ADDRESSES {
        let scene = Scene::new();
        let receiver = receiver(&scene, address, &["--timeout", "50ms"]);
        let sender = scene.start(&["send", address, "--lines", "--wait", "10s"]);
        says(&receiver.finish().refused(3), &["timeout"]);
        drop(sender.finish());
    }
}

/// One limit for all: who is there and says nothing gets no more of it than who does not answer.
#[test]
fn a_mute_listener_is_given_as_long_as_any_other() {
    let scene = Scene::new();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp:{}", mute.local_addr().expect("its address"));
    let told = scene.run(&["send", &address, "hi", "--timeout", "300ms"]).refused(3);
    says(&told, &["within 300"]);
    drop(mute);
}

#[test]
fn nobody_reading_the_output_is_a_clean_end() {
    let scene = Scene::new();
    let mut receiver = scene.wharf(&["recv", "shm:post", "--lines"]);
    receiver.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut receiver = receiver.spawn().expect("a receiver");
    drop(receiver.stdout.take());
    await_that("the receiver listens", || !scene.left_behind().is_empty());
    let lines = "a line that is longer than nothing\n".repeat(5_000);
    let sender = scene.run_with(&["send", "shm:post", "--lines", "--wait", "10s"], lines.as_bytes());
    let ended = receiver.wait_with_output().expect("a receiver that ends");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
    assert!(!sender.stderr.contains("panicked"), "{sender:?}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let scene = Scene::new();
    for arguments in [&["--help"][..], &["--version"], &["send", "--help"], &["compare", "--help"]] {
        let text = String::from_utf8(scene.run(arguments).well()).expect("text");
        assert!(text.to_lowercase().contains("wharf"), "{text}");
    }
    let mut unread = Command::new(env!("CARGO_BIN_EXE_wharf"));
    unread.arg("--help");
    let ended = start(unread).finish();
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    let scene = Scene::new();
    for arguments in [&["--help"][..], &["--version"], &["send", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full exists");
        let mut command = scene.wharf(arguments);
        let ended = command.stdout(full).output().expect("the command starts");
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let told = String::from_utf8(ended.stderr).expect("text");
        says(&told, &["wharf: cannot write the output", "space"]);
    }
}

#[test]
fn a_command_that_its_test_gives_up_ends_with_it() {
    let scene = Scene::new();
    let running = scene.start_listener(&["recv", "unix:given-up"]);
    let process = std::path::PathBuf::from(format!("/proc/{}", running.id()));
    assert!(process.exists());
    drop(running);
    assert!(!process.exists());
}

/// The other side is this program, which sees what priority a message came with, and takes them when all are there.
#[test]
fn a_priority_goes_with_each_message_where_there_are_some() {
    let scene = Scene::new();
    let (scene, domain) = (&scene, wharf_sys::directory::Domain::at(scene.path()).expect("a directory of names"));
    let options = wharf::Options::new().domain(domain);
    let soon = std::time::Duration::from_secs(60);
    let received = |words: &[&str], input: &[u8]| {
        let mut listener = options.listen("mq:urgent").expect("a listener");
        std::thread::scope(|scope| {
            let words = [&["send", "mq:urgent", "--wait", "10s"], words].concat();
            let sending = scope.spawn(move || scene.run_with(&words, input).well());
            let (_back, mut receiver) = listener.accept_timeout(soon).expect("a sender").split();
            let mut seen = Vec::new();
            while let Ok(message) = receiver.recv_timeout(soon).map(|it| it.to_vec()) {
                seen.push((receiver.priority(), String::from_utf8(message).expect("text")));
            }
            sending.join().expect("it is done");
            seen
        })
    };
    let with = |priority, text: &str| (priority, text.to_owned());
    assert_eq!(received(&["hello", "--priority", "7"], b""), [with(7, "hello")]);
    assert_eq!(received(&["hello", "--priority", "32766", "--timeout", "20s"], b""), [with(32_766, "hello")]);
    assert_eq!(received(&["hello"], b""), [with(0, "hello")]);
    for more in [&["--policy", "reject"][..], &["--timeout", "20s"], &[]] {
        let words = [&["--lines", "--priority", "3"], more].concat();
        assert_eq!(received(&words, b"one\ntwo\n"), [with(3, "one"), with(3, "two")], "{more:?}");
    }

    for address in ["shm:urgent", "unix:urgent", "pipe:urgent", "tcp:127.0.0.1:1", "tls:127.0.0.1:1", "ws:127.0.0.1:1"]
    {
        let scheme = address.split_once(':').expect("an address").0;
        let told = scene.run(&["send", address, "hello", "--priority", "0"]).refused(2);
        says(&told, &["--priority is for mq: addresses", &format!("this one is {scheme}:")]);
    }
    says(&scene.run(&["send", "mq:urgent", "x", "--priority", "32767"]).stderr, &["32767", "32766"]);
    let large = vec![b'x'; (8 << 20) + 1];
    let told = scene.run_with(&["send", "mq:urgent", "--priority", "1"], &large).refused(2);
    says(&told, &["--priority", "a stream, which has none"]);
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn what_is_received_as_json_tells_its_priority_where_there_are_some() {
    let scene = Scene::new();
    let domain = wharf_sys::directory::Domain::at(scene.path()).expect("a directory of names");
    let options = wharf::Options::new().domain(domain);
    let told = |address: &str, words: &[&str], messages: &[(u16, &[u8])]| {
        let mut listener = options.listen(address).expect("a listener");
        let receiving = scene.start(&[&["recv", address, "--connect", "--wait", "10s", "--json"], words].concat());
        let (mut sender, _back) =
            listener.accept_timeout(std::time::Duration::from_secs(60)).expect("a receiver").split();
        for (priority, message) in messages {
            sender.send_rendezvous_with_priority(message, *priority, None).expect("it is taken");
        }
        drop(sender);
        String::from_utf8(receiving.finish().well()).expect("text")
    };
    let urgent: &[(u16, &[u8])] = &[(7, b"hello"), (0, b"later"), (32_766, &[0xff])];
    assert_eq!(
        told("mq:urgent", &[], urgent),
        "{\"message\":0,\"bytes\":5,\"priority\":7,\"text\":\"hello\"}\n\
         {\"message\":1,\"bytes\":5,\"priority\":0,\"text\":\"later\"}\n\
         {\"message\":2,\"bytes\":1,\"priority\":32766,\"hex\":\"ff\"}\n"
    );
    let file = scene.path().join("file");
    let words = ["--file", file.to_str().expect("text")];
    assert_eq!(told("mq:urgent", &words, &urgent[..1]), "{\"message\":0,\"bytes\":5,\"priority\":7}\n");
    for address in ["unix:urgent", "shm:urgent"] {
        let text = told(address, &[], &[(0, b"hello")]);
        assert_eq!(text, "{\"message\":0,\"bytes\":5,\"text\":\"hello\"}\n", "{address}");
    }

    // What two commands say to each other.
    let receiving = scene.start_listener(&["recv", "mq:urgent", "--json"]);
    scene.run(&["send", "mq:urgent", "hello", "--priority", "3"]).well();
    let text = String::from_utf8(receiving.finish().well()).expect("text");
    assert_eq!(text, "{\"message\":0,\"bytes\":5,\"priority\":3,\"text\":\"hello\"}\n");
}

//! `wharf send` and `wharf recv` over `tcp:`, `tls:` and `ws:`: who gets in, who does not, and what each side is told.

mod scene;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use scene::{Finished, Running, Scene, await_that, says, start};

/// A port of this machine that the system chooses.
const TCP: &str = "tcp:127.0.0.1:0";
const TLS: &str = "tls:127.0.0.1:0";
const WS: &str = "ws:127.0.0.1:0";

/// A listening command and where others reach it, as it says itself.
struct Door {
    listener: Running,
    address: String,
    /// What else it says of itself.
    note: String,
}

fn listening(command: Command) -> Door {
    let mut listener = start(command);
    let note = listener.notes_line("listening at");
    let address = note.split_once("listening at ").expect("as above").1;
    let address = address.split(',').next().expect("a first part").to_owned();
    assert!(!address.ends_with(":0"), "the real port: {note}");
    Door { listener, address, note }
}

fn receiver(scene: &Scene, address: &str, more: &[&str]) -> Door {
    listening(scene.wharf(&[&["recv", address], more].concat()))
}

/// It did what it was asked; what it received, and what it noted on standard error.
#[track_caller]
fn went_well(ended: Finished) -> (Vec<u8>, String) {
    assert!(ended.status.success(), "{ended:?}");
    let notes = ended.stderr.lines().all(|line| line.starts_with("wharf: "));
    assert!(notes && !ended.stderr.contains("panicked"), "{ended:?}");
    (ended.stdout, ended.stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// A file in the directory of a scene.
fn file(scene: &Scene, name: &str, bytes: &[u8]) -> PathBuf {
    let path = scene.path().join(name);
    fs::write(&path, bytes).expect("a private file");
    path
}

/// Certificates and keys, as files.
struct Papers {
    ca: String,
    certificate: String,
    key: String,
    pin: String,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// Papers for somebody who goes by `name`, which differs from scene to scene only by its files.
fn papers(scene: &Scene, authority: &Authority, name: &str) -> Papers {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate.der());
    let keep = |kind: &str, pem: String| text(&file(scene, &format!("{name}.{kind}"), pem.as_bytes())).to_owned();
    Papers {
        ca: keep("ca", authority.pem()),
        certificate: keep("pem", certificate.pem()),
        key: keep("key", key.serialize_pem()),
        pin: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[test]
fn over_tcp_a_message_goes_either_way() {
    let binary: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for message in [&b"hello"[..], b"", &binary] {
        let scene = Scene::new();
        let door = receiver(&scene, TCP, &[]);
        scene.run_with(&["send", &door.address, "--wait", "10s"], message).well();
        assert_eq!(went_well(door.listener.finish()).0, message);
    }
    let scene = Scene::new();
    let door = listening(scene.wharf(&["send", TCP, "early bird", "--listen"]));
    assert_eq!(scene.run(&["recv", &door.address, "--connect", "--wait", "10s"]).well(), b"early bird");
    went_well(door.listener.finish());
    let lines: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
    let door = receiver(&scene, TCP, &["--lines"]);
    scene.run_with(&["send", &door.address, "--lines", "--wait", "10s"], lines.as_bytes()).well();
    assert_eq!(went_well(door.listener.finish()).0, lines.as_bytes());
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn a_port_that_was_named_needs_no_announcement() {
    let scene = Scene::new();
    // The port of a listener that is gone is free; nobody is promised it, so a few are tried.
    for _ in 0..10 {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
        let address = format!("tcp:{free}");
        let receiver = scene.start(&["recv", &address]);
        let sent = scene.run(&["send", &address, "hello", "--wait", "10s"]);
        if sent.status.success() {
            assert_eq!(receiver.finish().well(), b"hello");
            return;
        }
        receiver.finish();
    }
    panic!("ten ports were taken by others at once");
}

#[test]
fn a_token_keeps_out_who_does_not_know_it() {
    let scene = Scene::new();
    let right = file(&scene, "right", b"open sesame\n");
    let wrong = file(&scene, "wrong", b"open barley");
    for address in [TCP, TLS, WS] {
        let mut door = receiver(&scene, address, &["--token-file", text(&right), "--verbose", "--lines"]);
        let pin = door.note.split_once("--pin ").map(|(_, pin)| pin.to_owned());
        let trust: Vec<&str> = pin.as_deref().map_or_else(Vec::new, |pin| vec!["--pin", pin]);
        let send = [&["send", &door.address, "hello"], &trust[..]].concat();
        says(&scene.run(&send).refused(1), &["refused", "no token", "--token-file"]);
        let told = scene.run(&[&send[..], &["--token-file", text(&wrong)]].concat()).refused(1);
        says(&told, &["refused", "another token", "--token-file"]);
        assert!(!told.contains("sesame") && !told.contains("barley"), "{told}");
        // The listening side says so while it goes on waiting.
        says(&door.listener.notes_line("another token"), &["wharf: refused 127.0.0.1:", "--token-file"]);
        door.listener.notes_line("no token");
        assert!(door.listener.runs());
        let mut last = scene.wharf(&send);
        last.env("WHARF_TOKEN", "open sesame");
        start(last).finish().well();
        let (received, notes) = went_well(door.listener.finish());
        assert_eq!(received, b"hello\n");
        says(&notes, &["linked with 127.0.0.1:"]);
        assert!(!notes.contains("sesame") && !notes.contains("barley"), "{notes}");
    }
}

#[test]
fn whom_nobody_fits_is_told_of_the_last() {
    let scene = Scene::new();
    let token = file(&scene, "token", b"word");
    let door = receiver(&scene, TCP, &["--token-file", text(&token), "--wait", "3s"]);
    scene.run(&["send", &door.address, "hello"]).refused(1);
    let ended = door.listener.finish();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let line = ended.stderr.lines().last().expect("a complaint");
    says(line, &["within 3s", "1 came that did not", "127.0.0.1:", "no token", "--token-file"]);
}

#[test]
fn tokens_that_cannot_be_one() {
    let scene = Scene::new();
    let empty = file(&scene, "empty", b"\n");
    let long = file(&scene, "long", &[b'x'; 257]);
    let expected = "expected a word of 1 to 256 bytes, the same on both sides";
    for (path, parts) in [
        (text(&empty), ["is empty", expected]),
        (text(&long), ["has 257 bytes", expected]),
        ("/no/such/file", ["/no/such/file", "name a file that is there"]),
    ] {
        for verb in [&["recv", TCP][..], &["send", "tcp:127.0.0.1:1", "hi"]] {
            let told = scene.run(&[verb, &["--token-file", path]].concat()).refused(2);
            says(&told, &["--token-file", path]);
            says(&told, &parts);
        }
    }
    let mut command = scene.wharf(&["send", "tcp:127.0.0.1:1", "hi"]);
    command.env("WHARF_TOKEN", "");
    says(&start(command).finish().refused(2), &["WHARF_TOKEN is empty", expected]);
    says(&scene.run(&["recv", TCP, "--token-file", "/dev/zero"]).refused(2), &["/dev/zero", "more than"]);
}

#[test]
fn a_certificate_of_this_run_is_believed_by_its_pin() {
    let scene = Scene::new();
    let mut door = receiver(&scene, TLS, &["--verbose"]);
    let pin = door.note.split_once("known by --pin ").expect("a fingerprint").1.to_owned();
    let wrong = format!("{}{}", if pin.starts_with('0') { "1" } else { "0" }, &pin[1..]);
    says(&scene.run(&["send", &door.address, "hello", "--pin", &wrong]).refused(1), &["not the one that is pinned"]);
    door.listener.notes_line("refused 127.0.0.1:");
    scene.run(&["send", &door.address, "hello", "--pin", &wrong, "--pin", &pin]).well();
    assert_eq!(went_well(door.listener.finish()).0, b"hello");
}

#[test]
fn an_authority_and_a_name_are_believed() {
    let scene = Scene::new();
    let (known, unknown) = (authority("known"), authority("unknown"));
    let (server, stranger) = (papers(&scene, &known, "server.example"), papers(&scene, &unknown, "stranger.example"));
    let mut door = receiver(&scene, TLS, &["--cert", &server.certificate, "--key", &server.key, "-v"]);
    assert!(!door.note.contains("--pin"), "{}", door.note);
    let send = |more: &[&str]| scene.run(&[&["send", &door.address, "hello"], more].concat());
    says(&send(&["--ca", &server.ca]).refused(1), &["server.example", "expected 127.0.0.1", "--server-name"]);
    let told = send(&["--ca", &stranger.ca, "--server-name", "server.example"]).refused(1);
    says(&told, &["authority that this side does not know"]);
    says(
        &send(&["--ca", &server.ca, "--pin", &stranger.pin, "--server-name", "server.example"]).refused(1),
        &["pinned"],
    );
    says(&send(&[]).refused(2), &["--ca", "--pin"]);
    let plain = door.address.replace("tls:", "tcp:");
    scene.run(&["send", &plain, "hello", "--wait", "10s"]).refused(1);
    door.listener.notes_line("does not speak TLS");
    send(&["--ca", &server.ca, "--pin", &server.pin, "--server-name", "server.example"]).well();
    assert_eq!(went_well(door.listener.finish()).0, b"hello");
}

#[test]
fn both_sides_may_ask_for_a_certificate() {
    let scene = Scene::new();
    let (known, unknown) = (authority("known"), authority("unknown"));
    let (server, client) = (papers(&scene, &known, "server.example"), papers(&scene, &known, "client.example"));
    let stranger = papers(&scene, &unknown, "stranger.example");
    let serve = ["--cert", &server.certificate, "--key", &server.key];
    for (believed, stranger_is) in [(["--ca", &client.ca], "authority"), (["--pin", &client.pin], "pinned")] {
        let mut door = receiver(&scene, TLS, &[&serve[..], &believed, &["--verbose"]].concat());
        let send = ["send", &door.address, "hello", "--ca", &server.ca, "--server-name", "server.example"];
        says(&scene.run(&send).refused(1), &["asks for a certificate", "--cert and --key"]);
        let with = |who: &Papers| scene.run(&[&send[..], &["--cert", &who.certificate, "--key", &who.key]].concat());
        with(&stranger).refused(1);
        says(&door.listener.notes_line("refused 127.0.0.1:"), &["showed no certificate", "--cert and --key"]);
        door.listener.notes_line(stranger_is);
        with(&client).well();
        assert_eq!(went_well(door.listener.finish()).0, b"hello");
    }
}

#[test]
fn papers_that_are_none() {
    let scene = Scene::new();
    let mine = papers(&scene, &authority("known"), "mine.example");
    let other = papers(&scene, &authority("known"), "other.example");
    let garbage = file(&scene, "garbage", b"not a certificate\xff");
    let hollow = file(&scene, "hollow", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let (garbage, hollow) = (text(&garbage), text(&hollow));
    let recv = |more: &[&str]| scene.run(&[&["recv", TLS, "--wait", "1ms"], more].concat());
    says(&recv(&["--cert", garbage, "--key", &mine.key]).refused(2), &["--cert", garbage, "no PEM text"]);
    says(&recv(&["--cert", &mine.certificate, "--key", garbage]).refused(2), &["--key", garbage, "no PEM text"]);
    let given = "give the file that the authority gave";
    says(&recv(&["--cert", hollow, "--key", &mine.key]).refused(2), &["--cert", hollow, "no PEM text", given]);
    says(&recv(&["--cert", &mine.key, "--key", &mine.key]).refused(2), &["--cert", &mine.key, "found none", given]);
    says(
        &recv(&["--cert", &mine.certificate, "--key", &mine.certificate]).refused(2),
        &["--key", &mine.certificate, "private key is no PEM text", "give the one"],
    );
    let sealed =
        file(&scene, "sealed", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    says(
        &recv(&["--cert", &mine.certificate, "--key", text(&sealed)]).refused(2),
        &["--key", text(&sealed), "not encrypted", "openssl pkey"],
    );
    says(
        &recv(&["--cert", &mine.certificate, "--key", &other.key]).refused(2),
        &[&mine.certificate, &other.key, "does not belong", "give the two that do"],
    );
    says(
        &recv(&["--cert", "/no/such", "--key", &mine.key]).refused(2),
        &["--cert", "/no/such", "No such file", "name a file"],
    );
    says(&recv(&["--cert", &mine.certificate]).refused(2), &["--key"]);
    says(&recv(&["--ca", garbage]).refused(2), &["--ca", garbage, "no PEM text"]);
    let send = |more: &[&str]| scene.run(&[&["send", "tls:127.0.0.1:1", "hi"], more].concat());
    says(
        &send(&["--pin", "abc"]).refused(2),
        &["--pin", "'abc'", "64 hexadecimal letters", "found 3;", "openssl x509"],
    );
    let odd = format!("{}x", "0".repeat(63));
    says(&send(&["--pin", &odd]).refused(2), &["64 hexadecimal letters", "found another one at place 64;"]);
    says(&send(&["--ca", &mine.ca, "--ca", hollow]).refused(2), &["--ca", hollow, "no PEM text", given]);
    // What is no certificate although it is written as one: of several files, the one that it is in is named.
    let damaged = file(&scene, "damaged", b"-----BEGIN CERTIFICATE-----\nAAECAwQFBgc=\n-----END CERTIFICATE-----\n");
    let damaged = text(&damaged);
    says(&send(&["--ca", &mine.ca, "--ca", damaged]).refused(2), &["--ca", damaged, "certificate 1", given]);
    says(&recv(&["--ca", damaged]).refused(2), &["--ca", damaged, "certificate 1", given]);
    says(&recv(&["--cert", damaged, "--key", &mine.key]).refused(2), &["--cert", damaged, "is damaged", given]);
    says(&send(&["--pin", &mine.pin, "--server-name", "no name"]).refused(2), &["'no name' is no name of a server"]);
}

#[test]
fn options_where_they_mean_nothing() {
    let scene = Scene::new();
    let word = file(&scene, "word", b"word");
    let word = text(&word);
    for (line, parts) in [
        (&["recv", "unix:a", "--token-file", word][..], ["--token-file", "unix:"]),
        (&["send", "shm:a", "x", "--insecure"], ["--insecure", "shm:"]),
        (&["send", "tls:localhost:1", "x", "--insecure"], ["--insecure", "tls:"]),
        (&["send", "tcp:localhost:1", "x", "--pin", &"0".repeat(64)], ["--pin", "tcp:"]),
        (&["recv", "tcp:localhost:0", "--ca", word], ["--ca", "tcp:"]),
        (&["recv", "tcp:localhost:0", "--cert", word, "--key", word], ["--cert", "tcp:"]),
        (&["send", "pipe:a", "x", "--server-name", "y"], ["--server-name", "pipe:"]),
        (&["recv", TCP, "--origin", "null"], ["--origin", "tcp:"]),
        (&["send", "ws:localhost:1", "x", "--origin", "null"], ["--origin", "connects"]),
        (&["recv", WS, "--origin", "example.com"], ["'example.com'", "no origin"]),
        (&["recv", TLS, "--server-name", "y"], ["--server-name", "listens"]),
    ] {
        says(&scene.run(line).refused(2), &parts);
    }
}

#[test]
fn beyond_this_machine_only_when_it_is_asked_for() {
    let scene = Scene::new();
    for line in [
        &["recv", "tcp:0.0.0.0:0"][..],
        &["send", "tcp:192.0.2.1:80", "hi"],
        &["recv", "ws:0.0.0.0:0/x"],
        &["send", "ws:192.0.2.1:80", "hi"],
    ] {
        says(&scene.run(line).refused(1), &["beyond this machine", "--insecure", "tls:"]);
    }
    // Asked for, it listens everywhere, and is reached here.
    for everywhere in ["tcp:0.0.0.0:0", "ws:0.0.0.0:0/some/path"] {
        let door = receiver(&scene, everywhere, &["--insecure"]);
        let here = door.address.replace("0.0.0.0", "127.0.0.1");
        scene.run(&["send", &here, "hello", "--wait", "10s"]).well();
        assert_eq!(went_well(door.listener.finish()).0, b"hello");
    }
}

#[test]
fn hosts_and_ports_that_are_no_use() {
    let scene = Scene::new();
    says(&scene.run(&["send", "tcp:no.such.host.invalid:80", "hi"]).refused(1), &["no host", "no.such.host.invalid"]);
    says(&scene.run(&["recv", "tcp:no.such.host.invalid:80"]).refused(1), &["no host", "no.such.host.invalid"]);
    says(&scene.run(&["send", "tcp:127.0.0.1:0", "hi"]).refused(2), &["port 0"]);
    says(&scene.run(&["send", "tcp:127.0.0.1", "hi"]).refused(2), &["host and port"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp:{}", taken.local_addr().expect("as above"));
    says(&scene.run(&["recv", &address]).refused(1), &[&address, "taken"]);
    // A port that the system gives to nobody by itself: the one that has become free may be somebody else's at once.
    let nobody = "tcp:127.0.0.1:1";
    says(&scene.run(&["send", nobody, "hi"]).refused(1), &["nobody is listening", nobody]);
    says(&scene.run(&["send", nobody, "hi", "--wait", "30ms"]).refused(3), &[nobody, "within 30ms"]);
}

/// Whether every thread of a process sleeps, and has not stirred for a while.
fn waits(pid: u32) -> bool {
    let tasks = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let asleep = || {
        tasks().all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
        })
    };
    let before = scene::sleeps(pid);
    std::thread::sleep(Duration::from_millis(200));
    asleep() && before > 0 && scene::sleeps(pid) == before
}

/// Whoever connects with a scheme that is not spoken there is told which is.
#[test]
fn a_scheme_that_is_not_spoken_there_is_named() {
    let scene = Scene::new();
    let pin = ["--pin", &"0".repeat(64)];
    for (listens, behind, (verb, rest, code)) in [
        ("serve", &["--", "cat"][..], ("call", "it", 6)),
        ("recv", &["--count=1"], ("send", "it", 1)),
        ("push", &["it"], ("pull", "--count=1", 1)),
    ] {
        for (scheme, other, like) in [("tcp", "tls", "does not speak TLS"), ("tls", "tcp", "speaks TLS")] {
            let address = format!("{scheme}:127.0.0.1:0");
            let mut door = listening(scene.wharf(&[&[listens, &address], behind].concat()));
            let there = door.address.replace(scheme, other);
            let trusts = if other == "tls" { &pin[..] } else { &[] };
            let told = scene.run(&[&[verb, &there, rest], trusts].concat()).refused(code);
            says(&told, &["the other side ", like, ": use tls: on both sides, or tcp: on both"]);
            assert!(door.listener.runs());
        }
    }
}

/// Whoever goes on listening says who came and did not fit, and is there for all others.
#[test]
fn who_is_refused_by_a_server_or_a_pusher_is_told() {
    let scene = Scene::new();
    let (right, wrong) = (file(&scene, "right", b"open sesame\n"), file(&scene, "wrong", b"open barley\n"));
    let (right, wrong) = (["--token-file", text(&right)], ["--token-file", text(&wrong)]);
    for (serves, asks) in [
        ([&["serve", TCP, "-v", "--count", "1"][..], &right, &["--", "cat"]], &["call", "it"][..]),
        ([&["push", TCP, "-v"], &right, &["it"]], &["pull", "--count", "1"]),
    ] {
        let mut door = listening(scene.wharf(&serves.concat()));
        let place = door.address.split_once(':').expect("a scheme").1.to_owned();
        for (bytes, like) in [(&b"GET / HTTP/1.1\r\n\r\n"[..], "like HTTP"), (b"\x16\x03\x01\x02\x00\x01", "like TLS")]
        {
            let mut stranger = TcpStream::connect(&place).expect("it listens");
            stranger.write_all(bytes).expect("it hears");
            says(&door.listener.notes_line(like), &["wharf: refused 127.0.0.1:"]);
        }
        let asks = |token: &[&str]| scene.run(&[&asks[..1], &[door.address.as_str()], &asks[1..], token].concat());
        assert!(!asks(&wrong).status.success());
        says(&door.listener.notes_line("another token"), &["wharf: refused 127.0.0.1:", "--token-file"]);
        assert_eq!(asks(&right).well(), b"it");
        assert!(door.listener.finish().status.success());
    }
}

/// A listener that is killed before it has answered has refused nothing.
#[test]
fn a_listener_that_dies_while_the_two_meet_is_told_as_dead_and_another_is_waited_for() {
    // One that is stopped, and whoever connects to it and waits for its answer.
    let called = |scene: &Scene, address: &str, more: &[&str]| {
        let door = match address.starts_with("t") || address.starts_with("w") {
            true => receiver(scene, address, &["--verbose"]),
            false => {
                let listener = scene.start_listener(&["recv", address]);
                Door { listener, address: address.to_owned(), note: String::new() }
            }
        };
        door.listener.signal("STOP");
        let pin = door.note.split_once("--pin ").map(|(_, pin)| ["--pin", pin.trim()]);
        let trust: &[&str] = pin.as_ref().map_or(&[], |pin| pin);
        let command = [&["send", &door.address, "hello"], trust, more].concat();
        let sender = scene.start(&command);
        await_that("it waits for its answer", || waits(sender.id()));
        door.listener.signal("KILL");
        let address = door.address.clone();
        door.listener.finish();
        (sender, address)
    };
    for address in ["shm:met", "unix:met", "pipe:met", "mq:met", TCP, TLS, WS] {
        let (sender, _) = called(&Scene::new(), address, &[]);
        let told = sender.finish().refused(4);
        says(&told, &["gone before it had answered", "--wait TIME"]);
    }
    for address in ["unix:met", TCP] {
        let (sender, _) = called(&Scene::new(), address, &["--wait", "3s"]);
        let told = sender.finish().refused(3);
        says(&told, &["within 3s", "nobody is listening"]);
    }
    for address in ["shm:met", "unix:met", "pipe:met", "mq:met", TCP, WS] {
        let scene = Scene::new();
        let (sender, place) = called(&scene, address, &["--wait", "60s"]);
        let next = scene.start(&["recv", &place]);
        assert_eq!(went_well(next.finish()).0, b"hello", "{place}");
        sender.finish().well();
    }
}

#[test]
fn a_host_that_nobody_knows() {
    let told = Scene::new().run(&["send", "tcp:no-such-host.invalid:1", "hi"]).refused(1);
    says(&told, &["no host 'no-such-host.invalid'", "check its name, or give its address in figures"]);
}

//! `wharf compare --serve` and `--remote`: verified and described, behind a token and a fingerprint, one client at a time,
//! within bounds.

mod scene;

use std::time::Duration;

use scene::{Finished, Running, Scene, await_that, says};
use serde_json::{Value, json};
use wharf::{Link, Options, RecvError};

/// What the documentation says of the schema.
const DOCUMENTATION: &str = include_str!("../../../docs/compare.md");
/// No answer of a server takes longer, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on loopback, and what a client must say to reach it.
struct Server {
    running: Running,
    /// `--remote`, the address, `--token`, the token …
    arguments: Vec<String>,
}

impl Server {
    fn start(scene: &Scene, at: &str) -> Server {
        let mut running = scene.start(&["compare", "--serve", at]);
        let told = running.says_line("--remote ");
        let command = told.rsplit("compare ").next().expect("a command");
        Server { running, arguments: command.split_whitespace().map(str::to_owned).collect() }
    }

    /// The value behind an option.
    fn said(&self, option: &str) -> &str {
        let at = self.arguments.iter().position(|it| it == option).expect("an option");
        &self.arguments[at + 1]
    }

    /// Compares with it.
    fn compare(&self, scene: &Scene, more: &[&str]) -> Finished {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        scene.run(&[&["compare", "--quick", "--size", "64"], &arguments[..], more].concat())
    }

    /// A client of this test's own, which has said its hello.
    fn client(&self, scene: &Scene) -> Client {
        let options = Options::new().domain(wharf::Domain::at(scene.path()).expect("the directory"));
        let link = options.connect_timeout(self.said("--remote"), PATIENCE).expect("a server");
        let mut client = Client { link };
        client.tell(&json!({"Hello": {"protocol": 1, "token": self.said("--token")}}));
        client
    }

    /// Ends it as Ctrl-C does.
    fn end(self) -> Vec<u8> {
        self.running.signal("INT");
        self.running.finish().well()
    }
}

/// A client that says what it likes.
struct Client {
    link: Link,
}

impl Client {
    fn tell(&mut self, words: &Value) {
        self.link.send(words.to_string().as_bytes()).expect("a server that listens");
    }

    fn hear(&mut self) -> Value {
        let document = self.link.recv_timeout(PATIENCE).expect("an answer");
        serde_json::from_slice(&document).expect("JSON")
    }

    /// Asks, and expects this in the answer.
    fn expect(&mut self, words: &Value, parts: &[&str]) {
        self.tell(words);
        says(&self.hear().to_string(), parts);
    }
}

#[test]
fn all_network_transports_are_measured_verified_and_described() {
    let scene = Scene::new();
    let server = Server::start(&scene, "127.0.0.1:0");
    assert!(server.said("--remote").starts_with("tls:127.0.0.1:"));
    let directory = tempfile::tempdir().expect("a directory");
    let picture = directory.path().join("picture.svg");
    let cargo = directory.path().join("cargo");
    std::fs::write(&cargo, vec![7; 200_001]).expect("a file");
    let more = ["--json", "--plot", picture.to_str().expect("text"), "--file", cargo.to_str().expect("text")];
    let report: Value = serde_json::from_slice(&server.compare(&scene, &more).well()).expect("JSON");
    for key in ["host", "cpus", "cpu", "kernel", "version"] {
        assert!(!report["remote"][key].is_null(), "{key} in {:#}", report["remote"]);
    }
    let rows = report["rows"].as_array().expect("rows");
    let transports: Vec<&str> = rows.iter().filter_map(|row| row["transport"].as_str()).collect();
    assert_eq!(transports, ["tcp:", "tls:", "ws:"]);
    for row in rows {
        assert_eq!((&row["status"], &row["between"]), (&"measured".into(), &"two machines".into()), "{row:#}");
        assert!(row["sleeping"]["p50_ns"].as_f64().is_some_and(|it| it > 0.0));
        assert!(row["streams"][0]["rate"]["messages_per_second"].as_f64().is_some_and(|it| it > 0.0));
        assert_eq!((&row["file"]["verified"], &row["file"]["bytes"]), (&true.into(), &200_001.into()));
        assert_eq!(row["file"]["crc32_received"], format!("{:08x}", crc32fast::hash(&vec![7; 200_001])));
        for figure in ["spinning", "system_calls", "idle", "isolation"] {
            assert!(row[figure]["absent"].is_string(), "{figure} is no figure between machines: {row:#}");
        }
        assert!(row["sweep"].as_array().is_some_and(|points| points.len() >= 5), "{row:#}");
    }
    let drawn = std::fs::read_to_string(&picture).expect("a picture");
    assert!(drawn.contains("tcp:") && drawn.contains("tls:") && !drawn.contains("shm:"));
    for key in ["remote", "host", "of_bytes", "sweep", "two machines"] {
        assert!(DOCUMENTATION.contains(&format!("`{key}`")), "docs/compare.md does not describe {key}");
    }
    server.end();
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn the_table_of_two_machines_has_no_empty_columns() {
    let scene = Scene::new();
    let server = Server::start(&scene, "127.0.0.1:0");
    let text = String::from_utf8(server.compare(&scene, &["--transport", "tcp"]).well()).expect("text");
    for part in ["LATENCY", "THROUGHPUT", "REACH", "tcp:", "verified", "with "] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    for part in ["spinning", "SYSTEM CALLS", "floor", "our memory", "–"] {
        assert!(!text.contains(part), "{part} says nothing here:\n{text}");
    }
    says(&server.compare(&scene, &["--transport", "unix"]).refused(2), &["unknown transport 'unix'", "tcp, tls, ws"]);
    server.end();
}

#[test]
fn only_who_knows_the_token_and_the_fingerprint_is_served() {
    let scene = Scene::new();
    let server = Server::start(&scene, "127.0.0.1:0");
    let with = |token: Option<&str>, fingerprint: Option<&str>| {
        let mut line = vec!["compare", "--quick", "--remote", server.said("--remote")];
        line.extend(token.iter().flat_map(|it| ["--token", it]));
        line.extend(fingerprint.iter().flat_map(|it| ["--fingerprint", it]));
        scene.run(&line)
    };
    let (token, fingerprint) = (server.said("--token"), server.said("--fingerprint"));
    let other = "0".repeat(64);
    says(&with(None, Some(fingerprint)).refused(2), &["no token", "WHARF_TOKEN"]);
    says(&with(Some(&other[..32]), Some(fingerprint)).refused(1), &["refuses", "another token"]);
    says(&with(Some(token), None).refused(1), &["--fingerprint that the server printed"]);
    says(&with(Some(token), Some(&other)).refused(1), &["cannot compare with tls:", "certificate"]);
    says(&with(Some(token), Some("12")).refused(2), &["--fingerprint: '12'", "64 hexadecimal letters"]);
    says(&scene.run(&["compare", "--serve", "shm:x"]).refused(2), &["--serve", "tls:, tcp: or unix:"]);
    says(&scene.run(&["compare", "--serve", "--quick"]).refused(2), &["--serve", "--quick"]);
    // The words of those who were refused are not the end of it.
    server.compare(&scene, &["--transport", "tls"]).well();
    let log = String::from_utf8(server.end()).expect("text");
    assert!(log.contains("another token"), "a refused client is reported: {log}");
    assert!(!log.contains(&other[..32]), "what it said is not: {log}");
}

#[test]
fn one_client_at_a_time() {
    let scene = Scene::new();
    let server = Server::start(&scene, "unix:desk");
    let mut first = server.client(&scene);
    assert!(first.hear()["Welcome"]["machine"]["cpus"].as_u64().is_some());
    says(&server.compare(&scene, &[]).refused(1), &["busy with another client"]);
    drop(first);
    await_that("the server is free again", || server.compare(&scene, &[]).status.success());
    server.end();
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn silent_newcomers_hold_nobody_up() {
    let scene = Scene::new();
    let server = Server::start(&scene, "unix:desk");
    let options = Options::new().domain(wharf::Domain::at(scene.path()).expect("the directory"));
    let silent: Vec<Link> = (0..20).map(|_| options.connect(server.said("--remote")).expect("a link")).collect();
    // They are left after 2 s; until then the places for newcomers may be taken.
    await_that("a good client is served", || server.compare(&scene, &[]).status.success());
    drop(silent);
    server.end();
}

#[test]
fn what_a_client_may_ask_is_bounded() {
    let scene = Scene::new();
    let server = Server::start(&scene, "unix:desk");
    let mut client = server.client(&scene);
    says(&client.hear().to_string(), &["Welcome"]);
    client.expect(&json!({"Order": "Echo"}), &["Failed", "no line is open"]);
    let listen = |largest: u64| json!({"Listen": {"transport": "unix", "waiting": "Sleep", "largest": largest}});
    client.expect(&listen((64 << 20) + 1), &["Failed", "a server takes 64 MiB"]);
    client.expect(&json!({"Listen": {"transport": "shm", "waiting": "Sleep", "largest": 64}}), &["Failed", "shm:"]);
    client.expect(&json!({"Listen": {"transport": "pigeon", "waiting": "Sleep", "largest": 64}}), &["Failed"]);

    // A line that is opened by somebody who does not know its secret is closed.
    client.tell(&listen(64));
    let told = client.hear();
    let address = format!("unix:{}", told["Listening"]["name"].as_str().expect("a name"));
    let options = Options::new().domain(wharf::Domain::at(scene.path()).expect("the directory"));
    let mut stranger = options.connect(&address).expect("a link");
    stranger.send(&[b'0'; 32]).expect("a server that listens");
    says(&client.hear().to_string(), &["Failed", "somebody else"]);
    assert!(matches!(stranger.recv_timeout(PATIENCE), Err(RecvError::Closed | RecvError::PeerDied)));

    // What is only for one machine is not done for another.
    client.tell(&listen(64));
    let told = client.hear();
    let address = format!("unix:{}", told["Listening"]["name"].as_str().expect("a name"));
    let mut line = options.connect(&address).expect("a link");
    line.send(told["Listening"]["secret"].as_str().expect("a secret").as_bytes()).expect("a server that listens");
    says(&client.hear().to_string(), &["Done"]);
    client.expect(&json!({"Order": "Trespass"}), &["Failed", "not done between two machines"]);

    // Nonsense ends it, and the server says why; the next client is served.
    client.link.send(b"\xff nonsense").expect("a server that listens");
    says(&client.hear().to_string(), &["Refused", "something else was said"]);
    await_that("the server is free again", || server.compare(&scene, &[]).status.success());
    server.end();
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn a_client_whose_server_ends_is_told() {
    let scene = Scene::new();
    let mut server = Server::start(&scene, "127.0.0.1:0");
    let arguments: Vec<&str> = server.arguments.iter().map(String::as_str).collect();
    let client = scene.start(&[&["compare"], &arguments[..]].concat());
    server.running.says_line("has come");
    server.running.signal("TERM");
    let Server { running, .. } = server;
    running.finish().well();
    let ended = client.finish();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let text = String::from_utf8(ended.stdout).expect("text");
    assert!(text.contains("FAILED"), "{text}");
}

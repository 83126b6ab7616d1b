//! `wharf chat --web`: browsers in a room, and everybody who should not be there.

mod browser;
mod scene;
mod terminal;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use browser::Browser;
use scene::{Patient, Running, Scene, await_that, skipped};
use serde_json::{Value, json};
use terminal::Terminal;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// Longer than anything takes on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

/// A member that serves a page: it, the page's host and port, and the token.
fn serving(scene: &Scene) -> (Running, String, String) {
    let mut host = scene.start(&["chat", "kitchen", "--nick", "host", "--web", "127.0.0.1:0"]);
    let told = host.says_line("browsers come in at ");
    let (place, token) = told.split_once("http://").and_then(|(_, rest)| rest.split_once("/?token=")).expect("a link");
    (host, place.to_owned(), token.to_owned())
}

/// Asks for a WebSocket as a page of this origin would, or as a program; the status when it is refused.
fn knock(place: &str, path: &str, origin: Option<&str>) -> Result<WebSocket<Patient>, u16> {
    let stream = Patient::connect(place, SOON);
    let mut request = format!("ws://{place}{path}").into_client_request().expect("a request");
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().expect("a header"));
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

/// A guest that speaks as the page does.
struct Guest(WebSocket<Patient>);

impl Guest {
    fn enter(place: &str, token: &str, nick: &str) -> Guest {
        let socket =
            knock(place, &format!("/socket?token={token}"), Some(&format!("http://{place}"))).expect("it opens");
        let mut guest = Guest(socket);
        guest.say(&json!({ "k": "hello", "nick": nick }));
        guest
    }

    fn say(&mut self, words: &Value) {
        self.0.send(Message::text(words.to_string())).expect("it hears");
    }

    /// The next news of a kind.
    fn hears(&mut self, kind: &str) -> Value {
        loop {
            let Message::Text(text) = self.0.read().expect("it says something") else { continue };
            let news: Value = serde_json::from_str(&text).expect("JSON");
            if news["k"] == kind {
                return news;
            }
        }
    }

    /// Waits until it is shown out.
    fn expect_shown_out(mut self) {
        // It hears at most what others say meanwhile.
        for _ in 0..1000 {
            if matches!(self.0.read(), Err(_) | Ok(Message::Close(_))) {
                return;
            }
        }
        panic!("it may stay");
    }
}

/// What a page's request is answered with.
fn get(place: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(place).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    // One that is refused early may be hung up on.
    let _sent = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_should_not_be_there_gets_nowhere() {
    let scene = Scene::new();
    let (mut host, place, token) = serving(&scene);
    let own = format!("http://{place}");
    let right = format!("/socket?token={token}");
    // No token, another one, another origin, a name that was made to lead here.
    for (path, origin, status) in [
        ("/socket", Some(own.as_str()), 403),
        ("/socket?token=", Some(&own), 403),
        (&format!("/socket?token={}", "0".repeat(32)), Some(&own), 403),
        (&right, Some("http://evil.example"), 403),
        (&right, Some("null"), 403),
        (&right, Some("https://127.0.0.1"), 403),
        (&format!("/other?token={token}"), Some(&own), 404),
    ] {
        assert_eq!(knock(&place, path, origin).err(), Some(status), "{path} {origin:?}");
    }
    assert!(get(&place, &format!("GET / HTTP/1.1\r\nHost: {place}\r\n\r\n")).starts_with("HTTP/1.1 403 "));
    let page = get(&place, &format!("GET /?token={token} HTTP/1.1\r\nHost: {place}\r\n\r\n"));
    assert!(
        page.starts_with("HTTP/1.1 200 ") && page.contains("Content-Security-Policy: default-src 'none'"),
        "{page}"
    );
    assert!(!page.contains(&token), "the page tells the token");
    let rebound = get(&place, &format!("GET /?token={token} HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
    assert!(rebound.starts_with("HTTP/1.1 421 "), "{rebound}");
    for nonsense in ["\u{16}\u{3}\u{1}", "POST / HTTP/1.1\r\n\r\n", &format!("GET /{}", "x".repeat(20_000))] {
        let answer = get(&place, nonsense);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }

    // Script tags are text, for everybody.
    let mut watcher = Guest::enter(&place, &token, "watcher");
    assert_eq!(watcher.hears("you")["nick"], "watcher");
    let mut evil = Guest::enter(&place, &token, "<img src=x onerror=alert(1)>");
    let nick = evil.hears("you")["nick"].as_str().expect("a name").to_owned();
    assert!(!nick.contains(['<', '>', ' ']), "{nick}");
    evil.say(&json!({ "k": "say", "text": "<script>alert(1)</script>\x1b[2J" }));
    assert_eq!(watcher.hears("said")["text"], "<script>alert(1)</script>\\u{1b}[2J");
    host.says_line("<script>alert(1)</script>\\u{1b}[2J");
    // A message that is too long for the room is not said; one of 10 MiB shows its sender out.
    evil.say(&json!({ "k": "say", "text": "y".repeat(5_000) }));
    assert!(evil.hears("note")["text"].as_str().is_some_and(|text| text.contains("5000 bytes")));
    let huge = json!({ "k": "say", "text": "z".repeat(10 << 20) }).to_string();
    // It may be hung up on before it has said all of it.
    let _sent = evil.0.send(Message::text(huge));
    evil.expect_shown_out();
    assert_eq!(watcher.hears("died")["nick"], nick.as_str());
    // So do words that are none, bytes, and speaking before hello.
    for words in ["{}", "no JSON", r#"{"k":"hello","nick":"again"}"#, r#"{"k":"shout"}"#] {
        let mut odd = Guest::enter(&place, &token, "odd");
        odd.hears("you");
        odd.0.send(Message::text(words)).expect("it hears");
        odd.expect_shown_out();
        assert_eq!(watcher.hears("died")["nick"], "odd", "{words}");
    }
    let mut early = Guest(knock(&place, &right, None).expect("a program comes in with the token"));
    early.say(&json!({ "k": "say", "text": "first" }));
    early.expect_shown_out();
    // Whoever is too fast is read slowly, and nothing of it is lost or out of order.
    let mut fast = Guest::enter(&place, &token, "fast");
    for number in 0..45 {
        fast.say(&json!({ "k": "say", "text": format!("{number}") }));
    }
    let began = std::time::Instant::now();
    for number in 0..45 {
        let said = watcher.hears("said");
        assert_eq!((&said["nick"], &said["text"]), (&json!("fast"), &json!(format!("{number}"))));
    }
    assert!(began.elapsed() > Duration::from_secs(1), "30 at once and 10 a second after that");
    fast.0.close(None).expect("it hears");
    assert_eq!(watcher.hears("left")["nick"], "fast");
    drop(host.finish().well());
    watcher.expect_shown_out();
    assert_eq!(scene.left_behind().iter().filter(|name| !name.starts_with('.')).count(), 0);
}

/// Connections that say nothing, and guests without end, keep nobody out and have a bound.
#[test]
fn crowds_have_a_bound() {
    let scene = Scene::new();
    let (mut host, place, token) = serving(&scene);
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&place).expect("it listens")).collect();
    let mut guests: Vec<Guest> = Vec::new();
    for number in 0..64 {
        let mut guest = Guest::enter(&place, &token, &format!("g{number}"));
        guest.hears("you");
        guests.push(guest);
    }
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", host.id())).expect("it runs").count();
    assert!(descriptors() < 160, "{} descriptors", descriptors());
    let mut late = Guest::enter(&place, &token, "late");
    assert!(late.hears("note")["text"].as_str().is_some_and(|text| text.contains("no room")));
    late.expect_shown_out();
    // Most of the silent ones were shown out.
    let gone = silent.iter().filter(|it| {
        it.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket");
        matches!((&**it).read(&mut [0]), Ok(0))
            || (&**it).read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    });
    assert!(gone.count() >= 60);
    drop(guests);
    host.says_line("g63 died");
    drop(host.finish().well());
}

/// The link of a host on a terminal goes with the lines that came before, and is shown again when it is asked for.
#[test]
fn the_link_is_shown_again() {
    let scene = Scene::new();
    let web = ["chat", "kitchen", "--nick", "anna", "--web", "127.0.0.1:0"];
    let mut screen = Terminal::run(scene.wharf(&web), 100, 8);
    screen.shows("browsers come in at http://");
    let mut script = scene.start(&["chat", "kitchen", "--nick", "script"]);
    let many: String = (0..20).map(|number| format!("line {number}.\n")).collect();
    script.say(many.as_bytes());
    screen.shows("line 19.");
    screen.hides("browsers come in");
    screen.press("\x07");
    screen.shows("browsers come in at http://");
    // Who lets nobody in is told so.
    let mut other = Terminal::run(scene.wharf(&["chat", "cellar"]), 100, 8);
    other.shows("cellar");
    other.press("\x07");
    other.shows("nobody comes in through here");
    for mut leaving in [screen, other] {
        leaving.press("\x03");
        assert!(leaving.finish().0.success());
    }
    drop(script.finish().well());
}

/// A browser and a terminal in one room: each sees what the other says, as text.
#[test]
fn a_browser_and_a_terminal() {
    let scene = Scene::new();
    let (mut host, place, token) = serving(&scene);
    let mut browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => return skipped("a_browser_and_a_terminal", &why),
    };
    let mut screen = Terminal::run(scene.wharf(&["chat", "kitchen", "--nick", "anna"]), 70, 12);
    screen.shows("you are anna");
    screen.press("before you came\r");
    host.says_line("<anna> before you came");

    let mut page = browser.open(&format!("http://{place}/?token={token}"));
    page.shows("Come in");
    page.picture("enter");
    page.evaluate("document.getElementById('nick').value = 'bea'; document.getElementById('enter').requestSubmit()");
    page.shows("you are bea");
    page.shows("before you came");
    screen.shows("bea joined");
    let say = |text: &str| {
        let text = serde_json::to_string(text).expect("JSON");
        format!("document.getElementById('text').value = {text}; document.getElementById('say').requestSubmit()")
    };
    page.evaluate(&say("hello from a page: 漢字 <b>bold</b>"));
    screen.shows("hello from a page");
    host.says_line("<bea> hello from a page: 漢字 <b>bold</b>");
    let evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";
    host.say(format!("{evil}\nright\u{202e}to left\n").as_bytes());
    page.shows(evil);
    page.shows("right\\u{202e}to left");
    screen.press("and from a terminal\r");
    page.shows("and from a terminal");
    assert_eq!(page.evaluate("document.querySelectorAll('#log img, #log script, #log b b').length"), 0);
    assert_eq!(page.evaluate("document.title"), "kitchen – wharf chat");
    let script = "{ const it = document.createElement('script'); it.textContent = 'window.owned = true'; document.head.append(it) }";
    page.evaluate(script);
    assert_eq!(
        page.evaluate("window.owned ?? 'kept'"),
        "kept",
        "the policy lets a program in that is not the page's own"
    );
    page.picture("room");
    page.close();
    screen.shows("bea left");
    // A page of elsewhere, with the right token, does not come in.
    let link = format!("ws://{place}/socket?token={token}");
    let mut elsewhere = browser.open("data:text/html,<p>elsewhere");
    // What is evaluated before it is there is gone with the page that it replaces.
    elsewhere.shows("elsewhere");
    let script = format!(
        "window.outcome = 'waiting'; const socket = new WebSocket('{link}'); socket.onopen = () => outcome = 'open'; \
         socket.onerror = () => outcome = 'refused'"
    );
    elsewhere.evaluate(&script);
    await_that("an answer", || elsewhere.evaluate("outcome") != "waiting");
    assert_eq!(elsewhere.evaluate("outcome"), "refused");
    drop(browser);
    screen.press("\x04");
    assert!(screen.finish().0.success());
    host.says_line("* anna left");
    drop(host.finish().well());
}

/// The page in examples/ talks over a link of `ws:`.
#[test]
fn the_example_in_a_browser() {
    let scene = Scene::new();
    let mut browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => return skipped("the_example_in_a_browser", &why),
    };
    let mut receiver = scene.start(&["recv", "ws:127.0.0.1:0", "--lines", "--origin", "null"]);
    let told = receiver.notes_line("listening at ws:");
    let place = told.split_once("ws:").expect("an address").1.to_owned();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ws_client.html");
    let mut page = browser.open(&format!("file://{file}?address=ws://{place}/&text=gr%C3%BC%C3%9F%20dich"));
    page.shows("connected");
    page.picture("example");
    assert_eq!(receiver.says_line("dich"), "grüß dich");
    page.evaluate("link.close()");
    let ended = receiver.finish();
    assert!(ended.status.success(), "{ended:?}");
}

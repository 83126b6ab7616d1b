//! `wharf chat --join` at a host that means harm: it neither takes the terminal away from its user nor fills the memory. And a host
//! with members that never stop: they take the room from nobody.

mod scene;
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use scene::{Scene, await_that};
use serde_json::{Value, json};
use terminal::Terminal;
use wharf::{Link, Listener, Options, Receiver};

/// As long as a message over a link to a chat may be.
const MOST_MESSAGE: usize = 256 << 10;

/// A host of nothing but these words, over and over; how many bytes it has got rid of.
struct Hostile {
    address: String,
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

fn listen() -> (Listener, String) {
    let listener = Options::new().max_message(MOST_MESSAGE).listen("tcp:127.0.0.1:0").expect("it listens");
    let address = listener.address().to_string();
    (listener, address)
}

/// Says these, in order; `false` when nobody is there any more.
fn say(link: &mut Link, words: &[Vec<u8>], sent: &AtomicUsize) -> bool {
    words.iter().all(|word| {
        sent.fetch_add(word.len(), Ordering::Relaxed);
        link.send(word).is_ok()
    })
}

impl Hostile {
    fn start(first: Value, words: &[Value]) -> Hostile {
        let (mut listener, address) = listen();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let words: Vec<Vec<u8>> = words.iter().map(|it| it.to_string().into_bytes()).collect();
        let thread = std::thread::spawn(move || {
            let mut link = listener.accept().expect("somebody joins");
            say(&mut link, &[first.to_string().into_bytes()], &counted);
            // Until whoever joined is gone.
            while say(&mut link, &words, &counted) {}
        });
        Hostile { address, sent, thread }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Words as large as a link carries, of what takes the most room, and words that nothing is left of.
fn flood() -> Vec<Value> {
    let said =
        |nick: &str, text: &str| json!({ "k": "said", "nick": nick, "text": text, "at": u64::MAX, "old": false });
    let mut words = vec![
        said("<a>\nroot", &"y".repeat(200_000)),
        said("x", &"\u{7f}".repeat(100_000)),
        said("x", &format!("a{}", "\u{301}".repeat(100_000))),
        json!({ "k": "you", "nick": "anna", "room": "hall", "here": vec!["z"; 50_000] }),
        json!({ "k": "note", "text": "n".repeat(250_000) }),
    ];
    words.extend((0..200).map(|number| json!({ "k": "joined", "nick": format!("j{number}") })));
    words.extend((0..200).map(|_| said("x", "")));
    words.push(json!(["what", "is", "this"]));
    words
}

#[test]
fn a_flood_leaves_the_user_the_keys_and_the_memory() {
    let scene = Scene::new();
    let you = json!({ "k": "you", "nick": "anna", "room": "hall", "here": [] });
    for leave in ["\x03", "\x04", "TERM"] {
        let host = Hostile::start(you.clone(), &flood());
        let mut screen = Terminal::run(scene.wharf(&["chat", "k", "--nick", "anna", "--join", &host.address]), 80, 20);
        screen.shows("hall");
        await_that("a flood", || host.sent() > 24 << 20);
        // What is typed stands there while it goes on, at the latest and scrolled back.
        screen.press("still here\x1b[5~");
        screen.shows("anna> still here");
        screen.shows("(scrolled");
        screen.press("\x15\x1b[F");
        screen.hides("still here");
        let most = screen.most_memory();
        assert!(most < 96 << 10, "{most} KiB");
        let before = host.sent();
        match leave {
            "TERM" => screen.signal("TERM"),
            keys => screen.press(keys),
        }
        let (status, written) = screen.finish();
        assert_eq!(status.success(), leave != "TERM", "{status}");
        host.thread.join().expect("a host that ends");
        // It is gone within a batch or two: what it still took shows that, however slow the machine is.
        let after = host.sent.load(Ordering::Relaxed) - before;
        assert!(after < 8 << 20, "it went on for {after} bytes");
        assert!(!written.contains('\u{301}') || !written.contains(&"\u{301}".repeat(9)), "a tower of accents");
        assert!(!written.contains("<a>"), "a nickname that is none");
    }
}

#[test]
fn what_a_host_says_is_cut_to_what_a_member_may_say() {
    let scene = Scene::new();
    let (mut listener, address) = listen();
    let mut guest = scene.start(&["chat", "k", "--nick", "anna", "--join", &address]);
    let mut link = listener.accept().expect("it joins");
    let words = flood();
    let sent = AtomicUsize::new(0);
    let bytes: Vec<Vec<u8>> = words.iter().map(|it| it.to_string().into_bytes()).collect();
    assert!(say(&mut link, &bytes, &sent));
    assert_eq!(guest.says_line("<aroot> ").len(), "<aroot> ".len() + 4096);
    assert_eq!(guest.says_line("* you are anna in hall, with z").matches('z').count(), 1024);
    assert_eq!(guest.says_line("* n").len(), "* ".len() + 4096);
    guest.says_line("* j199 joined");
    guest.says_line("* the host said something that this version does not know");
    drop(link);
    guest.notes_line("the host has closed the room");
    let ended = guest.finish();
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let heard = String::from_utf8(ended.stdout).expect("text");
    assert!(heard.lines().all(|line| line != "root" && line.len() < 30_000));
}

/// Members that say as much as they are let, and how much that is each time.
const LOUD: usize = 3;
const LOUD_WORD: usize = 4000;

/// What others may have said between a word and its being heard: all that was on its way when it was said has to come first, which is
/// less than this in every buffer on that way.
const MOST_BETWEEN: usize = 3000;

/// Longer than the way of a word takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn enter(address: &str, nick: &str) -> Link {
    let options = Options::new().max_message(MOST_MESSAGE);
    let mut link = options.connect_timeout(address, SOON).expect("it is let in");
    link.send(json!({ "k": "hello", "nick": nick }).to_string().as_bytes()).expect("it is heard");
    link
}

/// The next thing that somebody says: who, and what.
fn next_said(receiver: &mut Receiver) -> (String, String) {
    loop {
        let message = receiver.recv_timeout(SOON).expect("something is said");
        let news: Value = serde_json::from_slice(&message).expect("JSON");
        if news["k"] == "said" {
            return (
                news["nick"].as_str().expect("a name").to_owned(),
                news["text"].as_str().expect("a text").to_owned(),
            );
        }
    }
}

/// How many words of others come before this one of that member.
fn others_before(receiver: &mut Receiver, nick: &str, word: &str) -> usize {
    (0..=MOST_BETWEEN)
        .find(|_| next_said(receiver) == (nick.to_owned(), word.to_owned()))
        .unwrap_or_else(|| panic!("{MOST_BETWEEN} words of others came before {word:?} of {nick}"))
}

/// Says something without an end, and takes what it is told: whoever does not is shown out.
fn be_loud(address: &str, nick: &str, enough: &AtomicBool) {
    let mut link = enter(address, nick);
    let word = json!({ "k": "say", "text": "x".repeat(LOUD_WORD) }).to_string();
    while !enough.load(Ordering::Relaxed) {
        let _full = link.send_timeout(word.as_bytes(), Duration::from_millis(1));
        while link.try_recv().is_ok() {}
    }
}

/// Tells the loud ones that it is enough, also when the test has failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn whoever_says_most_takes_the_room_from_nobody() {
    let scene = Scene::new();
    let mut host = scene.start(&["chat", "k", "--nick", "host", "--host", "tcp:127.0.0.1:0"]);
    let told = host.says_line("others join with: ");
    let address = told.split_once("--join ").expect("an address").1.to_owned();
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&enough);
        for number in 0..LOUD {
            let (address, enough) = (&address, &enough);
            scope.spawn(move || be_loud(address, &format!("loud{number}"), enough));
            // In front of whoever comes later.
            host.says_line(&format!("<loud{number}> x"));
        }
        let (mut sender, mut receiver) = enter(&address, "quiet").split();
        let mut between = Vec::new();
        for number in 0..5 {
            let word = format!("word {number}");
            sender.send(json!({ "k": "say", "text": word }).to_string().as_bytes()).expect("it is heard");
            between.push(others_before(&mut receiver, "quiet", &word));
            // Nor from the user, who is there in another way.
            host.say(format!("{word}\n").as_bytes());
            between.push(others_before(&mut receiver, "host", &word));
        }
        println!("words of others in between: {between:?}");
        // It was loud all the time.
        assert!(between.iter().sum::<usize>() > 0, "{between:?}");
    });
    drop(host.finish().well());
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

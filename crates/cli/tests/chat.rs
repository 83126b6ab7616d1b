//! `wharf chat` with terminals and scripts: who comes, talks, leaves and dies, and what others see of it.

mod scene;
mod terminal;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use scene::{Patient, Running, Scene, await_that, says};
use serde_json::{Value, json};
use terminal::{Hung, Terminal};
use tungstenite::{Message, WebSocket};

/// A member that is a script, once it is in.
fn member(scene: &Scene, nick: &str, more: &[&str]) -> Running {
    let mut member = scene.start(&[&["chat", "kitchen", "--nick", nick], more].concat());
    member.says_line("* you are ");
    member
}

/// The lines of a finished member.
fn lines(member: Running) -> Vec<String> {
    let output = String::from_utf8(member.finish().well()).expect("text");
    output.lines().map(str::to_owned).collect()
}

#[test]
fn members_come_talk_leave_and_die() {
    let scene = Scene::new();
    let mut anna = member(&scene, "anna", &[]);
    assert_eq!(anna.says_line("you are"), "* you are anna in kitchen; nobody else is here");
    anna.say(b"first\n");
    anna.says_line("<anna> first");
    let mut bob = member(&scene, "bob", &[]);
    bob.says_line("* you are bob in kitchen, with anna");
    bob.says_line("<anna> first");
    // A name that somebody has, but for case, gets a number.
    let mut other = member(&scene, "Anna", &[]);
    other.says_line("* you are Anna2 in kitchen, with ");
    anna.says_line("* Anna2 joined");
    // What could speak to a terminal is shown; what is empty is not said.
    bob.say("\n  \nhi \x1b]0;title\x07\x1b[2J\u{202e}you\tthere\n".as_bytes());
    for hearer in [&mut anna, &mut bob, &mut other] {
        hearer.says_line("<bob> hi \\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{202e}you there");
    }
    // A line that is too long is not said, and the next one is.
    other.say(&[&[b'x'; 200_000][..], b"\nshort\n"].concat());
    other.notes_line("a line has 200000 bytes, at most 4096");
    bob.says_line("<Anna2> short");
    bob.signal("KILL");
    anna.says_line("* bob died");
    other.says_line("* bob died");
    let output = String::from_utf8(other.finish().stdout).expect("text");
    let heard: Vec<&str> = output.lines().collect();
    assert!(!heard.iter().any(|line| line.contains('\x1b')), "{heard:?}");
    anna.says_line("* Anna2 left");
    // The name is free again.
    let mut again = member(&scene, "bob", &[]);
    again.says_line("* you are bob in kitchen, with anna");
    // Another room is another room.
    let mut elsewhere = scene.start(&["chat", "cellar", "--nick", "carl"]);
    elsewhere.says_line("* you are carl in cellar; nobody else is here");
    elsewhere.signal("INT");
    await_that("its end", || !elsewhere.runs());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&elsewhere.finish().status), Some(2));
    again.signal("TERM");
    anna.says_line("* bob left");
    drop(again.finish());
    let heard = lines(anna);
    assert_eq!(heard.iter().filter(|line| line.contains("died")).count(), 1, "{heard:?}");
}

/// What a script reads, without the times.
fn events(member: Running) -> Vec<Value> {
    let output = String::from_utf8(member.finish().well()).expect("text");
    let read = |line: &str| -> Value {
        let mut event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        if event["event"] == "said" {
            let at = event.as_object_mut().and_then(|it| it.remove("at_seconds"));
            let at = at.and_then(|at| at.as_f64()).expect("a time");
            assert!((now - 300.0..now + 1.0).contains(&at), "{at} beside {now}");
        }
        event
    };
    output.lines().map(read).collect()
}

#[test]
fn scripts_read_what_happens_as_json() {
    let scene = Scene::new();
    let script = |nick: &str| {
        let mut script = scene.start(&["chat", "kitchen", "--nick", nick, "--json"]);
        script.says_line(r#"{"event":"entered","#);
        script
    };
    let mut anna = script("anna");
    let mut bob = member(&scene, "bob", &[]);
    anna.says_line(r#""event":"joined""#);
    // What is said comes in as lines, and comes out so that it says nothing to a terminal.
    bob.say("hi \x1b]0;title\x07\u{202e}\n".as_bytes());
    let line = anna.says_line(r#""text":"hi "#);
    assert!(line.contains(r"\u001b]0;title\u0007\u202e") && !line.chars().any(char::is_control), "{line:?}");
    anna.say(b"{\"hello\"}\n");
    bob.says_line("<anna> {\"hello\"}");
    bob.signal("KILL");
    anna.says_line(r#"{"event":"died","nick":"bob"}"#);
    let carl = script("Anna");
    let heard = events(carl);
    let said = |nick: &str, text: &str, old: bool| json!({"event": "said", "nick": nick, "text": text, "old": old});
    let hello = "{\"hello\"}";
    let entered = json!({"event": "entered", "nick": "Anna2", "room": "kitchen", "here": ["anna"]});
    assert_eq!(heard, [said("anna", hello, true), entered]);
    anna.says_line(r#""event":"left""#);
    assert_eq!(
        events(anna),
        [
            json!({"event": "entered", "nick": "anna", "room": "kitchen", "here": []}),
            json!({"event": "joined", "nick": "bob"}),
            said("bob", "hi \x1b]0;title\x07\u{202e}", false),
            said("anna", hello, false),
            json!({"event": "died", "nick": "bob"}),
            json!({"event": "joined", "nick": "Anna2"}),
            json!({"event": "left", "nick": "Anna2"}),
        ]
    );
    // A host's guest reads the same, and so does somebody who tries it on a terminal.
    let mut host = member(&scene, "host", &["--host", "tcp:127.0.0.1:0"]);
    let address = host.says_line("others join with: ").split("--join ").nth(1).expect("an address").to_owned();
    let mut guest = scene.start(&["chat", "kitchen", "--nick", "guest", "--json", "--join", &address]);
    guest.says_line(r#"{"event":"entered","nick":"guest","room":"kitchen","here":["host"]}"#);
    let mut screen = Terminal::run(scene.wharf(&["chat", "kitchen", "--nick", "dora", "--json"]), 200, 20);
    screen.wrote(r#"{"event":"entered","nick":"dora""#);
    assert!(!screen.is_raw());
    screen.press("typed\n");
    guest.says_line(r#"{"event":"said","nick":"dora","text":"typed""#);
    screen.press("\x04");
    assert!(screen.finish().0.success());
    guest.says_line(r#"{"event":"left","nick":"dora"}"#);
    drop((guest.finish().well(), host.finish().well()));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

/// A guest that speaks as the page does, once it is in.
fn page(link: &str, nick: &str) -> WebSocket<Patient> {
    let (place, token) = link.split_once("http://").and_then(|(_, rest)| rest.split_once("/?token=")).expect("a link");
    let stream = Patient::connect(place, Duration::from_secs(60));
    let (mut page, _) = tungstenite::client(format!("ws://{place}/socket?token={token}"), stream).expect("it opens");
    page.send(Message::text(format!(r#"{{"k":"hello","nick":"{nick}"}}"#))).expect("it hears");
    while !page.read().expect("it says something").to_text().expect("text").contains(r#""k":"you""#) {}
    page
}

/// What it hears that members say, as lines, until one says this.
fn heard_by(mut page: WebSocket<Patient>, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let message = page.read().expect("it says something");
        let news: serde_json::Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        if news["k"] == "said" {
            let text = |key: &str| news[key].as_str().expect("text").to_owned();
            heard.push(format!("<{}> {}", text("nick"), text("text")));
            if news["text"] == last {
                return heard;
            }
        }
    }
}

/// Of 50 members (scripts, one of them at a host's link, a terminal and a page) three are killed in the middle. Every survivor shows
/// what each of the others said, in the order in which it was said, and nothing is missing of those who live.
#[test]
fn fifty_members_ten_thousand_messages_three_killed() {
    const SCRIPTS: usize = 48;
    const EACH: usize = 230;
    const KILLED: usize = 3;
    // By those who live, and beside what the killed, the terminal and the page say.
    const { assert!((SCRIPTS - KILLED) * EACH >= 10_000) };
    const LAST: &str = "that was all";
    let scene = Scene::new();
    let nick = |number: usize| format!("m{number:02}");
    let start = |number, more: &[&str]| scene.start(&[&["chat", "kitchen", "--nick", &nick(number)], more].concat());
    let mut host = start(0, &["--host", "tcp:127.0.0.1:0", "--web", "127.0.0.1:0"]);
    let address = host.says_line("others join with: ").split("--join ").nth(1).expect("an address").to_owned();
    let mut page = page(&host.says_line("browsers come in at "), "page");
    let mut screen = Terminal::run(scene.wharf(&["chat", "kitchen", "--nick", "term"]), 60, 10);
    let mut members = vec![host, start(1, &["--join", &address])];
    members.extend((2..SCRIPTS).map(|number| start(number, &[])));
    // Everybody knows everybody: was there before, or has joined.
    let everybody: Vec<String> = (0..SCRIPTS).map(nick).chain(["term".to_owned(), "page".to_owned()]).collect();
    for member in &mut members {
        everybody.iter().for_each(|other| drop(member.says_line(other)));
    }
    screen.shows("with 49: ");
    // A browser is slowed down after 30 messages, and nobody types 230.
    let said_by = |nick: &str| match nick {
        "page" => 30,
        "term" => 20,
        _ => EACH,
    };
    let say = |member: &mut Running, from: usize, to: usize| {
        let lines: String = (from..to).map(|number| format!("number {number}\n")).collect();
        member.say(lines.as_bytes());
    };
    members.iter_mut().for_each(|member| say(member, 0, EACH / 2));
    for number in 0..said_by("page") {
        page.send(Message::text(format!(r#"{{"k":"say","text":"number {number}"}}"#))).expect("it hears");
    }
    let page = std::thread::spawn(|| heard_by(page, LAST));
    (0..said_by("term")).for_each(|number| screen.press(&format!("number {number}\r")));
    let survivors = SCRIPTS - KILLED;
    for member in &members[survivors..] {
        member.signal("KILL");
    }
    members[..survivors].iter_mut().for_each(|member| say(member, EACH / 2, EACH));
    let (killed, living): (Vec<&String>, Vec<&String>) =
        everybody.iter().partition(|nick| (survivors..SCRIPTS).any(|number| format!("m{number:02}") == **nick));
    for hearer in &mut members[..survivors] {
        for speaker in &living {
            hearer.says_line(&format!("<{speaker}> number {}", said_by(speaker) - 1));
        }
        killed.iter().for_each(|nick| drop(hearer.says_line(&format!("* {nick} died"))));
    }
    // Nobody leaves before all have seen everything.
    members.truncate(survivors);
    screen.shows("with 46: ");
    members[0].say(format!("{LAST}\n").as_bytes());
    screen.shows(&format!("m00  {LAST}"));
    let check = |hearer: &str, heard: &[String]| {
        for speaker in &everybody {
            let prefix = format!("<{speaker}> number ");
            let said: Vec<usize> = heard
                .iter()
                .filter_map(|line| line.strip_prefix(&prefix))
                .map(|it| it.parse().expect("a number"))
                .collect();
            assert!(said.iter().copied().eq(0..said.len()), "{hearer} heard of {speaker}: {said:?}");
            if living.contains(&speaker) {
                assert_eq!(said.len(), said_by(speaker), "{hearer} heard of {speaker}");
            }
        }
        assert!(!heard.iter().any(|line| line.contains("missed")), "{hearer} missed something");
    };
    check("page", &page.join().expect("a page"));
    screen.press("\x04");
    assert!(screen.finish().0.success());
    // The host leaves last: with it its guests are out.
    for (number, member) in members.into_iter().enumerate().rev() {
        check(&nick(number), &lines(member));
    }
}

#[test]
fn ends_with_its_terminal() {
    let scene = Scene::new();
    let status = Terminal::taken_from(scene.wharf(&["chat", "kitchen", "--nick", "anna"]), "kitchen");
    assert_eq!(status.code(), Some(1));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_terminal_that_takes_nothing_holds_up_nobody_and_no_signal() {
    let scene = Scene::new();
    let mut anna = member(&scene, "anna", &[]);
    let hung = Hung::run(scene.wharf(&["chat", "kitchen", "--nick", "term"]), 200, 60);
    anna.says_line("* term joined");
    // More than any terminal takes when nobody reads it.
    let said: String = (0..300).map(|number| format!("{number} {}\n", "x".repeat(1_000))).collect();
    anna.say(said.as_bytes());
    anna.says_line("<anna> 299 ");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&hung.ends_by("TERM")), Some(15));
    anna.says_line("* term left");
}

#[test]
fn a_host_whose_output_nobody_reads_keeps_its_room_going() {
    let scene = Scene::new();
    let door = format!("unix:{}", scene.path().join("door").display());
    let mut command = scene.wharf(&["chat", "kitchen", "--nick", "host", "--host", &door]);
    let mut host = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command starts");
    let (mut input, output) = (host.stdin.take().expect("a pipe"), host.stdout.take().expect("a pipe"));
    let typist = std::thread::spawn(move || {
        let said: String = (0..60).map(|number| format!("number {number} {}\n", "x".repeat(3_000))).collect();
        input.write_all(said.as_bytes()).map(|()| input)
    });
    await_that("a full pipe", || rustix::io::ioctl_fionread(&output).expect("a pipe") >= 56 << 10);
    let guest = |nick: &str| {
        let mut guest = scene.start(&["chat", "kitchen", "--nick", nick, "--join", &door]);
        guest.says_line(&format!("* you are {nick} in kitchen, with "));
        guest.says_line("<host> number 59 ");
        guest
    };
    let (mut anna, mut bob) = (guest("anna"), guest("bob"));
    anna.say(b"hello\n");
    bob.says_line("<anna> hello");
    drop((anna, bob));
    // Whoever reads at last finds all of it; the end of the input is awaited by nobody else.
    drop(typist.join().expect("a typist").expect("somebody reads"));
    let told = std::io::read_to_string(output).expect("text");
    assert!(host.wait().expect("a child").success());
    let numbers: Vec<&str> =
        told.lines().filter_map(|line| line.strip_prefix("<host> number ")?.split(' ').next()).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| *number == at.to_string()), "{numbers:?}");
    assert_eq!((numbers.len(), told.contains("<anna> hello\n")), (60, true));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn on_a_terminal() {
    let scene = Scene::new();
    let mut script = member(&scene, "script", &[]);
    let mut screen = Terminal::run(scene.wharf(&["chat", "kitchen", "--nick", "anna"]), 60, 12);
    screen.shows("you are anna in kitchen, with script");
    assert!(screen.is_raw());
    screen.press("hallo welt\r");
    script.says_line("<anna> hallo welt");
    screen.shows("anna  hallo welt");
    // Keys of a line: left, backspace, to the start, cut to the end.
    screen.press("ac\x1b[Db\x1b[C\x7fc");
    screen.shows("anna> abc");
    screen.press("\x01\x0bwide 漢字\r");
    script.says_line("<anna> wide 漢字");
    // Much that is pasted comes as one line, and Ctrl-L draws everything anew.
    let pasted = "p".repeat(2_048);
    screen.press(&format!("{pasted}\r"));
    script.says_line(&format!("<anna> {pasted}"));
    screen.press("\x0c");
    // What others write never speaks to this terminal.
    script.say("evil \x1b]0;owned\x07 \x1b[31mred\x1b[0m \u{9b}2J\n".as_bytes());
    screen.shows("evil \\u{1b}]0;owned\\u{7}");
    // Scrolling back and to the end.
    let many: String = (0..40).map(|number| format!("line {number}.\n")).collect();
    script.say(many.as_bytes());
    screen.shows("line 39.");
    screen.press("\x1b[5~\x1b[5~");
    screen.shows("(scrolled");
    screen.hides("line 39.");
    script.say(b"while you read\n");
    script.says_line("while you read");
    screen.press("\x1b[F");
    screen.shows("while you read");
    screen.hides("(scrolled");
    // Another size: the longest line is broken anew.
    screen.resize(24, 8);
    script.say(b"a line that has to be broken\n");
    screen.shows("script  a line that has");
    screen.shows("to be broken");
    drop(script.finish());
    screen.shows("script left");
    // Ctrl-D deletes in a line, and leaves on an empty one.
    screen.press("x\x1b[D\x04");
    screen.press("\x04");
    let (status, written) = screen.finish();
    assert!(status.success(), "{status}");
    for evil in ["\x1b]0;owned", "\u{9b}2J", "\x1b[31mred"] {
        assert!(!written.contains(evil), "{evil:?} reached the terminal");
    }
    assert!(written.contains("\x1b[?1049l"), "the screen is not given back");
}

/// What several characters are drawn as one of takes the room of one, and no row breaks inside of it; names that look like another
/// get a number.
#[test]
fn emoji_flags_and_accents_on_a_terminal() {
    let scene = Scene::new();
    let family = "👩\u{200d}👩\u{200d}👧\u{200d}👦";
    let mut anna = member(&scene, "anna", &[]);
    let mut screen = Terminal::run(scene.wharf(&["chat", "kitchen", "--nick", "аnnа"]), 20, 12);
    screen.shows("you are аnnа2");
    // A word of 25 columns on a screen of 20 begins a row: what comes after 19 columns does not fit as a whole.
    anna.say(format!("x{}\n", family.repeat(12)).as_bytes());
    screen.shows(&format!("x{} \n{}  ", family.repeat(9), family.repeat(3)));
    anna.say(format!("x{}\n", "🇩🇪🇫🇷".repeat(6)).as_bytes());
    screen.shows(&format!("x{}🇩🇪 \n🇫🇷🇩🇪🇫🇷  ", "🇩🇪🇫🇷".repeat(4)));
    anna.say(format!("{}\n", "e\u{301}".repeat(24)).as_bytes());
    screen.shows(&format!("{}\n{}  ", "e\u{301}".repeat(20), "e\u{301}".repeat(4)));
    anna.say("so\u{ad}ft \u{2800}\n".as_bytes());
    screen.shows("so\\u{ad}ft");
    // In the line that is typed each is one: one step, one key that takes it back.
    screen.press(&format!("x{family}🇩🇪\x1b[D\x7fy"));
    screen.shows("> xy🇩🇪");
    screen.press("\r");
    anna.says_line("<аnnа2> xy🇩🇪");
    screen.press("\x04");
    assert!(screen.finish().0.success());
    drop(lines(anna));
}

/// On a terminal that draws flags and families wider than most do, nothing of them remains when other lines come to their place.
#[test]
fn nothing_remains_of_what_a_terminal_draws_wider() {
    let scene = Scene::new();
    let family = "👩\u{200d}👩\u{200d}👧\u{200d}👦";
    let mut anna = member(&scene, "anna", &[]);
    let mut screen = Terminal::run_unjoined(scene.wharf(&["chat", "kitchen", "--nick", "bob"]), 60, 8);
    screen.shows("you are bob");
    for line in [format!("{family} x"), format!("x {family}"), "🇩🇪🇫🇷".to_owned(), format!("{family}{family}🇩🇪")]
    {
        anna.say(format!("{line}\n").as_bytes());
    }
    screen.shows("anna");
    let plain: Vec<String> = (1..=6).map(|number| format!("line {number}")).collect();
    anna.say(format!("{}\n", plain.join("\n")).as_bytes());
    screen.shows("line 6");
    let expected: Vec<String> = plain.iter().map(|line| format!("anna  {line}")).collect();
    assert_eq!(screen.rows().get(1..7), Some(&expected[..]), "{:?}", screen.rows());
    // Nor in the line that is typed.
    screen.press(&family.repeat(3));
    anna.say(b"line 7\n");
    screen.shows("line 7");
    screen.press("\x15ok");
    screen.shows("bob> ok");
    assert_eq!(screen.rows().last().map(String::as_str), Some("bob> ok"));
    // Clearing asks the terminal nothing, and draws all of it again.
    screen.press("\x0c!");
    screen.shows("bob> ok!");
    assert_eq!(screen.rows().get(6).map(String::as_str), Some("anna  line 7"));
    screen.press("\x03");
    let (status, written) = screen.finish();
    assert!(status.success() && !written.contains("\x1b[6n"), "{status}");
    drop(lines(anna));
}

/// What a host tells others to type is all they need, wherever they are.
#[test]
fn the_command_that_lets_others_in_is_whole() {
    let scene = Scene::new();
    let place = scene.path().join("a b");
    std::fs::create_dir(&place).expect("a directory");
    let word = place.join("word");
    std::fs::write(&word, "open sesame\n").expect("a file");
    let (word, name) = (word.to_str().expect("text"), std::fs::read_to_string("/proc/sys/kernel/hostname"));
    let name = name.expect("a name");
    let everywhere = &["--host", "tcp:0.0.0.0:0", "--insecure", "--token-file", word];
    let mut host = member(&scene, "host", everywhere);
    let told = host.says_line("others join with: ");
    says(
        &told,
        &[
            &format!("wharf chat kitchen --join tcp:{}:", name.trim()),
            " --insecure",
            &format!(" --token-file '{word}'"),
        ],
    );
    assert!(!told.contains("0.0.0.0"), "{told}");
    drop(host);
    // Through a shell, with the quotes, as somebody types it.
    let mut host = member(&scene, "host", &["--host", "tls:127.0.0.1:0", "--token-file", word]);
    let told = host.says_line("others join with: ");
    let command = told.split("others join with: wharf ").nth(1).expect("a command").to_owned();
    let mut shell = std::process::Command::new("sh");
    let script = format!("exec \"$0\" {command} --nick typed");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_wharf")]).env("WHARF_DIR", scene.path());
    let mut typed = scene::start(shell);
    typed.says_line("* you are typed in kitchen, with ");
    drop((typed.finish(), host));
}

#[test]
fn ctrl_c_and_no_colour() {
    let scene = Scene::new();
    let mut watcher = member(&scene, "watcher", &[]);
    let mut command = scene.wharf(&["chat", "kitchen", "--nick", "anna"]);
    command.env("NO_COLOR", "1");
    let mut screen = Terminal::run(command, 50, 8);
    screen.shows("you are anna");
    watcher.say(b"colour?\n");
    screen.shows("colour?");
    screen.press("\x03");
    let (status, written) = screen.finish();
    assert!(status.success(), "{status}");
    for colour in 30..=37 {
        assert!(!written.contains(&format!("\x1b[{colour}m")) && !written.contains(&format!(";{colour}m")));
    }
    watcher.says_line("* anna left");
}

/// Over each transport that crosses machines: guests are members, with their names, their history and their deaths.
#[test]
fn guests_over_a_network() {
    for scheme in ["tcp", "ws", "tls"] {
        let scene = Scene::new();
        let mut near = member(&scene, "near", &[]);
        let word = scene.path().join("word");
        std::fs::write(&word, "open sesame\n").expect("a file");
        let word = word.to_str().expect("text");
        let address = format!("{scheme}:127.0.0.1:0");
        let mut host = member(&scene, "host", &["--host", &address, "--token-file", word]);
        let told = host.says_line("others join with: ");
        // The command as it is told is all that it takes.
        let join: Vec<&str> = told.split("wharf ").nth(1).expect("a command").split_whitespace().collect();
        let at = join.iter().position(|it| *it == "--token-file").expect("the word");
        assert_eq!(join.get(at + 1), Some(&word), "{told}");
        let without_word = [&join[..at], &join[at + 2..]].concat();
        near.say(b"before\n");
        host.says_line("<near> before");
        let mut far = scene.start(&[&join[..], &["--nick", "near"]].concat());
        far.says_line("* you are near2 in kitchen, with ");
        far.says_line("<near> before");
        near.says_line("* near2 joined");
        far.say(b"from afar\n");
        for hearer in [&mut near, &mut host, &mut far] {
            hearer.says_line("<near2> from afar");
        }
        // Who does not know the word does not come in, and the host says so.
        let stranger = scene.run(&[&without_word[..], &["--nick", "stranger"]].concat());
        says(&stranger.refused(1), &["no token"]);
        host.says_line("refused");
        // Many lines at once arrive in order, although a guest is slowed down.
        let many: String = (0..1100).map(|number| format!("guest line {number}\n")).collect();
        far.say(many.as_bytes());
        near.says_line("<near2> guest line 1099");
        let mut dying = scene.start(&[&join[..], &["--nick", "dying"]].concat());
        dying.says_line("* you are dying");
        dying.signal("KILL");
        near.says_line("* dying died");
        drop(far.finish().well());
        near.says_line("* near2 left");
        let mut last = scene.start(&[&join[..], &["--nick", "last"]].concat());
        last.says_line("* you are last");
        last.says_line("<near2> guest line 1099");
        drop(host.finish().well());
        // Before its own input ends, which would be leaving.
        last.notes_line("the host has closed the room");
        let ended = last.finish();
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        says(&ended.stderr, &["the host has closed the room"]);
        near.says_line("* last left");
        near.says_line("* host left");
        let heard = lines(near);
        let said: Vec<usize> = heard
            .iter()
            .filter_map(|line| line.strip_prefix("<near2> guest line "))
            .map(|it| it.parse().expect("a number"))
            .collect();
        assert!(said.iter().copied().eq(0..1100), "{scheme}: {} lines", said.len());
    }
}

#[test]
fn what_makes_no_sense() {
    let scene = Scene::new();
    let chat = |more: &[&str]| scene.run(&[&["chat"], more].concat());
    for (line, parts) in [
        (&["a/b"][..], &["'a/b'", "no name of a room"][..]),
        (&["x", "--nick", "a b"], &["--nick", "without blanks"]),
        (&["x", "--web", "nowhere"], &["--web", "127.0.0.1:8080"]),
        (&["x", "--web", "0.0.0.0:0"], &["beyond this machine", "--insecure"]),
        (&["x", "--token-file", "word"], &["--token-file", "neither --host nor --join"]),
        (&["x", "--insecure"], &["--insecure", "neither --host nor --join"]),
        (&["x", "--host", "inproc:x"], &["inproc:"]),
        (&["x", "--host", "tcp:127.0.0.1:0", "--join", "tcp:127.0.0.1:1"], &["--host", "--join"]),
        (&["x", "--host", "tcp:127.0.0.1:0", "--pin", "00"], &["--pin"]),
    ] {
        says(&chat(line).refused(2), parts);
    }
    says(&chat(&["x", "--join", "tcp:127.0.0.1:1"]).refused(1), &["127.0.0.1:1"]);
    says(&chat(&["x", "--host", "tcp:192.0.2.1:1"]).refused(1), &["beyond this machine"]);
}

/// Whoever may publish in the topics of a room may say what it likes there; what it says is shown as anything else.
#[test]
fn other_programs_in_the_topics_of_a_room() {
    let scene = Scene::new();
    let mut anna = member(&scene, "anna", &[]);
    let publish = |topic: &str, message: &str| {
        scene.run(&["pub", &format!("chat/kitchen/{topic}"), message, "--wait-for-peer"]).well();
    };
    publish("said", "no JSON");
    anna.says_line("* somebody published what is no message of a chat");
    publish("said", r#"{"id":1,"nick":"e\u001b[31mvil","text":"x\u001b[2Jy\nz","at":18446744073709551615}"#);
    anna.says_line("<e[31mvil> x\\u{1b}[2Jy\\nz");
    publish("who", "[]");
    publish("who", r#"{"members":[{"id":7,"nick":"ghost","since":0},{"id":8,"nick":"\u001b","since":0}],"gone":[]}"#);
    for line in ["* ghost joined", "* ? joined", "* ghost died", "* ? died"] {
        anna.says_line(line);
    }
    // Who reads along sees what is said.
    let mut reader = scene.start(&["sub", "chat/kitchen/said", "--history", "9", "--lines"]);
    anna.say(b"hello\n");
    reader.says_line(r#""text":"hello""#);
    drop(lines(anna));
}

/// A member that is stopped is slow, not dead, and catches up.
#[test]
fn a_stopped_member_catches_up() {
    let scene = Scene::new();
    let mut anna = member(&scene, "anna", &[]);
    let mut bob = member(&scene, "bob", &[]);
    bob.signal("STOP");
    anna.say(b"are you there?\n");
    anna.says_line("<anna> are you there?");
    bob.signal("CONT");
    bob.says_line("<anna> are you there?");
    let heard = lines(anna);
    assert!(!heard.iter().any(|line| line.contains("died") || line.contains("left")), "{heard:?}");
    bob.says_line("* anna left");
    drop(lines(bob));
}

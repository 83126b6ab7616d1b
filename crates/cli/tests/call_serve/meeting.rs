//! Where a client and a server meet, and what is said where they do not.

use super::*;

#[test]
fn it_waits_for_whoever_serves() {
    let scene = Scene::new();
    says(
        &scene.run(&["call", "late", "x"]).refused(6),
        &["nobody serves 'late'", "wharf serve late", "--wait-for-peer"],
    );
    let line = scene.run(&["call", "late", "x", "--wait-for-peer", "--timeout", "50ms"]).refused(3);
    says(&line, &["timeout: nobody serves 'late' within 50.0 ms"]);
    let caller = scene.start(&["call", "late", "x", "--wait-for-peer"]);
    let server = scene.start(&["serve", "late", "--count", "1", "--", "cat"]);
    assert_eq!(caller.finish().well(), b"x");
    server.finish().well();
    let line = scene.run(&["serve", "late", "--timeout", "50ms", "--", "cat"]).refused(3);
    says(&line, &["timeout: no request of 'late' came within 50.0 ms, after 0"]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_was_never_sent_is_told_from_what_was_answered() {
    let scene = Scene::new();
    let told = |asks: &[&str], code| {
        let done = scene.run(&[&["call"], asks, &["--json"]].concat());
        assert_eq!(done.status.code(), Some(code), "{done:?}");
        let [line] = &lines_of(&done.stdout)[..] else { panic!("not one line: {done:?}") };
        assert_eq!(done.stderr, format!("wharf: {}\n", line["error"].as_str().expect("why")));
        assert_eq!((&line["service"], &line["call"]), (&asks[0].into(), &0.into()));
        (line["outcome"].as_str().expect("a word").to_owned(), done.stderr)
    };
    let (outcome, why) = told(&["late", "x"], 6);
    assert_eq!(outcome, "never-sent");
    says(&why, &["never sent: nobody serves 'late'"]);
    for nobody in ["unix:late", "shm:late"] {
        let (outcome, why) = told(&[nobody, "x"], 6);
        assert_eq!(outcome, "never-sent");
        says(&why, &["never sent: ", nobody]);
    }
    for waits in [["late", "x"], ["unix:late", "x"]] {
        let (outcome, _) = told(&[&waits[..], &["--wait-for-peer", "--timeout", "50ms"]].concat(), 3);
        assert_eq!(outcome, "never-sent");
    }
    let server = serve(&scene, &["late", "--", "sh", "-c", "echo no >&2; exit 1"]);
    assert_eq!(told(&["late", "x"], 1).0, "answered");
    interrupted(&scene, server);
    // What has happened before does not count: it is this one that was not sent.
    let server = scene.start_listener(&["serve", "unix:once", "--count", "1", "--", "cat"]);
    let mut caller = scene.start(&["call", "unix:once", "--lines", "--json"]);
    caller.say(b"a\n");
    caller.says_line("\"text\"");
    server.finish().well();
    caller.say(b"b\n");
    let done = caller.finish();
    assert_eq!(done.status.code(), Some(6), "{done:?}");
    let lines = lines_of(&done.stdout);
    assert_eq!((&lines[1]["call"], &lines[1]["outcome"]), (&1.into(), &"never-sent".into()));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_name_that_nobody_serves_is_explained() {
    let scene = Scene::new();
    let line = scene.run(&["call", "bad name!", "x"]).refused(6);
    says(&line, &["nobody serves 'bad name!': \"wharf serve 'bad name!' -- COMMAND\" does"]);
    let mut owner = scene.start(&["state", "set", "speed", "5", "--json"]);
    owner.says_line("speed");
    let line = scene.run(&["call", "speed", "x"]).refused(6);
    says(&line, &["nobody serves 'speed', which is a state: 'wharf state get speed' reads it"]);
    let line = scene.run(&["state", "get", "sped"]).refused(1);
    says(&line, &["nobody owns 'sped': did you mean 'speed'? 'wharf state set sped VALUE' does"]);
    owner.signal("INT");
    owner.finish();
    let server = serve(&scene, &["words", "--", "wc", "-w"]);
    let line = scene.run(&["state", "get", "words"]).refused(1);
    says(&line, &["nobody owns 'words', which is a service: 'wharf call words' asks it"]);
    let line = scene.run(&["call", "wrods", "x"]).refused(6);
    says(&line, &["nobody serves 'wrods': did you mean 'words'?"]);
    interrupted(&scene, server);
}

#[test]
fn a_scheme_that_is_wrongly_typed_is_no_name_to_wait_for() {
    let scene = Scene::new();
    for (line, meant) in [
        (&["call", "tpc:127.0.0.1:4000", "x", "--wait-for-peer"][..], "tcp:127.0.0.1:4000"),
        (&["serve", "unxi:/tmp/x", "--", "cat"], "unix:/tmp/x"),
        (&["push", "SHM:jobs", "x"], "shm:jobs"),
        (&["pull", "pip:jobs"], "pipe:jobs"),
    ] {
        let told = scene.run(line).refused(2);
        let typed = format!("'{}' begins with no known scheme (shm:, unix:, ", line[1]);
        let otherwise = format!("a name with a colon is written 'name:{}'", line[1]);
        says(&told, &[&typed, &format!("did you mean '{meant}'?"), &otherwise]);
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn names_with_colons_are_reached_by_saying_that_they_are_names() {
    let scene = Scene::new();
    says(
        &scene.run(&["call", "name:robot:arm", "x"]).refused(6),
        &["nobody serves 'robot:arm'", "'wharf serve name:robot:arm -- COMMAND' does"],
    );
    let server = serve(&scene, &["name:robot:arm", "--", "tr", "a-z", "A-Z"]);
    let shown = scene.run(&["call", "name:robot:arm", "up", "--json"]).well();
    let expected = serde_json::json!({"service": "robot:arm", "call": 0, "result": 0, "text": "UP"});
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&shown).expect("JSON"), expected);
    says(&scene.run(&["call", "name:robot:arn", "x"]).refused(6), &["did you mean 'name:robot:arm'?"]);
    says(&scene.run(&["state", "get", "robot:arm"]).refused(1), &["'wharf call name:robot:arm' asks it"]);
    interrupted(&scene, server);
    // Also one that would be an address.
    let server = serve(&scene, &["name:tcp:1", "--", "cat"]);
    assert_eq!(scene.run(&["call", "name:tcp:1", "x"]).well(), b"x");
    interrupted(&scene, server);
}

#[test]
fn addresses_work_like_names() {
    let scene = Scene::new();
    for address in ["unix:echo", "shm:echo"] {
        let server = scene.start_listener(&["serve", address, "--", "cat"]);
        assert_eq!(scene.run(&["call", address, "over", "--wait-for-peer", "--timeout", "100s"]).well(), b"over");
        interrupted(&scene, server);
    }
    // At port 0 the system chooses, and standard error says which.
    let mut server = scene.start(&["serve", "tcp:127.0.0.1:0", "--", "cat"]);
    let line = server.notes_line("listening at tcp:127.0.0.1:");
    let address = line.rsplit(' ').next().expect("an address").to_owned();
    assert_eq!(scene.run_with(&["call", &address, "--lines"], b"a\nb\n").well(), b"a\nb\n");
    server.signal("INT");
    assert_eq!(server.finish().status.signal(), Some(SIGINT));
    let gone = scene.run(&["call", &address, "x"]);
    assert_eq!(gone.status.code(), Some(6), "{gone:?}");
}

#[test]
fn every_address_that_the_help_lists_can_be_served() {
    let scene = Scene::new();
    assert_eq!(scene.listed_addresses("call"), scene.listed_addresses("serve"));
    for address in scene.listed_addresses("serve") {
        let mut server = scene.start(&["serve", &address, "--count", "2", "--", "tr", "a-z", "A-Z"]);
        let at = server.reached_at(&address);
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        let wait = ["--wait-for-peer", "--timeout", "100s"];
        for (asked, answer) in [("over", &b"OVER"[..]), ("there", b"THERE")] {
            assert_eq!(scene.run(&[&["call"], &at[..], &[asked], &wait].concat()).well(), answer, "{address}");
        }
        let done = server.finish();
        assert!(done.status.success(), "{address}: {done:?}");
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
    docs_list_them("services.md");
    docs_list_them("topics-cli.md");
}

/// A page that says where services and queues meet lists all that the help does.
fn docs_list_them(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).expect("a page");
    assert!(text.contains("(`shm:`, `unix:`, `pipe:`, `mq:`, `tcp:`, `tls:`, `ws:`"), "{page} lists others");
}

/// Also of those who come a moment before the end.
#[test]
fn whoever_is_refused_at_the_end_is_told_of() {
    let scene = Scene::new();
    let server = scene.start_listener(&["serve", "unix:brief", "--verbose", "--count", "1", "--", "cat"]);
    scene.run(&["send", "unix:brief", "x"]).refused(1);
    scene.run(&["call", "unix:brief", "x"]).well();
    let done = server.finish();
    assert!(done.status.success() && done.stderr.matches("another purpose").count() == 1, "{done:?}");
}

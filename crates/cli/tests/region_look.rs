//! `wharf region inspect` and `wharf region verify`: the living, the waiting, the stopped, the killed, and hostile files.

mod scene;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use scene::bench::{self, Bench};
use scene::{Scene, await_that, says};
use serde_json::Value;
use wharf::{LockError, Region};

/// What other processes do. In an ordinary run nothing is played.
#[test]
fn actor() {
    bench::act();
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).expect("text")
}

fn inspect(scene: &Scene) -> Value {
    serde_json::from_slice(&scene.run(&["region", "inspect", "bench", "--json"]).well()).expect("JSON")
}

/// The object at `path` as `inspect --json` shows it.
fn object(scene: &Scene, path: &str) -> Value {
    let shown = inspect(scene);
    let objects = shown["objects"].as_array().expect("objects");
    objects.iter().find(|object| object["path"] == path).unwrap_or_else(|| panic!("no {path} in {shown:#}")).clone()
}

/// What `verify` says, line by line, with its exit code.
fn verify(scene: &Scene) -> (Option<i32>, Vec<String>) {
    let done = scene.run(&["region", "verify", "bench"]);
    assert!(done.stderr.is_empty(), "{done:?}");
    (done.status.code(), text(done.stdout).lines().map(str::to_owned).collect())
}

/// Waits until the kernel says that it is stopped.
fn stop(actor: &scene::Running) {
    actor.signal("STOP");
    let stat = format!("/proc/{}/stat", actor.id());
    await_that("it is stopped", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
}

#[test]
fn a_holder_and_a_waiter_are_shown_with_the_layout() {
    let scene = Scene::new();
    let _bench = bench::create(&scene);
    let holder = bench::play(&scene, "hold");
    let waiter = bench::play(&scene, "wait");
    await_that("it waits", || object(&scene, "tools[1]")["waiters"][0]["pid"] == waiter.id());
    let tool = object(&scene, "tools[1]");
    assert_eq!(tool["kind"], "Mutex");
    assert_eq!((tool["offset"].as_u64(), tool["size_bytes"].as_u64()), (Some(16), Some(16)));
    let held = &tool["holders"][0];
    assert_eq!((&held["pid"], &held["alive"], &held["mode"]), (&holder.id().into(), &true.into(), &"exclusive".into()));
    let waits = &tool["waiters"][0];
    assert_eq!((&waits["alive"], &waits["mode"]), (&true.into(), &"exclusive".into()));
    assert!(waits["waited_seconds"].as_f64() > Some(0.0) && waits["thread"].as_u64() > Some(0), "{waits}");
    let seats = object(&scene, "seats");
    assert_eq!((&seats["holders"][0]["pid"], &seats["holders"][0]["count"]), (&holder.id().into(), &1.into()));
    assert!(object(&scene, "tools[0]")["holders"].as_array().is_some_and(Vec::is_empty));
    let shown = inspect(&scene);
    assert_eq!(shown["areas"][3]["name"], "root");
    assert_eq!(shown["participants"].as_array().map(Vec::len), Some(3));

    let told = text(scene.run(&["region", "inspect", "bench"]).well());
    says(
        &told,
        &["Mutex tools[1] at 16, 16 bytes", "RwLock plan at ", "Semaphore seats", "Latest light", "Journaled book"],
    );
    says(
        &told,
        &[&format!("held alone by: process {} (", holder.id()), &format!("permit of: process {} (", holder.id())],
    );
    says(
        &told,
        &[&format!("process {} (", waiter.id()), "waits to hold it alone, alive, for ", "header at 0", "root at "],
    );
    let (code, lines) = verify(&scene);
    assert_eq!(code, Some(0));
    says(&lines[0], &["region 'bench' is sound", "7 objects", "3 participants"]);
}

#[test]
fn a_stopped_holder_is_alive_and_a_killed_one_is_found() {
    let scene = Scene::new();
    let bench = bench::create(&scene);
    let holder = bench::play(&scene, "hold");
    stop(&holder);
    assert_eq!(object(&scene, "tools[1]")["holders"][0]["alive"], true);
    assert_eq!(verify(&scene).0, Some(0));

    let id = holder.id();
    holder.signal("KILL");
    assert!(!holder.finish().status.success());
    assert_eq!(object(&scene, "tools[1]")["holders"][0]["alive"], false);
    let dead =
        inspect(&scene)["participants"].as_array().map(|all| all.iter().filter(|it| it["alive"] == false).count());
    assert_eq!(dead, Some(1));
    let file = scene.path().join("bench.region");
    let before = fs::read(&file).expect("the region's file");
    let (code, lines) = verify(&scene);
    assert_eq!((code, lines.len()), (Some(5), 2), "{lines:?}");
    says(&lines[0], &["Mutex 'tools[1]' is held by", &id.to_string(), "OwnerDied", "repaired()"]);
    says(&lines[1], &["Semaphore 'seats' has a permit of", &id.to_string()]);
    assert_eq!(fs::read(&file).expect("the region's file"), before, "looking changed something");
    let done = scene.run(&["region", "verify", "--json", "bench"]);
    assert_eq!((done.status.code(), done.stderr.as_str()), (Some(5), ""));
    let found: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&found["sound"], &found["findings"][0]["code"]), (&false.into(), &"held-by-the-dead".into()));
    assert_eq!(found["findings"][0]["object"], "tools[1]");

    // Taken over and not repaired; then repaired.
    let Err(LockError::OwnerDied(left)) = bench.tools[1].lock() else { panic!("nobody died") };
    drop(left);
    drop(bench.seats.take());
    drop(bench.seats.take());
    let (code, lines) = verify(&scene);
    assert_eq!(code, Some(5));
    says(&lines[0], &["Mutex 'tools[1]' holds data in doubt", "repaired()"]);
    says(&text(scene.run(&["region", "inspect", "bench"]).well()), &["tools[1] at 16, 16 bytes, data in doubt"]);
    let Err(LockError::OwnerDied(left)) = bench.tools[1].lock() else { panic!("it was forgotten") };
    drop(left.repaired());
    drop(bench);
}

#[test]
fn regions_in_files_are_looked_at_by_path() {
    let scene = Scene::new();
    let path = scene.path().join("a file");
    let shown = path.display().to_string();
    let bench: Region<Bench> = Region::create_file(&path).expect("a region");
    says(&text(scene.run(&["region", "inspect", "--file", &shown]).well()), &[&shown, "Bench", "Journaled book"]);
    says(&text(scene.run(&["region", "verify", "--file", &shown]).well()), &["is sound", &shown]);
    drop(bench);
    fs::write(&path, "something else").expect("a file");
    says(&scene.run(&["region", "inspect", "--file", &shown]).refused(1), &["not a usable region"]);
    let done = scene.run(&["region", "verify", "--file", &shown]);
    assert_eq!((done.status.code(), done.stderr.as_str()), (Some(5), ""));
    says(&text(done.stdout), &["not a usable region", "14 bytes", "create the region anew"]);
    // Of what cannot be read nobody knows who has attached it.
    fs::write(scene.path().join("odd.region"), "something else").expect("a file");
    let table = text(scene.run(&["region", "ls"]).well());
    let row = table.lines().find(|line| line.starts_with("odd ")).unwrap_or_else(|| panic!("no row in {table}"));
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["odd", "14", "B", "unknown"], "{table}");
    let listed: Value = serde_json::from_slice(&scene.run(&["region", "ls", "--json"]).well()).expect("JSON");
    let odd = listed.as_array().and_then(|all| all.iter().find(|it| it["name"] == "odd")).expect("it is listed");
    assert!(odd["participants"].is_null() && odd["size_bytes"] == 14, "{odd}");
    fs::remove_file(scene.path().join("odd.region")).expect("ours");
    says(&scene.run(&["region", "verify", "--file", "/nowhere"]).refused(1), &["/nowhere"]);
    says(&scene.run(&["region", "verify", "nothing"]).refused(1), &["nothing", "wharf region ls"]);
    for verb in ["inspect", "verify", "watch"] {
        scene.run(&["region", verb]).refused(2);
        scene.run(&["region", verb, "a", "--file", "b"]).refused(2);
        scene.run(&["region", verb, "a/b"]).refused(2);
    }
}

/// FNV-1a over the header page, at its end.
fn sign(file: &mut [u8]) {
    let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let sum = file[..4088].iter().fold(0xcbf2_9ce4_8422_2325, fold);
    file[4088..4096].copy_from_slice(&sum.to_le_bytes());
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

#[test]
fn a_hostile_file_says_nothing_to_the_terminal_and_ends_no_command() {
    let scene = Scene::new();
    let guest = {
        let _bench = bench::create(&scene);
        let guest = bench::play(&scene, "guest");
        guest.signal("KILL");
        guest
    };
    guest.finish();
    let whole = fs::read(scene.path().join("bench.region")).expect("the region's file");
    let path = scene.path().join("hostile");
    let shown = path.display().to_string();
    let look = |bytes: &[u8]| {
        write_private(&path, bytes);
        let mut all = Vec::new();
        for verb in [
            &["inspect"][..],
            &["inspect", "--json"],
            &["verify"],
            &["verify", "--json"],
            &["watch", "--count", "1"],
            &["watch", "--count", "1", "--json"],
        ] {
            let line: Vec<&str> =
                ["region", verb[0], "--file", &shown].into_iter().chain(verb[1..].iter().copied()).collect();
            let done = scene.run(&line);
            // What makes a region unusable is found by `verify`, and is in the way of the others.
            let bad = if verb[0] == "verify" { 5 } else { 1 };
            assert!(done.status.code().is_some_and(|code| code == 0 || code == bad), "{done:?}");
            assert!(!done.stderr.contains("panicked"), "{done:?}");
            let said = text(done.stdout) + &done.stderr;
            let speaks = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
            assert!(!said.contains(speaks), "{said:?}");
            all.push(said);
        }
        all
    };

    // Its type, a path and a program are named to take over the terminal.
    let mut named = whole.clone();
    let name = "\x1b[31m\u{9b}2J\u{202e}\r\n";
    let replace = |file: &mut [u8], at: usize, len: usize| {
        let filled: Vec<u8> = name.bytes().chain(std::iter::repeat_n(b'x', len)).take(len).collect();
        file[at..at + len].copy_from_slice(&filled);
    };
    named[52..56].copy_from_slice(&20_u32.to_le_bytes());
    replace(&mut named, 256, 20);
    // The path of the first object, `tools[]`, behind its 20 fixed bytes and one array.
    assert_eq!(&named[1032 + 36..1032 + 43], b"tools[]");
    replace(&mut named, 1032 + 36, 5);
    // The guest's slot, which the killed one could not give back.
    let slot = (0..256).map(|slot| 4096 + 64 * slot).find(|&at| named[at] & 3 == 2).expect("a slot that was left");
    replace(&mut named, slot + 40, 16);
    sign(&mut named);
    let said = look(&named);
    says(&said[0], &["\\u{1b}[31m\\u{9b}2J\\u{202e}", "(\\u{1b}[31m"]);
    says(&said[1], &["\\u001b[31m\\u009b2J\\u202e"]);

    // Bytes turned over at random, signed as if they were meant, with the whole root and both tables among them.
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..20 {
        let mut file = whole.clone();
        for _ in 0..1 << (round % 12) {
            let at = random() as usize % file.len();
            // Every other one in the header.
            let at = if random() & 1 == 0 { 8 + at % 4080 } else { at };
            file[at] ^= random() as u8;
        }
        sign(&mut file);
        look(&file);
    }
    for len in [0, 1, 4095, 4096, 5000, whole.len() - 1] {
        look(&whole[..len]);
    }
}

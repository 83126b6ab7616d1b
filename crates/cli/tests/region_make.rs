//! `wharf region`: create, ls, inspect and rm.

mod scene;

use scene::{Scene, says, start};
use serde_json::Value;
use wharf::RegionOptions;
use wharf_sys::directory::Domain;

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output).expect("JSON")
}

/// No regions: an empty list, and one line beside it that says where was looked.
fn none_listed(scene: &Scene) {
    let listed = scene.run(&["region", "ls"]);
    assert!(listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
    assert_eq!(listed.stderr, format!("wharf: no regions in {}\n", scene.path().display()));
}

#[test]
fn a_region_lives_from_create_to_rm() {
    let scene = Scene::new();
    none_listed(&scene);
    assert_eq!(json(&scene.run(&["region", "ls", "--json"]).well()), Value::Array(vec![]));
    let told = scene.run(&["region", "create", "frame", "--size", "64KiB", "--json"]).well();
    assert_eq!(json(&told), serde_json::json!({"region": "frame", "bytes": 65536}));
    let near = scene.run(&["region", "inspect", "frmae"]).refused(1);
    assert_eq!(near, "wharf: there is no region 'frmae': did you mean 'frame'?");
    let listed = String::from_utf8(scene.run(&["region", "ls"]).well()).expect("text");
    says(&listed, &["frame", "65536 bytes"]);
    let told = scene.run(&["region", "rm", "frame", "--json"]).well();
    assert_eq!(json(&told), serde_json::json!({"removed": "frame"}));
    none_listed(&scene);
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn verbs_that_only_look_make_no_directory() {
    let scene = Scene::new();
    let names = scene.path().join("names");
    let run = |arguments: &[&str]| {
        let mut command = scene.wharf(arguments);
        command.env("WHARF_DIR", &names);
        let finished = start(command).finish();
        assert!(!names.exists(), "{arguments:?}");
        finished
    };
    let listed = run(&["region", "ls"]);
    assert!(listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
    assert_eq!(listed.stderr, format!("wharf: no regions in {}\n", names.display()));
    assert_eq!(json(&run(&["region", "ls", "--json"]).well()), Value::Array(vec![]));
    for verb in ["inspect", "verify", "watch", "rm"] {
        says(&run(&["region", verb, "frame"]).refused(1), &["frame"]);
    }
    for address in ["unix:frame", "pipe:frame", "shm:frame"] {
        says(&run(&["send", address, "hi"]).refused(1), &["nobody", address]);
    }
}

#[test]
fn inspect_tells_who_has_attached() {
    let scene = Scene::new();
    scene.run(&["region", "create", "frame", "--size", "1000"]).well();
    let inspect = || json(&scene.run(&["region", "inspect", "frame", "--json"]).well());
    assert_eq!(inspect()["participants"], Value::Array(vec![]), "its creator has left");

    let domain = Domain::at(scene.path()).expect("a directory");
    let region = RegionOptions::new().domain(domain).attach_bytes("frame").expect("a region");
    assert_eq!(region.len(), 1000);
    let shown = inspect();
    assert_eq!(shown["kind"], "bytes");
    assert_eq!(shown["name"], "frame");
    let participant = &shown["participants"][0];
    assert_eq!(participant["pid"], std::process::id());
    assert_eq!(participant["alive"], true);
    let text = String::from_utf8(scene.run(&["region", "inspect", "frame"]).well()).expect("text");
    says(&text, &["frame", &format!("process {}", std::process::id()), "alive"]);
    let listed = json(&scene.run(&["region", "ls", "--json"]).well());
    assert_eq!(listed[0]["participants"][0]["pid"], std::process::id());
}

#[test]
fn what_a_region_holds_survives_the_command_and_its_name() {
    let scene = Scene::new();
    scene.run(&["region", "create", "frame", "--size", "16"]).well();
    let domain = Domain::at(scene.path()).expect("a directory");
    let attach = || RegionOptions::new().domain(domain.clone()).attach_bytes("frame").expect("a region");
    let first = attach();
    first.lock().expect("a free lock").copy_from_slice(b"sixteen bytes...");
    drop(first);
    let second = attach();
    scene.run(&["region", "rm", "frame"]).well();
    assert_eq!(&*second.lock().expect("a free lock"), b"sixteen bytes...");
}

#[test]
fn a_file_that_is_no_region_is_listed_as_such_and_can_be_removed() {
    let scene = Scene::new();
    scene.run(&["region", "create", "frame", "--size", "16"]).well();
    let [file] = scene.left_behind().try_into().expect("one file");
    let path = scene.path().join(&file);
    std::fs::File::options().write(true).open(&path).and_then(|it| it.set_len(10)).expect("a shorter file");
    let listed = json(&scene.run(&["region", "ls", "--json"]).well());
    assert!(listed[0]["problem"].is_string(), "{listed:#}");
    says(&scene.run(&["region", "inspect", "frame"]).refused(1), &["frame"]);
    scene.run(&["region", "rm", "frame"]).well();
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn names_are_checked() {
    let scene = Scene::new();
    for name in ["", "a/b", ".hidden"] {
        scene.run(&["region", "create", name, "--size", "1"]).refused(2);
        scene.run(&["region", "inspect", name]).refused(2);
        scene.run(&["region", "rm", name]).refused(2);
    }
    says(&scene.run(&["region", "create", "a/b", "--size", "1"]).refused(2), &["a/b", "slash"]);
}

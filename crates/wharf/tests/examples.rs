//! The examples run, and come out as they promise.

use std::path::PathBuf;
use std::process::Command;

/// Runs an example, which Cargo built beside this test; returns what it printed.
fn run(name: &str) -> String {
    let test = std::env::current_exe().expect("own path");
    // target/PROFILE/deps/this-test, target/PROFILE/examples/NAME
    let profile = test.parent().and_then(|deps| deps.parent()).expect("the folder of the profile");
    let example: PathBuf = profile.join("examples").join(name);
    let output = Command::new(&example).output().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; a run of all tests builds it, and so does `cargo build -p wharf --examples`",
            example.display()
        )
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn every_number_goes_through_the_bounded_buffer_once_and_in_order_whoever_is_killed() {
    let said = run("bounded_buffer");
    assert!(said.contains("20000 numbers put in, 20000 taken out in order"), "{said}");
    assert!(!said.contains(" 0 processes killed"), "{said}");
}

#[test]
fn philosophers_that_are_killed_at_random_are_never_stuck() {
    let said = run("philosophers");
    assert!(said.contains("5 philosophers had 100000 meals each"), "{said}");
    assert!(!said.contains(" 0 of them"), "nobody was killed: {said}");
}

#[test]
fn watchers_see_whole_settings_and_the_last_of_them() {
    let said = run("settings");
    assert!(said.contains("settings 100 at volume 10"), "{said}");
    assert!(said.contains("2 watchers saw the last of 100 versions"), "{said}");
}

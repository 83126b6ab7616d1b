//! `wharf lesson`: every row comes to a verdict from figures of real processes, and says how to take it again.

mod scene;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use scene::{Scene, says};
use serde_json::Value;

/// Every row, in order.
const ROWS: [&str; 12] = [
    "set-up",
    "lost-updates",
    "marshaling",
    "crossover",
    "processes",
    "corruption",
    "full-channel",
    "program-lines",
    "cpus",
    "busy-and-rare",
    "remote",
    "isolation",
];

/// Rows measure, and what measures wants the processors for itself: one lesson at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    // A test that failed in its turn has said so; the others still have theirs.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs rows and returns what the JSON says of them. On one CPU, or without ptrace, some say that they cannot be measured.
fn lesson(scene: &Scene, rows: &[&str], more: &[&str]) -> Vec<Value> {
    let _turn = turn();
    let options = rows.iter().flat_map(|row| ["--row", row]);
    let line: Vec<&str> = ["lesson", "--json"].into_iter().chain(options).chain(more.iter().copied()).collect();
    let finished = scene.run(&line);
    let all: Value = serde_json::from_slice(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    assert_eq!(all["schema"], "wharf.lesson/1");
    assert!(all["machine"]["cpus"].as_u64() > Some(0));
    let taken = all["rows"].as_array().expect("rows").clone();
    let missing = taken.iter().filter(|row| row["verdict"] == "not_measured").count();
    assert_eq!(finished.status.code(), Some(i32::from(missing > 0)), "{finished:?}");
    // Each keeps its limit by its own clock, however busy the machine is.
    for row in &taken {
        assert!(row["seconds"].as_f64().is_some_and(|seconds| seconds < 10.0), "{row}");
    }
    assert_eq!(scene.left_behind(), [""; 0]);
    taken
}

/// The figure whose name has this in it.
fn figure(row: &Value, what: &str) -> f64 {
    let mut figures = row["figures"].as_array().expect("figures").iter();
    let found = figures.find(|figure| figure["what"].as_str().is_some_and(|it| it.contains(what)));
    found.unwrap_or_else(|| panic!("no {what:?} in {row}"))["value"].as_f64().expect("a number")
}

#[test]
fn every_row_is_listed_with_its_claim() {
    let scene = Scene::new();
    let listed = String::from_utf8(scene.run(&["lesson", "--list"]).well()).expect("text");
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ROWS);
    let listed: Value = serde_json::from_slice(&scene.run(&["lesson", "--list", "--json"]).well()).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(ROWS.len()));
    assert!(listed[0]["claim"].as_str().is_some_and(|claim| claim.ends_with('.')));
    says(&scene.run(&["lesson", "--row", "isolatoin"]).refused(2), &["isolatoin", "did you mean 'isolation'"]);
    says(&scene.run(&["lesson", "--row", "xyzzy"]).refused(2), &["xyzzy", "--list"]);
    says(&scene.run(&["lesson", "--row", "set-up", "--html", "/no/such/page"]).refused(1), &["/no/such/page"]);
    says(&scene.run(&["lesson", "--row", "set-up", "--html", "/"]).refused(2), &["--html: '/' is a directory"]);
}

#[test]
fn a_lock_is_what_keeps_updates() {
    let scene = Scene::new();
    let rows = lesson(&scene, &["lost-updates"], &[]);
    // On a busy machine there are fewer turns.
    let increments = figure(&rows[0], "increments");
    assert!((2e5..=2e6).contains(&increments), "{}", rows[0]);
    assert!(increments == 2e6 || rows[0]["note"].is_string(), "{}", rows[0]);
    assert_eq!(figure(&rows[0], "with a lock"), 0.0);
    let lost = figure(&rows[0], "without a lock");
    let verdict = if lost > 0.0 { "holds" } else { "depends" };
    assert_eq!(rows[0]["verdict"], verdict, "{}", rows[0]);
}

#[test]
fn nothing_is_lost_in_silence_under_any_policy() {
    let scene = Scene::new();
    let row = &lesson(&scene, &["full-channel"], &[])[0];
    assert_eq!(row["verdict"], "holds", "{row}");
    let all = figure(row, "messages");
    assert_eq!(figure(row, "block: received"), all);
    assert!(figure(row, "reject: handed back") > 0.0 && figure(row, "drop oldest: missed") > 0.0);
    assert_eq!(figure(row, "reject: received") + figure(row, "reject: handed back"), all);
    assert_eq!(figure(row, "drop oldest: received") + figure(row, "drop oldest: missed"), all);
}

#[test]
fn damage_and_cost_of_a_process_are_counted_by_those_concerned() {
    let scene = Scene::new();
    let rows = lesson(&scene, &["corruption", "processes", "program-lines"], &[]);
    assert_eq!(rows[0]["verdict"], "holds", "{}", rows[0]);
    assert_eq!(figure(&rows[0], "cannot attach the region"), 3.0);
    assert_eq!(figure(&rows[0], "links that went on"), 3.0);
    assert_eq!(figure(&rows[1], "region: in each that was there"), 0.0, "{}", rows[1]);
    assert!(figure(&rows[1], "links: in each that was there") > 0.0, "{}", rows[1]);
    assert!(figure(&rows[2], "shared memory") > 5.0 && figure(&rows[2], "who connects") > 3.0);
}

#[test]
fn figures_of_time_are_there_and_a_row_says_how_to_repeat_it() {
    let scene = Scene::new();
    let rows = lesson(&scene, &["cpus", "busy-and-rare", "marshaling", "cpus"], &[]);
    assert_eq!(rows.len(), 3, "a row that is asked for twice is taken once");
    for row in &rows {
        let name = row["name"].as_str().expect("a name");
        assert_eq!(row["command"], format!("wharf lesson --row {name}"));
        if row["verdict"] == "not_measured" {
            says(row["why"].as_str().expect("why"), &[" "]);
            continue;
        }
        let figures = row["figures"].as_array().expect("figures");
        assert!(figures.len() >= 3 && figures.iter().all(|it| it["value"].as_f64() >= Some(0.0)), "{row}");
        assert!(["holds", "holds_no_longer", "depends"].contains(&row["verdict"].as_str().expect("a verdict")));
    }
}

#[test]
fn the_page_is_complete_in_itself() {
    let (scene, files) = (Scene::new(), Scene::new());
    let page = files.path().join("lesson.html");
    let rows =
        lesson(&scene, &["crossover", "isolation", "remote", "set-up"], &["--html", page.to_str().expect("text")]);
    if rows.iter().all(|row| row["verdict"] != "not_measured") {
        // Attempts to write: those through shm: change nothing, the one in a plain region does.
        assert_eq!(figure(&rows[1], "shm: of them changed"), 0.0, "{}", rows[1]);
        assert!(figure(&rows[1], "plain + lock of them changed") > 0.0, "{}", rows[1]);
        assert_eq!(rows[1]["verdict"], "holds_no_longer");
        // Between two network namespaces, or else over the loopback, and it says which.
        let (note, figures) = (rows[2]["note"].as_str().expect("a note"), rows[2]["figures"].to_string());
        assert_eq!(
            note.contains("over the loopback, because"),
            !figures.contains("between two network namespaces"),
            "{note}"
        );
    }
    if rows[3]["verdict"] != "not_measured" {
        assert!(figure(&rows[3], "shm: each message") < figure(&rows[3], "unix: each message"), "{}", rows[3]);
        assert!(figure(&rows[3], "shm: set-up") > 1.0);
    }
    let html = fs::read_to_string(&page).expect("a page");
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for row in &rows {
        says(&html, &[&format!("id=\"{}\"", row["name"].as_str().expect("a name"))]);
    }
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(html.matches("<svg").count() >= 3, "pictures");
    // Nothing is fetched, and nothing runs. An SVG names its own language by an address that nobody visits.
    let html = html.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["<script", "http:", "https:", "@import", "url(", "src="] {
        assert!(!html.contains(foreign), "{foreign} in the page");
    }
    assert_eq!(files.left_behind(), ["lesson.html"]);
}

#[test]
fn people_read_it_as_it_comes_and_control_c_leaves_nothing() {
    let _turn = turn();
    let scene = Scene::new();
    let text = String::from_utf8(scene.run(&["lesson", "--row", "program-lines", "--row", "corruption"]).well())
        .expect("text");
    says(
        &text,
        &["easier to program", "again: wharf lesson --row program-lines", "again: wharf lesson --row corruption"],
    );
    assert!(!text.contains('\x1b'), "colour without a terminal");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let mut running = scene.start(&["lesson", "--row", "program-lines", "--row", "crossover"]);
    running.says_line("again: wharf lesson --row");
    running.signal("INT");
    assert!(running.finish().status.code().is_none());
    scene::await_that("the other processes end", || scene.left_behind().is_empty());
}

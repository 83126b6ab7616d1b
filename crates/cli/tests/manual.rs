//! What the command says of itself: the help of every command, and completions in the shell that they are for.

mod scene;

use std::fs;
use std::process::Command;

use scene::{Scene, says, skipped, start};

/// Every command of the grammar, as its words: who writes the manual pages goes over all of them.
fn commands(scene: &Scene) -> Vec<Vec<String>> {
    scene.run(&["man", "--all", scene.path().to_str().expect("text")]).well();
    let pages = scene.left_behind();
    let mut commands: Vec<Vec<String>> = Vec::new();
    for page in pages.iter().filter_map(|page| page.strip_suffix(".1")) {
        commands.push(page.split('-').skip(1).map(str::to_owned).collect());
    }
    commands.sort();
    commands
}

#[test]
fn every_command_has_an_example_and_its_exit_codes_in_its_help() {
    let scene = Scene::new();
    let commands = commands(&scene);
    let known: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
    for known_one in ["", "chat", "region", "region create", "state get", "event wait", "completions"] {
        assert!(known.iter().any(|it| it == known_one), "{known_one:?} is not among {known:?}");
    }
    for words in &commands {
        let line: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let help = String::from_utf8(scene.run(&line).well()).expect("text");
        says(&help, &["Exit codes: 0 "]);
        let (_, examples) = help.split_once("Examples").unwrap_or_else(|| panic!("{words:?} has no examples"));
        let name = [&["wharf".to_owned()], words.as_slice()].concat().join(" ");
        // Of that command, and not of another one: after it comes an argument, an option, or nothing.
        let shown = examples.lines().skip(1).any(|line| {
            let found = line.split('|').find_map(|part| part.trim_start().strip_prefix(&name));
            found.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        assert!(shown, "no example of '{name}' in its help: {examples}");
    }
}

/// What the shell would offer after this line, by the script that the command has written for it.
fn offered(scene: &Scene, script: &str, words: &[&str]) -> Option<Vec<String>> {
    let completes = r#"
        source "$1" || exit 9
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        called=$(complete -p wharf) || exit 8
        called=${called#*-F } called=${called%% *}
        "$called" wharf "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" || exit 7
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    if Command::new("bash").arg("--version").output().is_err() {
        return None;
    }
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-c", completes, "bash", script]).args(words).env("WHARF_DIR", scene.path());
    let said = String::from_utf8(start(command).finish().well()).expect("text");
    Some(said.lines().map(str::to_owned).collect())
}

#[test]
fn completions_load_in_bash_and_offer_what_there_is() {
    let scene = Scene::new();
    let script = scene.path().join("wharf.bash");
    fs::write(&script, scene.run(&["completions", "bash"]).well()).expect("a file");
    let script = script.to_str().expect("text");
    let Some(verbs) = offered(&scene, script, &["wharf", "re"]) else {
        skipped("completions_load_in_bash_and_offer_what_there_is", "there is no bash here");
        return;
    };
    assert_eq!(verbs, ["recv", "region"]);
    let of_region = offered(&scene, script, &["wharf", "region", "v"]).expect("bash");
    assert_eq!(of_region, ["verify"]);
    let options = offered(&scene, script, &["wharf", "compare", "--q"]).expect("bash");
    assert_eq!(options, ["--quick"]);
    let nothing = offered(&scene, script, &["wharf", "__"]).expect("bash");
    assert!(nothing.iter().all(String::is_empty), "what is not for users is offered: {nothing:?}");
}

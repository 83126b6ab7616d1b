//! What the compiler says about types that cannot live in shared memory, and about traits that cannot be services: the right
//! sentence at the right line.
//!
//! Each file in `compile_fail/` is compiled as a program of its own. A comment `//~ sentence` says that an error with
//! that sentence in its first line points to this line of the program; every error needs such a comment. What else the
//! compiler writes is its own affair and changes with its version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MARK: &str = "//~ ";

/// A package of its own, with the programs as its binaries, that depends on the crates as a user does.
fn package(cases: &[PathBuf]) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let programs = package.join("src/bin");
    // Programs of an earlier run whose file is gone would still be compiled.
    let _ = fs::remove_dir_all(&programs);
    fs::create_dir_all(&programs).unwrap();
    for case in cases {
        fs::copy(case, programs.join(case.file_name().unwrap())).unwrap();
    }
    let manifest = format!(
        "[package]\nname = \"compile-fail\"\nedition = \"2024\"\n\
         [dependencies]\n\
         wharf-shared-memory = {{ path = {:?} }}\n\
         wharf-message-passing = {{ path = {:?} }}\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n\
         [workspace]\n",
        crates.join("shared-memory"),
        crates.join("message-passing")
    );
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // The very versions that this test was built with: they are on this machine already.
    fs::copy(crates.join("../Cargo.lock"), package.join("Cargo.lock")).unwrap();
    package
}

/// What the compiler calls wrong in one place of one program.
#[derive(Debug)]
struct Mistake {
    /// The first line, which is the sentence that this crate wrote.
    sentence: String,
    /// Where it points to: `src/bin/program.rs:line:column`.
    place: String,
}

fn mistakes(package: &Path) -> Vec<Mistake> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--bins", "--keep-going", "--offline", "--quiet", "--target-dir"])
        // The one that this test was built in: what the macros need is compiled there already.
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap())
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(package)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines = said.lines();
    let mut mistakes = Vec::new();
    // Bound: each turn takes a line.
    while let Some(line) = lines.next() {
        // The last error of a program only counts the others, and has no place.
        if line.starts_with("error") && !line.starts_with("error: could not compile `compile-fail`") {
            let place = lines.next().and_then(|next| next.trim_start().strip_prefix("--> "));
            let place = place.unwrap_or_else(|| panic!("an error without a place:\n{said}"));
            mistakes.push(Mistake { sentence: line.to_owned(), place: place.to_owned() });
        }
    }
    mistakes
}

#[test]
fn every_unfit_type_and_trait_is_an_error_at_its_place_that_says_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mistakes = mistakes(&package(&cases));
    let mut explained = 0;
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        for (line, number) in fs::read_to_string(case).unwrap().lines().zip(1..) {
            let place = format!("src/bin/{name}:{number}:");
            for sentence in line.split(MARK).skip(1).map(str::trim_end) {
                let found =
                    |mistake: &&Mistake| mistake.place.starts_with(&place) && mistake.sentence.contains(sentence);
                let count = mistakes.iter().filter(found).count();
                assert_eq!(count, 1, "nothing at {place} says {sentence:?}; found: {mistakes:#?}");
                explained += 1;
            }
        }
    }
    assert!(explained > 35, "only {explained} mistakes were expected at all");
    assert_eq!(explained, mistakes.len(), "some of these nobody expects: {mistakes:#?}");
}

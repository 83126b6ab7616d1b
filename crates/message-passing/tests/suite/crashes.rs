//! Processes that die or stop at a named point, and the list of these.

use std::collections::BTreeSet;
use std::path::Path;

use super::world::{Process, World};

/// Checks that these are the crash points in the sources below `src/FOLDER` whose names begin so, no more and no fewer.
pub(crate) fn assert_all(folder: &str, beginning: &str, listed: &[(&str, &str)]) {
    let mut in_code = BTreeSet::new();
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder), &mut in_code);
    in_code.retain(|point| point.starts_with(beginning));
    assert_eq!(
        in_code.iter().map(String::as_str).collect::<Vec<_>>(),
        listed.iter().map(|it| it.0).collect::<Vec<_>>()
    );
}

/// The crash points in the sources of a folder.
fn below(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, into);
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let rest = text.split("crash_point!(\"").skip(1);
        into.extend(rest.filter_map(|rest| rest.split_once("\")")).map(|(name, _)| name.to_owned()));
    }
}

/// One that is to stop there, until it is told to go on by a signal.
pub(crate) fn stopping(world: &World, point: &str, role: &str, words: &[&str]) -> Process {
    let mut command = world.command(role, words);
    command.env("WHARF_STOP_AT", point);
    Process::start(command).unwrap()
}

/// One that is to die there.
pub(crate) fn dying(world: &World, point: &str, role: &str, words: &[&str]) -> Process {
    let mut command = world.command(role, words);
    command.env("WHARF_CRASH_AT", point);
    Process::start(command).unwrap()
}

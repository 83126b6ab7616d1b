//! How long the smallest programs are in both models.

use crate::compare::trouble::Trouble;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

/// The programs themselves, which are compiled and run by the tests of the library.
const SHARED: &str = include_str!("../../../../wharf/examples/hello_region.rs");
const LISTENER: &str = include_str!("../../../../wharf/examples/hello_listener.rs");
const CALLER: &str = include_str!("../../../../wharf/examples/hello_caller.rs");

pub(crate) fn measure(_ground: &Ground) -> Result<Finding, Trouble> {
    let (shared, listener, caller) = (lines(SHARED), lines(LISTENER), lines(CALLER));
    let messages = listener + caller;
    let figures = vec![
        Figure::new("shared memory: one program for all sides", shared as f64, "lines"),
        Figure::new("messages: who listens", listener as f64, "lines"),
        Figure::new("messages: who connects", caller as f64, "lines"),
    ];
    // A quarter more is a draw.
    let verdict = if 4 * shared > 5 * messages { Verdict::Holds } else { Verdict::HoldsNoLonger };
    let why = format!(
        "the smallest program that shares a value has {shared} lines, for every process the same; those that exchange a message have \
         {listener} and {caller}: with a lock that recovers when its holder dies, neither model is the harder one to begin with"
    );
    let note = "lines that are neither empty nor comment, of crates/wharf/examples/hello_*.rs";
    Ok(Finding::new(verdict, why, figures).noting(note))
}

/// Lines of code.
fn lines(program: &str) -> usize {
    program.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_do_not_count() {
        assert_eq!(lines("//! says\n\nfn main() {\n    // says\n    work();\n}\n"), 3);
        assert!(lines(SHARED) > 3 && lines(LISTENER) > 3 && lines(CALLER) > 3);
    }
}

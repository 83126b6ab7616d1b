//! A row for people at a terminal.

use super::Taken;
use super::finding::Verdict;
use crate::printable::printable;

/// Columns of the text.
const WIDTH: usize = 96;
/// Columns before it.
const MARGIN: &str = "    ";

/// The row as lines, with an empty one behind.
pub(super) fn row(taken: &Taken, colour: bool) -> String {
    let mut text = wrap(taken.claim, "");
    let verdict = taken.verdict.words();
    let verdict = if colour { format!("\x1b[1;{}m{verdict}\x1b[0m", tint(taken.verdict)) } else { verdict.to_owned() };
    text.push_str(&format!("{MARGIN}{verdict}\n"));
    text.push_str(&wrap(&printable(&taken.why), MARGIN));
    let widest = taken.figures.iter().map(|figure| figure.what.chars().count()).max().unwrap_or(0);
    for figure in &taken.figures {
        let room = widest - figure.what.chars().count();
        text.push_str(&format!("{MARGIN}{MARGIN}{}{:room$}  {:>16}\n", figure.what, "", figure.shown()));
    }
    if let Some(note) = &taken.note {
        text.push_str(&wrap(&format!("({note})"), MARGIN));
    }
    text.push_str(&format!("{MARGIN}again: {}\n\n", taken.command));
    text
}

fn tint(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Holds => 32,
        Verdict::HoldsNoLonger => 35,
        Verdict::Depends => 33,
        Verdict::NotMeasured => 31,
    }
}

/// Lines of words with a margin.
pub(super) fn wrap(text: &str, margin: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from(margin);
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH && line.trim() != "" {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = String::from(margin);
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_no_word_is_lost() {
        let text = "word ".repeat(100);
        let wrapped = wrap(&text, MARGIN);
        assert!(wrapped.lines().all(|line| line.starts_with(MARGIN) && line.len() <= WIDTH));
        assert_eq!(wrapped.split_whitespace().count(), 100);
    }
}

//! What a process of a test says: one line, a word, a text, and the moment.

use std::io::{self, Write};

use wharf_sys::clock::Instant;

/// One line that a process said on its standard output.
///
/// The moment is on the monotonic clock, which all processes of a machine share, so that a test can
/// tell how long after a death its witness spoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What happened.
    pub word: String,
    /// Particulars; may be empty.
    pub text: String,
    /// When.
    pub at: Instant,
}

impl Said {
    /// Reads a line as [`say`] writes it; `None` for any other text.
    pub fn parse(line: &str) -> Option<Said> {
        let (nanos, rest) = line.strip_prefix('@')?.split_once(' ')?;
        let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Said {
            word: word.to_owned(),
            text: text.trim_end().to_owned(),
            at: Instant::from_nanos(nanos.parse().ok()?),
        })
    }
}

/// Says `word` with particulars `text` now, to whoever started this process.
///
/// An error means that nobody listens any more: the process has no reason to go on.
pub fn say(word: &str, text: &str) -> io::Result<()> {
    let line = format!("@{} {word} {}\n", Instant::now().as_nanos(), text.replace('\n', " "));
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::Said;
    use wharf_sys::clock::Instant;

    #[test]
    fn a_line_has_a_moment_a_word_and_perhaps_a_text() {
        let said = |word: &str, text: &str| {
            let (word, text) = (word.to_owned(), text.to_owned());
            Some(Said { word, text, at: Instant::from_nanos(12) })
        };
        assert_eq!(Said::parse("@12 ready "), said("ready", ""));
        assert_eq!(Said::parse("@12 ready"), said("ready", ""));
        assert_eq!(Said::parse("@12 took 3 messages"), said("took", "3 messages"));
        assert_eq!(Said::parse("thread 'main' panicked"), None);
    }
}

//! What is shown of text that somebody else has written, on terminals and on pages alike: nothing of it speaks to a terminal or
//! hides from who reads it.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The most characters without a width of their own (accents, joiners) in a row.
const MOST_COMBINING: usize = 8;

const JOINER: char = '\u{200d}';
const NON_JOINER: char = '\u{200c}';

/// Text from somebody else in one line: what does something else than being read, and what is not seen, is written as an escape.
/// Joiners and signs of emoji stay where they do what they are for.
pub(crate) fn printable(text: &str) -> String {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let (mut before, mut combining) = (None, 0);
    for (start, cluster) in text.grapheme_indices(true) {
        for (at, character) in cluster.char_indices() {
            let behind = at + character.len_utf8();
            let next = |text: &str, at: usize| text.get(at..).and_then(|rest| rest.chars().next());
            let joined = next(cluster, behind);
            if !has_a_place(character, before, joined, next(text, start + behind)) {
                shown.extend(character.escape_default());
                (before, combining) = (None, 0);
                continue;
            }
            combining = if character.width() == Some(0) { combining + 1 } else { 0 };
            if combining <= MOST_COMBINING {
                shown.push(character);
                before = Some(character);
            }
        }
    }
    shown
}

/// Whether a character is read where it stands: behind one, in front of one that it is joined to, or that just follows.
fn has_a_place(character: char, before: Option<char>, joined: Option<char>, next: Option<char>) -> bool {
    match character {
        // Between the parts of an emoji, or of a syllable; or letters of a script that is written joined.
        JOINER if joined.is_some_and(|it| !hides(it) && it.width() != Some(0)) => true,
        JOINER | NON_JOINER => before.is_some_and(is_written_joined) && next.is_some_and(is_written_joined),
        // Makes an emoji, or none, of the one before it.
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|it| String::from_iter([it, '\u{fe0f}']).width() == 2),
        other => !hides(other),
    }
}

/// Arabic, Syriac and the scripts of India.
fn is_written_joined(character: char) -> bool {
    matches!(character, '\u{600}'..='\u{dff}') && !hides(character)
}

/// Whether a character does something else than being read, or is not seen: control characters; marks, embeddings and isolates of
/// direction; separators of lines; what is invisible, or blank without being a blank; joiners and selectors; tags.
pub(crate) fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_speaks_to_a_terminal_and_nothing_hides() {
        for (text, expected) in [
            ("a\x1b[31mb", "a\\u{1b}[31mb"),
            ("\u{9b}2J\x07\r\n\t", "\\u{9b}2J\\u{7}\\r\\n\\t"),
            ("a\u{202e}b\u{2066}\u{200b}\u{feff}", "a\\u{202e}b\\u{2066}\\u{200b}\\u{feff}"),
            ("a\u{ad}\u{34f}\u{2800}\u{3164}\u{e0041}", "a\\u{ad}\\u{34f}\\u{2800}\\u{3164}\\u{e0041}"),
            // Joiners and selectors that do nothing.
            ("a\u{200d}b\u{200c}c\u{fe0f}d\u{fe00}", "a\\u{200d}b\\u{200c}c\\u{fe0f}d\\u{fe00}"),
            ("👩\u{200d}", "👩\\u{200d}"),
            ("👩\u{200d}\u{34f}👧", "👩\\u{200d}\\u{34f}👧"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\u{fe0f}"),
        ] {
            assert_eq!(printable(text), expected);
            assert_eq!(printable(expected), expected);
        }
        let tower = format!("a{}b", "\u{301}".repeat(500));
        assert_eq!(printable(&tower).chars().count(), 2 + MOST_COMBINING);
    }

    #[test]
    fn what_is_read_stays_as_it_is() {
        for text in [
            "plain",
            r#"it's "that" – é \ 5 µs"#,
            "e\u{301} 👩\u{200d}🚀 ❤\u{fe0f} 漢字",
            // A family of four, joined.
            "👩\u{200d}👩\u{200d}👧\u{200d}👦",
            "🇩🇪🇫🇷",
            "1\u{fe0f}\u{20e3}",
            "👍🏽",
            // A half-joined word of Persian, and a syllable of Sinhala.
            "می\u{200c}خواهم",
            "ශ්\u{200d}ර",
        ] {
            assert_eq!(printable(text), text);
        }
    }
}

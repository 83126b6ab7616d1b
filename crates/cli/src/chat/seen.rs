//! What is seen of text that somebody else has written: nothing of it speaks to a terminal or hides from who reads it, on terminals
//! and on pages alike; how wide it is; and which names look like one.

use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The most characters without a width of their own (accents, joiners) in a row.
pub(super) const MOST_COMBINING: usize = 8;

const JOINER: char = '\u{200d}';
const NON_JOINER: char = '\u{200c}';

/// Text from somebody else in one line: what does something else than being read, and what is not seen, is written as an escape.
/// Joiners and signs of emoji stay where they do what they are for.
pub(super) fn shown(text: &str) -> String {
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
                shown.extend(character.escape_unicode());
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
pub(super) fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The characters as they are seen (an emoji of several, a letter with its accents, a flag), and how many columns each takes when
/// it is drawn.
pub(super) fn clusters(text: &str) -> impl DoubleEndedIterator<Item = (&str, usize)> {
    text.graphemes(true).map(|cluster| {
        let columns = if cluster.contains(char::is_control) { 0 } else { usize::from(cluster.cell_width()) };
        (cluster, columns)
    })
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    clusters(text).map(|(_, columns)| columns).sum()
}

/// Whether two nicknames look like one: they differ by case, by width, or by letters of Greek and Cyrillic and by digits that look
/// like Latin letters.
pub(super) fn alike(a: &str, b: &str) -> bool {
    fn seen(nick: &str) -> impl Iterator<Item = char> {
        nick.chars().map(narrow).flat_map(char::to_lowercase).map(latin)
    }
    seen(a).eq(seen(b))
}

/// A character of half the width that looks the same.
fn narrow(character: char) -> char {
    match u32::from(character) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(character),
        _ => character,
    }
}

/// The Latin letter that a small letter looks like, in one of its cases; one for all that look like a stroke.
fn latin(character: char) -> char {
    match character {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'һ' | 'н' | 'η' => 'h',
        'i' | '1' | '|' | 'і' | 'ι' | 'ı' | 'ӏ' => 'l',
        'ј' | 'ϳ' => 'j',
        'к' | 'κ' => 'k',
        'м' | 'μ' => 'm',
        'ν' => 'n',
        '0' | 'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'υ' => 'y',
        'ζ' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A family of four, joined.
    const FAMILY: &str = "👩\u{200d}👩\u{200d}👧\u{200d}👦";

    #[test]
    fn nothing_speaks_to_a_terminal_and_nothing_hides() {
        for (text, expected) in [
            ("a\x1b[31mb", "a\\u{1b}[31mb"),
            ("\u{9b}2J\x07\r\n\t", "\\u{9b}2J\\u{7}\\u{d}\\u{a}\\u{9}"),
            ("a\u{202e}b\u{2066}\u{200b}\u{feff}", "a\\u{202e}b\\u{2066}\\u{200b}\\u{feff}"),
            ("a\u{ad}\u{34f}\u{2800}\u{3164}\u{e0041}", "a\\u{ad}\\u{34f}\\u{2800}\\u{3164}\\u{e0041}"),
            // Joiners and selectors that do nothing.
            ("a\u{200d}b\u{200c}c\u{fe0f}d\u{fe00}", "a\\u{200d}b\\u{200c}c\\u{fe0f}d\\u{fe00}"),
            ("👩\u{200d}", "👩\\u{200d}"),
            ("👩\u{200d}\u{34f}👧", "👩\\u{200d}\\u{34f}👧"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}\\u{fe0f}"),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(shown(expected), expected);
        }
        let tower = format!("a{}b", "\u{301}".repeat(500));
        assert_eq!(shown(&tower).chars().count(), 2 + MOST_COMBINING);
    }

    #[test]
    fn what_is_read_stays_as_it_is() {
        for text in [
            "plain",
            "e\u{301} 👩\u{200d}🚀 ❤\u{fe0f} 漢字",
            FAMILY,
            "🇩🇪🇫🇷",
            "1\u{fe0f}\u{20e3}",
            "👍🏽",
            // A half-joined word of Persian, and a syllable of Sinhala.
            "می\u{200c}خواهم",
            "ශ්\u{200d}ර",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_is_drawn_as_one_is_measured_as_one() {
        for (text, expected) in [
            ("a", 1),
            ("漢", 2),
            (FAMILY, 2),
            ("👩\u{200d}🚀", 2),
            ("🇩🇪", 2),
            ("👍🏽", 2),
            ("❤\u{fe0f}", 2),
            ("e\u{301}\u{302}", 1),
            ("1\u{fe0f}\u{20e3}", 2),
        ] {
            assert_eq!(clusters(text).collect::<Vec<_>>(), [(text, expected)]);
        }
        assert_eq!(columns("🇩🇪🇫🇷a"), 5);
        assert_eq!(columns("\x1b\n"), 0);
    }

    #[test]
    fn names_that_look_like_one() {
        for (a, b) in
            [("anna", "ANNA"), ("anna", "аnnа"), ("bob", "ｂｏｂ"), ("Ivan", "lvan"), ("bob", "b0b"), ("ΑΝΝΑ", "anna")]
        {
            assert!(alike(a, b), "{a} {b}");
        }
        for (a, b) in [("anna", "anna2"), ("anna", "hanna"), ("m12", "m21"), ("漢", "字"), ("", "a")] {
            assert!(!alike(a, b), "{a} {b}");
        }
    }
}

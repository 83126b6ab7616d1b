//! How text is seen: how wide it is, and which names look like one.

use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

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

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
            // A mark that begins a character of its own, or follows what became an escape, is on nothing.
            let is_mark = character.width() == Some(0) && !matches!(character, JOINER | NON_JOINER);
            let is_on_nothing = is_mark && (at == 0 || before.is_none());
            if is_on_nothing || !has_a_place(character, before, joined, next(text, start + behind)) {
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

/// Whether a character does something else than being read, or is not seen: control and format characters; marks, embeddings and
/// isolates of direction; separators of lines; what is invisible, or blank without being a blank; joiners and selectors; tags.
pub(crate) fn hides(character: char) -> bool {
    !matches!(character, ' '..='~')
        && (character.is_control()
            || stands_apart(character)
            || matches!(character,
                // Format characters that begin what follows them, and so do not stand apart.
                '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{110bd}' | '\u{110cd}'
                // Joiners, selectors and tags, which belong to what is before them.
                | '\u{34f}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{13430}'..='\u{13440}' | '\u{16fe4}' | '\u{e0000}'..='\u{e0fff}'
                // Blank, and no blank.
                | '\u{115f}'..='\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{1d159}'))
}

/// Whether no mark ever sits on a character: so it is with those of Unicode's categories Cc, Cf, Zl and Zp, but for few, and with
/// numbers that are kept for more of them. The tables of what is drawn as one know it.
fn stands_apart(character: char) -> bool {
    const MARK: char = '\u{301}';
    let mut bytes = [0; 8];
    let len = character.encode_utf8(&mut bytes).len();
    let both = len + bytes.get_mut(len..).map_or(0, |rest| MARK.encode_utf8(rest).len());
    let both = bytes.get(..both).and_then(|both| std::str::from_utf8(both).ok());
    both.is_some_and(|both| both.graphemes(true).count() == 2)
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
        // A mark at the start, behind an escape, or a vowel of Korean without its consonant.
        for (text, expected) in [
            ("\u{301}a", "\\u{301}a"),
            ("a\u{200b}\u{301}", "a\\u{200b}\\u{301}"),
            ("a\u{1161}", "a\\u{1161}"),
            ("𓀀\u{13430}𓀁", "𓀀\\u{13430}𓀁"),
            ("a\u{16fe4}", "a\\u{16fe4}"),
        ] {
            assert_eq!(printable(text), expected);
        }
        let tower = format!("a{}b", "\u{301}".repeat(500));
        assert_eq!(printable(&tower).chars().count(), 2 + MOST_COMBINING);
    }

    #[test]
    fn every_format_character_hides() {
        // Those of category Cf.
        let format = [
            0xad..=0xad,
            0x600..=0x605,
            0x61c..=0x61c,
            0x6dd..=0x6dd,
            0x70f..=0x70f,
            0x890..=0x891,
            0x8e2..=0x8e2,
            0x180e..=0x180e,
            0x200b..=0x200f,
            0x202a..=0x202e,
            0x2060..=0x2064,
            0x2066..=0x206f,
            0xfeff..=0xfeff,
            0xfff9..=0xfffb,
            0x110bd..=0x110bd,
            0x110cd..=0x110cd,
            0x13430..=0x1343f,
            0x1bca0..=0x1bca3,
            0x1d173..=0x1d17a,
            0xe0001..=0xe0001,
            0xe0020..=0xe007f,
        ];
        for number in format.into_iter().flatten() {
            let character = char::from_u32(number).expect("a character");
            assert!(hides(character), "{number:x}");
        }
        // Separators of lines and paragraphs, selectors, fillers, and numbers kept for what nobody sees.
        for character in
            "\u{2028}\u{2029}\u{fe0f}\u{e0100}\u{34f}\u{115f}\u{1160}\u{17b4}\u{2065}\u{fff0}\u{e0fff}\u{16fe4}".chars()
        {
            assert!(hides(character), "{character:?}");
        }
        for character in "a \u{a0}é漢字가😀🇩ก\u{301}\u{e33}\u{5d0}\u{915}\u{94d}𓀀\u{e000}\u{fffd}".chars()
        {
            assert!(!hides(character), "{character:?}");
        }
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
            // Vowels and tones of Thai, syllables of Korean in parts.
            "กี่ น้ำ",
            "\u{1100}\u{1161}\u{11a8}",
        ] {
            assert_eq!(printable(text), text);
        }
    }
}

//! The line that is being typed: characters, a cursor, and the part of it that fits the screen.

use unicode_width::UnicodeWidthChar;

use super::text::{self, MOST_TEXT};

/// See the top of the file. The cursor is in front of the character with this number.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: Vec<char>,
    cursor: usize,
    bytes: usize,
}

/// Whether a character is shown on the one in front of it.
fn joins(character: char) -> bool {
    character.width() == Some(0)
}

impl Editor {
    /// Types a character. What cannot be said is not taken.
    pub(super) fn insert(&mut self, character: char) {
        if !character.is_control() && self.bytes + character.len_utf8() <= MOST_TEXT {
            self.text.insert(self.cursor, character);
            self.cursor += 1;
            self.bytes += character.len_utf8();
        }
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.behind();
    }

    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    pub(super) fn backspace(&mut self) {
        let from = self.before();
        self.cut(from, self.cursor);
    }

    pub(super) fn delete(&mut self) {
        let to = self.behind();
        self.cut(self.cursor, to);
    }

    pub(super) fn cut_to_start(&mut self) {
        self.cut(0, self.cursor);
    }

    pub(super) fn cut_to_end(&mut self) {
        self.cut(self.cursor, self.text.len());
    }

    /// Cuts the word in front of the cursor, and the blanks behind it.
    pub(super) fn cut_word(&mut self) {
        let before = self.text.get(..self.cursor).unwrap_or(&[]);
        let word = before.iter().rposition(|it| !it.is_whitespace()).map_or(0, |at| at + 1);
        let start = before.get(..word).unwrap_or(&[]).iter().rposition(|it| it.is_whitespace()).map_or(0, |at| at + 1);
        self.cut(start, self.cursor);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the line out.
    pub(super) fn take(&mut self) -> String {
        let text = self.text.iter().collect();
        *self = Editor::default();
        text
    }

    /// What fits so many columns, the cursor included, and the column where the cursor is.
    pub(super) fn view(&self, columns: usize) -> (String, usize) {
        let room = columns.saturating_sub(1);
        let mut start = self.cursor;
        let mut before = 0;
        // Back from the cursor as far as it fits.
        while let Some(character) = start.checked_sub(1).and_then(|at| self.text.get(at)) {
            if before + text::columns(*character) > room {
                break;
            }
            before += text::columns(*character);
            start -= 1;
        }
        // A half that stands on what is not seen is left out.
        while start < self.cursor && start > 0 && self.text.get(start).is_some_and(|it| joins(*it)) {
            start += 1;
        }
        let mut shown = String::new();
        let mut used = 0;
        for character in self.text.get(start..).unwrap_or(&[]) {
            if used + text::columns(*character) > columns {
                break;
            }
            used += text::columns(*character);
            shown.push(*character);
        }
        (shown, before)
    }

    fn before(&self) -> usize {
        let mut at = self.cursor.saturating_sub(1);
        while at > 0 && self.text.get(at).is_some_and(|it| joins(*it)) {
            at -= 1;
        }
        at
    }

    fn behind(&self) -> usize {
        let mut at = (self.cursor + 1).min(self.text.len());
        while self.text.get(at).is_some_and(|it| joins(*it)) {
            at += 1;
        }
        at
    }

    fn cut(&mut self, from: usize, to: usize) {
        let gone: usize = self.text.drain(from.min(to)..to).map(char::len_utf8).sum();
        self.bytes -= gone;
        self.cursor = from.min(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        text.chars().for_each(|it| editor.insert(it));
        editor
    }

    #[test]
    fn wide_characters_and_accents_move_as_one() {
        let mut editor = typed("a漢e\u{301}b");
        assert_eq!(editor.view(80), ("a漢e\u{301}b".to_owned(), 5));
        editor.left();
        editor.left();
        assert_eq!(editor.view(80).1, 3);
        editor.delete();
        assert_eq!(editor.view(80), ("a漢b".to_owned(), 3));
        editor.backspace();
        editor.right();
        editor.insert('!');
        assert_eq!((editor.take().as_str(), editor.is_empty()), ("ab!", true));
    }

    #[test]
    fn only_what_fits_is_shown_and_the_cursor_always() {
        let mut editor = typed(&"漢".repeat(50));
        for columns in 1..30 {
            let (shown, cursor) = editor.view(columns);
            let width: usize = shown.chars().map(text::columns).sum();
            assert!(width <= columns && cursor < columns.max(1), "{columns}: {shown} {cursor}");
        }
        assert_eq!(typed("❤\u{fe0f}!").view(9).1, 3);
        editor.home();
        assert_eq!(editor.view(7), ("漢漢漢".to_owned(), 0));
    }

    #[test]
    fn words_and_halves_are_cut() {
        let mut editor = typed("one two  ");
        editor.cut_word();
        assert_eq!(editor.view(80).0, "one ");
        editor.left();
        editor.left();
        editor.cut_to_end();
        assert_eq!(editor.view(80).0, "on");
        editor.cut_to_start();
        assert!(editor.is_empty());
        editor.cut_word();
        editor.backspace();
        editor.delete();
        assert!(editor.is_empty());
    }

    #[test]
    fn a_line_has_a_bound() {
        let mut editor = typed(&"ä".repeat(MOST_TEXT));
        editor.insert('\x1b');
        editor.end();
        assert_eq!(editor.take().len(), MOST_TEXT);
    }
}

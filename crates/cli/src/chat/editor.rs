//! The line that is being typed: characters, a cursor, and the part of it that fits the screen.

use unicode_segmentation::UnicodeSegmentation;

use super::text::MOST_TEXT;
use crate::width::clusters;

/// See the top of the file. The cursor is in front of the byte with this number.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    cursor: usize,
}

impl Editor {
    /// Types a character. What cannot be said is not taken.
    pub(super) fn insert(&mut self, character: char) {
        if !character.is_control() && self.text.len() + character.len_utf8() <= MOST_TEXT {
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
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
        let word = self.in_front().trim_end();
        let blank = word.char_indices().rfind(|(_, it)| it.is_whitespace());
        self.cut(blank.map_or(0, |(at, it)| at + it.len_utf8()), self.cursor);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the line out.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(self).text
    }

    /// What fits so many columns, the cursor included, and the column where the cursor is.
    pub(super) fn view(&self, room: usize) -> (String, usize) {
        let (mut start, mut before) = (self.cursor, 0);
        // Back from the cursor as far as it fits.
        for (cluster, width) in clusters(self.in_front()).rev() {
            if before + width > room.saturating_sub(1) {
                break;
            }
            before += width;
            start -= cluster.len();
        }
        let mut used = 0;
        let fits = |(_, width): &(&str, usize)| {
            used += width;
            used <= room
        };
        let shown = clusters(self.text.get(start..).unwrap_or("")).take_while(fits);
        (shown.map(|(cluster, _)| cluster).collect(), before)
    }

    /// What is in front of the cursor.
    fn in_front(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or("")
    }

    fn before(&self) -> usize {
        self.text.grapheme_indices(true).map(|(at, _)| at).take_while(|at| *at < self.cursor).last().unwrap_or(0)
    }

    fn behind(&self) -> usize {
        let mut ends = self.text.grapheme_indices(true).map(|(at, cluster)| at + cluster.len());
        ends.find(|end| *end > self.cursor).unwrap_or(self.text.len())
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.cursor = from.min(to);
        drop(self.text.drain(self.cursor..to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::width::columns;

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
    fn what_is_seen_as_one_moves_as_one() {
        let mut editor = typed("a👩\u{200d}👩\u{200d}👧🇩🇪🇫🇷");
        assert_eq!(editor.view(80).1, 7);
        for column in [5, 3, 1, 0, 0] {
            editor.left();
            assert_eq!(editor.view(80).1, column);
        }
        editor.right();
        editor.delete();
        assert_eq!(editor.view(80), ("a🇩🇪🇫🇷".to_owned(), 1));
        editor.end();
        editor.backspace();
        assert_eq!(editor.view(4), ("a🇩🇪".to_owned(), 3));
        // What does not fit is left out as a whole.
        assert_eq!(editor.view(3), ("🇩🇪".to_owned(), 2));
        editor.home();
        assert_eq!(editor.view(2), ("a".to_owned(), 0));
    }

    #[test]
    fn only_what_fits_is_shown_and_the_cursor_always() {
        let mut editor = typed(&"漢".repeat(50));
        for room in 1..30 {
            let (shown, cursor) = editor.view(room);
            let width = columns(&shown);
            assert!(width <= room && cursor < room, "{room}: {shown} {cursor}");
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

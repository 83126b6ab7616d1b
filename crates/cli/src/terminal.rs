//! A terminal on which nothing remains of characters that it draws wider, or narrower, than was thought.
//!
//! Only what has changed is drawn, cell by cell, which takes for granted that both sides agree how wide each character is. Of flags,
//! of emoji that are joined and of rare scripts they do not. So a row that holds anything but ASCII, or has held it, is cleared and
//! drawn anew as a whole when it changes, and the cursor is put in its place behind every character that may be of another width.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::panic;
use std::time::Duration;

use ratatui::Frame;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::{Buffer, Cell, CellWidth};
use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use ratatui::layout::{Position, Rect, Size};
use wharf::Endpoint;

use crate::late::{Late, RoomThere};

/// How long a terminal may take for the last that is drawn on it. One that takes nothing, as behind a connection that hangs, is not
/// waited for.
const PARTING: Duration = Duration::from_secs(1);

/// The terminal of a command that draws, which does not wait for it: while it has not taken all of a drawing there is no other.
pub(crate) struct Terminal {
    screen: ratatui::Terminal<Rows<Late>>,
    out: Late,
    room: RoomThere,
}

impl Terminal {
    /// Takes it, until [`leave`](Self::leave): it is as it was then, and after a panic as well.
    pub(crate) fn enter() -> io::Result<Terminal> {
        let (mut out, room) = Late::standard();
        let rows = Rows::new(out.clone(), terminal::size().map(Size::from)?);
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let _restored = ratatui::try_restore();
            told(panic);
        }));
        let screen = ratatui::Terminal::new(rows)?;
        // Last, and nothing fails behind it: whoever does not get this terminal finds it as it was.
        terminal::enable_raw_mode()?;
        queue!(out, EnterAlternateScreen)?;
        Ok(Terminal { screen, out, room })
    }

    /// Draws, unless a drawing is under way.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.out.flush()?;
        if self.out.is_behind() { Ok(()) } else { self.screen.draw(draw).map(drop) }
    }

    /// Whether a drawing is under way; the next one is due when there is [`room`](Self::room).
    pub(crate) fn is_behind(&self) -> bool {
        self.out.is_behind()
    }

    /// What to wait with while a drawing is under way.
    pub(crate) fn room(&mut self) -> Option<&mut dyn Endpoint> {
        if self.out.is_behind() { self.room.endpoint() } else { None }
    }

    /// How large it is.
    pub(crate) fn size(&self) -> io::Result<Size> {
        self.screen.size()
    }

    /// The next drawing draws everything. (`clear` would ask the terminal where its cursor is, and take keys for the answer.)
    pub(crate) fn repaint(&mut self) {
        let size = self.size().unwrap_or_default();
        // A terminal that cannot be cleared fails at the drawing.
        let _cleared = self.screen.resize(Rect::from((Position::ORIGIN, size)));
    }

    /// Gives it back.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        let modes = terminal::disable_raw_mode();
        self.screen.show_cursor()?;
        queue!(self.out, LeaveAlternateScreen)?;
        self.out.finish(PARTING).and(modes)
    }
}

/// See the top of the file.
pub(crate) struct Rows<W: Write> {
    terminal: CrosstermBackend<W>,
    /// What stands on the screen.
    drawn: Buffer,
}

impl<W: Write> Rows<W> {
    /// On a screen of this size with nothing on it.
    fn new(out: W, size: Size) -> Rows<W> {
        Rows { terminal: CrosstermBackend::new(out), drawn: blank(size) }
    }

    /// Whether there is anything but ASCII in a row.
    fn is_odd(&self, row: u16) -> bool {
        let columns = self.drawn.area.width;
        (0..columns).any(|column| self.drawn.cell((column, row)).is_some_and(is_odd))
    }

    /// Draws all of a row, and nothing else is left in it.
    fn paint(&mut self, row: u16) -> io::Result<()> {
        // Not through the terminal's own methods, which would have each row seen as soon as it is empty.
        queue!(self.terminal, MoveTo(0, row), Clear(terminal::ClearType::CurrentLine))?;
        let mut run = Vec::new();
        let mut column = 0;
        while let Some(cell) = self.drawn.cell((column, row)) {
            run.push((column, row, cell));
            if is_odd(cell) {
                // What comes next is told its place.
                self.terminal.draw(run.drain(..))?;
            }
            // What a wide one covers has nothing of its own.
            column += cell.symbol().cell_width().max(1);
        }
        self.terminal.draw(run.into_iter())
    }
}

fn blank(size: Size) -> Buffer {
    Buffer::empty(Rect::new(0, 0, size.width, size.height))
}

fn is_odd(cell: &Cell) -> bool {
    !cell.symbol().is_ascii()
}

impl<W: Write> Backend for Rows<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let content: Vec<(u16, u16, &Cell)> = content.collect();
        let changed: BTreeSet<u16> = content.iter().map(|(_, row, _)| *row).collect();
        let mut odd: BTreeSet<u16> = changed.iter().copied().filter(|row| self.is_odd(*row)).collect();
        for (column, row, cell) in &content {
            if let Some(place) = self.drawn.cell_mut((*column, *row)) {
                place.clone_from(cell);
            }
            // Nothing is left of what a wide one covers, and nobody says so.
            for covered in (column + 1)..column.saturating_add(cell.symbol().cell_width()) {
                if let Some(place) = self.drawn.cell_mut((covered, *row)) {
                    place.reset();
                }
            }
        }
        odd.extend(changed.iter().copied().filter(|row| self.is_odd(*row)));
        if odd.is_empty() {
            return self.terminal.draw(content.into_iter());
        }
        // A terminal that knows of it shows all of it at once, and no row that is empty in between.
        queue!(self.terminal, BeginSynchronizedUpdate)?;
        self.terminal.draw(content.into_iter().filter(|(_, row, _)| !odd.contains(row)))?;
        odd.into_iter().try_for_each(|row| self.paint(row))?;
        queue!(self.terminal, EndSynchronizedUpdate)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.terminal.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.terminal.show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.terminal.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.terminal.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, which: ClearType) -> io::Result<()> {
        if which == ClearType::All {
            self.drawn = blank(self.size()?);
        }
        self.terminal.clear_region(which)
    }

    fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.terminal.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.terminal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written to go from one row to another.
    fn written(before: &str, after: &str) -> String {
        written_one_by_one(&[before, after])
    }

    fn written_one_by_one(texts: &[&str]) -> String {
        let mut out = Vec::new();
        let mut rows = Rows::new(&mut out, Size::new(8, 1));
        let mut last = blank(Size::new(8, 1));
        for text in texts {
            let mut next = blank(Size::new(8, 1));
            next.set_string(0, 0, text, ratatui::style::Style::new());
            rows.draw(last.diff(&next).into_iter()).expect("memory has room");
            last = next;
        }
        drop(rows);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_row_of_ascii_is_drawn_where_it_changes_and_any_other_as_a_whole() {
        let cleared = "\u{1b}[2K";
        assert!(!written("abcd", "abxd").contains(cleared));
        assert_eq!(written("abcd", "abxd").matches('d').count(), 1);
        // Once for each drawing that it is in, before and after.
        assert_eq!(written("abcd", "🇩🇪 xd").matches(cleared).count(), 1);
        assert_eq!(written("🇩🇪 xd", "🇩🇪 yd").matches(cleared).count(), 2);
        assert_eq!(written("🇩🇪 xd", "abcd").matches(cleared).count(), 2);
        assert_eq!(written("🇩🇪 xd", "🇩🇪 xd").matches(cleared).count(), 1);
        // What a wide one has covered does not come back.
        let seen = written_one_by_one(&["abcd", "🇩🇪cd", "x cd"]);
        assert_eq!(seen.matches('b').count(), 1, "{seen:?}");
        // Behind a flag the cursor is put in its place.
        let flag = written("", "🇩🇪🇫🇷a");
        let places = ["\u{1b}[1;1H", "🇩🇪", "\u{1b}[1;3H", "🇫🇷", "\u{1b}[1;5H", "a"];
        let mut rest = flag.as_str();
        for place in places {
            let at = rest.find(place).unwrap_or_else(|| panic!("{place:?} is missing in {flag:?}"));
            rest = &rest[at + place.len()..];
        }
    }
}

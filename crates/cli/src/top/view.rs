//! What the user sees of the rows: sorted, filtered, scrolled; and what the keys do to that.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::order::Order;
use super::rows::Row;
use crate::usage::looking::SortBy;

/// The longest filter.
const LONGEST_FILTER: usize = 255;

/// The view.
#[derive(Debug)]
pub(super) struct View {
    all: Vec<Row>,
    /// Those that are shown, in their order.
    shown: Vec<Row>,
    pub(super) order: Order,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) paused: bool,
    /// The first row on the screen.
    top: usize,
    /// Rows on the screen at the last drawing.
    page: usize,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The same, perhaps changed.
    Go,
    /// No more.
    End,
}

impl View {
    pub(super) fn new(by: SortBy) -> View {
        let order = Order::new(by);
        View {
            all: Vec::new(),
            shown: Vec::new(),
            order,
            filter: String::new(),
            typing: false,
            paused: false,
            top: 0,
            page: 1,
        }
    }

    /// Takes the rows of a new look.
    pub(super) fn take(&mut self, rows: Vec<Row>) {
        self.all = rows;
        self.arrange();
    }

    /// All rows, whether they are shown or not.
    pub(super) fn all(&self) -> &[Row] {
        &self.all
    }

    /// How many pass the filter.
    pub(super) fn passing(&self) -> usize {
        self.shown.len()
    }

    /// The rows for a screen with room for so many, and the number of the first one.
    pub(super) fn page(&mut self, room: usize) -> (usize, &[Row]) {
        self.page = room.max(1);
        self.top = self.top.min(self.shown.len().saturating_sub(room));
        let end = (self.top + room).min(self.shown.len());
        (self.top, self.shown.get(self.top..end).unwrap_or_default())
    }

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let passes = |row: &&Row| {
            let end = &row.end;
            let words = [&end.name, &end.program];
            words.iter().any(|word| word.to_lowercase().contains(&filter)) || end.pid.to_string() == filter
        };
        self.shown = self.all.iter().filter(passes).cloned().collect();
        self.order.sort(&mut self.shown);
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Wish::End } else { Wish::Go };
        }
        if self.typing {
            self.type_filter(key.code)
        } else {
            return self.command(key.code);
        }
        Wish::Go
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(character) if self.filter.len() < LONGEST_FILTER => self.filter.push(character),
            _ => {}
        }
        self.arrange();
    }

    fn command(&mut self, code: KeyCode) -> Wish {
        match code {
            KeyCode::Char('q') => return Wish::End,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Esc => {
                self.filter.clear();
                self.arrange();
            }
            KeyCode::Up => self.top = self.top.saturating_sub(1),
            KeyCode::Down => self.top = self.top.saturating_add(1),
            KeyCode::PageUp => self.top = self.top.saturating_sub(self.page),
            KeyCode::PageDown => self.top = self.top.saturating_add(self.page),
            KeyCode::Home => self.top = 0,
            KeyCode::End => self.top = self.shown.len(),
            KeyCode::Char(key) => {
                if let Some(by) = sort_key(key) {
                    self.order = self.order.chosen(by);
                    self.arrange();
                }
            }
            _ => {}
        }
        Wish::Go
    }
}

fn sort_key(key: char) -> Option<SortBy> {
    Some(match key {
        'n' => SortBy::Name,
        'p' => SortBy::Process,
        'm' => SortBy::Messages,
        'b' => SortBy::Bytes,
        'w' => SortBy::Waiting,
        'x' => SortBy::Missed,
        'k' => SortBy::Blocked,
        'o' => SortBy::Memory,
        _ => return None,
    })
}

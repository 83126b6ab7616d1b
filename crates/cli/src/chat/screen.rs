//! A chat on a terminal: what was said above, the line that is being typed below.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use wharf::Endpoint;

use super::editor::Editor;
use super::heard::MOST_HERE;
use super::words::News;
use super::{Typed, sentence};
use crate::failure::Failure;
use crate::keys::{Keys, Said};
use crate::output::may_colour;
use crate::printable::printable;
use crate::terminal::Terminal;
use crate::width::{self, clusters, columns};

/// What was said is kept so far back: so many lines, and so many bytes of them as they are shown.
const MOST_LINES: usize = 5_000;
const MOST_BYTES: usize = 2 << 20;

/// Colours of nicknames: they can be told apart on dark and on light.
const COLOURS: [Color; 6] = [Color::Cyan, Color::Green, Color::Magenta, Color::Blue, Color::Yellow, Color::Red];

/// See the top of the file.
pub(super) struct Screen {
    terminal: Terminal,
    keys: Keys,
    lines: VecDeque<Entry>,
    /// Of the lines.
    bytes: usize,
    editor: Editor,
    colour: bool,
    room: String,
    nick: String,
    here: Vec<String>,
    /// Rows between the last one and the bottom of the screen.
    scrolled: usize,
    /// Rows on the screen at the last drawing.
    page: usize,
}

/// A line of the chat, before it is broken to the width of the screen.
struct Entry {
    /// Who said it; nobody: something happened.
    nick: Option<String>,
    text: String,
    old: bool,
    /// For how many columns its rows were counted last, and how many there were.
    counted: Cell<(usize, usize)>,
}

impl Entry {
    fn new(nick: Option<String>, text: String, old: bool) -> Entry {
        Entry { nick, text, old, counted: Cell::new((0, 0)) }
    }

    fn bytes(&self) -> usize {
        self.nick.as_ref().map_or(0, String::len) + self.text.len()
    }

    /// How many rows it takes: broken once for each width, so that drawing costs what is seen and not what is kept.
    fn count(&self, columns: usize) -> usize {
        if self.counted.get().0 != columns {
            self.counted.set((columns, rows(self, columns).len()));
        }
        self.counted.get().1
    }
}

fn unusable(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot use the terminal: {error} ('wharf chat ROOM | cat' writes lines)"))
}

impl Screen {
    pub(super) fn open() -> Result<Screen, Failure> {
        let keys = Keys::open().map_err(unusable)?;
        let terminal = Terminal::enter().map_err(unusable)?;
        Ok(Screen {
            terminal,
            keys,
            lines: VecDeque::new(),
            bytes: 0,
            editor: Editor::default(),
            colour: may_colour(),
            room: String::new(),
            nick: String::new(),
            here: Vec::new(),
            scrolled: 0,
            page: 1,
        })
    }

    /// What is ready when the user does something, and when the terminal takes more of what was drawn.
    pub(super) fn endpoints(&mut self) -> (Vec<&mut dyn Endpoint>, Option<&mut dyn Endpoint>) {
        (self.keys.endpoints().into(), self.terminal.room())
    }

    /// Draws what could not be drawn before.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        if self.terminal.is_behind() { self.draw() } else { Ok(()) }
    }

    pub(super) fn show(&mut self, news: &[News]) -> Result<(), Failure> {
        for news in news {
            self.note_who(news);
            let entry = match news {
                News::Said { nick, text, old, .. } => Entry::new(Some(printable(nick)), printable(text), *old),
                other => Entry::new(None, printable(&sentence(other)), false),
            };
            if self.scrolled > 0 {
                // What somebody reads stays where it is.
                self.scrolled += entry.count(self.width());
            }
            self.bytes += entry.bytes();
            self.lines.push_back(entry);
            // At most one is left of what is larger than all.
            while self.lines.len() > MOST_LINES || (self.bytes > MOST_BYTES && self.lines.len() > 1) {
                self.bytes -= self.lines.pop_front().map_or(0, |entry| entry.bytes());
            }
        }
        self.draw()
    }

    fn note_who(&mut self, news: &News) {
        match news {
            News::You { nick, room, here } => {
                (self.nick, self.room) = (printable(nick), printable(room));
                self.here = here.iter().map(|nick| printable(nick)).collect();
            }
            News::Joined { nick } if self.here.len() < MOST_HERE => self.here.push(printable(nick)),
            News::Left { nick } | News::Died { nick } => {
                let gone = printable(nick);
                if let Some(at) = self.here.iter().position(|it| *it == gone) {
                    self.here.remove(at);
                }
            }
            News::Renamed { nick, to } => {
                let (old, to) = (printable(nick), printable(to));
                if self.nick == old {
                    self.nick = to;
                } else if let Some(it) = self.here.iter_mut().find(|it| **it == old) {
                    *it = to;
                }
            }
            News::Joined { .. } | News::Said { .. } | News::Note { .. } => {}
        }
    }

    /// What was typed meanwhile.
    pub(super) fn read(&mut self) -> Result<Vec<Typed>, Failure> {
        let mut typed = Vec::new();
        for said in self.keys.take()? {
            if let Said::Key(key) = said {
                typed.extend(self.press(key));
            }
        }
        self.draw()?;
        Ok(typed)
    }

    fn press(&mut self, key: KeyEvent) -> Option<Typed> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Typed::Leave),
            KeyCode::Char('d') if control && self.editor.is_empty() => return Some(Typed::Leave),
            KeyCode::Char('d') if control => self.editor.delete(),
            KeyCode::Char('a') if control => self.editor.home(),
            KeyCode::Char('e') if control => self.editor.end(),
            KeyCode::Char('b') if control => self.editor.left(),
            KeyCode::Char('f') if control => self.editor.right(),
            KeyCode::Char('h') if control => self.editor.backspace(),
            KeyCode::Char('u') if control => self.editor.cut_to_start(),
            KeyCode::Char('k') if control => self.editor.cut_to_end(),
            KeyCode::Char('w') if control => self.editor.cut_word(),
            KeyCode::Char('g') if control => return Some(Typed::Doors),
            KeyCode::Char('l') if control => self.terminal.repaint(),
            KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => {}
            KeyCode::Char(character) => self.editor.insert(character),
            KeyCode::Enter => {
                self.scrolled = 0;
                return Some(Typed::Line(self.editor.take()));
            }
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::End if self.scrolled > 0 => self.scrolled = 0,
            KeyCode::End => self.editor.end(),
            KeyCode::Up => self.scrolled += 1,
            KeyCode::Down => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::PageUp => self.scrolled += self.page.saturating_sub(1).max(1),
            KeyCode::PageDown => self.scrolled = self.scrolled.saturating_sub(self.page.saturating_sub(1).max(1)),
            _ => {}
        }
        None
    }

    fn width(&self) -> usize {
        self.terminal.size().map_or(80, |size| usize::from(size.width)).max(1)
    }

    pub(super) fn draw(&mut self) -> Result<(), Failure> {
        let Screen { terminal, lines, editor, colour, room, nick, here, scrolled, page, .. } = self;
        let draw = |frame: &mut Frame<'_>| {
            let parts = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
            let [head, body, foot] = Layout::vertical(parts).areas(frame.area());
            let width = usize::from(body.width).max(1);
            *page = usize::from(body.height);

            let who = match here.len() {
                0 => "nobody else is here".to_owned(),
                count => format!("with {count}: {}", names(here, usize::from(head.width))),
            };
            let back = if *scrolled > 0 { "  (scrolled: End goes back)" } else { "" };
            let title = Line::from(vec![Span::from(room.clone()).bold(), Span::from(format!("{back}  {who}"))]);
            frame.render_widget(Paragraph::new(title).reversed(), head);

            // From the last one up, as many as are seen and scrolled over.
            let (mut taken, mut counted) = (0, 0);
            for entry in lines.iter().rev() {
                if counted >= page.saturating_add(*scrolled) {
                    break;
                }
                taken += 1;
                counted += entry.count(width);
            }
            *scrolled = (*scrolled).min(counted.saturating_sub(*page));
            let above = counted.saturating_sub(*page + *scrolled);
            let drawn = lines.iter().skip(lines.len() - taken).flat_map(|entry| {
                let (own, colour) = (entry.nick.as_deref() == Some(nick.as_str()), *colour);
                rows(entry, width).into_iter().map(move |row| row.line(entry, own, colour))
            });
            let visible: Vec<Line<'static>> = drawn.skip(above).take(*page).collect();
            // The latest stands right above the line that is typed.
            let top = body.y + u16::try_from(page.saturating_sub(visible.len())).unwrap_or(0);
            let area = Rect { y: top, height: body.bottom().saturating_sub(top), ..body };
            frame.render_widget(Paragraph::new(visible), area);

            let prompt = format!("{nick}> ");
            let prompt = if columns(&prompt) > usize::from(foot.width) / 2 { "> ".to_owned() } else { prompt };
            let used = columns(&prompt);
            let (text, cursor) = editor.view(usize::from(foot.width).saturating_sub(used).max(1));
            frame.render_widget(Paragraph::new(Line::from(vec![Span::from(prompt).bold(), Span::from(text)])), foot);
            let column = u16::try_from(used + cursor).unwrap_or(u16::MAX);
            frame
                .set_cursor_position(Position::new(foot.x.saturating_add(column).min(foot.right().max(1) - 1), foot.y));
        };
        terminal.draw(draw).map_err(unusable)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What cannot be restored is told by nobody.
        let _restored = self.terminal.leave();
    }
}

/// As many names as so many columns may hold.
fn names(here: &[String], columns: usize) -> String {
    let mut names = String::new();
    for nick in here {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(nick);
        if width::columns(&names) > columns {
            break;
        }
    }
    names
}

/// One row of an entry on the screen.
struct Row {
    /// It begins with the nickname.
    first: bool,
    text: String,
}

impl Row {
    fn line(self, entry: &Entry, own: bool, colour: bool) -> Line<'static> {
        let style = if entry.old { Style::new().dim() } else { Style::new() };
        let Some(nick) = &entry.nick else {
            return Line::from(Span::styled(self.text, style.italic().dim()));
        };
        if !self.first {
            return Line::from(Span::styled(self.text, style));
        }
        let name = match colour {
            true => style.fg(COLOURS.get(hash(nick) % COLOURS.len()).copied().unwrap_or(Color::Reset)),
            false => style,
        };
        let name = if own { name.bold().underlined() } else { name.bold() };
        let text = self.text.strip_prefix(nick.as_str()).unwrap_or(&self.text).to_owned();
        Line::from(vec![Span::styled(nick.clone(), name), Span::styled(text, style)])
    }
}

/// The same for one name wherever it is.
fn hash(nick: &str) -> usize {
    nick.bytes().fold(5381_usize, |hash, byte| hash.wrapping_mul(33) ^ usize::from(byte))
}

/// Breaks an entry at blanks, and in a word that is longer than a row; never inside of what is drawn as one.
fn rows(entry: &Entry, room: usize) -> Vec<Row> {
    let whole = match &entry.nick {
        Some(nick) => format!("{nick}  {}", entry.text),
        None => entry.text.clone(),
    };
    let indent = if entry.nick.is_some() && room > 20 { 2 } else { 0 };
    let mut rows = vec![Row { first: true, text: String::new() }];
    let mut used = 0;
    for word in whole.split_inclusive(' ') {
        let width = columns(word.trim_end_matches(' '));
        if used > indent && used + width > room {
            rows.push(Row { first: false, text: " ".repeat(indent) });
            used = indent;
        }
        for (cluster, width) in clusters(word) {
            if used + width > room {
                if cluster == " " {
                    continue;
                }
                rows.push(Row { first: false, text: " ".repeat(indent) });
                used = indent;
            }
            if let Some(row) = rows.last_mut() {
                row.text.push_str(cluster);
            }
            used += width;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(nick: Option<&str>, text: &str, columns: usize) -> Vec<String> {
        let entry = Entry::new(nick.map(str::to_owned), text.to_owned(), false);
        rows(&entry, columns).into_iter().map(|row| row.text).collect()
    }

    #[test]
    fn lines_are_broken_at_blanks_and_nothing_is_lost() {
        assert_eq!(broken(None, "one two three", 8), ["one two ", "three"]);
        assert_eq!(broken(None, "漢字漢字漢", 4), ["漢字", "漢字", "漢"]);
        assert_eq!(broken(None, "", 4), [""]);
        assert_eq!(broken(Some("anna"), "a line that is long enough", 24), ["anna  a line that is ", "  long enough"]);
        for columns in 1..40 {
            let text = "wide 漢字漢字漢字漢字 🇩🇪🇫🇷🇯🇵 👩\u{200d}👩\u{200d}👧👩\u{200d}🚀 and e\u{301}e\u{301} accents, averyveryverylongwordthatfitsnowhere";
            let rows = broken(Some("bob"), text, columns);
            let squeeze = |text: &str| text.chars().filter(|it| *it != ' ').collect::<String>();
            assert_eq!(squeeze(&rows.concat()), squeeze(&format!("bob{text}")), "{columns}");
            let pieces = rows.iter().flat_map(|row| clusters(row.trim_start()).map(|(cluster, _)| cluster));
            let whole: Vec<&str> = clusters(text).map(|(cluster, _)| cluster).collect();
            assert!(pieces.skip(3).all(|it| it == " " || whole.contains(&it)), "{columns}: {rows:?}");
            assert!(rows.iter().all(|row| width::columns(row.trim_end()) <= columns.max(2)), "{columns}: {rows:?}");
        }
    }
}

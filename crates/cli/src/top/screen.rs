//! `wharf top` on a terminal.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::Looks;
use super::columns::{Column, GAP, fitting};
use super::rows::Row;
use super::table::aligned;
use super::view::{View, Wish};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::keys::{Keys, Said};
use crate::look::directory;
use crate::output::may_colour;
use crate::printable::printable;
use crate::terminal::Terminal;
use crate::units;
use crate::usage::looking::TopArguments;
use crate::width::shortened;

const KEYS: &str =
    "q end  / filter  space pause  sort: n name p process m msg b bytes w waiting x missed k blocked o memory";

/// Draws until the user, or a signal, wants it to end; then the terminal is as it was.
pub(super) fn run(
    looks: &mut Looks,
    asked: &TopArguments,
    interval: Duration,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let screen = Screen { place: directory().display().to_string(), interval, colour: may_colour() };
    let mut view = View::new(asked.sort);
    // A first look that fails is told on a terminal that was not touched.
    view.take(looks.look()?);
    let mut keys = Keys::open().map_err(unusable)?;
    let mut terminal = Terminal::enter().map_err(unusable)?;
    let outcome = screen.watch(&mut terminal, &mut keys, &mut view, looks, ending);
    let restored = terminal.leave().map_err(unusable);
    outcome.and(restored)
}

fn unusable(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot use the terminal: {error} ('wharf top | cat' writes one table)"))
}

struct Screen {
    place: String,
    interval: Duration,
    colour: bool,
}

impl Screen {
    fn watch(
        &self,
        terminal: &mut Terminal,
        keys: &mut Keys,
        view: &mut View,
        looks: &mut Looks,
        ending: &mut Ending,
    ) -> Result<(), Failure> {
        let mut next = Instant::now() + self.interval;
        let mut changed = true;
        // Ends with a key or a signal; each round waits for either, or for the next look.
        loop {
            ending.check()?;
            let now = Instant::now();
            if now >= next {
                next = now + self.interval;
                if !view.paused {
                    view.take(looks.look()?);
                    changed = true;
                }
            }
            if changed || terminal.is_behind() {
                terminal.draw(|frame| self.draw(frame, view)).map_err(unusable)?;
            }
            let wait = next.saturating_duration_since(Instant::now());
            let mut list = Vec::from(keys.endpoints());
            list.extend(terminal.room());
            ending.wait_for_any(&mut list, Some(wait))?;
            let said = keys.take()?;
            changed = !said.is_empty();
            for said in said {
                if let Said::Key(key) = said
                    && view.press(key) == Wish::End
                {
                    return Ok(());
                }
            }
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, view: &mut View) {
        let parts = [Constraint::Length(2), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
        let [head, titles, body, foot] = Layout::vertical(parts).areas(frame.area());
        frame.render_widget(Paragraph::new(self.head(view)), head);
        let columns = fitting(usize::from(titles.width));
        frame.render_widget(Paragraph::new(self.titles(view, &columns)).reversed(), titles);
        let (first, rows) = view.page(usize::from(body.height));
        let last = first + rows.len();
        let lines: Vec<Line<'_>> = rows.iter().map(|row| self.row(row, &columns)).collect();
        frame.render_widget(Paragraph::new(lines), body);
        let foot_line = match (view.typing, view.filter.is_empty()) {
            (true, _) => format!("filter: {}_   (Enter keeps it, Esc drops it)", view.filter),
            (false, false) => format!("filter: {} (Esc drops it)  {KEYS}", view.filter),
            (false, true) => KEYS.to_owned(),
        };
        let seen = format!("{}-{last} of {}  ", (first + 1).min(last), view.passing());
        frame.render_widget(Paragraph::new(printable(&format!("{seen}{foot_line}"))), foot);
    }

    /// Where, how many, how often; and what all of them do together.
    fn head(&self, view: &View) -> Vec<Line<'static>> {
        let all = view.all();
        let processes = all.iter().map(|row| (row.end.uid, row.end.pid)).collect::<HashSet<_>>().len();
        let sum = |of: fn(&Row) -> f64| all.iter().map(of).sum::<f64>();
        let every = units::nanos(self.interval.as_nanos() as f64);
        let paused = if view.paused { "  PAUSED" } else { "" };
        let where_and_who =
            format!("wharf top  {}  {} ends in {processes} processes, every {every}{paused}", self.place, all.len());
        let rate = |value: f64| if value == 0.0 { "0".to_owned() } else { units::rate(value) };
        let together = format!(
            "sent and received {} messages/s, {}/s; missed {}/s; memory {}",
            rate(sum(|row| row.messages)),
            units::size(sum(|row| row.bytes).round() as u64),
            rate(sum(|row| row.missed)),
            units::size(all.iter().map(|row| row.end.statistics.memory_bytes).fold(0, u64::saturating_add)),
        );
        vec![Line::from(printable(&where_and_who)).bold(), Line::from(together)]
    }

    fn titles(&self, view: &View, columns: &[(Column, usize)]) -> Line<'static> {
        let title = |(column, width): &(Column, usize)| {
            let text = format!("{}{}", aligned(*column, column.head(), *width), " ".repeat(GAP));
            let sorted = column.sorted_by() == Some(view.order.by());
            if sorted { Span::from(text).bold().underlined() } else { Span::from(text) }
        };
        Line::from(columns.iter().map(title).collect::<Vec<_>>())
    }

    fn row(&self, row: &Row, columns: &[(Column, usize)]) -> Line<'static> {
        let span = |(column, width): &(Column, usize)| {
            let cell = shortened(&column.cell(row), *width);
            let text = format!("{}{}", aligned(*column, &cell, *width), " ".repeat(GAP));
            Span::styled(text, self.style(*column, row))
        };
        Line::from(columns.iter().map(span).collect::<Vec<_>>())
    }

    /// What is lost, and who waits for room, catches the eye.
    fn style(&self, column: Column, row: &Row) -> Style {
        let style = Style::new();
        let (alarming, colour) = match column {
            Column::Missed => (row.missed > 0.0, Color::Red),
            Column::Blocked => (row.blocked >= 0.5, Color::Yellow),
            _ => (false, Color::Reset),
        };
        match (alarming, self.colour) {
            (true, true) => style.fg(colour).bold(),
            (true, false) => style.bold(),
            (false, _) => style,
        }
    }
}

//! A grid of text: columns that align, headings over columns, and rows that only say why they are empty.

/// The widest line that the grid tries to keep within.
pub(crate) const WIDTH: usize = 118;
/// Between two columns.
const GAP: &str = "  ";

/// One column of figures.
#[derive(Debug)]
pub(crate) struct Column {
    /// A heading over this and its neighbours that bear the same one; may be empty.
    pub(crate) over: String,
    /// Its own heading.
    pub(crate) head: String,
    /// Whether it holds numbers, which line up on their right.
    pub(crate) right: bool,
}

impl Column {
    /// A column of numbers.
    pub(crate) fn numbers(over: impl Into<String>, head: impl Into<String>) -> Column {
        Column { over: over.into(), head: head.into(), right: true }
    }

    /// A column of words.
    pub(crate) fn words(over: impl Into<String>, head: impl Into<String>) -> Column {
        Column { over: over.into(), head: head.into(), right: false }
    }
}

/// What a row holds.
#[derive(Debug)]
pub(crate) enum Line {
    /// One cell for each column.
    Cells(Vec<String>),
    /// The labels in front, and one sentence instead of figures.
    Instead {
        /// The cells in front.
        labels: Vec<String>,
        /// The sentence.
        sentence: String,
    },
}

/// A titled group of rows.
#[derive(Debug)]
pub(crate) struct Grid {
    /// What the group is about.
    pub(crate) title: String,
    /// Its columns.
    pub(crate) columns: Vec<Column>,
    /// Its rows.
    pub(crate) lines: Vec<Line>,
}

impl Grid {
    /// Writes the group: title, headings, a rule, rows.
    pub(crate) fn render(&self, bold: bool) -> String {
        let widths = self.widths();
        let total = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        let mut text = String::new();
        let title = if bold { format!("\u{1b}[1m{}\u{1b}[0m", self.title) } else { self.title.clone() };
        let spans = self.spans(&widths);
        let over = spans_line(&spans);
        push_line(&mut text, &title);
        if !over.trim().is_empty() {
            push_line(&mut text, &over);
        }
        let heads: Vec<&str> = self.columns.iter().map(|column| column.head.as_str()).collect();
        push_line(&mut text, &self.cells_line(&heads, &widths));
        push_line(&mut text, &"─".repeat(total));
        for line in &self.lines {
            match line {
                Line::Cells(cells) => {
                    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                    push_line(&mut text, &self.cells_line(&cells, &widths));
                }
                Line::Instead { labels, sentence } => {
                    text.push_str(&instead(labels, sentence, &widths));
                }
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| width(&column.head)).collect();
        for line in &self.lines {
            let cells = match line {
                Line::Cells(cells) => cells,
                Line::Instead { labels, .. } => labels,
            };
            for (at, cell) in widths.iter_mut().zip(cells) {
                *at = (*at).max(width(cell));
            }
        }
        self.make_room_for_spans(&mut widths);
        widths
    }

    /// A heading over several columns needs its width too: the last of its columns grows.
    fn make_room_for_spans(&self, widths: &mut [usize]) {
        let mut start = 0;
        while let Some(first) = self.columns.get(start) {
            let end = start + self.columns[start..].iter().take_while(|it| it.over == first.over).count();
            let inner: usize = widths[start..end].iter().sum::<usize>() + GAP.len() * (end - start - 1);
            let missing = width(&first.over).saturating_sub(inner);
            if let Some(last) = widths.get_mut(start) {
                *last += missing;
            }
            start = end;
        }
    }

    /// Each heading over columns with the width it covers.
    fn spans(&self, widths: &[usize]) -> Vec<(&str, usize)> {
        let mut spans: Vec<(&str, usize)> = Vec::new();
        for (column, &width) in self.columns.iter().zip(widths) {
            match spans.last_mut() {
                Some((over, covered)) if *over == column.over => *covered += GAP.len() + width,
                _ => spans.push((&column.over, width)),
            }
        }
        spans
    }

    fn cells_line(&self, cells: &[&str], widths: &[usize]) -> String {
        let padded = cells.iter().zip(&self.columns).zip(widths).map(|((cell, column), &to)| {
            let fill = " ".repeat(to.saturating_sub(width(cell)));
            if column.right { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
        });
        padded.collect::<Vec<_>>().join(GAP)
    }
}

/// Headings over columns, each drawn out with a line to the width that it covers.
fn spans_line(spans: &[(&str, usize)]) -> String {
    let drawn = spans.iter().map(|&(over, covered)| {
        let rest = covered.saturating_sub(width(over));
        match (over.is_empty(), rest) {
            (true, _) | (_, 0) => format!("{over}{}", " ".repeat(rest)),
            (false, rest) => {
                let right = "┄".repeat(rest.saturating_sub(1));
                format!("{over} {right}")
            }
        }
    });
    drawn.collect::<Vec<_>>().join(GAP)
}

fn instead(labels: &[String], sentence: &str, widths: &[usize]) -> String {
    let front: Vec<String> = labels
        .iter()
        .zip(widths)
        .map(|(label, &to)| format!("{label}{}", " ".repeat(to.saturating_sub(width(label)))))
        .collect();
    let front = front.join(GAP) + GAP;
    let indent = " ".repeat(width(&front));
    let mut text = String::new();
    for (at, line) in wrap(sentence, WIDTH.saturating_sub(width(&front))).iter().enumerate() {
        push_line(&mut text, &format!("{}{line}", if at == 0 { &front } else { &indent }));
    }
    text
}

/// Breaks a sentence between words into lines of at most `limit` characters (a longer word stays whole).
pub(crate) fn wrap(sentence: &str, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in sentence.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= limit {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Characters, which is what a terminal's columns are for everything that the table prints.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(lines: Vec<Line>) -> Grid {
        Grid {
            title: "SPEED".into(),
            columns: vec![
                Column::words("", "who"),
                Column::numbers("both spinning", "p50"),
                Column::numbers("both spinning", "p99"),
            ],
            lines,
        }
    }

    #[test]
    fn numbers_line_up_on_their_right_and_headings_cover_their_columns() {
        let cells = |who: &str, p50: &str, p99: &str| Line::Cells(vec![who.into(), p50.into(), p99.into()]);
        let text = grid(vec![cells("shm:", "61 ns", "88 ns"), cells("unix:", "1.40 µs", "9 µs")]).render(false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "SPEED",
                "       both spinning ┄┄",
                "who        p50    p99",
                "───────────────────────",
                "shm:     61 ns  88 ns",
                "unix:  1.40 µs   9 µs",
            ]
            .map(|line| line.replace("both spinning ┄┄", "both spinning ").trim_end().to_owned())
            .map(|line| line.replace("───────────────────────", &"─".repeat(21)))
        );
    }

    #[test]
    fn a_row_without_figures_says_why_within_the_width() {
        let why = "this machine has no such thing ".repeat(8);
        let text = grid(vec![Line::Instead { labels: vec!["tls:".into()], sentence: why }]).render(false);
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        assert_eq!(text.matches("machine").count(), 8);
        assert!(text.lines().skip(5).all(|line| line.starts_with("    ")), "{text}");
    }

    #[test]
    fn only_the_title_is_bold_and_only_when_asked() {
        assert!(!grid(vec![]).render(false).contains('\u{1b}'));
        assert!(grid(vec![]).render(true).starts_with("\u{1b}[1mSPEED\u{1b}[0m\n"));
    }
}

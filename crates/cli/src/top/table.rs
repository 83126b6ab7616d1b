//! `wharf top` where nobody watches: one table, or JSON.

use serde::Serialize;

use super::columns::{ALL, Column};
use super::order::Order;
use super::rows::Row;
use crate::failure::Failure;
use crate::json::to_json;
use crate::look::{ShownStatistics, role, seconds};
use crate::output::Output;
use crate::usage::looking::TopArguments;
use crate::width::{columns, padded, padded_in_front};

#[derive(Serialize)]
struct ShownRow<'a> {
    pattern: String,
    role: &'static str,
    name: &'a str,
    pid: u32,
    program: &'a str,
    open_seconds: f64,
    messages_per_second: f64,
    bytes_per_second: f64,
    missed_per_second: f64,
    blocked_share: f64,
    waiting: u64,
    statistics: ShownStatistics,
}

/// Writes the rows.
pub(super) fn write(mut rows: Vec<Row>, asked: &TopArguments) -> Result<(), Failure> {
    Order::new(asked.sort).sort(&mut rows);
    let mut output = Output::take();
    if asked.json {
        let shown: Vec<ShownRow<'_>> = rows.iter().map(shown).collect();
        output.line(&to_json(&shown)?)?;
        return output.flush();
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| ALL.iter().map(|it| it.cell(row)).collect()).collect();
    let head: Vec<String> = ALL.iter().map(|it| it.head().to_owned()).collect();
    let longest = |at: usize| {
        let all = std::iter::once(&head).chain(&cells);
        all.filter_map(|row| row.get(at)).map(|cell| columns(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..ALL.len()).map(longest).collect();
    for row in std::iter::once(&head).chain(&cells) {
        let row = ALL.iter().zip(&widths).zip(row).map(|((column, width), cell)| aligned(*column, cell, *width));
        output.line(row.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    output.flush()
}

/// Figures to the right, words to the left.
pub(super) fn aligned(column: Column, cell: &str, width: usize) -> String {
    if column.is_figure() { padded_in_front(cell, width) } else { padded(cell, width) }
}

fn shown(row: &Row) -> ShownRow<'_> {
    let thousandth = |value: f64| (value * 1e3).round() / 1e3;
    ShownRow {
        pattern: row.end.pattern.to_string(),
        role: role(row.end.pattern, row.end.part),
        name: &row.end.name,
        pid: row.end.pid,
        program: &row.end.program,
        open_seconds: seconds(row.end.age),
        messages_per_second: thousandth(row.messages),
        bytes_per_second: thousandth(row.bytes),
        missed_per_second: thousandth(row.missed),
        blocked_share: thousandth(row.blocked),
        waiting: row.waiting,
        statistics: ShownStatistics::of(&row.end.statistics),
    }
}

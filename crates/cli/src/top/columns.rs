//! What stands in the columns, and which of them there is room for.

use super::rows::Row;
use crate::look::role;
use crate::printable::printable;
use crate::units;
use crate::usage::looking::SortBy;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Role,
    Name,
    Process,
    Messages,
    Bytes,
    Waiting,
    Missed,
    Lost,
    Blocked,
    Peers,
    Memory,
}

/// In their order.
pub(super) const ALL: [Column; 11] = [
    Column::Role,
    Column::Name,
    Column::Process,
    Column::Messages,
    Column::Bytes,
    Column::Waiting,
    Column::Missed,
    Column::Lost,
    Column::Blocked,
    Column::Peers,
    Column::Memory,
];

/// Where there is no room for all, these are left out first.
const LEFT_OUT: [Column; 7] =
    [Column::Peers, Column::Lost, Column::Process, Column::Memory, Column::Blocked, Column::Role, Column::Waiting];

/// Between two columns.
pub(super) const GAP: usize = 2;

impl Column {
    pub(super) fn head(self) -> &'static str {
        match self {
            Column::Role => "ROLE",
            Column::Name => "NAME",
            Column::Process => "PROCESS",
            Column::Messages => "MSG/S",
            Column::Bytes => "BYTES/S",
            Column::Waiting => "WAITING",
            Column::Missed => "MISSED",
            Column::Lost => "LOST",
            Column::Blocked => "BLOCKED",
            Column::Peers => "PEERS",
            Column::Memory => "MEMORY",
        }
    }

    /// Its width; of a name the least one.
    pub(super) fn width(self) -> usize {
        match self {
            Column::Role => 10,
            Column::Name => 20,
            Column::Process => 20,
            Column::Messages | Column::Waiting | Column::Blocked => 7,
            Column::Bytes | Column::Memory => 9,
            Column::Missed => 15,
            Column::Lost => 6,
            Column::Peers => 5,
        }
    }

    pub(super) fn is_figure(self) -> bool {
        !matches!(self, Column::Role | Column::Name | Column::Process)
    }

    /// What sorts by it.
    pub(super) fn sorted_by(self) -> Option<SortBy> {
        Some(match self {
            Column::Name => SortBy::Name,
            Column::Process => SortBy::Process,
            Column::Messages => SortBy::Messages,
            Column::Bytes => SortBy::Bytes,
            Column::Waiting => SortBy::Waiting,
            Column::Missed => SortBy::Missed,
            Column::Blocked => SortBy::Blocked,
            Column::Memory => SortBy::Memory,
            Column::Role | Column::Lost | Column::Peers => return None,
        })
    }

    /// What a row says there.
    pub(super) fn cell(self, row: &Row) -> String {
        let (end, done) = (&row.end, &row.end.statistics);
        let figure = |value: f64, text: String| if value == 0.0 { "0".to_owned() } else { text };
        match self {
            Column::Role => role(end.pattern, end.part).to_owned(),
            Column::Name => printable(&end.name),
            Column::Process => printable(&format!("{} ({})", end.pid, end.program)),
            Column::Messages => figure(row.messages, units::rate(row.messages)),
            Column::Bytes => figure(row.bytes, units::size(row.bytes.round() as u64)),
            Column::Waiting => count(row.waiting),
            Column::Missed if row.missed > 0.0 => {
                format!("{} +{}/s", count(done.lost_lagged), units::rate(row.missed))
            }
            Column::Missed => count(done.lost_lagged),
            Column::Lost => count(done.lost_rejected.saturating_add(done.lost_died)),
            Column::Blocked => figure(row.blocked, format!("{:.0} %", row.blocked * 100.0)),
            Column::Peers => count(done.peers),
            Column::Memory => figure(done.memory_bytes as f64, units::size(done.memory_bytes)),
        }
    }
}

/// Exact while it is short.
fn count(count: u64) -> String {
    if count < 100_000 { count.to_string() } else { units::rate(count as f64) }
}

/// As many columns as there is room for, each with its width; the names take what is left.
pub(super) fn fitting(width: usize) -> Vec<(Column, usize)> {
    let mut columns = ALL.to_vec();
    let needed = |columns: &[Column]| columns.iter().map(|it| it.width() + GAP).sum::<usize>() - GAP;
    for left_out in LEFT_OUT {
        if needed(&columns) <= width {
            break;
        }
        columns.retain(|it| *it != left_out);
    }
    let rest = width.saturating_sub(needed(&columns));
    columns.iter().map(|&it| (it, it.width() + if it == Column::Name { rest } else { 0 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_keeps_what_matters() {
        let heads = |width| fitting(width).iter().map(|(it, _)| it.head()).collect::<Vec<_>>();
        assert_eq!(heads(200).len(), ALL.len());
        assert_eq!(heads(80), ["ROLE", "NAME", "MSG/S", "BYTES/S", "WAITING", "MISSED"]);
        assert_eq!(heads(10), ["NAME", "MSG/S", "BYTES/S", "MISSED"]);
        let whole: usize = fitting(150).iter().map(|(_, width)| width + GAP).sum();
        assert_eq!(whole - GAP, 150, "the names take the rest");
    }
}

//! In which order the rows stand.

use std::cmp::Ordering;

use super::rows::Row;
use crate::usage::looking::SortBy;

/// By what, and which way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    by: SortBy,
    down: bool,
}

impl Order {
    /// The usual way round: names and processes up, figures down.
    pub(super) fn new(by: SortBy) -> Order {
        Order { by, down: !matches!(by, SortBy::Name | SortBy::Process) }
    }

    /// By this; if it is already, the other way round.
    pub(super) fn chosen(self, by: SortBy) -> Order {
        if self.by == by { Order { by, down: !self.down } } else { Order::new(by) }
    }

    pub(super) fn by(self) -> SortBy {
        self.by
    }

    /// Sorts; those that are alike by name, so that they stay where they are.
    pub(super) fn sort(self, rows: &mut [Row]) {
        rows.sort_by(|a, b| {
            let order = compare(self.by, a, b);
            let order = if self.down { order.reverse() } else { order };
            order.then_with(|| (&a.end.name, a.end.part, a.end.pid).cmp(&(&b.end.name, b.end.part, b.end.pid)))
        });
    }
}

fn compare(by: SortBy, a: &Row, b: &Row) -> Ordering {
    match by {
        SortBy::Name => a.end.name.cmp(&b.end.name),
        SortBy::Process => a.end.pid.cmp(&b.end.pid),
        SortBy::Messages => a.messages.total_cmp(&b.messages),
        SortBy::Bytes => a.bytes.total_cmp(&b.bytes),
        SortBy::Waiting => a.waiting.cmp(&b.waiting),
        SortBy::Missed => {
            a.missed.total_cmp(&b.missed).then(a.end.statistics.lost_lagged.cmp(&b.end.statistics.lost_lagged))
        }
        SortBy::Blocked => a.blocked.total_cmp(&b.blocked),
        SortBy::Memory => a.end.statistics.memory_bytes.cmp(&b.end.statistics.memory_bytes),
    }
}

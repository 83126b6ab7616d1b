//! How much one client may ask of a server, in time, size and number: a server is no tool to burn its CPU with.

use std::time::Duration;

use crate::compare::order::Order;
use crate::compare::sweep;

/// A client that says nothing for so long is left.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);
/// A newcomer must have said who it is.
pub(crate) const INTRODUCTION: Duration = Duration::from_secs(2);
/// The two sides must have opened a line.
pub(crate) const MEETING: Duration = Duration::from_secs(5);
/// How long an order may take.
pub(crate) fn of(order: &Order) -> Duration {
    if *order == Order::TakeFile { FILE } else { ORDER }
}

/// One order: the longest figure takes 2 s, the rest is for a slow network to run dry.
pub(crate) const ORDER: Duration = Duration::from_secs(20);
/// The order that carries a file.
pub(crate) const FILE: Duration = Duration::from_secs(90);
/// All of one client's orders together.
pub(crate) const CLIENT: Duration = Duration::from_secs(300);
/// The largest message: what the picture needs is more than what the table does.
pub(crate) const LARGEST: u64 = if sweep::LARGEST > 64 << 20 { sweep::LARGEST } else { 64 << 20 };
/// Newcomers that have not said yet who they are; one more is turned away.
pub(crate) const NEWCOMERS: usize = 8;
/// Orders of one client: a full comparison with a picture gives fewer than 500.
pub(crate) const ORDERS: u32 = 2_000;

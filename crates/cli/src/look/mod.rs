//! Who is there and what each end has done: `wharf ls` and `wharf stat`.
//!
//! Looking reads what every process shows of its ends, and costs that process nothing.

mod domain;
mod list;
mod names;
mod shown;
mod stat;
mod watch;
mod words;

pub(crate) use self::domain::{directory, endpoints};
pub(crate) use self::list::run as run_ls;
pub(crate) use self::names::{Names, fits, nearest};
pub(crate) use self::shown::{ShownStatistics, seconds};
pub(crate) use self::stat::run as run_stat;
pub(crate) use self::words::role;

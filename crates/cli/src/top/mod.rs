//! `wharf top`: rates, lag, losses, blocked time and memory of every end, live.
//!
//! It reads what every process shows of its ends, at most twice a second, and costs that process nothing. What it makes of
//! two looks (`rows.rs`, `lag.rs`) knows no clock and no terminal; what it shows of that (`columns.rs`) is the same on a
//! terminal (`screen.rs`) and elsewhere (`table.rs`).

mod columns;
mod lag;
mod order;
mod rows;
mod screen;
mod table;
mod view;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::look::{Names, endpoints};
use crate::usage::looking::TopArguments;

use self::rows::{End, Row, Rows};

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(500);

/// Runs the command.
pub(crate) fn run(asked: &TopArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let mut looks = Looks { names: Names::new(asked.name.as_deref())?, rows: Rows::default() };
    let interval = asked.interval.max(SHORTEST);
    if io::stdout().is_terminal() && io::stdin().is_terminal() && !asked.json {
        return screen::run(&mut looks, asked, interval, &mut ending);
    }
    looks.look()?;
    ending.pause(interval)?;
    let rows = looks.look()?;
    table::write(rows, asked)
}

/// Looks at the domain, each compared with the one before.
struct Looks {
    names: Names,
    rows: Rows,
}

impl Looks {
    fn look(&mut self) -> Result<Vec<Row>, Failure> {
        let all = endpoints()?;
        let all = all.into_iter().map(End::from).collect();
        let mut rows = self.rows.next(all, Instant::now());
        rows.retain(|row| self.names.mean(&row.end.name));
        Ok(rows)
    }
}

//! `wharf region ls`: the regions of this user.

use wharf::region;
use wharf_sys::directory::Domain;

use super::shown::{Shown, has_facts, is_known};
use super::target::in_our_words;
use crate::failure::Failure;
use crate::json::to_json;
use crate::output::Output;
use crate::printable::printable;
use crate::units;
use crate::usage::complain;
use crate::width::{columns, padded};

/// Lists them.
pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let regions = region::list().map_err(|error| in_our_words("", error))?;
    let mut output = Output::take();
    if json {
        let shown: Vec<Shown> = regions.iter().map(Shown::new).collect();
        output.line(&to_json(&shown)?)?;
    } else if regions.is_empty() {
        // On standard error: a script that reads the list finds it empty.
        complain(&format!("no regions in {}", Domain::usual_path().display()));
    } else {
        let widest = regions.iter().map(|info| columns(&printable(&info.name))).max().unwrap_or(0).max("NAME".len());
        output.line(&format!("{:widest$}  {:>9}  {:>8}  TYPE", "NAME", "SIZE", "ATTACHED"))?;
        for info in &regions {
            let unknown = || "unknown".to_owned();
            let size = if has_facts(info) { units::size(info.size) } else { unknown() };
            let alive = info.participants.iter().filter(|it| it.alive).count();
            let attached = if is_known(info) { alive.to_string() } else { unknown() };
            let kind = info.problem.as_deref().unwrap_or(&info.type_name);
            let name = padded(&printable(&info.name), widest);
            output.line(&format!("{name}  {size:>9}  {attached:>8}  {}", printable(kind)))?;
        }
    }
    output.flush()
}

//! `wharf region inspect`: what its header says, who takes part, who holds what and who waits.

use wharf::region::{ObjectInfo, RegionInfo, RegionKind};

use super::shown::Shown;
use super::words;
use crate::failure::Failure;
use crate::json::to_json;
use crate::output::Output;
use crate::printable::printable;
use crate::units;
use crate::usage::TargetArguments;

/// Looks once.
pub(crate) fn run(target: &TargetArguments, json: bool) -> Result<(), Failure> {
    let info = target.inspect()?;
    let mut output = Output::take();
    if json {
        output.line(&to_json(&Shown::new(&info))?)?;
    } else {
        for line in describe(&info) {
            output.line(&printable(&line))?;
        }
    }
    output.flush()
}

/// Everything about a region, line by line; nothing in it is made fit for a terminal yet.
pub(crate) fn describe(info: &RegionInfo) -> Vec<String> {
    let mut lines = vec![
        format!("name          {}", info.name),
        format!("type          {}", info.type_name),
        match info.kind {
            // Bytes have no layout of their own.
            RegionKind::Bytes => format!("layout        version {}", info.version),
            _ => format!("layout        version {}, hash {:016x}", info.version, info.hash),
        },
        format!("size          {} ({} bytes)", units::size(info.size), info.size),
        format!("root          {} bytes", info.root_size),
        format!("owner         uid {}, mode {:04o}", info.uid, info.mode),
        format!("created       {}", info.created.map_or_else(|| "unknown".into(), words::ago)),
        format!("file          {}", areas(info)),
        format!("participants  {} of at most {}", info.participants.len(), info.max_participants),
    ];
    lines.extend(info.participants.iter().map(|it| format!("  {}", words::participant(it))));
    lines.push(format!("objects       {}", info.objects.len()));
    lines.extend(info.objects.iter().flat_map(object));
    if info.objects_omitted > 0 {
        lines.push(format!("  {} more that are not listed", info.objects_omitted));
    }
    if let Some(unlisted) = info.objects.first().map(|it| it.seen.unlisted).filter(|&unlisted| unlisted > 0) {
        lines.push(format!("  {unlisted} more threads wait for one of them: each process can list five"));
    }
    lines
}

fn areas(info: &RegionInfo) -> String {
    let area = |it: &wharf::region::AreaInfo| format!("{} at {}", it.name, it.offset);
    info.areas.iter().map(area).collect::<Vec<_>>().join(", ")
}

fn object(it: &ObjectInfo) -> Vec<String> {
    let doubt = if it.seen.inconsistent { ", data in doubt" } else { "" };
    let mut lines = vec![format!("  {} at {}, {} bytes{doubt}", words::object(it), it.offset, it.len)];
    lines.extend(it.seen.holders.iter().map(|holder| format!("    {}", words::holder(holder))));
    lines.extend(it.seen.waiters.iter().map(|waiter| {
        let so_far = units::nanos(waiter.waited.as_nanos() as f64);
        format!("    {}, for {so_far} so far", words::waiter(waiter))
    }));
    lines
}

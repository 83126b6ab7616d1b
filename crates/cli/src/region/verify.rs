//! `wharf region verify`: whether a region is sound, without touching it.

use wharf::region::Verified;

use super::shown::ShownFindings;
use super::words::counted;
use crate::failure::Failure;
use crate::json::to_json;
use crate::output::Output;
use crate::printable::printable;
use crate::usage::TargetArguments;

/// Looks once; fails if anything was found.
pub(crate) fn run(target: &TargetArguments, json: bool) -> Result<(), Failure> {
    let verified = target.verify()?;
    let mut output = Output::take();
    if json {
        output.line(&to_json(&ShownFindings::new(&verified))?)?;
    } else {
        for line in describe(&target.called(), &verified) {
            output.line(&printable(&line))?;
        }
    }
    output.flush()?;
    if verified.findings.is_empty() { Ok(()) } else { Err(Failure::Found) }
}

fn describe(called: &str, verified: &Verified) -> Vec<String> {
    let mut lines: Vec<String> = verified.findings.iter().map(ToString::to_string).collect();
    if verified.unchecked > 0 {
        let unchecked = counted(verified.unchecked, "object");
        lines
            .push(format!("not looked at: {unchecked} that the header does not describe, or beyond what is looked at"));
    }
    if verified.findings.is_empty() {
        let (objects, participants) =
            (counted(verified.objects, "object"), counted(verified.participants, "participant"));
        lines.push(format!("region {called} is sound: looked at {objects} and {participants}"));
    }
    lines
}

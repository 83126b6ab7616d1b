//! `wharf region verify`: whether a region is sound, without touching it.

use wharf::region::Verified;

use super::shown::{ShownFindings, to_json};
use crate::failure::Failure;
use crate::output::{Output, printable};
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
        lines.push(format!(
            "not looked at: {} objects that its header does not describe, or that are too many",
            verified.unchecked
        ));
    }
    if verified.findings.is_empty() {
        let (objects, participants) = (verified.objects, verified.participants);
        lines.push(format!(
            "region {called} is sound: {objects} objects and {participants} participants were looked at"
        ));
    }
    lines
}

//! Comparisons between two machines: one serves, the other measures.

mod address;
mod bounds;
mod client;
mod measure;
mod security;
mod serve;
mod session;
mod timed_line;
mod words;

use crate::compare::machine;
use crate::compare::plan::Plan;
use crate::compare::progress::Progress;
use crate::compare::report::Report;
use crate::compare::way::Way;
use crate::failure::Failure;
use crate::identity::Fingerprint;
use crate::usage::CompareArguments;

pub(crate) use bounds::of as limit_of;
pub(crate) use serve::run as serve;
pub(crate) use timed_line::TimedLine;

/// Where a client may find the token instead of on its command line, which other users of the machine can see.
const TOKEN_VARIABLE: &str = "WHARF_TOKEN";

/// The rows that lead to a server: its network transports, or the one over which it is asked.
pub(crate) fn ways(server: &str) -> Result<Vec<Way>, Failure> {
    let over = read(server)?.transport();
    if !over.crosses_machines() {
        return Ok(vec![Way::Link(over)]);
    }
    Ok(Way::all().into_iter().filter(|way| way.crosses_machines()).collect())
}

/// Measures everything that is planned against a server.
pub(crate) fn measure_all(asked: &CompareArguments, plan: &Plan, server: &str) -> Result<Report, Failure> {
    let token = asked.token.clone().or_else(|| std::env::var(TOKEN_VARIABLE).ok());
    let token = token.ok_or_else(|| {
        Failure::Usage(format!(
            "--remote: no token: give the one that the server printed with --token, or in {TOKEN_VARIABLE}"
        ))
    })?;
    let fingerprint = asked.fingerprint.as_deref().map(Fingerprint::read).transpose();
    let fingerprint = fingerprint.map_err(|why| Failure::Usage(format!("--fingerprint: {why}")))?;
    let trusted = security::Trusted { address: read(server)?, insecure: asked.insecure, fingerprint };
    let address = trusted.address.to_string();
    let mut remote = client::Remote::reach(trusted, &token)
        .map_err(|trouble| Failure::Failed(format!("cannot compare with {address}: {trouble}")))?;
    let progress = Progress::start(plan.ways.len() * measure::steps(plan));
    let rows = plan.ways.iter().map(|&way| measure::row(&mut remote, plan, way, &progress)).collect();
    let mut report = Report::of(plan, machine::look(None), rows);
    report.remote = Some(remote.machine);
    Ok(report)
}

fn read(server: &str) -> Result<wharf::Address, Failure> {
    address::read(server).map_err(|why| Failure::Usage(format!("--remote: {why}")))
}

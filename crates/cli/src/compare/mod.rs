//! `wharf compare`: both models and every transport, measured between two real processes.

mod carry;
pub(crate) mod crossover;
mod grid;
mod ground;
pub(crate) mod host;
pub(crate) mod idle;
pub(crate) mod isolation;
mod jobs;
pub(crate) mod line;
pub(crate) mod machine;
mod mailbox;
mod measure;
pub(crate) mod order;
pub(crate) mod peer;
pub(crate) mod place;
mod plan;
pub(crate) mod plot;
mod progress;
mod remote;
pub(crate) mod report;
mod ring;
mod script;
pub(crate) mod secret;
mod summary;
pub(crate) mod sweep;
pub(crate) mod system_calls;
mod table;
pub(crate) mod take;
pub(crate) mod trouble;
pub(crate) mod watchdog;
pub(crate) mod way;

use std::time::Instant;

use wharf_measure::Prober;

use crate::failure::Failure;
use crate::output::{Output, may_colour};
use crate::usage::{CompareArguments, ComparePeerArguments};
use measure::Bench;
use place::Place;
use plan::Plan;
use plot::Plot;
use progress::Progress;
use report::{Outcome, Report, Row};
use way::Way;

/// Runs the comparison and prints what it found, or serves those of others.
pub(crate) fn run(asked: &CompareArguments) -> Result<(), Failure> {
    if let Some(address) = &asked.serve {
        return remote::serve(asked, address);
    }
    let start = Instant::now();
    let ways = asked.remote.as_deref().map_or_else(|| Ok(Way::all()), remote::ways)?;
    let plan = Plan::new(asked, ways)?;
    carry::look_at(&plan.file, plan.file_limit).map_err(Failure::Usage)?;
    let plot = asked.plot.as_deref().map(Plot::at).transpose()?;
    let mut report = match &asked.remote {
        None => measure_all(&plan)?,
        Some(server) => remote::measure_all(asked, &plan, server)?,
    };
    report.settings.plot = asked.plot.as_ref().map(|path| path.display().to_string());
    report.summary = summary::sentences(&report);
    report.seconds = start.elapsed().as_secs_f64();
    print(&report, asked.json)?;
    plot.map_or(Ok(()), |plot| plot.draw(&report))?;
    if report.all_well() {
        Ok(())
    } else {
        Err(Failure::Failed("not every transport of this machine carried its bytes: the rows say why".into()))
    }
}

fn measure_all(plan: &Plan) -> Result<Report, Failure> {
    // Without a directory there are no names, and the rows that need one say why.
    let place = Place::make();
    if let Ok(place) = &place {
        place
            .clean_up_on_signals()
            .map_err(|error| Failure::Failed(format!("cannot watch for Ctrl-C, so nothing was begun: {error}")))?;
    }
    let prober = Prober::new().ok();
    let machine = machine::look(prober.map(Prober::pair));
    let progress = Progress::start(plan.ways.len() * measure::steps(plan));
    let bench = Bench { plan, place: place.as_ref(), prober, progress: &progress };
    let rows = plan.ways.iter().map(|&way| bench.row(way)).collect();
    Ok(Report::of(plan, machine, rows))
}

/// Measures what the picture draws of these ways, and nothing else, as briefly as figures allow that are to show a difference.
/// Each way has its share of the time until `end`, and is given up at `latest`.
pub(crate) fn sweep_briefly(ways: Vec<Way>, place: &Place, end: Instant, latest: Instant) -> Report {
    let plan = Plan::brief(ways);
    let prober = Prober::new().ok();
    // Before the rows, which confine this thread to a processor.
    let machine = machine::look(prober.map(Prober::pair));
    let progress = Progress::silent();
    let bench = Bench { plan: &plan, place: Ok(place), prober, progress: &progress };
    let mut rows = Vec::new();
    for (at, &way) in plan.ways.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        rows.push(bench.swept_row(way, Instant::now() + left / (plan.ways.len() - at) as u32, latest));
    }
    // Figures stand side by side only where every way has them.
    let sizes = |row: &Row| row.sweep().map(|points| points.iter().map(|point| point.size_bytes).collect::<Vec<_>>());
    let taken: Vec<Vec<u64>> = rows.iter().filter_map(sizes).collect();
    for row in &mut rows {
        if let Outcome::Measured(figures) = &mut row.outcome
            && let Some(points) = &mut figures.sweep
        {
            points.retain(|point| taken.iter().all(|sizes| sizes.contains(&point.size_bytes)));
        }
    }
    Report::of(&plan, machine, rows)
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    let mut output = Output::take();
    if json {
        let text = serde_json::to_string_pretty(report)
            .map_err(|error| Failure::Failed(format!("cannot write the report as JSON: {error}")))?;
        output.line(&text)?;
    } else {
        output.bytes(table::render(report, may_colour()).as_bytes())?;
    }
    output.flush()
}

/// Runs one side of a comparison; `wharf compare` starts it.
pub(crate) fn run_peer(asked: &ComparePeerArguments) -> Result<(), Failure> {
    let way = Way::from_key(&asked.way).ok_or_else(|| Failure::Usage(format!("unknown transport '{}'", asked.way)))?;
    let done = match asked.script {
        None => peer::run_process(way, &asked.place, asked.cpus.first().copied()),
        Some(role) => script::play(way, role, &asked.place, &asked.cpus, asked.meet.as_deref()),
    };
    done.map_err(|trouble| Failure::Failed(trouble.why))
}

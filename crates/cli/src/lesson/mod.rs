//! `wharf lesson`: what is said of the two models, tried with real processes on this machine.

mod cast;
mod finding;
mod footprint;
mod ground;
mod network;
mod page;
mod player;
mod rows;
mod told;

use std::time::Instant;

use serde::Serialize;

use crate::compare::machine;
use crate::compare::report::Machine;
use crate::compare::trouble::Trouble;
use crate::failure::Failure;
use crate::json::to_json;
use crate::output::{Output, may_colour};
use crate::unfinished::Unfinished;
use crate::usage::lesson::LessonArguments;
use finding::{Figure, Finding, Verdict};
use ground::Ground;
use rows::{ROWS, Row};

pub(crate) use player::run as run_player;

/// Says what the JSON is; a key that is there means the same in every later version.
const SCHEMA: &str = "wharf.lesson/1";

/// A lesson that was taken.
#[derive(Serialize)]
struct Lesson {
    schema: &'static str,
    version: &'static str,
    machine: Machine,
    /// Programs that wanted a processor in the minute before, on average; null where nobody knows.
    load: Option<f64>,
    rows: Vec<Taken>,
    seconds: f64,
}

impl Lesson {
    /// A sentence for who reads figures that other programs have a part in.
    fn warning(&self) -> Option<String> {
        let load = self.load.filter(|load| *load > self.machine.cpus as f64)?;
        Some(format!(
            "{load:.1} programs wanted the {} CPUs before this began: figures of time say less than they do on an idle machine",
            self.machine.cpus
        ))
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// A row of it.
#[derive(Serialize)]
struct Taken {
    name: &'static str,
    claim: &'static str,
    verdict: Verdict,
    why: String,
    figures: Vec<Figure>,
    note: Option<String>,
    seconds: f64,
    command: String,
    #[serde(skip)]
    picture: Option<String>,
}

/// A row that is listed.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    claim: &'static str,
}

/// Runs the command.
pub(crate) fn run(asked: &LessonArguments) -> Result<(), Failure> {
    let rows = chosen(&asked.rows)?;
    let mut output = Output::take();
    if asked.list {
        list(&rows, asked.json, &mut output)?;
        return output.flush();
    }
    asked.html.as_deref().map_or(Ok(()), |path| Unfinished::check("--html", path))?;
    let start = Instant::now();
    let ground = Ground::make().map_err(Failure::Failed)?;
    let colour = may_colour();
    let mut lesson = Lesson {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        machine: machine::look(ground.pair),
        load: load(),
        rows: Vec::new(),
        seconds: 0.0,
    };
    for row in rows {
        let taken = take(row, &ground);
        if !asked.json {
            // Each as it comes: a person reads one while the next is measured.
            output.bytes(told::row(&taken, colour).as_bytes())?;
            output.flush()?;
        }
        lesson.rows.push(taken);
    }
    lesson.seconds = start.elapsed().as_secs_f64();
    if asked.json {
        output.line(&to_json(&lesson)?)?;
    } else if let Some(warning) = lesson.warning() {
        output.bytes(told::wrap(&format!("Note: {warning}."), "").as_bytes())?;
    }
    output.flush()?;
    if let Some(path) = &asked.html {
        let (unfinished, file) = Unfinished::begin(path)?;
        let mut page = Output::to(file, path);
        page.bytes(page::page(&lesson).as_bytes())?;
        page.flush()?;
        unfinished.finish()?;
    }
    let missing: Vec<&str> =
        lesson.rows.iter().filter(|row| row.verdict == Verdict::NotMeasured).map(|row| row.name).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(format!("not measured, as the rows say: {}", missing.join(", "))))
    }
}

fn chosen(asked: &[String]) -> Result<Vec<&'static Row>, Failure> {
    if asked.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let mut chosen: Vec<&Row> = Vec::new();
    for name in asked {
        let Some(row) = ROWS.iter().find(|row| row.name == name) else {
            let alike = ROWS.iter().map(|row| (strsim::jaro_winkler(name, row.name), row.name));
            let near = alike.filter(|(how, _)| *how > 0.75).max_by(|a, b| a.0.total_cmp(&b.0));
            let told = near
                .map_or("'wharf lesson --list' lists the rows".into(), |(_, near)| format!("did you mean '{near}'?"));
            return Err(Failure::Usage(format!("unknown row '{name}': {told}")));
        };
        if !chosen.iter().any(|it| it.name == row.name) {
            chosen.push(row);
        }
    }
    Ok(chosen)
}

fn list(rows: &[&'static Row], json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        let listed: Vec<Listed> = rows.iter().map(|row| Listed { name: row.name, claim: row.claim }).collect();
        return output.line(&to_json(&listed)?);
    }
    rows.iter().try_for_each(|row| output.line(&format!("{:14} {}", row.name, row.claim)))
}

/// Takes one row, on a thread of its own: some confine theirs to a processor.
fn take(row: &'static Row, ground: &Ground) -> Taken {
    let start = Instant::now();
    ground.begin_row();
    let found = std::thread::scope(|scope| scope.spawn(|| (row.measure)(ground)).join());
    let found = found.unwrap_or_else(|_| Err(Trouble::wrong("a thread of this command has ended by an error in it")));
    // What its processes met with when their time was over is no reason that helps.
    let found = found.map_err(|trouble| if ground.left().is_zero() { ground::too_busy() } else { trouble });
    let Finding { verdict, why, figures, note, picture } =
        found.unwrap_or_else(|trouble| Finding::new(Verdict::NotMeasured, trouble.why, Vec::new()));
    Taken {
        name: row.name,
        claim: row.claim,
        verdict,
        why,
        figures,
        note,
        seconds: start.elapsed().as_secs_f64(),
        command: format!("wharf lesson --row {}", row.name),
        picture,
    }
}

//! The cases of a suite, side by side in a few processes: most of them wait most of the time.
//!
//! A case looks at what its process has left behind, so no two share one at a time. Each lane is this program again: it is
//! told a name, runs that case and says its verdict. A lane that dies fails the case that it was at, and another takes its
//! place.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};

/// The argument that makes this program a lane.
const LANE: &str = "--lane";

/// Begins the line that says a verdict. Whatever else a lane says is for whoever reads the report.
const VERDICT: &str = "lane-verdict: ";

/// Whom a case may run beside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Anybody,
    /// Anybody but those of the same name: they use something of which the machine has one.
    NoOther(&'static str),
    /// It measures time.
    Nobody,
}

/// One case, by its full name.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) beside: Beside,
}

/// How a case ended.
pub(crate) enum Verdict {
    Passed,
    /// It cannot run on this machine.
    Skipped(String),
    Failed(String),
    /// It is not done and never will be; nothing can end its thread, short of the end of its process.
    Hung(String),
}

/// Runs the cases that the arguments choose, each by `run` in a lane, and reports in the words of the usual harness.
pub(crate) fn main(entries: &[Entry], run: impl Fn(&str) -> Verdict) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == LANE) {
        return in_a_lane(run);
    }
    // The options of the usual harness that make no sense here are accepted and ignored.
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let chosen: Vec<&Entry> = entries.iter().filter(|entry| chosen(&entry.name)).collect();
    if arguments.iter().any(|it| it == "--list") {
        chosen.iter().for_each(|entry| println!("{}: test", entry.name));
        return ExitCode::SUCCESS;
    }
    let report = side_by_side(&chosen);
    let filtered = entries.len() - chosen.len();
    println!();
    for (name, why) in &report.skipped {
        println!("cannot run here: {name}: {why}");
    }
    for name in &report.failed {
        println!("failed: {name}");
    }
    // A suite that ran nothing without being asked to has not passed.
    let passed = report.failed.is_empty() && (report.passed > 0 || filtered > 0);
    println!(
        "test result: {}. {} passed; {} failed; {} ignored; 0 measured; {filtered} filtered out",
        if passed { "ok" } else { "FAILED" },
        report.passed,
        report.failed.len(),
        report.skipped.len()
    );
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs what it is told to, one after the other, until nobody tells it anything.
fn in_a_lane(run: impl Fn(&str) -> Verdict) -> ExitCode {
    let mut name = String::new();
    while std::io::stdin().lock().read_line(&mut name).is_ok_and(|len| len > 0) {
        let verdict = run(name.trim_end());
        let (word, why) = match &verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Skipped(why) => ("skipped", &**why),
            Verdict::Failed(why) => ("failed", &**why),
            Verdict::Hung(why) => ("hung", &**why),
        };
        println!("{VERDICT}{word} {}", why.replace('\n', "\t"));
        if matches!(verdict, Verdict::Hung(_)) {
            std::process::exit(101);
        }
        name.clear();
    }
    ExitCode::SUCCESS
}

/// What came of all cases.
#[derive(Default)]
struct Report {
    passed: usize,
    skipped: Vec<(String, String)>,
    failed: Vec<String>,
}

/// What waits for a lane, and what is in one.
struct Waiting<'a> {
    next: VecDeque<&'a Entry>,
    running: Vec<Beside>,
}

fn side_by_side(entries: &[&Entry]) -> Report {
    // One more than there are processors, because most cases wait; more than that would make the others wait.
    let lanes = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let waiting = Mutex::new(Waiting { next: entries.iter().copied().collect(), running: Vec::new() });
    let (changed, report) = (Condvar::new(), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for _ in 0..lanes.min(entries.len()) {
            scope.spawn(|| {
                let mut lane = None;
                while let Some(entry) = next(&waiting, &changed) {
                    let verdict = lane.get_or_insert_with(Lane::start).run(&entry.name);
                    if matches!(verdict, Verdict::Hung(_)) {
                        lane = None;
                    }
                    note(&mut report.lock().unwrap_or_else(PoisonError::into_inner), &entry.name, verdict);
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    let at = waiting.running.iter().position(|it| *it == entry.beside).expect("it was put there");
                    waiting.running.swap_remove(at);
                    changed.notify_all();
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The first case that may run beside those that run; waits until there is one.
fn next<'a>(waiting: &Mutex<Waiting<'a>>, changed: &Condvar) -> Option<&'a Entry> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let running = &waiting.running;
        let may_run = |entry: &&Entry| match entry.beside {
            Beside::Anybody => !running.contains(&Beside::Nobody),
            Beside::NoOther(_) => !running.contains(&Beside::Nobody) && !running.contains(&entry.beside),
            Beside::Nobody => running.is_empty(),
        };
        if let Some(at) = waiting.next.iter().position(may_run) {
            let entry = waiting.next.remove(at)?;
            waiting.running.push(entry.beside);
            return Some(entry);
        }
        if waiting.next.is_empty() {
            return None;
        }
        waiting = changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
    }
}

fn note(report: &mut Report, name: &str, verdict: Verdict) {
    match verdict {
        Verdict::Passed => {
            println!("test {name} ... ok");
            report.passed += 1;
        }
        Verdict::Skipped(why) => {
            println!("test {name} ... ignored, {why}");
            report.skipped.push((name.to_owned(), why));
        }
        Verdict::Failed(why) | Verdict::Hung(why) => {
            println!("test {name} ... FAILED: {why}");
            report.failed.push(name.to_owned());
        }
    }
}

/// A process that runs cases.
struct Lane {
    process: Child,
    names: Option<ChildStdin>,
    said: Lines<BufReader<ChildStdout>>,
}

impl Lane {
    fn start() -> Lane {
        let program = std::env::current_exe().expect("this program has a path");
        let mut process = Command::new(program)
            .arg(LANE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let names = process.stdin.take();
        let said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Lane { process, names, said }
    }

    /// Runs a case there. That the lane has ended counts as hanging: it needs another.
    fn run(&mut self, name: &str) -> Verdict {
        let told = self.names.as_mut().is_some_and(|names| writeln!(names, "{name}").is_ok());
        while told && let Some(Ok(line)) = self.said.next() {
            let Some(verdict) = line.strip_prefix(VERDICT) else {
                println!("{line}");
                continue;
            };
            let (word, why) = verdict.split_once(' ').unwrap_or((verdict, ""));
            let why = why.replace('\t', "\n");
            return match word {
                "passed" => Verdict::Passed,
                "skipped" => Verdict::Skipped(why),
                "failed" => Verdict::Failed(why),
                _ => Verdict::Hung(why),
            };
        }
        let ended = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Verdict::Hung(format!("its process ended with {ended}"))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // It ends by itself when nobody tells it anything.
        self.names = None;
        let _ = self.process.wait();
    }
}

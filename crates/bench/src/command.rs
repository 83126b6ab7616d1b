//! The command line of a program that runs contenders side by side, whosever they are.

use crate::case::Case;
use crate::crowd::be_party;
use crate::group::Group;
use crate::leavings;
use crate::meeting::be_peer;
use crate::report::{self, Verdict};
use crate::roster::Roster;
use crate::run::{Bench, Budget, Outcome};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const OPTIONS: &str = "\
  FILTER       run only cases whose name contains one of these words; a whole name means that case alone, and the
               name of a group all its cases, with one table at the end
  --json       one JSON object per case and line
  --seconds N  time for each case (default 3)
  --seek N     go on for up to N seconds more until both states of the cores, near and far, were seen
  --check      exit with 1 when a target is missed
  --list       name the cases and end";

fn usage(program: &str) -> String {
    format!("usage: {program} [FILTER...] [--json] [--seconds N] [--seek N] [--check] [--list]\n\n{OPTIONS}")
}

struct Wish {
    filters: Vec<String>,
    json: bool,
    budget: Budget,
    check: bool,
    list: bool,
}

fn parse(program: &str, words: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish {
        filters: Vec::new(),
        json: false,
        budget: Budget { per_case: Duration::from_secs(3), seek: Duration::ZERO },
        check: false,
        list: false,
    };
    let mut words = words;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => wish.json = true,
            "--check" => wish.check = true,
            "--list" => wish.list = true,
            "--seconds" => wish.budget.per_case = seconds(&word, words.next())?,
            "--seek" => wish.budget.seek = seconds(&word, words.next())?,
            option if option.starts_with('-') => {
                return Err(format!("unknown option '{option}'\n{}", usage(program)));
            }
            filter => wish.filters.push(filter.to_owned()),
        }
    }
    Ok(wish)
}

fn seconds(option: &str, word: Option<String>) -> Result<Duration, String> {
    let word = word.unwrap_or_default();
    match word.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => Err(format!("{option} expects whole seconds, found '{word}'")),
    }
}

impl Wish {
    fn wants(&self, roster: &Roster, case: &Case) -> bool {
        let is_whole = |filter: &String| {
            roster.cases.iter().any(|case| case.id == filter) || roster.groups.iter().any(|group| group.id == filter)
        };
        let wanted = |filter: &String| case.id == filter || (!is_whole(filter) && case.id.contains(filter.as_str()));
        self.filters.is_empty() || self.filters.iter().any(wanted)
    }
}

fn peer(roster: &Roster, name: &str, at: &str, cpu: &str) -> Result<(), String> {
    let contender = roster.contender(name).map_err(|error| error.to_string())?;
    let cpu = cpu.parse().map_err(|_| format!("expected a CPU, found '{cpu}'"))?;
    be_peer(&**contender, Path::new(at), cpu).map_err(|error| format!("peer of {name}: {error}"))
}

fn party(roster: &Roster, name: &str, at: &str, cpu: &str, spread: &str) -> Result<(), String> {
    let crowd = roster.crowd(name).map_err(|error| error.to_string())?;
    let cpu = cpu.parse().map_err(|_| format!("expected a CPU, found '{cpu}'"))?;
    let spread = spread.parse().map_err(|_| format!("expected true or false, found '{spread}'"))?;
    be_party(&**crowd, Path::new(at), cpu, spread).map_err(|error| format!("party of {name}: {error}"))
}

fn run(roster: &Roster, wish: &Wish) -> Result<bool, String> {
    let groups: Vec<&Group> =
        roster.groups.iter().filter(|group| wish.filters.iter().any(|filter| filter == group.id)).collect();
    let chosen: Vec<&Case> = roster.cases.iter().filter(|case| wish.wants(roster, case)).collect();
    if chosen.is_empty() && groups.is_empty() {
        return Err(format!("no case matches {:?}; --list names them", wish.filters));
    }
    if wish.list {
        for group in groups.into_iter().chain(roster.groups.iter().filter(|_| wish.filters.is_empty())) {
            println!("{:<20} {}: {}", group.id, group.title, group.cases().collect::<Vec<_>>().join(" "));
        }
        for case in &chosen {
            println!("{:<20} {}", case.id, case.title);
        }
        return Ok(true);
    }
    leavings::remove_on_signals().map_err(|error| error.to_string())?;
    let mut bench = Bench::new(roster, wish.budget).map_err(|error| error.to_string())?;
    if !wish.json {
        match bench.floor().map_err(|error| error.to_string())? {
            Some(floor) => {
                println!("CPUs {:?}, floor now {:.1} ns one way ({})\n", bench.cpus(), floor.one_way_ns, floor.state)
            }
            None => println!("{}\n", wharf_measure::OneCpu),
        }
    }
    let mut all_met = true;
    for case in chosen {
        let outcome = run_case(&mut bench, case, &mut all_met)?;
        if wish.json {
            println!("{}", report::json(case, &outcome));
        } else {
            println!("{}", report::text(case, &outcome));
        }
    }
    for group in groups {
        bench.grant(group.budget(wish.budget));
        let mut outcomes = Vec::new();
        for case in group.cases().filter_map(|id| roster.cases.iter().find(|case| case.id == id)) {
            let outcome = run_case(&mut bench, case, &mut all_met)?;
            if wish.json {
                println!("{}", report::json(case, &outcome));
            }
            outcomes.push((case, outcome));
        }
        if !wish.json {
            let load = outcomes.first().map_or("unknown", |(_, outcome)| &outcome.load);
            println!("{} - {} (load {load})\n\n{}", group.id, group.title, group.table(&outcomes));
        }
    }
    Ok(all_met)
}

fn run_case(bench: &mut Bench<'_>, case: &Case, all_met: &mut bool) -> Result<Outcome, String> {
    let outcome = bench.run(case).map_err(|error| format!("{}: {error}", case.id))?;
    *all_met &= report::judge(case, &outcome).iter().all(|judged| judged.verdict != Verdict::Fail);
    Ok(outcome)
}

/// What `main` of such a program does: follows the command line, and serves when a run started it as a peer or a party.
pub fn main(program: &str, roster: &Roster) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words_of: Vec<&str> = words.iter().map(String::as_str).collect();
    let served = match words_of.as_slice() {
        ["--peer", name, at, cpu] => Some(peer(roster, name, at, cpu)),
        ["--party", name, at, cpu, spread] => Some(party(roster, name, at, cpu, spread)),
        _ => None,
    };
    match served {
        Some(Ok(())) => return ExitCode::SUCCESS,
        Some(Err(text)) => {
            eprintln!("{program}: {text}");
            return ExitCode::from(2);
        }
        None => {}
    }
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{}", usage(program));
        return ExitCode::SUCCESS;
    }
    let met = parse(program, words.into_iter()).and_then(|wish| Ok((run(roster, &wish)?, wish.check)));
    match met {
        Ok((false, true)) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{program}: {text}");
            ExitCode::from(2)
        }
    }
}

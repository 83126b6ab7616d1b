//! Configuration that changes while everything runs: a state, its owner in one process, its users in others.
//!
//! Whoever comes finds the present configuration at once; whoever is there sees the latest one, and may skip those between.
//! The owner is killed and another process takes over: users keep what they have, and see the successor's.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf::{Domain, Node, NodeOptions, Result};

const NAME: &str = "service/configuration";
const CHANGES: u32 = 1_000;
const USERS: usize = 2;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Configuration {
    revision: u32,
    by: String,
    limits: Vec<(String, u32)>,
}

impl Configuration {
    fn new(revision: u32, by: &str) -> Configuration {
        // As many limits as the revision says: a mixture of two configurations would show.
        let limits = (0..revision % 10).map(|at| (format!("limit {at}"), revision)).collect();
        Configuration { revision, by: by.to_owned(), limits }
    }

    fn is_whole(&self) -> bool {
        *self == Configuration::new(self.revision, &self.by)
    }
}

fn node(domain: &Path) -> Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(domain)?).open()?)
}

fn say(word: &str) -> Result<()> {
    println!("{word}");
    Ok(std::io::stdout().flush()?)
}

/// Owns the configuration, changes it again and again, and stays.
fn owner(domain: &Path, who: &str) -> Result<()> {
    let node = node(domain)?;
    let mut owner = node.state_of_serde::<Configuration>(NAME).owner(&Configuration::new(1, who))?;
    say("owns")?;
    let mut words = std::io::stdin().lines();
    words.next();
    for revision in 2..=CHANGES {
        owner.set(&Configuration::new(revision, who))?;
    }
    // Whoever thinks that the first one still holds is told that it does not.
    assert!(!owner.compare_and_set(1, &Configuration::new(0, who))?);
    say("changed")?;
    words.next();
    Ok(())
}

/// Uses the configuration until it is the last one of the second owner.
fn user(domain: &Path) -> Result<()> {
    let node = node(domain)?;
    let mut configuration = node.state_of_serde::<Configuration>(NAME).watcher()?;
    say(&format!("begins with revision {}", configuration.get()?.map_or(0, |now| now.revision)))?;
    let mut whole = true;
    loop {
        let Some(now) = configuration.changed_timeout(PATIENCE)? else {
            return Err(std::io::Error::other("nothing changed for a minute").into());
        };
        whole &= now.is_whole();
        if now.by == "second" && now.revision == CHANGES {
            return say(&format!("every one that it saw was whole: {whole}"));
        }
    }
}

struct Process {
    child: Child,
    tell: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Process {
    fn start(domain: &Path, role: &str) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(role).arg(domain).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(tell), Some(says)) => Ok(Process { child, tell, says: BufReader::new(says) }),
            _ => Err(std::io::Error::other("the process has no pipes").into()),
        }
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn tell(&mut self) -> Result<()> {
        Ok(writeln!(self.tell, "go")?)
    }
}

fn service() -> Result<()> {
    let private = tempfile::tempdir()?;
    let domain = private.path();
    let mut first = Process::start(domain, "first")?;
    first.hear()?;
    let mut users = Vec::new();
    for number in 0..USERS {
        let mut user = Process::start(domain, "user")?;
        println!("user {number} {}", user.hear()?);
        users.push(user);
    }
    first.tell()?;
    first.hear()?;
    // There is one owner at a time.
    let present = node(domain)?.state_of_serde::<Configuration>(NAME).owner(&Configuration::new(0, "nobody"));
    println!("a second owner beside it is refused: {}", present.is_err());
    first.child.kill()?;
    first.child.wait()?;
    let mut second = Process::start(domain, "second")?;
    println!("the second owner {}", second.hear()?);
    second.tell()?;
    second.hear()?;
    for (number, mut user) in users.into_iter().enumerate() {
        println!("user {number}: {}", user.hear()?);
        user.child.wait()?;
    }
    second.tell()?;
    second.child.wait()?;
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next().as_deref(), arguments.next()) {
        (Some("user"), Some(domain)) => user(Path::new(&domain)),
        (Some(who), Some(domain)) => owner(Path::new(&domain), who),
        _ => service(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

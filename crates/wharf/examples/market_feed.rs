//! Prices from two exchanges, for whoever comes, and a look back for whoever comes late.
//!
//! Each exchange publishes under its own name and keeps its last prices. A desk that is there from the start receives all of
//! them with one subscription; one that comes when everything was sent begins with the last ten of each, and goes on from
//! there. Both count what each exchange has sent, by the numbers that the messages carry.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf::{Domain, Node, NodeOptions, OnFull, RecvError, Result};

const PRICES: u64 = 5_000;
const LOOK_BACK: u64 = 10;
const EXCHANGES: [&str; 2] = ["prices/london/EURUSD", "prices/tokyo/USDJPY"];
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Price {
    bid: f64,
    ask: f64,
    from: String,
}

fn node(domain: &Path) -> Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(domain)?).open()?)
}

/// An exchange in a process of its own: sends its prices when it is told to, and stays until it is told to go.
fn exchange(domain: &Path, name: &str) -> Result<()> {
    let node = node(domain)?;
    // A desk that stops reading holds it up once, for a second at most.
    let topic = node.topic_of_serde::<Price>(name).history(LOOK_BACK);
    let mut feed = topic.on_full(OnFull::Block { patience: Some(Duration::from_secs(1)) }).publisher()?;
    let mut words = std::io::stdin().lines();
    println!("ready");
    std::io::stdout().flush()?;
    words.next();
    for number in 0..PRICES {
        let middle = 1.0 + number as f64 / 1e4;
        feed.send(&Price { bid: middle - 1e-4, ask: middle + 1e-4, from: name.to_owned() })?;
    }
    println!("sent");
    words.next();
    Ok(())
}

/// Receives until it knows of every price of every exchange; says what it has seen.
fn desk(domain: &Path, who: &str, history: u64, joined: impl FnOnce() -> Result<()>) -> Result<()> {
    let node = node(domain)?;
    let mut prices = node.topic_of_serde::<Price>("prices/**").history(history).subscriber()?;
    joined()?;
    let (mut seen, mut missed, mut last) = (0, 0, BTreeMap::new());
    while last.values().filter(|price: &&Price| price.ask > 1.0 + (PRICES - 1) as f64 / 1e4).count() < EXCHANGES.len() {
        match prices.recv_timeout(PATIENCE) {
            Ok(price) => {
                assert!(price.bid < price.ask);
                seen += 1;
                last.insert(price.from.clone(), price);
            }
            Err(RecvError::Lagged { missed: gap, .. }) => missed += gap,
            Err(error) => return Err(error.into()),
        }
    }
    let names: Vec<&str> = last.keys().map(String::as_str).collect();
    println!("{who}: {} prices, the last of {}", seen + missed, names.join(" and "));
    Ok(())
}

struct Exchange {
    child: Child,
    tell: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Exchange {
    fn start(domain: &Path, name: &str) -> Result<Exchange> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).arg(domain).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(tell), Some(says)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("the exchange has no pipes").into());
        };
        let mut exchange = Exchange { child, tell, says: BufReader::new(says) };
        exchange.hear()?;
        Ok(exchange)
    }

    fn hear(&mut self) -> Result<()> {
        self.says.read_line(&mut String::new())?;
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        Ok(writeln!(self.tell, "go")?)
    }
}

fn market() -> Result<()> {
    let private = tempfile::tempdir()?;
    let domain = private.path();
    let mut exchanges = Vec::new();
    for name in EXCHANGES {
        exchanges.push(Exchange::start(domain, name)?);
    }
    desk(domain, "the early desk", 0, || exchanges.iter_mut().try_for_each(Exchange::tell))?;
    exchanges.iter_mut().try_for_each(Exchange::hear)?;
    // Everything was sent before this one came.
    desk(domain, "the late desk", LOOK_BACK, || Ok(()))?;
    for mut exchange in exchanges {
        exchange.tell()?;
        if !exchange.child.wait()?.success() {
            return Err(std::io::Error::other("an exchange failed").into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next(), arguments.next()) {
        (Some(name), Some(domain)) => exchange(Path::new(&domain), &name),
        _ => market(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

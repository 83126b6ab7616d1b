//! A calculator in a process of its own, asked by name: sums, and factors that come one by one as they are found.
//!
//! `cargo run --example calculator` starts the calculator, asks it, kills it in the middle of a calculation, and asks the next one.

use std::process::{Command, Stdio};
use std::time::Duration;

use wharf::{Domain, Encoded, Node, NodeOptions, Outcome, Service};

const LIMIT: Duration = Duration::from_secs(30);

/// What is asked, by name.
type Calculator = Service<Encoded<((String, Vec<u64>), u64)>>;

fn service(node: &Node) -> Calculator {
    node.service_of_serde("calculator")
}

fn node(directory: &str) -> wharf::Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(directory.as_ref())?).open()?)
}

fn calculates(directory: &str) -> wharf::Result<()> {
    let mut server = service(&node(directory)?).typed_server()?;
    loop {
        let request = server.recv()?;
        let (what, numbers) = request.value().clone();
        // A client that is gone by then is no reason to end.
        let _ = match (what.as_str(), &numbers[..]) {
            ("sum", numbers) => request.reply(&numbers.iter().sum()),
            ("factors", [number]) => {
                let (mut rest, mut factor) = (*number, 2);
                let mut results = request.stream();
                while rest > 1 {
                    if rest % factor == 0 {
                        rest /= factor;
                        // Nobody wants more, or has taken anything for long.
                        if results.send(&factor).is_err() {
                            break;
                        }
                    } else {
                        factor += 1;
                    }
                }
                if rest > 1 { results.fail("not all of them were taken") } else { results.end() }
            }
            ("die", _) => std::process::abort(),
            (other, _) => request.fail(&format!("{other} is not known here")),
        };
    }
}

fn main() -> wharf::Result<()> {
    if let [_, directory] = &std::env::args().collect::<Vec<_>>()[..] {
        return calculates(directory);
    }
    let directory = tempfile::tempdir().map_err(wharf::Error::from)?;
    let path = directory.path().display().to_string();
    let start = || Command::new(std::env::current_exe()?).arg(&path).stderr(Stdio::null()).spawn();
    let mut first = start()?;
    let mut client = service(&node(&path)?).typed_client()?;
    let ask = |what: &str, numbers: &[u64]| (what.to_owned(), numbers.to_vec());
    println!("1 + 2 + 39 = {}", client.call(&ask("sum", &[1, 2, 39]), LIMIT)?);
    let factors: Result<Vec<_>, _> = client.call_stream(&ask("factors", &[360_360]), LIMIT)?.collect();
    println!("360360 is the product of {:?}", factors?);
    if let Err(error) = client.call(&ask("root", &[4]), LIMIT) {
        println!("{error}");
    }
    if let Err(error) = client.call(&ask("die", &[]), LIMIT) {
        println!("outcome unknown: {}", error.outcome() == Outcome::Unknown);
    }
    first.wait()?;
    let mut second = start()?;
    println!("the next one says 2 + 2 = {}", client.call(&ask("sum", &[2, 2]), LIMIT)?);
    second.kill()?;
    second.wait()?;
    Ok(())
}

//! Four workers are asked at once how busy they are: two say it, one is too slow, one dies of the question.
//!
//! `cargo run --example survey`

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use wharf::{Domain, Node, NodeOptions};

fn node(directory: &str) -> wharf::Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(directory.as_ref())?).open()?)
}

fn work(directory: &str, load: &str) -> wharf::Result<()> {
    let mut server = node(directory)?.service("load").server()?;
    println!("ready");
    let request = server.recv()?;
    match load {
        "slow" => drop((std::io::stdin().lines().next(), request)), // until its input ends
        "dies" => std::process::exit(1),
        // Whoever asked may be gone.
        load => drop(request.reply(load.as_bytes())),
    }
    Ok(())
}

fn main() -> wharf::Result<()> {
    if let [_, directory, load] = &std::env::args().collect::<Vec<_>>()[..] {
        return work(directory, load);
    }
    let private = tempfile::tempdir()?;
    let directory = private.path().to_str().unwrap_or_default();
    let mut workers = Vec::new();
    for load in ["40 %", "70 %", "slow", "dies"] {
        let mut worker = Command::new(std::env::current_exe()?);
        worker.args([directory, load]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut worker = worker.spawn()?;
        worker.stdout.iter_mut().try_for_each(|said| said.read_exact(&mut [0; 6]))?;
        workers.push(worker);
    }
    let mut client = node(directory)?.service("load").client()?;
    let mut survey = client.survey(b"how busy are you?", Duration::from_secs(2))?;
    for answer in &mut survey {
        println!("a worker is busy: {}", String::from_utf8_lossy(&answer?));
    }
    println!("{}", survey.account());
    for mut worker in workers {
        drop(worker.stdin.take());
        worker.wait()?;
    }
    Ok(())
}

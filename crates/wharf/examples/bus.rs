//! Three robots on one bus: each says where it is, and hears where the others are.
//!
//! `cargo run --example bus`

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use wharf::{Domain, NodeOptions};

const ROBOTS: u32 = 3;

fn robot(directory: &str, number: &str) -> wharf::Result<()> {
    let node = NodeOptions::new().domain(Domain::at(directory.as_ref())?).open()?;
    // Who comes later hears the latest of each.
    let mut member = node.bus_of_serde::<String>("robots").history(1).join()?;
    member.send(&format!("robot {number} is at {number}0"))?;
    let mut heard = (1..ROBOTS).map(|_| member.recv()).collect::<Result<Vec<_>, _>>()?;
    heard.sort();
    println!("robot {number} has heard: {}", heard.join(", "));
    // What it has said is heard as long as it stays: until its input ends.
    std::io::stdin().lines().next();
    Ok(())
}

fn main() -> wharf::Result<()> {
    if let [_, directory, number] = &std::env::args().collect::<Vec<_>>()[..] {
        return robot(directory, number);
    }
    let private = tempfile::tempdir()?;
    let start = |number: u32| {
        let mut robot = Command::new(std::env::current_exe()?);
        robot.arg(private.path()).arg(number.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    };
    let mut robots = (1..=ROBOTS).map(start).collect::<Result<Vec<_>, _>>()?;
    for said in robots.iter_mut().filter_map(|robot| robot.stdout.take()) {
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        print!("{line}");
    }
    for mut robot in robots {
        drop(robot.stdin.take());
        robot.wait()?;
    }
    Ok(())
}

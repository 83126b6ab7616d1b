//! Shows whom a barrier on every processor (`membarrier`) does not reach: a thread that slept while another thread of its process
//! registered, and woke on a processor that nobody else has used since. See docs/waiting.md.
//!
//! One process runs a thread that does nothing but spin. Another takes the time of barriers: one that interrupts the spinning
//! thread takes many times as long as one that does not.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wharf_sys::{barrier, cpu};

/// Barriers in one figure.
const COUNT: u32 = 2000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let task = std::env::args().nth(1);
    if task.as_deref() == Some("be-there") {
        return Ok(());
    }
    let cpus = cpu::allowed()?;
    let [here, there, ..] = cpus[..] else { return Err("this takes two processors".into()) };
    match task.as_deref() {
        None => show(here, there),
        Some("take-the-time") => take_the_time(there),
        Some(other) => Err(format!("expected no argument, found {other}").into()),
    }
}

/// For each line that it is told: the time of a barrier.
fn take_the_time(cpu: usize) -> Outcome<()> {
    cpu::pin_this_thread(cpu)?;
    for line in std::io::stdin().lines() {
        let what = line?;
        let began = Instant::now();
        for _ in 0..COUNT {
            barrier::global_expedited()?;
        }
        println!("a barrier {what} takes {} ns", began.elapsed().as_nanos() / u128::from(COUNT));
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn show(here: usize, there: usize) -> Outcome<()> {
    let me = std::env::current_exe()?;
    let mut other = Command::new(&me).arg("take-the-time").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut asked), Some(told)) = (other.stdin.take(), other.stdout.take()) else {
        return Err("the other process has no pipes".into());
    };
    let mut told = BufReader::new(told);
    cpu::pin_this_thread(here)?;
    let registered = Barrier::new(2);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pinned = cpu::pin_this_thread(there);
            // By then the first thread sleeps at its barrier, and its processor idles.
            std::thread::sleep(Duration::from_millis(50));
            let is_registered = barrier::register_by(wharf_sys::clock::Deadline::after(Duration::from_secs(5)));
            registered.wait();
            // A scope waits for this thread, which sleeps in small steps.
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            pinned.map(|()| is_registered)
        });
        registered.wait();
        let mut ask = |what: &str| -> Outcome<()> {
            writeln!(asked, "{what}")?;
            // Awake until the answer is there, or will be soon.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
            let mut line = String::new();
            told.read_line(&mut line)?;
            print!("{line}");
            Ok(())
        };
        let outcome = ask("right after the registration").and_then(|()| ask("some time later")).and_then(|()| {
            // It inherits our processor.
            Command::new(&me).arg("be-there").status()?;
            ask("after another process has run on its processor")
        });
        done.store(true, Ordering::Relaxed);
        outcome
    })?;
    drop(asked);
    other.wait()?;
    told.read_to_string(&mut String::new())?;
    Ok(())
}

//! A long piece of work in another process: its progress is a state, and it is cancelled by an event.
//!
//! The worker looks for the event between two steps, which costs it no system call. Whoever watches sees how far it is, as
//! often as it likes to look, and waits for progress and for the clock in one place. A second worker is killed in the middle:
//! its last progress stays to be seen.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use wharf::{Domain, Node, NodeOptions, Plain, Result, Selector, StateWatcher, Typed};

const STEPS: u64 = 1_000_000;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Progress {
    done: u64,
    of: u64,
    /// 0 at work, 1 finished, 2 cancelled.
    how: u64,
}

fn node(domain: &Path) -> Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(domain)?).open()?)
}

fn worker(domain: &Path, job: &str) -> Result<()> {
    let node = node(domain)?;
    let mut cancel = node.event(format!("job/{job}/cancel")).listener()?;
    let mut progress =
        node.state_of::<Progress>(format!("job/{job}/progress")).owner(&Progress { done: 0, of: STEPS, how: 0 })?;
    for done in 1..=STEPS {
        if cancel.take()? > 0 {
            progress.set(&Progress { done, of: STEPS, how: 2 })?;
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(20)); // the work
        progress.set(&Progress { done, of: STEPS, how: 0 })?;
    }
    progress.set(&Progress { done: STEPS, of: STEPS, how: 1 })?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Ready {
    Progress,
    Clock,
    Nothing,
}

/// Watches until the job is done with, or has come so far; the last that was seen, and how often the clock ticked.
fn watch(progress: &mut StateWatcher<Typed<Progress>>, far: u64) -> Result<(Progress, u64)> {
    let mut selector = Selector::new();
    selector.every(Duration::from_millis(10), Ready::Clock);
    selector.after(PATIENCE, Ready::Nothing);
    let mut ticks = 0;
    loop {
        match selector.wait(&mut [(&mut *progress, Ready::Progress)])? {
            Ready::Progress => match progress.changed()? {
                now if now.how != 0 || now.done >= far => return Ok((*now, ticks)),
                _ => {}
            },
            Ready::Clock => ticks += 1,
            Ready::Nothing => return Err(std::io::Error::other("nothing happened for a minute").into()),
        }
    }
}

fn start(domain: &Path, job: &str) -> Result<Child> {
    Ok(Command::new(std::env::current_exe()?).arg(job).arg(domain).stdin(Stdio::null()).spawn()?)
}

fn supervisor() -> Result<()> {
    let private = tempfile::tempdir()?;
    let node = node(private.path())?;
    let mut progress = node.state_of::<Progress>("job/1/progress").watcher()?;
    let mut cancel = node.event("job/1/cancel").notifier()?;
    let mut first = start(private.path(), "1")?;
    let (seen, ticks) = watch(&mut progress, 500)?;
    println!("job 1 is at step {} or more of {}; the clock had its turn: {}", seen.done.min(500), seen.of, ticks > 0);
    cancel.notify()?;
    let (last, _) = watch(&mut progress, STEPS)?;
    println!("job 1 was cancelled: {}", last.how == 2 && last.done < STEPS);
    println!("its process ended in good order: {}", first.wait()?.success());

    let mut progress = node.state_of::<Progress>("job/2/progress").watcher()?;
    let mut second = start(private.path(), "2")?;
    let (seen, _) = watch(&mut progress, 100)?;
    second.kill()?;
    second.wait()?;
    let last = progress.get()?.map_or(0, |last| last.done);
    println!("job 2 was killed; its progress is still to be seen: {}", last >= seen.done);
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next(), arguments.next()) {
        (Some(job), Some(domain)) => worker(Path::new(&domain), &job),
        _ => supervisor(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

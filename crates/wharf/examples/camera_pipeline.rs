//! A camera, a fast consumer and a slow one, each in a process of its own.
//!
//! The camera fills its pictures where they are read, and drops the oldest when somebody is too slow. The detector keeps up
//! and keeps the brightest picture where it lies. The archive's disk hangs; it is told exactly how many pictures it missed, and
//! delays nobody.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use wharf::{Domain, Node, NodeOptions, OnFull, Plain, RecvError, Result};

const PICTURES: u64 = 600;
/// After so many the archive's disk hangs.
const ENOUGH: u64 = 10;
const WIDTH: usize = 160;
const HEIGHT: usize = 120;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Picture {
    number: u64,
    pixels: [[u8; WIDTH]; HEIGHT],
}

impl Picture {
    fn brightness(&self) -> u64 {
        self.pixels.iter().flatten().map(|pixel| u64::from(*pixel)).sum()
    }
}

fn node(domain: &str) -> Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(Path::new(domain))?).open()?)
}

/// Tells whoever started this process that it is ready.
fn ready() -> Result<()> {
    println!("ready");
    Ok(std::io::stdout().flush()?)
}

fn detector(domain: &str) -> Result<()> {
    let node = node(domain)?;
    let mut pictures = node.topic_of::<Picture>("camera/front").subscriber()?;
    ready()?;
    let (mut seen, mut missed, mut brightest) = (0, 0, None);
    while seen + missed < PICTURES {
        match pictures.recv_timeout(PATIENCE) {
            Ok(picture) => {
                seen += 1;
                let light = picture.brightness();
                if brightest.as_ref().is_none_or(|(most, _)| light > *most) {
                    // It stays where the camera wrote it, however far the camera has got.
                    brightest = Some((light, picture.hold()));
                }
            }
            // Not on a machine that has time for it.
            Err(RecvError::Lagged { missed: gap, .. }) => missed += gap,
            Err(error) => return Err(error.into()),
        }
    }
    let (in_place, number) = brightest.map(|(_, kept)| (kept.in_place(), kept.sequence())).unwrap_or_default();
    println!(
        "detector: {seen} of {} pictures; the brightest was number {number}, kept in place: {in_place}",
        seen + missed
    );
    Ok(())
}

fn archive(domain: &str) -> Result<()> {
    let node = node(domain)?;
    let mut pictures = node.topic_of::<Picture>("camera/*").subscriber()?;
    ready()?;
    let (mut kept, mut missed) = (0, 0);
    while kept + missed < PICTURES {
        match pictures.recv_timeout(PATIENCE) {
            Ok(picture) => {
                assert_eq!(picture.number, picture.sequence());
                kept += 1;
                if kept == ENOUGH {
                    // The disk hangs, until the camera has sent everything.
                    std::io::stdin().read_line(&mut String::new())?;
                }
            }
            Err(RecvError::Lagged { missed: gap, .. }) => missed += gap,
            Err(error) => return Err(error.into()),
        }
    }
    println!("archive: {kept} of {} pictures; missed some: {}", kept + missed, missed > 0);
    Ok(())
}

fn camera() -> Result<()> {
    let private = tempfile::tempdir()?;
    let start = |role: &str| -> Result<(Child, BufReader<ChildStdout>)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(role).arg(private.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut says =
            BufReader::new(child.stdout.take().ok_or_else(|| std::io::Error::other("the consumer has no output"))?);
        says.read_line(&mut String::new())?;
        Ok((child, says))
    };
    let consumers = [start("detector")?, start("archive")?];
    let node = node(&private.path().display().to_string())?;
    // Some two hundred pictures; what is dropped are always the oldest.
    let topic = node.topic_of::<Picture>("camera/front").capacity(4 << 20).on_full(OnFull::DropOldest);
    let mut camera = topic.publisher()?;
    for number in 0..PICTURES {
        let mut picture = camera.loan()?;
        picture.number = number;
        let brightness = if number == 250 { 255 } else { (number % 100) as u8 };
        picture.pixels = [[brightness; WIDTH]; HEIGHT];
        picture.send()?;
        // A thousand pictures a second.
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(camera); // what was sent can still be received
    for (mut child, mut says) in consumers {
        drop(child.stdin.take()); // the disk goes on
        let mut line = String::new();
        says.read_line(&mut line)?;
        print!("{line}");
        if !child.wait()?.success() {
            return Err(std::io::Error::other("a consumer failed").into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["detector", domain] => detector(domain),
        ["archive", domain] => archive(domain),
        _ => camera(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! One thread that waits for everything at once: two sensors in processes of their own, over different transports, what one
//! of them prints, new visitors, and the clock.
//!
//! `one_thread` starts the sensors. The steady one sends a thousand readings over shared memory, prints a word, and closes;
//! the other one sends over a socket until it is killed. A visitor asks for the sum, and is answered.

use std::io::Read;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use wharf::{Domain, Endpoint, Link, Listener, Options, Readable, RecvError, Result, Selector, Transport};

const READINGS: u64 = 1000;
/// After so many the second sensor is killed.
const ENOUGH: u64 = 100;
/// Far longer than it takes: if nothing happens for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the thread waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ready {
    Steady,
    Mortal,
    Words,
    Door,
    Visitor,
    Clock,
    Nothing,
}

struct Desk {
    steady: Option<Link>,
    mortal: Option<Link>,
    /// It is killed in the middle.
    victim: Child,
    words: Option<Readable<ChildStdout>>,
    door: Listener,
    visitor: Option<Link>,
    /// Of the steady sensor.
    readings: u64,
    sum: u64,
    /// Readings of the mortal one until it is killed.
    enough: u64,
    ticks: u64,
}

impl Desk {
    /// Everything that there still is to wait for.
    fn list(&mut self) -> Vec<(&mut dyn Endpoint, Ready)> {
        let mut list: Vec<(&mut dyn Endpoint, Ready)> = vec![(&mut self.door, Ready::Door)];
        let links =
            [(&mut self.steady, Ready::Steady), (&mut self.mortal, Ready::Mortal), (&mut self.visitor, Ready::Visitor)];
        for (link, from) in links {
            list.extend(link.as_mut().map(|link| (link as &mut dyn Endpoint, from)));
        }
        list.extend(self.words.as_mut().map(|words| (words as &mut dyn Endpoint, Ready::Words)));
        list
    }

    /// Takes one thing from whoever is ready; `false` when the work is done.
    fn turn(&mut self, from: Ready) -> Result<bool> {
        match from {
            Ready::Steady => match take(&mut self.steady)? {
                Taken::Reading(value) => {
                    self.readings += 1;
                    self.sum += value;
                }
                Taken::End(end) => println!("the steady sensor after {} readings: {end}", self.readings),
            },
            Ready::Mortal => match take(&mut self.mortal)? {
                Taken::Reading(_) => {
                    self.enough = self.enough.saturating_sub(1);
                    if self.enough == 0 {
                        self.victim.kill()?;
                    }
                }
                Taken::End(end) => println!("the mortal sensor: {end}"),
            },
            Ready::Words => {
                let mut words = [0; 64];
                let len = self.words.as_mut().map_or(Ok(0), |pipe| pipe.0.read(&mut words))?;
                match words.get(..len) {
                    Some([]) | None => self.words = None,
                    Some(words) => println!("the steady sensor says: {}", String::from_utf8_lossy(words).trim_end()),
                }
            }
            Ready::Door => self.visitor = Some(self.door.accept()?),
            Ready::Visitor => {
                if let Some(mut visitor) = self.visitor.take() {
                    visitor.recv()?;
                    visitor.send(format!("{} readings, the sum is {}", self.readings, self.sum).as_bytes())?;
                }
                return Ok(false);
            }
            Ready::Clock => self.ticks += 1,
            Ready::Nothing => return Err(std::io::Error::other("nothing happened for a minute").into()),
        }
        Ok(true)
    }
}

/// What came of a sensor.
enum Taken {
    Reading(u64),
    End(RecvError),
}

/// Takes one reading; the link is gone with the end.
fn take(link: &mut Option<Link>) -> Result<Taken> {
    let received = link.as_mut().map_or(Err(RecvError::Closed), |sensor| {
        sensor.recv().map(|reading| reading.iter().map(|byte| u64::from(*byte)).sum())
    });
    match received {
        Ok(value) => Ok(Taken::Reading(value)),
        Err(end @ (RecvError::Closed | RecvError::PeerDied)) => {
            *link = None;
            Ok(Taken::End(end))
        }
        Err(error) => Err(error.into()),
    }
}

fn desk() -> Result<()> {
    let private = tempfile::tempdir()?;
    let options = Options::new().domain(Domain::at(private.path())?);
    let program = |role: &str| -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role).stdout(Stdio::piped());
        Ok(command)
    };
    let (mut printing, steady) = wharf::spawn(Transport::Shm, program("steady")?)?;
    let (victim, mortal) = wharf::spawn(Transport::Unix, program("mortal")?)?;
    let mut desk = Desk {
        steady: Some(steady),
        mortal: Some(mortal),
        victim,
        words: printing.stdout.take().map(Readable),
        door: options.listen("unix:desk")?,
        visitor: None,
        readings: 0,
        sum: 0,
        enough: ENOUGH,
        ticks: 0,
    };
    let mut selector = Selector::new();
    selector.every(Duration::from_millis(5), Ready::Clock);
    selector.after(PATIENCE, Ready::Nothing);
    let mut asking = None;
    loop {
        let from = selector.wait(&mut desk.list())?;
        if !desk.turn(from)? {
            break;
        }
        if desk.steady.is_none() && desk.mortal.is_none() && desk.words.is_none() && asking.is_none() {
            // Both sensors have ended: a visitor comes and asks.
            let options = options.clone();
            asking = Some(std::thread::spawn(move || -> Result<String> {
                let mut link = options.connect("unix:desk")?;
                link.send(b"how much?")?;
                Ok(String::from_utf8_lossy(&link.recv()?).into_owned())
            }));
        }
    }
    let answer = asking.map(|asking| asking.join().unwrap_or_else(|_| Ok("nobody asked".to_owned())));
    println!("the visitor was told: {}", answer.transpose()?.unwrap_or_default());
    println!("the clock had its turn: {}", desk.ticks > 0);
    desk.victim.wait()?;
    printing.wait()?;
    Ok(())
}

/// A sensor in a process of its own.
fn sensor(role: &str) -> Result<()> {
    let mut link = wharf::inherited()?;
    let mut sent = 0;
    // The steady one ends; the mortal one is ended, or by the end of whoever listens.
    while role == "mortal" || sent < READINGS {
        link.send(&[1, 2, 3])?;
        sent += 1;
        if sent.is_multiple_of(100) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!("done");
    Ok(())
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        None => desk(),
        Some(role) => sensor(&role),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! A settings block: one process writes it, others watch it, and everybody always sees a whole one.
//!
//! `settings` starts three watchers as processes, writes a few versions, kills one watcher in between, and ends when the
//! others have seen the last version.

use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::Duration;

use wharf::{Latest, LockError, Mutex, Plain, Region, Result, Shared, Text};

const VERSIONS: u64 = 100;
const WATCHERS: usize = 3;
/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Settings {
    number: u64,
    volume: f32,
    check: u32,
    title: Text<24>,
}

impl Settings {
    fn of(number: u64) -> Result<Settings> {
        let title = Text::new(&format!("settings {number}"))?;
        Ok(Settings { number, volume: number as f32 / 10.0, check: !(number as u32), title })
    }
}

#[derive(Shared)]
#[repr(C)]
struct Desk {
    settings: Latest<Settings>,
    /// How many watchers are there.
    watching: Mutex<u64>,
}

fn watch(desk: &Desk) -> Result<()> {
    let mut watch = desk.settings.watch_since(0);
    *desk.watching.lock().or_else(LockError::repaired)? += 1;
    // Bound: ends with the last version, or with an error when none comes.
    loop {
        // Versions may be skipped; what is seen is whole, and newer than what was seen before.
        let settings = watch.newer_timeout(PATIENCE)?;
        assert_eq!(settings.check, !(settings.number as u32), "half of two versions");
        if settings.number == VERSIONS {
            println!("{} at volume {}", settings.title.as_str().unwrap_or("?"), settings.volume);
            return Ok(());
        }
    }
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [file] = &words[..] {
        watch(&*Region::attach_file(file)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("desk");
    let desk: Region<Desk> = Region::create_file(&file)?;
    let start = |_| Command::new(std::env::current_exe()?).arg(&file).spawn();
    let mut watchers: Vec<Child> = (0..WATCHERS).map(start).collect::<std::io::Result<_>>()?;
    // Bound: they come, or end with an error.
    while *desk.watching.lock().or_else(LockError::repaired)? < WATCHERS as u64 {
        thread::sleep(Duration::from_millis(1));
    }
    for number in 1..=VERSIONS {
        desk.settings.write(&Settings::of(number)?)?;
        if number == VERSIONS / 2 {
            // The others do not notice.
            watchers[0].kill()?;
        }
        thread::sleep(Duration::from_micros(300));
    }
    let mut well = 0;
    for watcher in &mut watchers {
        well += usize::from(watcher.wait()?.success());
    }
    println!("{well} watchers saw the last of {VERSIONS} versions");
    Ok(if well == WATCHERS - 1 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

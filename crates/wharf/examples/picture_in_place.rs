//! A client puts a picture into a region, a server changes it there under a lock, the client reads it: nothing is copied.
//!
//! `picture_in_place` is the client. It starts a server that stops in the middle of its work, kills it there, and starts
//! another one, which is told that the owner died and finishes the picture.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{Ordering, compiler_fence};
use std::time::Duration;

use wharf::{Condvar, LockError, Mutex, Plain, Region, Result, Shared};

const WIDTH: usize = 320;
const HEIGHT: usize = 240;
/// The first server dies here, in the middle of the row.
const FATAL_ROW: usize = 100;
/// Far longer than it takes: a client that waits in vain ends with an error.
const PATIENCE: Duration = Duration::from_secs(30);

const EMPTY: u32 = 0;
const TO_DO: u32 = 1;
const DONE: u32 = 2;

/// Changed where it lies. That makes it cheap, and the death of a server visible: rows before `rows_done` are finished, the
/// row at `rows_done` may be half-changed, those behind it are as the client left them.
#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Picture {
    state: u32,
    rows_done: u32,
    pixels: [[u8; WIDTH]; HEIGHT],
}

#[derive(Shared)]
#[repr(C)]
struct Desk {
    picture: Mutex<Picture>,
    changed: Condvar,
}

/// A disc on a slope of grey.
fn original(x: usize, y: usize) -> u8 {
    let (right, down) = (x.abs_diff(WIDTH / 2), y.abs_diff(HEIGHT / 2));
    let slope = (x * 255 / WIDTH) as u8;
    if right * right + down * down < 80 * 80 { 255 - slope } else { slope }
}

/// What the server does to a pixel. Doing it twice is doing it once: so a row that may be half-changed is just done anew.
fn black_or_white(grey: u8) -> u8 {
    if grey < 128 { 0 } else { 255 }
}

fn serve(file: &Path, fatal: bool) -> Result<()> {
    let desk = Region::<Desk>::attach_file(file)?;
    let mut picture = match desk.picture.lock() {
        Ok(picture) => picture,
        Err(LockError::OwnerDied(picture)) => {
            println!("server: the one before died at row {}, its work goes on from there", picture.rows_done);
            // Which rows are finished is written down, and the next one can be done again: the data is in order.
            picture.repaired()
        }
        Err(other) => return Err(other.into()),
    };
    picture = desk.changed.wait_while(picture, |picture| picture.state != TO_DO)?;
    for row in picture.rows_done as usize..HEIGHT {
        for x in 0..WIDTH {
            if fatal && row == FATAL_ROW && x == WIDTH / 2 {
                println!("server: in the middle of row {row}");
                // Killed here, by the client. It holds the lock, and half of this row is changed.
                std::io::stdin().read_to_end(&mut Vec::new())?;
            }
            picture.pixels[row][x] = black_or_white(picture.pixels[row][x]);
        }
        // The note comes after the row, never before it; a kill falls between two instructions.
        compiler_fence(Ordering::SeqCst);
        picture.rows_done = row as u32 + 1;
        compiler_fence(Ordering::SeqCst);
    }
    picture.state = DONE;
    println!("server: wrote the picture {}", whereabouts(&picture, file)?);
    desk.changed.notify_all()?;
    Ok(())
}

/// Where the pixels lie, as the system tells it: in this process's mapping of the region's file, all of them?
fn whereabouts(picture: &Picture, file: &Path) -> Result<&'static str> {
    let first = picture.pixels.as_ptr().addr();
    let last = first + size_of_val(&picture.pixels) - 1;
    let inode = fs::metadata(file)?.ino();
    let maps = fs::read_to_string("/proc/self/maps")?;
    // A line: addresses, permissions, offset, device, inode, path.
    let is_it = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let holds = |at: &usize| {
            usize::from_str_radix(start, 16).ok() <= Some(*at) && usize::from_str_radix(end, 16).ok() > Some(*at)
        };
        let shared = words.next()? == "rw-s";
        let same_file = words.nth(2)?.parse() == Ok(inode);
        Some([first, last].iter().all(holds) && shared && same_file)
    };
    Ok(if maps.lines().filter_map(is_it).any(|it| it) { "inside the region" } else { "somewhere else" })
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [file, part] = &words[..] {
        serve(Path::new(file), part == "fatal")?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("desk");
    let desk: Region<Desk> = Region::create_file(&file)?;

    let mut picture = desk.picture.lock()?;
    assert_eq!(picture.state, EMPTY);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            picture.pixels[y][x] = original(x, y);
        }
    }
    picture.state = TO_DO;
    println!("client: put a picture of {WIDTH} x {HEIGHT} {}", whereabouts(&picture, &file)?);
    drop(picture);

    let (mut doomed, _) = start(&file, "fatal")?;
    doomed.kill()?;
    doomed.wait()?;
    println!("client: killed it");

    // What is to be done about a death is the server's business: by its first word it has the lock.
    let (mut server, mut words) = start(&file, "whole")?;
    let picture = desk.picture.lock_timeout(PATIENCE)?;
    let (read, in_vain) = desk.changed.wait_while_timeout(picture, PATIENCE, |picture| picture.state != DONE)?;
    let mut rest = String::new();
    words.read_to_string(&mut rest)?;
    print!("{rest}");
    let right =
        !in_vain && (0..HEIGHT).all(|y| (0..WIDTH).all(|x| read.pixels[y][x] == black_or_white(original(x, y))));
    println!(
        "client: read it back {}, {}",
        whereabouts(&read, &file)?,
        if right { "every pixel right" } else { "wrong" }
    );
    drop(read);
    let well = server.wait()?.success() && right;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts a server and waits for its first word.
fn start(file: &Path, part: &str) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut server = command.arg(file).arg(part).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut words = BufReader::new(server.stdout.take().expect("its output is piped"));
    let mut first = String::new();
    words.read_line(&mut first)?;
    print!("{first}");
    Ok((server, words))
}

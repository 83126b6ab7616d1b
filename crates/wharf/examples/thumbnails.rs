//! Thumbnails of pictures by a pool of workers, some of which are killed: every picture is done, but for the one that nobody survives.
//!
//! `cargo run --example thumbnails` starts three workers, gives them sixty pictures, kills workers in the middle, and replaces every one
//! that dies. Thumbnails come back through a queue of their own: a worker acknowledges a picture only when its thumbnail has arrived,
//! so none is lost, and one that comes twice is known by its number.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf::{Domain, Encoded, Node, NodeOptions, Queue};

const PICTURES: u32 = 60;
const WORKERS: usize = 3;
/// Which picture is damaged, so that whoever looks at it dies.
const DAMAGED: u32 = 13;
/// Workers that may die over one picture before it is given up.
const TRIES: u32 = 5;
const WIDTH: usize = 320;
const HEIGHT: usize = 240;
/// Pixels that become one.
const SCALE: usize = 20;
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Picture {
    number: u32,
    pixels: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Thumbnail {
    number: u32,
    pixels: Vec<u8>,
}

fn pictures(node: &Node) -> Queue<Encoded<Picture>> {
    node.queue_of_serde("pictures").most_deliveries(TRIES).prefetch(2)
}

fn thumbnails(node: &Node) -> Queue<Encoded<Thumbnail>> {
    node.queue_of_serde("thumbnails")
}

fn node(directory: &str) -> wharf::Result<Node> {
    Ok(NodeOptions::new().domain(Domain::at(directory.as_ref())?).open()?)
}

fn paint(number: u32) -> Picture {
    let pixel = |at: usize| ((at % WIDTH) / SCALE * 3 + (at / WIDTH) / SCALE * 5 + number as usize) as u8;
    let pixels = if number == DAMAGED { WIDTH * HEIGHT / 2 } else { WIDTH * HEIGHT };
    Picture { number, pixels: (0..pixels).map(pixel).collect() }
}

/// Every pixel is the mean of those that it stands for.
fn shrink(picture: &Picture) -> Vec<u8> {
    let mean = |column: usize, row: usize| {
        let lines = (0..SCALE).map(|line| (row * SCALE + line) * WIDTH + column * SCALE);
        let sum: usize = lines.flat_map(|at| &picture.pixels[at..at + SCALE]).map(|pixel| usize::from(*pixel)).sum();
        (sum / (SCALE * SCALE)) as u8
    };
    (0..HEIGHT / SCALE).flat_map(|row| (0..WIDTH / SCALE).map(move |column| mean(column, row))).collect()
}

/// A worker: until it is killed.
fn work(directory: &str) -> wharf::Result<()> {
    // A program that dies of a picture says nothing and leaves nothing.
    std::panic::set_hook(Box::new(|_| std::process::abort()));
    let node = node(directory)?;
    let mut given = pictures(&node).typed_puller()?;
    let mut done = thumbnails(&node).typed_pusher()?;
    loop {
        let picture = given.recv()?;
        let pixels = shrink(picture.value());
        done.push(&Thumbnail { number: picture.value().number, pixels })?.acked()?;
        // A pusher that is gone is no reason to end.
        let _ = picture.ack();
    }
}

fn start(directory: &str) -> io::Result<Child> {
    Command::new(std::env::current_exe()?).arg(directory).stderr(Stdio::null()).spawn()
}

fn main() -> wharf::Result<()> {
    if let [_, directory] = &std::env::args().collect::<Vec<_>>()[..] {
        return work(directory);
    }
    let directory = tempfile::tempdir().map_err(wharf::Error::from)?;
    let path = directory.path().display().to_string();
    let node = node(&path)?;
    let mut pool = (0..WORKERS).map(|_| start(&path)).collect::<io::Result<Vec<_>>>()?;
    let mut given = pictures(&node).typed_pusher()?;
    let mut arriving = thumbnails(&node).typed_puller()?;
    for number in 0..PICTURES {
        given.push(&paint(number))?;
    }
    let (mut arrived, mut killed, mut died, mut twice) = (BTreeMap::new(), 0, 0, 0);
    while given.pusher().unsettled() > 0 {
        if let Ok(thumbnail) = arriving.recv_timeout(Duration::from_millis(5)) {
            let Thumbnail { number, pixels } = thumbnail.value();
            twice += usize::from(arrived.insert(*number, pixels.clone()).is_some());
            // Its worker may be killed by now: then another one paints it again.
            let _ = thumbnail.ack();
            if arrived.len() == 10 * (killed + 1) && killed < 4 {
                pool[killed % WORKERS].kill()?;
                killed += 1;
            }
        }
        for worker in &mut pool {
            if worker.try_wait()?.is_some() {
                died += 1;
                *worker = start(&path)?;
            }
        }
    }
    given.pusher().flush(LIMIT)?;
    let right = arrived.iter().all(|(number, pixels)| *pixels == shrink(&paint(*number)));
    let few = twice <= killed;
    println!(
        "{} thumbnails of {PICTURES}, all right: {right}; no more came twice than workers were killed: {few}",
        arrived.len()
    );
    println!("{killed} workers were killed, and some died of something else: {}", died > killed);
    while let Some(letter) = given.pusher().dead_letter()? {
        println!("given up after {} deliveries: a picture of {} bytes", letter.deliveries, letter.bytes.len());
    }
    for mut worker in pool {
        worker.kill()?;
        worker.wait()?;
    }
    Ok(())
}
